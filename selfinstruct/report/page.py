"""The report: one HTML file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import functools
import html
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Any

import orjson

from selfinstruct.errors import PoolError
from selfinstruct.page_policy import policy
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Position
from selfinstruct.pool.whole_files import whole_file
from selfinstruct.report.instruction_map import POINTS, Embed, Place, chosen, instruction_map, local_embed
from selfinstruct.report.page_figures import figures
from selfinstruct.report.tables import TaskSummary, rejection_rows, task_rows

SCRIPTS = (
    "elements.js", "charts.js", "filters.js", "tables.js", "sections.js", "map.js", "more_sections.js", "growth.js",
    "page.js",
)  # fmt: skip
"""In the order in which they run, as one script."""
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ShownPool:
    """What is shown: a pool as it is, or as it was at the position of a version."""

    pool: Path
    at: Position | None = None
    version: int | None = None
    people: Mapping[str, Any] | None = None
    """How far people agree with its judge, as `judge --calibrate --json` says it."""


def write_report(sources: Sequence[Path | ShownPool], out: Path, embed: Embed | None = None) -> None:
    """Write the report of a pool, or of two side by side, each as it is at one moment.

    `embed` returns embeddings of instructions, for one more figure.

    Raises:
        PoolError: a folder holds no pool, both are the same, or the file cannot be written.
    """
    shown = [one if isinstance(one, ShownPool) else ShownPool(one) for one in sources]
    if len({(one.pool.resolve(), one.version) for one in shown}) < len(shown):
        raise PoolError(f"{shown[0].pool}: a pool cannot be compared with itself; name another one, or a version")
    with ExitStack() as stack:
        names = zip(_names(shown), shown, strict=True)
        pools = {name: (stack.enter_context(snapshot(one.pool, one.at)), one.people) for name, one in names}
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(out) as file:
                _write(file, pools, embed)
        except OSError as error:
            raise PoolError(f"{out}: the report cannot be written ({error.strerror})") from error


def _write(file: IO[str], pools: Mapping[str, tuple[Reader, Mapping[str, Any] | None]], embed: Embed | None) -> None:
    script, style, charts = "\n".join(map(_asset, SCRIPTS)), _asset("page.css"), _chart_library()
    page = _asset("page.html")
    title = html.escape(" and ".join(pools))
    for key, value in {"{policy}": policy(style, charts, script), "{style}": style, "{title}": title}.items():
        page = page.replace(key, value)
    file.write(page)
    all_figures, details, places = [], [], list[Place]()
    for number, (name, (pool, people)) in enumerate(pools.items()):
        found = TaskSummary()
        with _element(file, f"tasks-{number}"):
            write_packed(file, task_rows(pool, found))
        with _element(file, f"samples-{number}"):
            write_packed(file, (detail for _, detail in sorted(found.samples.items())))
        with _element(file, f"rejections-{number}"):
            write_packed(file, rejection_rows(pool, found))
        all_figures.append(figures(pool, name, found, embed, people))
        details.append(found.details)
        places += [one._replace(pool=number) for one in chosen(found.places, POINTS // len(pools))]
    with _element(file, "map-points"):
        write_packed(file, _map(places, embed))
    file.write(f'<script type="application/json" id="figures">{harmless_json(all_figures)}</script>\n')
    file.write(f"<script>{charts}</script>\n<script>{script}</script>\n")
    # The page is there before the browser has read these.
    for number, texts in enumerate(details):
        with _element(file, f"details-{number}"):
            write_packed(file, texts)
    file.write("</body>\n</html>\n")


def _map(places: Sequence[Place], embed: Embed | None) -> Iterator[dict[str, Any]]:
    """The map of the instructions, and what placed them; nothing where there is nothing to embed by."""
    by = "the server's model" if embed else "the package wordllama"
    if embed := embed or local_embed():
        yield {**instruction_map(places, embed), "by": by}


@contextmanager
def _element(file: IO[str], identity: str) -> Iterator[None]:
    """An element for data, which no browser runs, around what is written in the block."""
    file.write(f'<script type="text/plain" id="{identity}">')
    yield
    file.write("</script>\n")


def harmless_json(value: Any) -> str:
    """JSON without `<`, `>` and `&`, so that nothing in it ends a script element or begins a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_packed(file: IO[str], rows: Iterable[Any]) -> None:
    """Write rows as a JSON list, gzipped, in base64. Only one row at a time is held unpacked."""
    squeeze = zlib.compressobj(4, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed, before = bytearray(), b"["
    for row in rows:
        packed += squeeze.compress(before + _encoded(row))
        before = b","
    packed += squeeze.compress(b"]" if before == b"," else b"[]") + squeeze.flush()
    file.write(base64.b64encode(packed).decode("ascii"))


def _encoded(row: Any) -> bytes:
    try:
        return orjson.dumps(row)
    except orjson.JSONEncodeError:  # a lone surrogate, which UTF-8 cannot hold, is replaced
        return _JSON.encode(row).encode("utf-8", "replace")


def _names(sources: Sequence[ShownPool]) -> list[str]:
    """The names of the pools: those of their folders, with more of the path if two are the same."""
    paths = [Path(os.fsencode(one.pool.resolve()).decode("utf-8", "replace")) for one in sources]
    of = ["" if one.version is None else f"/versions/{one.version}" for one in sources]
    for parts in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-parts:]) + version for path, version in zip(paths, of, strict=True)]
        if len(set(names)) == len(names):
            return names
    return [f"{path} {place}" for place, path in enumerate(paths, 1)]


@functools.cache
def _chart_library() -> str:
    """Vega-Lite as one script that needs no network; it gives the page `vegaEmbed`."""
    import vl_convert  # noqa: PLC0415 - it takes seconds, so only where a report is written

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")
    # Its own names stay within; the markup around it is not to see an end or a comment in it.
    bundle = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"(() => {{{bundle}\n}})();"


def _asset(name: str) -> str:
    return resources.files("selfinstruct.report").joinpath("assets", name).read_text("utf-8")
