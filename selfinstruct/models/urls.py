"""Addresses of servers: read as people write them, taken to pieces, and shown without what is secret in them."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ROUTES = re.compile(r"(/chat)?/completions/*$|/(models|embeddings)/*$", re.IGNORECASE)
"""Ends of addresses that name one route of the API instead of where it begins."""
_VERSIONED = re.compile(r"/v\d+\w*(/|$)")
SECRET_NAME = re.compile("auth|key|token|secret|cookie|password|sig", re.IGNORECASE)
"""What names of headers and of parts of a query have in common whose values are not to be shown."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API begins, in the parts in which it is used."""

    shown: str
    """All of it but user, password and secrets in the query."""
    base: str
    """Without query."""
    query: dict[str, str]
    """What goes with each request."""
    user: str
    """`user:password`, still quoted; empty: none."""


def as_base_url(text: str) -> str:
    """An address as it is meant: with a scheme, without a route of the API at its end.

    Raises:
        ValueError: it is none; the text has no secret in it.
    """
    url = text.strip()
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("a base URL has no spaces, backslashes or control characters in it")
    if not _SCHEME.match(url):
        raise ValueError(f"a base URL begins with http:// or https://; this may be meant: {_with_scheme(url)}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"this is no base URL ({error}); one looks like http://localhost:8000/v1") from None
    if parts.scheme.lower() not in {"http", "https"} or not host:
        shown = f"{parts.scheme}://..." if parts.scheme else "this"
        raise ValueError(f"{shown} is no http:// or https:// URL of a server; one looks like http://localhost:8000/v1")
    path = _ROUTES.sub("", parts.path).rstrip("/")
    return urlunsplit((parts.scheme.lower(), parts.netloc, path, parts.query, ""))


def urls_in(path: Path) -> tuple[list[str], str]:
    """The base URLs that a file lists, one a line, and what is wrong with the file; empty: nothing."""
    urls, fault = list[str](), ""
    try:
        lines = read_text(path, "a text file with a base URL a line").splitlines()
    except ConfigError as error:
        return urls, str(error)
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            try:
                urls.append(as_base_url(text))
            except ValueError as error:
                fault = fault or f"{path}:{number}: {error}"
    return urls, fault or ("" if urls else f"{path} holds no base URL; give one a line")


def _with_scheme(url: str) -> str:
    """What may be meant: in this network servers are spoken to by http."""
    bare = url.rpartition("@")[2].partition("?")[0]
    with contextlib.suppress(ValueError):
        if _is_near(urlsplit(f"http://{bare}").hostname or ""):
            return f"http://{bare}"
    return f"https://{bare}"


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host.rstrip(".")


def address(url: str) -> Address:
    """The parts of a base URL."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    base = urlunsplit((parts.scheme, host, parts.path, "", ""))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    shown = {name: "***" if SECRET_NAME.search(name) else value for name, value in query.items()}
    query_shown = parts.query if shown == query else urlencode(shown, safe="*")
    return Address(urlunsplit((parts.scheme, host, parts.path, query_shown, "")), base, query, user if at else "")


def has_version(base: str) -> bool:
    """Whether the path of an address names a version of the API, such as /v1."""
    return bool(_VERSIONED.search(urlsplit(base).path))


def is_on_loopback(url: str) -> bool:
    """Whether a URL is of this machine, which the proxies that the environment names do not reach."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def spellings(secret: str) -> set[str]:
    """The forms in which a secret may stand in a URL."""
    return {secret, unquote(secret), quote(secret), quote(secret, safe="")}
