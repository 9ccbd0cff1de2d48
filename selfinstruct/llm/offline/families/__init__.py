"""All families of tasks that the built-in model knows."""

from __future__ import annotations

from selfinstruct.llm.offline.families import (
    calendar,
    code,
    extraction,
    formats,
    groups,
    labels,
    language,
    letters,
    lists,
    logic,
    lookup,
    numbers,
    planning,
    quantities,
    stories,
    sums,
    text,
)
from selfinstruct.llm.offline.family import Family

FAMILIES: tuple[Family, ...] = (
    *stories.FAMILIES,
    *sums.FAMILIES,
    *numbers.FAMILIES,
    *quantities.FAMILIES,
    *calendar.FAMILIES,
    *lists.FAMILIES,
    *text.FAMILIES,
    *formats.FAMILIES,
    *extraction.FAMILIES,
    *labels.FAMILIES,
    *groups.FAMILIES,
    *language.FAMILIES,
    *lookup.FAMILIES,
    *logic.FAMILIES,
    *code.FAMILIES,
    *planning.FAMILIES,
    *letters.FAMILIES,
)
