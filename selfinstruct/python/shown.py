"""What a terminal or a notebook shows of rows and explanations: a model's text is escaped, and obeyed by neither."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from selfinstruct.cli.text import harmless
from selfinstruct.pool.explain import Explanation
from selfinstruct.python.ended import Ended

TEXTS = ("instruction", "input", "output")
_NOTHING = "no task, candidate, rejection or event is this, and none contains it"
_STYLE = """\
<style>
.selfinstruct th, .selfinstruct td { text-align: left; vertical-align: top; }
.selfinstruct pre { white-space: pre-wrap; margin: 0; max-width: 60em; font-family: inherit; unicode-bidi: isolate; }
</style>
"""


@dataclass(frozen=True, slots=True, repr=False)
class Preview:
    """Rows that some settings bring, and how the run for them ended; shows itself."""

    rows: pd.DataFrame
    """As `rows()` of a pool gives them."""
    outcome: Ended

    def __repr__(self) -> str:
        rows = ("\n".join(f"{name:<12} {_harmless(row[name])}" for name in TEXTS if row[name]) for row in self._rows())
        return "\n\n".join([*rows, *self._shortfall()])

    def _repr_html_(self) -> str:
        return page(table_of_rows(self._rows()), *(f"<pre>{_escaped(one)}</pre>" for one in self._shortfall()))

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        return (dict(row) for _, row in self.rows[[*TEXTS]].iterrows())

    def _shortfall(self) -> list[str]:
        return [] if self.outcome.how == "target" else [self.outcome.why]


class Explanations(tuple[Explanation, ...]):
    """What a pool knows of something, each with `title` and `lines` of (label, text); shows itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return (
            "\n\n".join(
                "\n".join([_harmless(one.title), *(f"  {label:<18} {_harmless(text)}" for label, text in one.lines)])
                for one in self
            )
            or _NOTHING
        )

    def _repr_html_(self) -> str:
        return page(*[f"<h4>{_escaped(one.title)}</h4>{_table(one.lines)}" for one in self] or [_NOTHING])


def page(*parts: str) -> str:
    """Parts in HTML as a notebook shows them."""
    return f'<div class="selfinstruct">{_STYLE}{"".join(parts)}</div>'


def table_of_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as a table in HTML, their texts as they are."""
    body = "".join(f"<tr>{''.join(_cell(row[name]) for name in TEXTS)}</tr>" for row in rows)
    head = "".join(f"<th>{name}</th>" for name in TEXTS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table_of_figures(figures: Mapping[str, object]) -> str:
    """Figures as a table in HTML, a line each."""
    return _table((name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in figures.items())


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{_escaped(name)}</th>{_cell(text)}</tr>" for name, text in pairs)
    return f"<table><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    # In <pre> a notebook looks for no mathematics, which may hold links.
    return f"<td><pre>{_escaped(text)}</pre></td>"


def _escaped(text: str) -> str:
    return html.escape(_harmless(text))


def _harmless(text: str) -> str:
    return harmless(str(text)).plain
