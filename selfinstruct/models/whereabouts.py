"""Where servers are now: the URLs given, those that a file lists, and each address that a name stands for."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from selfinstruct.models.endpoint import EndpointConfig
from selfinstruct.models.urls import is_on_loopback, urls_in

LOOKED_FOR_EVERY_S = 2.0
"""How often a run looks whether servers have come or gone."""
Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""What `socket.getaddrinfo` does."""


class Whereabouts:
    """The servers of a role, which may come and go. `configs` are those named at first, in `path` too; None: no file.

    A file or a name that tells nothing for a moment takes no server away; that is told once.
    """

    def __init__(
        self,
        configs: Sequence[EndpointConfig],
        given: Sequence[str],
        path: Path | None,
        tell: Callable[[str], None],
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._configs = {one.base_url: one for one in configs}
        self._given, self._path, self._tell, self._resolve = given, path, tell, resolve
        self._at: dict[str, list[EndpointConfig]] = {}
        """By URL, where its name was found last."""
        self._faults: list[str] = []

    @property
    def may_change(self) -> bool:
        """Whether it is worth to ask again."""
        return self._path is not None or any(map(_may_be_several, self._configs.values()))

    async def now(self) -> list[EndpointConfig]:
        """The endpoints of this moment, never none."""
        faults = []
        if self._path is not None:
            listed, fault = await asyncio.to_thread(urls_in, self._path)
            template = next(iter(self._configs.values()))
            kept = self._configs if fault else ()
            urls = dict.fromkeys((*self._given, *listed, *kept))
            self._configs = {url: self._configs.get(url) or replace(template, base_url=url) for url in urls}
            faults = [fault] if fault else []
        for url, found in zip(
            self._configs, await asyncio.gather(*map(self._found, self._configs.values())), strict=True
        ):
            if not isinstance(found, OSError):
                self._at[url] = found
            elif url in self._at:
                faults.append(f"{urlsplit(url).hostname}: this name has no address now ({found.strerror or found})")
            else:
                self._at[url] = [self._configs[url]]
        for fault in faults:
            if fault not in self._faults:
                self._tell(f"{fault}; going on with the servers known so far")
        self._faults = faults
        return [*{one.base_url: one for url in self._configs for one in self._at[url]}.values()]

    async def _found(self, config: EndpointConfig) -> list[EndpointConfig] | OSError:
        """An endpoint for each address of its name, or itself where that has one alone.

        A machine may have one of each family, so the addresses are those of the family that has several.
        """
        if not _may_be_several(config):
            return [config]
        parts = urlsplit(config.base_url)
        user, at, host = parts.netloc.rpartition("@")
        port = parts.port or 80
        try:
            found = await asyncio.to_thread(self._resolve, parts.hostname, port, 0, socket.SOCK_STREAM)
        except OSError as error:
            return error
        for family, form in ((socket.AF_INET, "{}:{}"), (socket.AF_INET6, "[{}]:{}")):
            places = sorted({form.format(one[4][0], port) for one in found if one[0] == family})
            if len(places) > 1:
                urls = [urlunsplit(parts._replace(netloc=f"{user}{at}{place}")) for place in places]
                return [replace(config, base_url=url, host=host) for url in urls]
        return [config]


def _may_be_several(config: EndpointConfig) -> bool:
    """Whether an address has a name for which several servers may stand.

    By https a server is known by its name, and a proxy looks up names itself.
    """
    host = urlsplit(config.base_url).hostname or ""
    is_one = config.function is not None or config.batching is not None or is_on_loopback(config.base_url)
    if is_one or not config.base_url.startswith("http://"):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return {"http", "all"}.isdisjoint(urllib.request.getproxies()) or bool(urllib.request.proxy_bypass(host))
    return False
