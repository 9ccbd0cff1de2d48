"""The rows that are reviewed, in the order that is wanted, and what a reader does to them, which can be undone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from selfinstruct.errors import ConfigError
from selfinstruct.pool.condition import matching
from selfinstruct.pool.edits import Selection, change, correct, prefer
from selfinstruct.pool.journal import now
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Row, StoredTask
from selfinstruct.review.calibration import between_people
from selfinstruct.review.labels import Labels, RowPlace, Said, kept_by_reader
from selfinstruct.review.listing import Listing, to_rank
from selfinstruct.similarity.common import mark_common
from selfinstruct.types import QUESTIONS


def places(folder: Path, condition: str | None = None, sample: int | None = None) -> tuple[RowPlace, ...]:
    """The rows of generated tasks in the order of the pool, those of removed tasks too.

    With a condition only those of the tasks for which it holds; with a sample this many of them, the same ones each
    time, as if drawn at random.

    Raises:
        ConfigError: the condition cannot be used.
        PoolError: there is no pool.
    """
    wanted = None if condition is None else set(matching(folder, condition, "origin = 'generated'"))
    with snapshot(folder) as pool:
        found = [RowPlace(*one) for one in pool.row_places() if wanted is None or one[0] in wanted]
    if sample is None or sample >= len(found):
        return tuple(found)
    drawn = set(sorted(found, key=lambda place: hashlib.sha256(place.name.encode()).digest())[:sample])
    return tuple(place for place in found if place in drawn)


_UNDONE = "undone in review"


class OfRow(BaseModel):
    """What is said of a row."""

    model_config = ConfigDict(extra="forbid")

    task_id: str
    instance: int

    @property
    def place(self) -> RowPlace:
        """Where the row is."""
        return RowPlace(self.task_id, self.instance)


class Decision(OfRow):
    """A reader's decision about a row."""

    decision: Literal["keep", "remove", "remove_task", "mark", "unmark"]
    reason: str = ""
    question: Literal["valid", "input", "output"] | None = None
    """The question of the judge that the row fails."""


class Texts(BaseModel):
    """The texts of a row that the page shows."""

    model_config = ConfigDict(extra="forbid")

    input: str
    output: str


class Edit(OfRow):
    """Texts that a row has from now on; None: it stays as it is."""

    input: str | None = None
    output: str | None = None
    reason: str = ""
    seen: Texts | None = None
    """What the page showed when the reader wrote; None: it does not say."""


class Ranking(OfRow):
    """Whether another answer is better than the output of a row."""

    sample: int
    is_better: bool


Act = Literal["decision", "mark", "edit", "ranking"]


class Before(NamedTuple):
    """A row before something was done to it."""

    place: RowPlace
    act: Act
    """What was done."""
    said: Said | None
    is_marked: bool
    removed: Mapping[int, str]
    """The rows of its task that were removed, with the reasons."""
    by_others: frozenset[int]
    """Those of them that other readers wanted removed."""
    texts: Mapping[str, str]
    corrected: frozenset[int]
    """The rows of its task that were corrected."""
    ranked: Mapping[int, bool]
    """The samples of its task that were compared with an output, by number: whether they are better."""


