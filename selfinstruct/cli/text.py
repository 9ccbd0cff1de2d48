"""How the commands speak: plain words and aligned figures, model text with nothing in it that a terminal obeys."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
MOST_COLUMNS = 80
_NAME, _FIGURE, _GAP = 28, 9, "   "
_LEAST_ROOM, _INDENT = 20, 6
"""A remark gets no less beside its figure; below it, it is indented."""


def say(line: str, *, wraps: bool = False) -> None:
    """A message to stderr; nothing in it is read as markup. In a log it is one line, in a terminal it may wrap."""
    shown = harmless(line)
    shown.highlight_regex(r"\A(error|warning):", "bold red")
    ERR.print(shown, soft_wrap=not (wraps and ERR.is_terminal))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, whole = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {whole:02} s" if minutes else f"{whole} s"


def counted(number: int, one: str, more: str = "") -> str:
    """A number with its noun, as in `1 row` and `1,200 rows`; `more` where the plural takes more than an s."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def line(name: str, value: object, note: str = "") -> None:
    """One figure with its name, and a remark beside it, or below it where there is no room."""
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    start = f"{name:<{_NAME}} {shown:>{_FIGURE}}"
    room = columns() - len(start) - len(_GAP)
    if not note:
        OUT.print(harmless(start))
    elif room >= _LEAST_ROOM:
        wrapped = _wrapped(note, room)
        OUT.print(harmless(start).append(harmless(_GAP + f"\n{' ' * len(start)}{_GAP}".join(wrapped), "dim")))
    else:
        OUT.print(harmless(start))
        for one in _wrapped(note, columns() - _INDENT):
            OUT.print(harmless(" " * _INDENT + one, "dim"))


def paragraph(text: str, label: str = "") -> None:
    """A text that may be longer than a line, below its label."""
    room = max(_LEAST_ROOM, columns() - len(label))
    OUT.print(harmless(label + f"\n{' ' * len(label)}".join(_wrapped(text, room))))


def columns() -> int:
    """How wide lines may be: 80, or less where the terminal is narrower."""
    return min(MOST_COLUMNS, OUT.width)


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, by the width that it has in a terminal; what has no spaces is broken."""
    lines = Text(plain(text)).wrap(OUT, width, overflow="fold", no_wrap=False)
    return [one.plain.rstrip() for one in lines]


def show_json(value: object) -> None:
    """A value as one line of JSON: every text in it as it is, such as `:star:`, which is markup elsewhere."""
    OUT.print(Text(json.dumps(value)))


def harmless(text: str, style: str = "") -> Text:
    """A text of several lines to be printed, with nothing else in it that a terminal would obey."""
    return Text("".join(one if one.isprintable() or one in "\n\t" else " " for one in text), style)


def plain(text: str) -> str:
    """A text on one line, with nothing in it that a terminal would obey."""
    return " ".join(harmless(text).plain.split())


def short(text: str, limit: int = 240) -> str:
    """A plain text, cut at the limit."""
    line = plain(text)
    return line if len(line) <= limit else line[: limit - 1] + "…"
