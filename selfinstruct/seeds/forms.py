"""The forms in which people keep instruction data, and how a row of each is read."""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from selfinstruct.records import Instance
from selfinstruct.seeds.faults import Place, SeedFault, kind, listed, quoted
from selfinstruct.seeds.rows import Row


@dataclass(frozen=True, slots=True)
class Entry:
    """One row read: a task, or part of one, before rows are merged and ids are given."""

    place: Place
    form: str
    id: str
    """Empty where the row has none."""
    name: str
    instruction: str
    is_classification: bool
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; `id`, `name` and `is_classification` may be added to every one."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


FORMS: dict[str, Form] = {
    "own": Form(("instruction", "instances")),
    "Alpaca": Form(("instruction", "output"), ("input",)),
    "Dolly": Form(("instruction", "response"), ("context", "category")),
    "chat": Form(("messages",)),
}
COMMON = ("id", "name", "is_classification")
KNOWN_FIELDS = frozenset(COMMON).union(*(form.required + form.optional for form in FORMS.values()))

_INSTANCE = '{"input", "output"}'
_ALL_FORMS = (
    'give "instruction" with "instances" (own form), "output" (Alpaca) or "response" (Dolly), or "messages" (chat)'
)
_EMPTY_REMEDY = "write it, or leave the task out"
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_BROKEN = re.compile("[\x00\ud800-\udfff]")
_LIKE_A_NAME = 0.8
"""Similarity (difflib) from which one field name is taken for a slip of another."""


def recognise(fields: Mapping[str, object]) -> str | None:
    """The form whose required fields are there and not null, else the one whose fields are at least named."""
    for name, form in FORMS.items():
        if all(fields.get(key) is not None for key in form.required):
            return name
    for name, form in FORMS.items():
        if all(key in fields for key in form.required):
            return name
    return None


def unrecognised(fields: Collection[str], place: Place) -> SeedFault:
    """The fault of a row in no known form, told by the form it comes closest to."""
    if not fields:
        return SeedFault(place, "", "an empty object", "a task", _ALL_FORMS)
    matches = {name: _matches(form, fields) for name, form in FORMS.items()}
    best = max(matches.values(), key=len)
    closest = [name for name, found in matches.items() if len(found) == len(best)]
    if len(closest) > 1:
        return SeedFault(place, "", f"no task form is made of {listed(fields)}", "a task in a known form", _ALL_FORMS)
    form = FORMS[closest[0]]
    missing = next(key for key in form.required if key not in fields)
    wanted = f"the {closest[0]} form: {listed(form.required)}"
    if missing in best:
        slip = best[missing]
        found = f'no "{missing}", but {quoted(slip)} looks like it'
        return SeedFault(place, missing, found, wanted, f'rename {quoted(slip)} to "{missing}"')
    remedy = f"the {closest[0]} form needs {listed(form.required)}"
    return SeedFault(place, missing, f'no "{missing}" beside {listed(fields)}', wanted, remedy)


def parse(row: Row) -> Entry | list[SeedFault]:
    """What a row says, or all that keeps it from being read."""
    form = recognise(row.fields)
    if form is None:
        return [unrecognised(row.fields, row.place)]
    reader = _Reader(row.place, [])
    fields = row.fields
    task_id, name = reader.id(fields.get("id")), reader.text(fields, "name", may_be_empty=True)
    is_classification = reader.flag(fields)
    if form == "chat":
        instruction, instances = reader.chat(fields["messages"])
    else:
        instruction, instances = reader.text(fields, "instruction"), _INSTANCES[form](reader, fields)
    return reader.faults or Entry(
        row.place, form, task_id, name, instruction.strip(), is_classification, tuple(instances)
    )