@dataclass
class Session:
    """The rows of a pool that are reviewed by one reader, and what was done to them since the server started."""

    folder: Path
    rows: tuple[RowPlace, ...]
    labels: Labels
    blind: bool
    """Show what the judge and other readers said of a row only after this reader has labelled it."""
    done: list[tuple[Before, Before]] = field(default_factory=list)
    """The row before and after each of them."""

    @cached_property
    def indices(self) -> Mapping[RowPlace, int]:
        """The place of each row among those that are reviewed."""
        return {place: index for index, place in enumerate(self.rows)}

    @cached_property
    def listing(self) -> Listing:
        """What says which of them are wanted."""
        return Listing(self.folder, self.indices, self.labels, self._is_open)

    def about(self) -> dict[str, Any]:
        """What the page says of all rows: who reads, how far others agree with him, and the sources there are."""
        with snapshot(self.folder) as pool:
            sources = sorted(set(pool.source_names().values()))
        me = self.labels.reader
        agreement = [
            {"other": name, "labels": found.total, "kappa": found.kappa}
            for two, found in between_people(kept_by_reader(self.folder)).items()
            for name in two
            if me in two and name != me
        ]
        return {"reader": me, "sources": sources, "agreement": agreement}

    def row(self, index: int) -> dict[str, Any] | None:
        """The row at this index, for the page; None if there is none."""
        if not 0 <= index < len(self.rows):
            return None
        place = self.rows[index]
        said = self.labels.of(place)
        with snapshot(self.folder) as pool:
            found = _about(pool, place, is_open=self._is_open(place))
        labelled = sum(one in self.indices for one in self.labels.places())
        mine = {"label": said and said.label, "marked": self.labels.is_marked(place), "undo": len(self.done)}
        return {**found, **mine, "index": index, "total": len(self.rows), "labelled": labelled}

    def _is_open(self, place: RowPlace) -> bool:
        """May the reader see what others said of this row?"""
        return not self.blind or self.labels.of(place) is not None

    def decide(self, said: Decision) -> dict[str, Any] | None:
        """Store a decision, and remove or put back the row; None if it is not reviewed here."""
        act: Act = "mark" if said.decision in {"mark", "unmark"} else "decision"
        return self._do(said.place, act, lambda: self._decide(said.place, said))

    def _decide(self, place: RowPlace, said: Decision) -> None:
        reason = said.reason.strip()
        match said.decision:
            case "mark" | "unmark":
                self.labels.mark(place, marked=said.decision == "mark")
            case "keep":
                change(self.folder, "restore", Selection((place.name,)), reason or "kept in review", now())
                self._label(place, Said("keep"))
            case _:
                what = place.task_id if said.decision == "remove_task" else place.name
                change(self.folder, "remove", Selection((what,)), reason or "removed in review", now())
                self._label(place, Said("remove", said.question))

    def edit(self, said: Edit) -> dict[str, Any] | None:
        """Give a row other texts; None if it is not reviewed here.

        Raises:
            ConfigError: a text cannot be used, the row is removed, or somebody else edited it after it was shown.
        """
        if said.seen and said.place in self.indices and said.seen.model_dump() != self._seen(said.place, "edit").texts:
            raise ConfigError(
                "somebody else edited this row after you opened it; their text stands above yours: save again to "
                "replace it, or cancel to keep it"
            )
        texts = said.model_dump(include={"input", "output"}, exclude_none=True)
        reason = said.reason.strip() or "edited in review"
        return self._do(said.place, "edit", lambda: correct(self.folder, said.place.name, texts, reason, now()))

    def rank(self, said: Ranking) -> dict[str, Any] | None:
        """Store which of two answers is better; None if the row is not reviewed here.

        Raises:
            ConfigError: there is no such answer.
        """
        better = said.is_better
        return self._do(
            said.place, "ranking", lambda: prefer(self.folder, said.task_id, said.sample, now(), is_better=better)
        )

    def _do(self, place: RowPlace, act: Act, do: Callable[[], object]) -> dict[str, Any] | None:
        if place not in self.indices:
            return None
        before = self._seen(place, act)
        do()
        self.done.append((before, self._seen(place, act)))
        return {"noted": True}

    def undo(self) -> dict[str, int | None]:
        """Take back what this reader did last, and give the index of the row; None if nothing was done yet.

        What others did since stays.

        Raises:
            ConfigError: somebody else has edited the row since; the edit is no longer this reader's to take back.
        """
        if not self.done:
            return {"index": None}
        before, after = self.done[-1]
        place, since = before.place, self._seen(before.place, before.act)
        if before.act == "decision":
            self._undo_decision(before, since)
        elif before.act == "mark":
            self.labels.mark(place, marked=before.is_marked)
        elif before.act == "ranking":
            for sample in {**before.ranked, **after.ranked}:
                if before.ranked.get(sample) != after.ranked.get(sample):
                    prefer(self.folder, place.task_id, sample, now(), is_better=before.ranked.get(sample))
        elif since.texts != after.texts:
            self.done.pop()
            raise ConfigError("somebody else has edited this row since, so it stays; edit it again to change it")
        elif since.texts != before.texts:
            self._undo_edit(before, since)
        self.done.pop()
        return {"index": self.indices[place]}

    def _undo_decision(self, before: Before, since: Before) -> None:
        """Withdraw a label.

        Rows are removed as before, but for those that others wanted removed and no longer do, and those that they want
        removed now.
        """
        row = f"{before.place.task_id}/{{}}".format
        wanted = {one: why for one, why in before.removed.items() if one not in before.by_others - since.by_others}
        wanted |= {one: since.removed[one] for one in since.by_others}
        changed = {one for one, _ in wanted.items() ^ since.removed.items()}
        if back := tuple(row(one) for one in sorted(changed & since.removed.keys())):
            change(self.folder, "restore", Selection(back), _UNDONE, now())
        for one in sorted(changed & wanted.keys()):
            change(self.folder, "remove", Selection((row(one),)), wanted[one], now())
        if since.said != before.said:
            self._label(before.place, before.said)

    def _undo_edit(self, before: Before, since: Before) -> None:
        """Take the corrections of the task back if there is no other one; else correct the row again."""
        place = before.place
        if before.corrected or before.ranked or since.corrected != {place.instance}:
            correct(self.folder, place.name, before.texts, _UNDONE, now())
        else:
            change(self.folder, "revert", Selection((place.task_id,)), _UNDONE, now())

    def _seen(self, place: RowPlace, act: Act) -> Before:
        """The row as it is now."""
        with snapshot(self.folder) as pool:
            task = _task(pool, place.task_id)
            gone = pool.removed_rows("task_id = ?", (place.task_id,))
            corrected = frozenset(one.position for one in pool.corrections.get(place.task_id, ()))
            ranked = pool.preferred(place.task_id)
        row, removed = task.instances[place.instance], {number: reason for (_, number), reason in gone.items()}
        others = (kept for name, kept in kept_by_reader(self.folder).items() if name != self.labels.reader)
        unwanted = {
            one.instance
            for kept in others
            for one, keeps in kept.items()
            if isinstance(one, RowPlace) and one.task_id == place.task_id and not keeps
        }
        return Before(
            place, act, self.labels.of(place), self.labels.is_marked(place), removed,
            frozenset(unwanted & removed.keys()),
            {"input": row.input, "output": row.output}, corrected, ranked,
        )  # fmt: skip

    def _label(self, place: RowPlace, said: Said | None) -> None:
        with snapshot(self.folder) as pool:
            row = _task(pool, place.task_id).instances[place.instance]
        self.labels.label(place, (row.request_id, row.request_position), said)


