"""Seed files as tasks."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from selfinstruct.errors import SeedError
from selfinstruct.hub import said
from selfinstruct.seeds.containers import open_source, seed_file
from selfinstruct.seeds.forms import TaskPart, parse, recognise, unrecognised
from selfinstruct.seeds.rows import Faults, FileObject, Place, SeedFault, quoted
from selfinstruct.types import Task, digest

SHOWN = 5
"""Kinds of faults and doubts that `read_seeds` tells; `seeds check` lists all."""


def read_seeds(
    path: Path,
    tell: Callable[[str], None] = lambda _: None,
    *,
    skip_faulty: bool = False,
    empty_outputs: bool = False,
) -> tuple[Task, ...]:
    """The tasks of a seed file in file order, in any form and container that `seeds check` recognises.

    A name such as `zh` is that of a shipped seed file, unless a file has that name. Instructions are stripped, other
    texts are not; an input of white space alone counts as none. Rows with the same instruction are one task with an
    instance each, except rows of the own form. The id of a task without one follows from its instruction. `tell` gets
    what was not read. `skip_faulty` leaves out rows with faults. Raises: SeedError.
    """
    sheet = fill_sheet(path, empty_outputs=empty_outputs)
    faults, shown = sheet.faults.folded(), said(path)
    lists_all = f"python -m selfinstruct seeds check {shlex.quote(shown)} lists all"
    if faults and not (skip_faulty and sheet.entries):
        way_on = "; --skip-faulty-seeds goes on without such rows" if sheet.entries else ""
        hint = f" ({len(faults) - 1} more: {lists_all})" if len(faults) > 1 else ""
        raise SeedError(faults[0].text(path) + way_on + hint)
    if faults:
        rows = sheet.faulty_rows
        tell(f"warning: {shown}: {rows:,} faulty row{'s are' if rows != 1 else ' is'} skipped, {sheet.rows:,} are read")
    told = [*faults, *(doubt for doubt in sheet.doubts.folded() if doubt.severity == "warning")]
    for one in told[:SHOWN]:
        tell(f"warning: {one.text(path)}")
    if len(told) > SHOWN:
        tell(f"warning: {shown}: {len(told) - SHOWN} more kinds; {lists_all}")
    return tuple(sheet.tasks())


@dataclass(slots=True)
class Sheet:
    """The entries of a file in order, with rows of one task merged, and what is wrong."""

    container: str = ""
    entries: list[TaskPart] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    doubts: Faults = field(default_factory=Faults)
    forms: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    """Rows that could be read."""
    faulty_rows: int = 0
    _more: dict[int, list[TaskPart]] = field(default_factory=dict)
    """Entries merged into an earlier one, by its index."""
    _by_words: dict[tuple[str, str], int] = field(default_factory=dict)
    """Entries by system text and instruction: rows that share both are one task."""
    _by_id: dict[str, Place] = field(default_factory=dict)

    def add(self, entry: TaskPart) -> bool:
        """Add a row as a task or as a further instance of one; False if its id is taken, which is a fault."""
        self.forms[entry.form] += 1
        index = None if entry.form == "own" else self._by_words.get((entry.system, entry.instruction))
        if index is not None and entry.id in {"", self.entries[index].id}:
            self._merge(index, entry)
            self.rows += 1
            return True
        if entry.id:
            first = self._by_id.setdefault(entry.id, entry.place)
            if first is not entry.place:
                found = f'"id" is {quoted(entry.id)}, as at {first}'
                self.faults.add(SeedFault(entry.place, "id", found, "give every task an id of its own"))
                self.faulty_rows += 1
                return False
        if entry.form != "own":
            self._by_words.setdefault((entry.system, entry.instruction), len(self.entries))
        self.entries.append(entry)
        self.rows += 1
        return True

    def _merge(self, index: int, entry: TaskPart) -> None:
        first = self.entries[index]
        further = self._more.setdefault(index, [])
        if entry.is_classification != first.is_classification:
            found = f"the instruction of {first.place} again, but not alike in whether it is a classification"
            remedy = "make both rows say the same; the first one counts"
            self.doubts.add(SeedFault(entry.place, "is_classification", found, remedy, "warning"))
        if entry.instances[0] in (known.instances[0] for known in (first, *further)):
            found, remedy = f"the instruction, input and output of {first.place} again", "remove one of the rows"
            self.doubts.add(SeedFault(entry.place, "instruction", found, remedy, "warning"))
        further.append(entry)

    def tasks(self) -> Iterator[Task]:
        """The tasks, each with an id."""
        taken = set(self._by_id)
        for index, entry in enumerate(self.entries):
            every = (entry, *self._more.get(index, ()))
            instances = tuple(instance for one in every for instance in one.instances)
            derived = ("s" + digest("seed", entry.instruction, repeat)[:20] for repeat in count())
            task_id = entry.id or next(one for one in derived if one not in taken)
            taken.add(task_id)
            yield Task(task_id, entry.instruction, entry.is_classification, instances, "seed", entry.name, entry.system)


def fill_sheet(path: Path, keep: Callable[[FileObject], object] | None = None, *, empty_outputs: bool = False) -> Sheet:
    """The tasks of a file, all its faults, and the doubts about rows that could be read; `keep` gets each of these."""
    source = open_source(seed_file(path))
    sheet = Sheet(source.container)
    if source.columns is not None and recognise(dict.fromkeys(source.columns)) is None:
        sheet.faults.add(unrecognised(source.columns, source.header))
        return sheet
    for row in source.rows:
        read = parse(row, empty_outputs=empty_outputs) if isinstance(row, FileObject) else [row]
        if isinstance(read, list):
            sheet.faulty_rows += 1
            for fault in read:
                sheet.faults.add(fault)
        elif isinstance(row, FileObject):
            if sheet.add(read) and keep:
                keep(row)
            for doubt in read.doubts:
                sheet.doubts.add(doubt)
    if not sheet.entries and not sheet.faulty_rows:
        sheet.faults.add(SeedFault(Place(), "", "only blank lines", "write one task a line"))
    return sheet