def doubts(row: Row, entry: Entry) -> Iterator[SeedFault]:
    """Warnings about a row that could be read."""
    form = FORMS[entry.form]
    yield from _slips(row.fields, (*form.required, *form.optional, *COMMON), "", row.place)
    if entry.form == "own":
        for number, instance in enumerate(_as_list(row.fields["instances"])):
            yield from _slips(_as_object(instance), ("input", "output"), f"instances[{number}].", row.place)
    if entry.form == "chat":
        yield from _unread_turns(_as_list(row.fields["messages"]), row.place)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the values of one row and gathers what is wrong with them."""

    place: Place
    faults: list[SeedFault]

    def fault(self, field: str, found: str, wanted: str, remedy: str) -> None:
        self.faults.append(SeedFault(self.place, field, found, wanted, remedy))

    def text(
        self, fields: Mapping[str, object], key: str, of: str = "", within: str = "", *, may_be_empty: bool = False
    ) -> str:
        value, field, label = _known(fields.get(key)), within + key, f'"{key}"{of}'
        if isinstance(value, str):
            if broken := _BROKEN.search(value):
                what = (
                    "a NUL character" if broken.group() == "\0" else f"a lone surrogate (\\u{ord(broken.group()):04x})"
                )
                self.fault(field, f"{label} holds {what}", "readable text", "remove it")
            elif not may_be_empty and not value.strip():
                self.fault(field, f"{label} is empty", "text", _EMPTY_REMEDY)
            return value
        if value is None and may_be_empty:
            return ""
        found = f"{label} is {kind(value)}" if key in fields else f"{label} is missing"
        if value is None:
            self.fault(field, found, "text", _EMPTY_REMEDY)
            return ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = quoted(str(value))
            self.fault(field, f"{found} ({shown[1:-1]})", "text", f"write it as text: {shown}")
        else:
            self.fault(field, found, "text", "write it as text in quotes")
        return ""

    def id(self, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text({"id": value}, "id", may_be_empty=True).strip()

    def flag(self, fields: Mapping[str, object]) -> bool:
        value = _known(fields.get("is_classification"))
        if value is None or value == "":
            category = fields.get("category")
            return isinstance(category, str) and category.strip().casefold() == "classification"
        if isinstance(value, str):
            said = _FLAGS.get(value.strip().casefold())
        else:
            said = bool(value) if isinstance(value, int | float) and value in (0, 1) else None
        if said is None:
            shown = quoted(value) if isinstance(value, str) else kind(value)
            self.fault("is_classification", f'"is_classification" is {shown}', "true or false", "write true or false")
        return bool(said)

    def own(self, fields: Mapping[str, object]) -> list[Instance]:
        value = fields["instances"]
        if not isinstance(value, list):
            self.fault(
                "instances", f'"instances" is {kind(value)}', f"a list of {_INSTANCE}", f"write [{_INSTANCE}, ...]"
            )
            return []
        if not value:
            self.fault("instances", '"instances" is empty', f"a list of {_INSTANCE}", f"give at least one {_INSTANCE}")
        return [instance for index, item in enumerate(value) for instance in self.instance(item, index)]

    def instance(self, item: object, index: int) -> list[Instance]:
        within, of = f"instances[{index}]", f" of instance {index + 1}"
        if not isinstance(item, dict):
            self.fault(within, f"instance {index + 1} is {kind(item)}", _INSTANCE, f"write it as {_INSTANCE}")
            return []
        if "output" not in item:
            slip = next((key for key in item if _is_slip(key, "output")), None)
            but = f", but {quoted(slip)} looks like it" if slip else ""
            remedy = f'rename {quoted(slip)} to "output"' if slip else f"write it as {_INSTANCE}"
            self.fault(f"{within}.output", f'instance {index + 1} has no "output"{but}', _INSTANCE, remedy)
            return []
        given = self.text(item, "input", of, within + ".", may_be_empty=True)
        return [_instance(given, self.text(item, "output", of, within + "."))]

    def alpaca(self, fields: Mapping[str, object]) -> list[Instance]:
        return [_instance(self.text(fields, "input", may_be_empty=True), self.text(fields, "output"))]

    def dolly(self, fields: Mapping[str, object]) -> list[Instance]:
        return [_instance(self.text(fields, "context", may_be_empty=True), self.text(fields, "response"))]

    def chat(self, value: object) -> tuple[str, list[Instance]]:
        """The first user turn and the first assistant turn after it; what follows is not looked at."""
        wanted, remedy = 'a list of {"role", "content"}', 'give a "user" and an "assistant" turn'
        if not isinstance(value, list) or not value:
            found = '"messages" is ' + ("empty" if isinstance(value, list) else kind(value))
            self.fault("messages", found, wanted, remedy)
            return "", []
        question: str | None = None
        for index, turn in enumerate(value):
            of, within = f" of turn {index + 1}", f"messages[{index}]"
            if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
                self.turn_fault(turn, index)
                return "", []
            if question is None and turn["role"] == "user":
                question = self.text(turn, "content", of, within + ".")
            elif question is not None and turn["role"] == "assistant":
                return question, [Instance("", self.text(turn, "content", of, within + "."))]
        lacks = 'no "user" turn' if question is None else 'no "assistant" turn after the first "user" turn'
        self.fault("messages", f'"messages" has {lacks}', wanted, remedy)
        return "", []

    def turn_fault(self, turn: object, index: int) -> None:
        if not isinstance(turn, dict):
            found = f"turn {index + 1} is {kind(turn)}"
        elif "role" not in turn:
            found = f'turn {index + 1} has no "role"'
        else:
            role = turn["role"]
            found = f'"role" of turn {index + 1} is {quoted(role) if isinstance(role, str) else kind(role)}'
        remedy = 'write turns as {"role", "content"} with the roles "system", "user" and "assistant"'
        self.fault(f"messages[{index}]", found, '{"role", "content"}', remedy)


_INSTANCES: dict[str, Callable[[_Reader, Mapping[str, object]], list[Instance]]] = {
    "own": _Reader.own,
    "Alpaca": _Reader.alpaca,
    "Dolly": _Reader.dolly,
}


def _instance(given: str, output: str) -> Instance:
    """An instance with its texts as they are, but an input of white space alone counts as none."""
    return Instance(given if given.strip() else "", output)


def _known(value: object) -> object:
    """A value, or null for the NaN that pandas writes where there is none."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _matches(form: Form, fields: Collection[str]) -> dict[str, str]:
    """The fields of a form that are there, each with the name it goes by: its own or a slip of it."""
    names = (*form.required, *form.optional)
    exact = {name: name for name in names if name in fields}
    slips = {name: key for name in names if name not in exact for key in fields if _is_slip(key, name)}
    return exact | slips