def _about(pool: Reader, place: RowPlace, *, is_open: bool) -> dict[str, Any]:
    """A row with its lineage, its nearest neighbour, other answers, and what others said of it if that may be shown."""
    task, row = _task(pool, place.task_id), _row(pool, place)
    accepted = _task(pool, place.task_id, as_accepted=True)
    first = accepted.instances[place.instance]
    was = {"instruction": accepted.instruction, "input": first.input, "output": first.output}
    removed = pool.removed_rows("(task_id, position) = (?, ?)", place)
    said = row.verdict if is_open else None
    return {
        "task_id": place.task_id,
        "instance": place.instance,
        "instances": len(task.instances),
        "instruction": row.instruction,
        "input": row.input,
        "output": row.output,
        "was": {name: text for name, text in was.items() if getattr(row, name) != text},
        "turns": [asdict(turn) for turn in row.turns],
        "ended": row.ended,
        "is_classification": row.is_classification,
        "round": row.round,
        "source": row.source,
        "removed": removed.get(place) if is_open else None,
        "others": [
            {"number": one.number, "output": one.output, "is_better": one.is_preferred} for one in to_rank(row)
        ],
        "shown": [_shown(one) for one in map(pool.task, json.loads(row.parents)) if one],  # a replay may miss some
        "nearest": _nearest(pool, task),
        "verdict": said and {
            "outcome": said.outcome,
            **{f"{name}_{what}": getattr(said, name + suffix) for name in QUESTIONS for what, suffix in _SAID.items()},
        },
    }  # fmt: skip


_SAID = {"score": "", "reason": "_reason"}
"""What is shown of each question, and how its name ends in a verdict."""


def _row(pool: Reader, place: RowPlace) -> Row:
    rows = pool.rows(sampled=True, with_removed=True, task_id=place.task_id)
    return next(row for row in rows if row.number == place.instance)


def _task(pool: Reader, identity: str, *, as_accepted: bool = False) -> StoredTask:
    (task,) = pool.tasks("t.id = ?", (identity,), as_accepted=as_accepted)
    return task


def _shown(task: StoredTask) -> dict[str, Any]:
    return {"id": task.id, "origin": task.origin, "instruction": task.instruction}


def _nearest(pool: Reader, task: StoredTask) -> dict[str, Any] | None:
    """The nearest task, with the words that both have in common between ‹ and ›."""
    settings = pool.settings(task.round)
    other = pool.task(task.nearest_task) if task.nearest_task else None
    if other is None or task.nearest_score is None or settings is None:
        return None
    _, marked = mark_common(task.instruction, other.instruction, settings.filters.tokenizer)
    return {**_shown(other), "marked": marked, "score": round(task.nearest_score, 4)}
