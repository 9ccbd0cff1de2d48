"""Files of the user's own texts, read as passages that tasks are written about."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import Unreadable, read_bytes, read_data
from selfinstruct.seeds.chunks import Section, passages, sections, together
from selfinstruct.seeds.containers import Values, decoded, json_lines, parquet_file, parquet_values
from selfinstruct.seeds.rows import Place, SeedFault, quoted
from selfinstruct.settings import DocumentSettings
from selfinstruct.types import Passage

_WANTED = "a folder or a file of texts"
_PLACE = "documents.path"


class _Fault(Exception):  # noqa: N818 - it is what was found
    """What is wrong with a document, and what to do."""


def read_documents(settings: DocumentSettings) -> tuple[Passage, ...]:
    """The passages of all files below the path, by the names of the files; a text that comes again is left out.

    Hidden files, and those of other kinds, are left out too.

    Raises:
        ConfigError: no path is named, a file cannot be read, or there is no text.
    """
    path = settings.path
    if path is None:
        raise ConfigError(f"{_PLACE}: recipe.sources asks for tasks about documents and none are named; name {_WANTED}")
    if not path.exists():
        raise ConfigError(f"{_PLACE}: {path}: no such file; name {_WANTED}")
    files = {one.relative_to(path).as_posix(): one for one in path.rglob("*")} if path.is_dir() else {path.name: path}
    found: dict[object, Passage] = {}
    for name, file in sorted(files.items()):
        read = _READERS.get(file.suffix.lower())
        if any(part.startswith(".") for part in name.split("/")) or not file.is_file() or read is None:
            continue
        shown = os.fsencode(name).decode(errors="replace")
        for passage in passages(shown, together(_read(file, read), settings.pairs), settings.passage_words):
            found.setdefault(passage.pairs, passage)
    if not found:
        raise ConfigError(f"{_PLACE}: {path}: there is no text in it; wanted are files such as {', '.join(_READERS)}")
    return tuple(found.values())


def _read(file: Path, read: Callable[[Path], list[Section]]) -> list[Section]:
    try:
        return read(file)
    except (Unreadable, _Fault) as error:
        raise ConfigError(f"{_PLACE}: {file}: {error}") from None


def _text(file: Path) -> str:
    text = decoded(read_bytes(file, _WANTED))
    if isinstance(text, SeedFault):
        raise _Fault(f"{text.place}: {text.found}; {text.remedy}")
    return text


def _rows(file: Path) -> list[Section]:
    """The `text` of each row under its `title`, or its `output` with its `input`, if it has one."""
    raw, suffix = read_data(file, _WANTED)
    values: Values
    if suffix == ".parquet":
        table = parquet_file(raw)
        values = iter([table]) if isinstance(table, SeedFault) else parquet_values(table)
    else:
        values = json_lines(raw)
    return [_row(value) for value in values]


def _row(found: tuple[Place, object] | SeedFault) -> Section:
    if isinstance(found, SeedFault):
        raise _Fault(f"{found.place}: {found.found}; {found.remedy}")
    place, row = found
    fields = {name: one for name, one in row.items() if isinstance(one, str)} if isinstance(row, dict) else {}
    if fields.get("output", "").strip():
        return Section("", fields["output"].strip(), fields.get("input", "").strip())
    if "text" not in fields:
        raise _Fault(
            f"{place}: {quoted(str(row))} has no text; wanted is a row with a text in its field `text` or `output`"
        )
    return Section(fields.get("title", ""), fields["text"])


def _pdf(file: Path) -> list[Section]:
    try:
        import pypdf  # noqa: PLC0415 - comes with an extra
        from pypdf.errors import PyPdfError  # noqa: PLC0415
    except ImportError:
        raise _Fault("reading a PDF needs the extra: pip install 'selfinstruct[pdf]'") from None
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(read_bytes(file, _WANTED))).pages]
    except PyPdfError as error:
        raise _Fault(f"not readable as PDF ({error}); save it again") from None
    if not any(page.strip() for page in pages):
        raise _Fault("a PDF without text, such as a scan; wanted is one with text in it")
    return [Section("", "\n\n".join(pages))]


class _Markdown(HTMLParser):
    """The text of a page with its headings, code and points of lists as in Markdown."""

    _SKIPPED = frozenset(("script", "style", "head", "nav", "footer", "template", "noscript", "svg"))
    _BLOCKS = frozenset(("p", "div", "section", "article", "table", "ul", "ol", "blockquote", "dl", "main", "pre"))

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skipped = self._code = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self._SKIPPED:
            self._skipped += 1
        elif tag[:1] == "h" and tag[1:] in {*"123456"}:
            self.parts.append(f"\n\n{'#' * int(tag[1:])} ")
        else:
            self.parts.append({"li": "\n- ", "br": "\n", "tr": "\n", "td": " ", "th": " ", "dt": "\n"}.get(tag, ""))
            self._end_block(tag)
        if tag == "pre":
            self._code += 1
            self.parts.append("```\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._SKIPPED:
            self._skipped = max(0, self._skipped - 1)
        if tag == "pre" and self._code:
            self._code -= 1
            self.parts.append("\n```")
        self._end_block(tag if tag[1:] not in {*"123456"} else "p")

    def handle_data(self, data: str) -> None:
        if not self._skipped and not self._code:
            data = " ".join(f"|{data}|".split())[1:-1]
            data = data.lstrip() if not self.parts or self.parts[-1].endswith("\n") else data
        if data and not self._skipped:
            self.parts.append(data)

    def _end_block(self, tag: str) -> None:
        if tag in self._BLOCKS:
            self.parts.append("\n\n")


def _html(file: Path) -> list[Section]:
    page = _Markdown()
    page.feed(_text(file))
    page.close()
    return sections("".join(page.parts), is_markdown=True)


def _plain(file: Path) -> list[Section]:
    return sections(_text(file), is_markdown=False)


def _markdown(file: Path) -> list[Section]:
    return sections(_text(file), is_markdown=True)


_READERS: Mapping[str, Callable[[Path], list[Section]]] = {
    ".txt": _plain, ".md": _markdown, ".markdown": _markdown, ".html": _html, ".htm": _html, ".jsonl": _rows,
    ".parquet": _rows, ".pdf": _pdf,
}  # fmt: skip
"""By the ending of a file's name."""