@functools.lru_cache(maxsize=4096)
def _is_slip(key: object, name: str) -> bool:
    if not isinstance(key, str) or key in KNOWN_FIELDS or len(key) > 2 * len(name):
        return False
    return difflib.SequenceMatcher(None, key.strip().casefold(), name).ratio() >= _LIKE_A_NAME


def _slips(fields: Mapping[str, object], names: tuple[str, ...], within: str, place: Place) -> Iterator[SeedFault]:
    for key in fields:
        for name in names:
            if name not in fields and key not in names and _is_slip(key, name):
                found = f"{quoted(key)} is not read, but looks like " + quoted(name)
                remedy = f"rename it to {quoted(name)} if that is meant"
                yield SeedFault(place, within + key, found, quoted(name), remedy, "warning")


def _unread_turns(turns: list[object], place: Place) -> Iterator[SeedFault]:
    roles = [_as_object(turn).get("role") for turn in turns]
    spoken = [role for role in roles if role not in {"system", "developer"}]
    if len(spoken) < len(roles):
        remedy = "move what matters into the first user turn"
        yield SeedFault(place, "messages", "a system turn, which is not read", "one exchange", remedy, "warning")
    if len(spoken) > 2:
        found = f"{len(spoken)} turns, of which the first exchange is read"
        yield SeedFault(place, "messages", found, "one exchange", "give other exchanges rows of their own", "warning")


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _as_object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
