"""Seed files as tasks."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfinstruct.errors import SeedError
from selfinstruct.records import Instance, Task, digest
from selfinstruct.seeds.containers import open_source
from selfinstruct.seeds.faults import Place, SeedFault, quoted
from selfinstruct.seeds.forms import Entry, doubts, parse, recognise, unrecognised
from selfinstruct.seeds.rows import Row, Source


def read_seeds(path: Path) -> tuple[Task, ...]:
    """The tasks of a seed file in file order, in any form and container that `seeds check` recognises.

    Instructions are stripped, other texts kept as they are; an input of white space alone counts as none. Rows of the
    Alpaca, Dolly and chat forms with the very same instruction are one task with an instance each; those of the own
    form stay apart. A task without an id gets one that follows from its instruction. Raises: SeedError.
    """
    sheet = fill_sheet(path)
    if not sheet.faults:
        return tuple(sheet.tasks())
    more = len(sheet.faults) - 1
    hint = f" ({more} more: python -m selfinstruct seeds check {shlex.quote(str(path))} lists all)" if more else ""
    raise SeedError(sheet.faults[0].text(path) + hint)


@dataclass(slots=True)
class Sheet:
    """What reading a file has given so far: entries in order, rows that belong together merged, and what is wrong."""

    container: str = ""
    entries: list[Entry] = field(default_factory=list)
    faults: list[SeedFault] = field(default_factory=list)
    doubts: list[SeedFault] = field(default_factory=list)
    forms: Counter[str] = field(default_factory=Counter)
    _more: dict[int, list[Entry]] = field(default_factory=dict)
    """Entries merged into an earlier one, by its index."""
    _by_instruction: dict[str, int] = field(default_factory=dict)
    _by_id: dict[str, Place] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take a row in: as a task, as a further instance of an earlier one, or as a fault if its id is taken."""
        self.forms[entry.form] += 1
        index = None if entry.form == "own" else self._by_instruction.get(entry.instruction)
        if index is not None and entry.id in {"", self.entries[index].id}:
            self._merge(index, entry)
            return
        if entry.id:
            first = self._by_id.setdefault(entry.id, entry.place)
            if first is not entry.place:
                found, wanted = f'"id" is {quoted(entry.id)}, as at {first}', "an id of its own"
                self.faults.append(SeedFault(entry.place, "id", found, wanted, "give every task an id of its own"))
                return
        if entry.form != "own":
            self._by_instruction.setdefault(entry.instruction, len(self.entries))
        self.entries.append(entry)

    def _merge(self, index: int, entry: Entry) -> None:
        first = self.entries[index]
        further = self._more.setdefault(index, [])
        if entry.is_classification != first.is_classification:
            found = f"the instruction of {first.place} again, but not alike in whether it is a classification"
            remedy = "make both rows say the same; the first one counts"
            self.doubts.append(
                SeedFault(entry.place, "is_classification", found, "one answer a task", remedy, "warning")
            )
        if entry.instances[0] in (known.instances[0] for known in (first, *further)):
            found, remedy = f"the instruction, input and output of {first.place} again", "remove one of the rows"
            self.doubts.append(SeedFault(entry.place, "instruction", found, "every instance once", remedy, "warning"))
        further.append(entry)

    def tasks(self) -> Iterator[Task]:
        """The tasks, with an id each."""
        taken = set(self._by_id)
        for index, entry in enumerate(self.entries):
            instances: list[Instance] = list(entry.instances)
            for further in self._more.get(index, ()):
                instances += further.instances
            task_id = entry.id or _free_id(entry.instruction, taken)
            taken.add(task_id)
            yield Task(
                task_id, entry.instruction, entry.is_classification, tuple(instances), origin="seed", name=entry.name
            )


def fill_sheet(path: Path, *, with_doubts: bool = False) -> Sheet:
    """Everything a file holds: its tasks, all its faults and, if wanted, the doubts about rows that could be read."""
    source = open_source(path)
    sheet = Sheet(source.container)
    if source.columns is not None and recognise(dict.fromkeys(source.columns)) is None:
        sheet.faults.append(unrecognised(source.columns, source.header))
        return sheet
    _fill(sheet, source, with_doubts=with_doubts)
    if not sheet.entries and not sheet.faults:
        sheet.faults.append(SeedFault(Place(), "", "only blank lines", "at least one task", "write one task a line"))
    return sheet


def _fill(sheet: Sheet, source: Source, *, with_doubts: bool) -> None:
    counted: dict[tuple[str, str], SeedFault] = {}
    for row in source.rows:
        read = parse(row) if isinstance(row, Row) else [row]
        if isinstance(read, list):
            sheet.faults += read
            continue
        sheet.add(read)
        if with_doubts and isinstance(row, Row):
            for doubt in doubts(row, read):
                first = counted.get((doubt.field, doubt.remedy))
                counted[doubt.field, doubt.remedy] = replace(first, count=first.count + 1) if first else doubt
    sheet.doubts += counted.values()


def _free_id(instruction: str, taken: set[str]) -> str:
    repeat = 0
    while (task_id := "s" + digest("seed", instruction, repeat)[:20]) in taken:
        repeat += 1
    return task_id
