"""Reading what the original code wrote, as requests and completions that a pool can be replayed from.

A folder of `yizhongw/self-instruct` holds `machine_generated_instructions.jsonl` (a row for each accepted instruction,
with the whole answer it came from), `is_clf_or_not_{engine}_{template}.jsonl` and `machine_generated_instances.jsonl`;
any of them may be missing. Forks that ask a chat model keep its text or its message instead of the choices of the old
API, and a list of messages as the prompt. Answers that yielded nothing left no row there and cannot be had again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from selfinstruct.errors import PoolError
from selfinstruct.types import PROPOSE, Candidate, Completion, Message, Request, digest

INSTRUCTIONS_FILE = "machine_generated_instructions.jsonl"
INSTANCES_FILE = "machine_generated_instances.jsonl"
SEEDS_FILE = "seed_tasks.jsonl"
LABELS_FILES = "is_clf_or_not_*.jsonl"
_LABELS_NAME = re.compile(r"is_clf_or_not_(?P<engine>.+)_template_\d+\.jsonl")
_LABELS_FILE_OF_STEP_3 = "is_clf_or_not_davinci_template_1.jsonl"
"""The only one that the original's own third step reads."""

_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip
Exchange = tuple[Request, Completion]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a folder of the original recorded, in its order."""

    rounds: tuple[tuple[Exchange, ...], ...]
    """Propose requests; a round is what the original asked at once, rows of one `request_idx` one after another."""
    taken: tuple[Candidate, ...]
    """Instructions of which no propose answer is recorded: they can only be taken as accepted."""
    follow_ups: Mapping[str, tuple[Exchange, ...]] = field(default_factory=dict)
    """Requests of the stages `classify` and `instances` by `instruction_key`, index 0 unless one is recorded twice."""


def is_originals(folder: Path) -> bool:
    """Whether the folder holds a file of the original's first three steps."""
    return (
        (folder / INSTRUCTIONS_FILE).is_file() or (folder / INSTANCES_FILE).is_file() or any(folder.glob(LABELS_FILES))
    )


def instruction_key(text: str) -> str:
    """By what a follow-up finds its instruction: without case, white space and quotes at the ends."""
    return " ".join(text.casefold().split()).strip("\"'“”„«» ")


