"""The report: one HTML file that holds everything it shows, and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO

from selfinstruct.errors import PoolError
from selfinstruct.report import rejections, tasks
from selfinstruct.report.figures import Embed, figures
from selfinstruct.report.packing import harmless_json, write_packed
from selfinstruct.store.earlier import show_as_of
from selfinstruct.store.files import whole_file
from selfinstruct.store.ledger import Position
from selfinstruct.store.reading import Connection, snapshot

SCRIPTS = ("elements.js", "charts.js", "sunburst.js", "tables.js", "sections.js", "growth.js", "page.js")
"""In the order in which they are run, as one script."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is shown: a pool as it is, or as it was at the position of a version."""

    pool: Path
    at: Position | None = None
    version: int | None = None


def write_report(sources: Sequence[Path | Source], out: Path, embed: Embed | None = None) -> None:
    """Write the report of a pool, or of two side by side, each as it is at one moment.

    `embed` gives embeddings of instructions, for one more figure.

    Raises:
        PoolError: a folder holds no pool, both are the same, or the file cannot be written.
    """
    shown = [one if isinstance(one, Source) else Source(one) for one in sources]
    if len({(one.pool.resolve(), one.version) for one in shown}) < len(shown):
        raise PoolError(f"{shown[0].pool}: a pool cannot be compared with itself; name another one, or a version")
    names = _names(shown)
    with ExitStack() as stack:
        connections = [stack.enter_context(snapshot(one.pool)) for one in shown]
        for connection, one in zip(connections, shown, strict=True):
            if one.at is not None:
                show_as_of(connection, one.at)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(out) as file:
                _write(file, dict(zip(names, connections, strict=True)), embed)
        except OSError as error:
            raise PoolError(f"{out}: the report cannot be written ({error.strerror})") from error


def _write(file: IO[str], pools: Mapping[str, Connection], embed: Embed | None) -> None:
    script = "\n".join(map(_asset, SCRIPTS))
    file.write(_head(" and ".join(pools), _asset("page.css"), script))
    all_figures = []
    for number, (name, connection) in enumerate(pools.items()):
        found = tasks.Tasks()
        with _element(file, f"tasks-{number}"):
            write_packed(file, tasks.rows(connection, found))
        with _element(file, f"details-{number}"):
            write_packed(file, found.details)
        with _element(file, f"rejections-{number}"):
            write_packed(file, rejections.rows(connection, found.positions))
        all_figures.append(figures(connection, name, found, embed))
    file.write(f'<script type="application/json" id="figures">{harmless_json(all_figures)}</script>\n')
    file.write(f"<script>{script}</script>\n</body>\n</html>\n")


@contextmanager
def _element(file: IO[str], identity: str) -> Iterator[None]:
    """An element for data, which no browser runs; what is written meanwhile is in it."""
    file.write(f'<script type="text/plain" id="{identity}">')
    yield
    file.write("</script>\n")


def _names(sources: Sequence[Source]) -> list[str]:
    """What to call the pools: the names of their folders, with more of the path where these are the same."""
    paths = [Path(os.fsencode(one.pool.resolve()).decode("utf-8", "replace")) for one in sources]
    of = ["" if one.version is None else f"/versions/{one.version}" for one in sources]
    for parts in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-parts:]) + version for path, version in zip(paths, of, strict=True)]
        if len(set(names)) == len(names):
            return names
    return [f"{path} {place}" for place, path in enumerate(paths, 1)]


def _asset(name: str) -> str:
    return resources.files("selfinstruct.report").joinpath("assets", name).read_text("utf-8")


def _head(title: str, style: str, script: str) -> str:
    """The page up to its data. By its policy nothing but this style and this script is ever used."""
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _asset("page.html")
    for key, value in {"{policy}": policy, "{style}": style, "{title}": html.escape(title)}.items():
        page = page.replace(key, value)
    return page


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
