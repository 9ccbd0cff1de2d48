"""The forms of instruction data, and how a row of each is read."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from selfinstruct.seeds.columns import FLAG, Columns, chosen, columns_of, is_about, is_text, known, plain
from selfinstruct.seeds.rows import FileObject, Place, SeedFault, Severity, kind, listed, quoted
from selfinstruct.seeds.talk import TalkText, has_turns, read_text, turns_of, unframed
from selfinstruct.types import Instance, Turn


@dataclass(frozen=True, slots=True)
class TaskPart:
    """A task, or part of one, read from one row."""

    place: Place
    form: str
    """`own`, `columns` or `chat`."""
    id: str
    """Empty where the row has none."""
    name: str
    instruction: str
    is_classification: bool
    instances: tuple[Instance, ...]
    system: str = ""
    """The system text; empty where the row has none."""
    doubts: tuple[SeedFault, ...] = ()
    """What was not read of the row."""


_INSTANCE = '{"input", "output"}'
_FORMS = (
    'give "instruction" with "output" or with "instances", or "messages"; docs/seeds.md has the names that are read'
)
_EMPTY_REMEDY = "write it, or leave the task out"
_ROLES_REMEDY = 'write turns as {"role", "content"} with the roles "system", "user" and "assistant"'
_TURNS_REMEDY = 'give a "user" and an "assistant" turn'
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BROKEN = re.compile("[\x00\ud800-\udfff]")
_LIKE_A_NAME = 0.8
"""Similarity (difflib, 0 to 1) from which one name is taken for a misspelling of another."""
_SLIPS_OF = ("instruction", "output", "messages", "instances", "input", "context", "response", FLAG)


def recognise(fields: Mapping[str, object]) -> str | None:
    """The form whose columns are there and not null, else the one whose columns are there; None if there is none."""
    columns = columns_of(tuple(fields))
    asked = _asked(columns, tuple(fields))
    instances = tuple(name for wanted, name in columns.common.items() if wanted == "instances")
    turns = tuple(
        name for name in columns.turns if isinstance(fields[name], list) or plain(name).startswith(("messages", "conv"))
    )
    whole = () if asked or any(_is_slip(name, "instruction") for name in fields) else columns.whole
    named = {"own": (asked, instances), "columns": (asked, columns.answers), "chat": (turns or columns.turns or whole,)}
    for form, needed in named.items():
        if all(any(known(fields[name]) is not None for name in names) for names in needed):
            return form
    return next((form for form, needed in named.items() if all(needed)), None)


def _asked(columns: Columns, names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that may hold what is asked: those for inputs where there is no other."""
    return columns.asked or (() if any(_is_slip(name, "instruction") for name in names) else columns.given)


def unrecognised(fields: Collection[str], place: Place) -> SeedFault:
    """The fault of a row in no known form, which says what the row lacks."""
    if not fields:
        return SeedFault(place, "", "an empty object", _FORMS)
    columns = columns_of(tuple(fields))
    missing = [] if _asked(columns, tuple(fields)) else ["instruction"]
    missing += [] if columns.answers or "instances" in columns.common else ["output"]
    for name in [*missing, *(["messages", "instances"] if missing else [])]:
        if slip := next((key for key in fields if _is_slip(key, name)), None):
            found = f'no "{name}", but {quoted(slip)} looks like it'
            return SeedFault(place, name, found, f'rename {quoted(slip)} to "{name}"')
    if len(missing) != 1 or not (columns.asked or missing == ["instruction"]):
        return SeedFault(place, "", f"no task form is made of {listed(fields)}", _FORMS)
    what = "what is asked" if missing == ["instruction"] else "the answer"
    found, remedy = f'no "{missing[0]}" beside {listed(fields)}', f'name the column with {what} "{missing[0]}"'
    return SeedFault(place, missing[0], found, remedy)