def read_originals(folder: Path) -> Recording:
    """What a folder of the original recorded.

    Without an instructions file the instructions are taken as accepted in the order of the classification file, which
    is the order of the pool, or else of the instances file.

    Raises:
        PoolError: there is no such file, or a line of one is torn or not what the original writes.
    """
    if not is_originals(folder):
        raise PoolError(f"{folder}: no {INSTRUCTIONS_FILE}, {LABELS_FILES} or {INSTANCES_FILE} in this folder")
    labels_file = _labels_file(folder)
    engine = _LABELS_NAME.fullmatch(labels_file.name) if labels_file else None
    model = engine["engine"] if engine else "unknown"
    rounds, taken = _read_proposals(folder / INSTRUCTIONS_FILE, model)
    follow_ups: dict[str, list[Exchange]] = {}
    instructions: dict[str, list[tuple[int, str]]] = {}
    for path, read in ((labels_file, _label), (folder / INSTANCES_FILE, _instances)):
        if path is None or not path.is_file():
            continue
        seen: Counter[str] = Counter()
        for row in _rows(path):
            text = row.text("instruction")
            key = instruction_key(text)
            follow_ups.setdefault(key, []).append(read(row, model, seen[key]))
            seen[key] += 1
            instructions.setdefault(path.name, []).append((row.number, text))
    if not (folder / INSTRUCTIONS_FILE).is_file():
        name, rows = next(iter(instructions.items()), ("", []))
        taken = [Candidate(digest(name, number, text), 0, text) for number, text in rows]
    return Recording(
        tuple(tuple(exchanges) for exchanges in rounds),
        tuple(taken),
        {key: tuple(exchanges) for key, exchanges in follow_ups.items()},
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a file and where it stands, for the error that names it."""

    path: Path
    number: int
    """From 1."""
    values: Mapping[str, Any]

    def fault(self, wanted: str) -> PoolError:
        return PoolError(f"{self.path}:{self.number}: {wanted}; the file is not as the original writes it")

    def text(self, *keys: str) -> str:
        found = self.get(*keys)
        if not isinstance(found, str):
            raise self.fault(f"wanted a text at {'.'.join(keys)!r}, found {_shown(found)}")
        return found

    def get(self, *keys: str) -> Any:
        """What lies under the keys, or None."""
        found: Any = self.values
        for key in keys:
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
        return found

    def choice(self, *keys: str) -> Mapping[str, Any] | None:
        """The first choice of the recorded answer at the keys; None where the original recorded a failure."""
        response = self.get(*keys)
        if response is None:
            return None
        found = response
        if isinstance(found, Mapping) and "choices" in found:
            found = found["choices"]
        while isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, str):
            return {"text": found, "finish_reason": ""}
        choice = found if isinstance(found, Mapping) else {}
        message = choice.get("message", choice)
        said = choice.get("text", message.get("content") if isinstance(message, Mapping) else None)
        if not isinstance(said, str):
            raise self.fault(f"wanted choices with a text at {'.'.join(keys)!r}, found {_shown(response)}")
        return {**choice, "text": said}

    def prompt(self, *keys: str) -> tuple[Message, ...]:
        """What was asked, as one text or as the messages of a conversation; nothing where that is not recorded."""
        recorded = self.get(*keys)
        said = []
        for one in recorded if isinstance(recorded, list) else [recorded]:
            role, text = (one.get("role"), one.get("content")) if isinstance(one, Mapping) else ("", one)
            if isinstance(text, str) and text:
                said.append(Message(_ROLES.get(str(role), "prompt"), text))
        return tuple(said)


def _rows(path: Path) -> Iterator[_Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                torn = "" if line.endswith(b"\n") else " (the last line, and it has no end: it may be torn)"
                raise PoolError(f"{path}:{number}: wanted one JSON object, found {_shown(line)}{torn}") from error
            if not isinstance(values, dict):
                raise PoolError(f"{path}:{number}: wanted one JSON object, found {_shown(values)}")
            yield _Row(path, number, values)


def _shown(found: Any) -> str:
    text = repr(found)
    return "nothing" if found is None else text if len(text) <= 60 else text[:57] + "..."


def _read_proposals(path: Path, model: str) -> tuple[list[list[Exchange]], list[Candidate]]:
    """The answers, each once however many of its instructions were accepted, and the instructions without one."""
    rounds: list[list[Exchange]] = []
    taken: list[Candidate] = []
    known: set[tuple[tuple[Message, ...], str, str, str]] = set()
    last: Any = None
    for row in _rows(path) if path.is_file() else ():
        text = row.text("instruction")
        choice = row.choice("metadata", "response")
        if choice is None:
            taken.append(Candidate(digest(path.name, row.number, text), 0, text))
            continue
        prompt, batch = row.prompt("metadata", "prompt"), row.get("request_idx")
        identity = (prompt, str(row.get("metadata", "created_at")), str(batch), choice["text"])
        if identity in known:
            continue
        known.add(identity)
        if not rounds or batch != last:
            rounds.append([])
        last = batch
        name = digest(path.name, len(known) - 1, _as_text(prompt), choice["text"])
        request = Request(name, PROPOSE, len(rounds) - 1, None, len(rounds[-1]), "completions", model, {}, prompt)
        rounds[-1].append((request, _answer(name, text, choice)))
    return rounds, taken


def _labels_file(folder: Path) -> Path | None:
    found = sorted(folder.glob(LABELS_FILES))
    preferred = folder / _LABELS_FILE_OF_STEP_3
    if len(found) > 1 and preferred not in found:
        names = ", ".join(path.name for path in found)
        raise PoolError(f"{folder}: several classification files ({names}); leave the one that belongs to the data")
    return preferred if preferred in found else next(iter(found), None)


def _label(row: _Row, model: str, index: int) -> Exchange:
    """The prompt, the finish reason and failures are not recorded; the original writes "" for a failure."""
    text = row.text("is_classification")
    name = digest(row.path.name, row.number, row.text("instruction"), text)
    return Request(name, "classify", None, None, index, "completions", model, {}, ()), _answer(name, text, None)


def _instances(row: _Row, model: str, index: int) -> Exchange:
    text = row.text("raw_instances")
    choice = row.choice("instance_metadata", "response")
    prompt = row.prompt("instance_metadata", "prompt")
    name = digest(row.path.name, row.number, row.text("instruction"), _as_text(prompt), text)
    if choice is not None and choice["text"].strip() != text.strip():
        raise row.fault("'raw_instances' differs from the answer recorded in 'instance_metadata'")
    return Request(name, "instances", None, None, index, "completions", model, {}, prompt), _answer(name, text, choice)


def _answer(name: str, text: str, choice: Mapping[str, Any] | None) -> Completion:
    """The answer of a choice, or where only its text is recorded that; an empty one stands for a failure."""
    found = {"text": text} if choice is None else choice
    body = json.dumps(found, separators=(",", ":")).encode("ascii")
    if choice is None and not text:
        return Completion(name, "failed", "", "recorded as failed", body=body)
    reason = found.get("finish_reason")
    return Completion(name, "answer", found["text"], reason if isinstance(reason, str) else "stop", body=body)


def _as_text(prompt: tuple[Message, ...]) -> str:
    return "\n\n".join(message.content for message in prompt)
