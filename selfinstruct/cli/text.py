"""How the commands speak: plain words and aligned figures, model text with nothing in it that a terminal obeys."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """A message to stderr; nothing in it is read as markup."""
    ERR.print(harmless(line))


def counted(number: int, one: str, more: str = "") -> str:
    """A number with its noun, as in `1 row` and `1,200 rows`; `more` where the plural takes more than an s."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def line(name: str, value: object, note: str = "") -> None:
    """One figure with its name, and a remark."""
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    OUT.print(harmless(f"{name:<28} {shown:>9}").append(harmless(f"   {note}" if note else "", "dim")))


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