def parse(row: FileObject, *, empty_outputs: bool = False) -> TaskPart | list[SeedFault]:
    """The entry of a row, or all its faults."""
    form = recognise(row.fields)
    if form is None:
        return [unrecognised(row.fields, row.place)]
    reader = _Reader(row.place, row.fields, columns_of(tuple(row.fields)), empty_outputs)
    instruction, instances = _READERS[form](reader)
    task_id, name, system = reader.id(), reader.common("name"), reader.system()
    is_classification = reader.flag()
    if reader.faults:
        return reader.faults
    doubts = (*reader.doubts, *reader.unread((instruction, system), instances))
    return TaskPart(
        row.place, form, task_id, name, instruction.strip(), is_classification, tuple(instances), system, doubts
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the values of one row; collects its faults and the columns that were read."""

    place: Place
    fields: Mapping[str, object]
    columns: Columns
    empty_outputs: bool = False
    faults: list[SeedFault] = field(default_factory=list)
    doubts: list[SeedFault] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    systems: list[str] = field(default_factory=list)
    """What system turns say before the first answer."""

    def fault(self, name: str, found: str, remedy: str) -> None:
        self.faults.append(SeedFault(self.place, name, found, remedy))

    def doubt(self, name: str, found: str, remedy: str) -> None:
        self.doubts.append(SeedFault(self.place, name, found, remedy, "warning"))

    def text(
        self, fields: Mapping[str, object], key: str, of: str = "", within: str = "", *, may_be_empty: bool = False
    ) -> str:
        """The text in a field; a list of parts is joined."""
        if fields is self.fields:
            self.used.add(key)
        value, name, label = known(fields.get(key)), within + key, f'"{key}"{of}'
        if isinstance(value, list | dict):
            said = read_text(value)
            if isinstance(said, TalkText) and (not said.others or key in columns_of(tuple(fields)).answers):
                value = said.text
                if said.others:
                    found = f"{said.others + 1} texts in {label}, of which the first is read"
                    self.doubt(name, found, "give the others rows of their own")
            elif isinstance(said, str):
                self.fault(name, f"{label} holds {said}", "leave the task out, or write what it says")
                return ""
        if isinstance(value, str):
            if broken := _BROKEN.search(value):
                code = ord(broken.group())
                what = f"a lone surrogate (\\u{code:04x})" if code else "a NUL character"
                self.fault(name, f"{label} holds {what}", "remove it")
            elif not may_be_empty and not value.strip():
                self.fault(name, f"{label} is empty", _EMPTY_REMEDY)
            return value
        if value is None and may_be_empty:
            return ""
        found = f"{label} is {kind(value)}" if key in fields else f"{label} is missing"
        if value is None:
            self.fault(name, found, _EMPTY_REMEDY)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            shown = quoted(str(value))
            self.fault(name, f"{found} ({shown[1:-1]})", f"write it as text: {shown}")
        else:
            self.fault(name, found, "write it as text in quotes")
        return ""

    def common(self, wanted: str) -> str:
        name = self.columns.common.get(wanted)
        return self.text(self.fields, name, may_be_empty=True) if name is not None else ""

    def id(self) -> str:
        name = self.columns.common.get("id", "id")
        value = self.fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text({name: value}, name, may_be_empty=True).strip()

    def system(self) -> str:
        """The system text: that of the turns, else that of a column."""
        values = ((name, self.fields[name]) for name in self.columns.systems)
        name = next((name for name, one in values if is_text(one) or (one and isinstance(one, list | dict))), None)
        if name is not None and not any(self.systems):
            self.systems.append(self.text(self.fields, name, may_be_empty=True).strip())
        return "\n\n".join(filter(None, self.systems))

    def flag(self) -> bool:
        name = self.columns.common.get(FLAG, FLAG)
        value = known(self.fields.get(name))
        if value is None or value == "":
            category = self.fields.get(self.columns.common.get("category", ""))
            return isinstance(category, str) and category.strip().casefold() == "classification"
        if isinstance(value, str):
            said = _FLAGS.get(value.strip().casefold())
        else:
            said = bool(value) if isinstance(value, int | float) and value in (0, 1) else None
        if said is None:
            shown = quoted(value) if isinstance(value, str) else kind(value)
            self.fault(name, f'"{name}" is {shown}', "write true or false")
        return bool(said)

    def own(self) -> tuple[str, list[Instance]]:
        """An instruction with a list of instances."""
        instruction = self.text(self.fields, chosen(self.fields, self.columns.asked or self.columns.given) or "")
        key = self.columns.common["instances"]
        self.used.add(key)
        value = self.fields[key]
        if not isinstance(value, list):
            self.fault(key, f'"{key}" is {kind(value)}', f"write [{_INSTANCE}, ...]")
            return instruction, []
        if not value:
            self.fault(key, f'"{key}" is empty', f"give at least one {_INSTANCE}")
        return instruction, [found for index, item in enumerate(value) for found in self.instance(item, index)]

    def instance(self, item: object, index: int) -> list[Instance]:
        within, of = f"instances[{index}]", f" of instance {index + 1}"
        if not isinstance(item, dict):
            self.fault(within, f"instance {index + 1} is {kind(item)}", f"write it as {_INSTANCE}")
            return []
        columns = columns_of(tuple(item))
        output = chosen(item, columns.answers)
        if output is None:
            slip = next((key for key in item if _is_slip(key, "output")), None)
            but = f", but {quoted(slip)} looks like it" if slip else ""
            remedy = f'rename {quoted(slip)} to "output"' if slip else f"write it as {_INSTANCE}"
            self.fault(f"{within}.output", f'instance {index + 1} has no "output"{but}', remedy)
            return []
        given = chosen(item, (*columns.given, *columns.asked)) or "input"
        read = self.text(item, given, of, within + ".", may_be_empty=True)
        found = _instance(read, self.text(item, output, of, within + ".", may_be_empty=self.empty_outputs))
        self.doubts.extend(self.left(item, {given, output}, {found.input, found.output}, within + "."))
        return [found]

    def pair(self) -> tuple[str, list[Instance]]:
        """What is asked, with or without an input, and the answer, each in a column or as turns."""
        asked = chosen(self.fields, _asked(self.columns, tuple(self.fields))) or ""
        answer = chosen(self.fields, self.columns.answers) or ""
        question, reply = self.fields[asked], self.fields[answer]
        if has_turns(question) or has_turns(reply):
            return self.conversation({asked: question, answer: reply})
        instruction = self.text(self.fields, asked)
        output = self.text(self.fields, answer, may_be_empty=self.empty_outputs)
        instruction, framed, output = unframed(instruction, output)
        name = chosen(self.fields, self.inputs(asked, instruction, output))
        read = framed or (self.text(self.fields, name, may_be_empty=True) if name is not None else "")
        return instruction, [_instance(read, output)]

    def inputs(self, asked: str, instruction: str, output: str) -> Iterator[str]:
        """The columns that may hold the input. One that repeats the rest of the row is a prompt made of it."""
        for name in (*self.columns.given, *self.columns.asked):
            value = self.fields[name]
            if name == asked or (name not in {"input", "context"} and not is_text(value)):
                continue
            again = isinstance(value, str) and instruction in value and (name in self.columns.asked or output in value)
            if name in {"input", "context"} or not again:
                yield name

    def chat(self) -> tuple[str, list[Instance]]:
        """A conversation."""
        names = self.columns.turns or self.columns.whole
        key = next((name for name in names if turns_of(self.fields[name])), names[0])
        if not self.columns.turns and is_text(self.fields[key]) and not turns_of(self.fields[key]):
            found, remedy = f'"{key}" is an answer without what was asked', 'add a column "prompt" with the request'
            self.fault(key, found, remedy)
            return "", []
        return self.conversation({key: self.fields[key]})

    def conversation(self, columns: Mapping[str, object]) -> tuple[str, list[Instance]]:
        """All that users say before the first answer, that answer, and the turns after it.

        The turns of the columns follow each other. A text is a turn of the user in the first column, of the model in
        others.
        """
        self.used.update(columns)
        key = next(iter(columns))
        turns: list[tuple[str, object, str, int]] = []
        for number, (name, value) in enumerate(columns.items()):
            found = turns_of(value)
            if len(columns) > 1 and is_text(value):
                found = [("assistant" if number else "user", {"content": value})]
            if not found:
                shown = "empty" if isinstance(value, list) else kind(value)
                self.fault(name, f'"{name}" is {shown}', _TURNS_REMEDY)
                return "", []
            if number and found[0][0] in {"system", "user"}:  # the whole conversation again, as preferences have it
                turns.clear()
            turns += [(role, turn, name, index) for index, (role, turn) in enumerate(found)]
        questions: list[str] = []
        for index, (role, turn, name, number) in enumerate(turns):
            of, within = f" of turn {number + 1}", f"{name}[{number}]"
            if not role:
                self.turn_fault(turn, number, within)
                return "", []
            if role == "system":
                self.systems.append(self.said(turn, of, within, may_be_empty=True).strip())
            elif role == "user":
                questions.append(self.said(turn, of, within))
            elif questions and role == "assistant":
                answer = self.said(turn, of, within)
                return "\n\n".join(questions), [Instance("", answer, self.further(key, turns, index + 1))]
        if not self.faults:
            lacks = '"assistant" turn after the first "user" turn' if questions else '"user" turn'
            self.fault(key, f'"{key}" has no {lacks}', _TURNS_REMEDY)
        return "", []

    def said(self, turn: object, of: str, within: str, *, may_be_empty: bool = False) -> str:
        fields = turn if isinstance(turn, dict) else {"content": turn}
        key = next((name for name in ("content", "value", "text", "message", "parts") if name in fields), "content")
        return self.text(fields, key, of, within + ".", may_be_empty=may_be_empty)

    def turn_fault(self, turn: object, index: int, within: str) -> None:
        if not isinstance(turn, dict):
            found = f"turn {index + 1} is {kind(turn)}"
        else:
            key = next((name for name in ("role", "from") if name in turn), None)
            role = turn.get(key or "")
            what = quoted(role) if isinstance(role, str) else kind(role)
            found = f'"{key}" of turn {index + 1} is {what}' if key else f'turn {index + 1} has no "role"'
        self.fault(within, found, _ROLES_REMEDY)

    def further(self, key: str, turns: Sequence[tuple[str, object, str, int]], start: int) -> tuple[Turn, ...]:
        """The questions and answers from a turn on, as far as they follow each other and can be read."""
        found: list[Turn] = []
        questions: list[str] = []
        read, why = start, "the last question has no answer"
        for place, (role, turn, name, number) in enumerate(turns[start:], start):
            reader = replace(self, faults=[], doubts=[])
            text = reader.said(turn, "", f"{name}[{number}]") if role in {"user", "assistant"} else ""
            if not text or reader.faults or (role == "assistant" and not questions):
                answers_nothing = text and not reader.faults
                why = f"turn {place + 1} {'answers nothing' if answers_nothing else 'is no text of user or assistant'}"
                break
            if role == "user":
                questions.append(text)
            else:
                found.append(Turn("\n\n".join(questions), text))
                questions, read = [], place + 1
        if read < len(turns):
            self.doubt(
                key, f"{len(turns)} turns, of which the first {read} are read: {why}",
                "give what follows a row of its own",
            )  # fmt: skip
        return tuple(found)

    def unread(self, said: tuple[str, str], instances: list[Instance]) -> Iterator[SeedFault]:
        instruction, system = said
        texts = {instruction.strip(), system, *(text.strip() for one in instances for text in one.texts)}
        used = self.used | set(self.columns.common.values())
        for fault in self.left(self.fields, used, texts):
            value = self.fields[fault.field]
            again = isinstance(value, list) if fault.field in self.columns.turns else str(value).find(instruction) >= 0
            yield replace(fault, severity="note") if again else fault

    def left(
        self, fields: Mapping[str, object], used: Collection[str], texts: Collection[str], within: str = ""
    ) -> Iterator[SeedFault]:
        """A warning for each column with a value that was not read; a note where the column is about the row."""
        for name, value in fields.items():
            if name in used or known(value) in (None, "", [], {}):
                continue
            found, remedy = f"column {quoted(name)} is not read", "move what matters into the instruction or the input"
            slip = next((one for one in _SLIPS_OF if one not in fields and _is_slip(name, one)), None)
            if not slip and (isinstance(value, int | float) or str(value).strip() in ("", *texts)):
                continue
            if slip:
                found = f"{quoted(name)} is not read, but looks like {quoted(slip)}"
                remedy = f"rename it to {quoted(slip)} if that is meant"
            severity: Severity = "note" if not slip and is_about(name) else "warning"
            yield SeedFault(self.place, within + name, found, remedy, severity)


_READERS: dict[str, Callable[[_Reader], tuple[str, list[Instance]]]] = {
    "own": _Reader.own,
    "columns": _Reader.pair,
    "chat": _Reader.chat,
}


def _instance(given: str, output: str) -> Instance:
    """An instance; an input of white space alone counts as none."""
    return Instance(given if given.strip() else "", output)


@functools.lru_cache(maxsize=4096)
def _is_slip(key: object, name: str) -> bool:
    if not isinstance(key, str) or len(key) > 2 * len(name) or columns_of((key,)).any():
        return False
    return difflib.SequenceMatcher(None, key.strip().casefold(), name).ratio() >= _LIKE_A_NAME
