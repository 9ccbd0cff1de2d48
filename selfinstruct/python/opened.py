"""A pool as a program has it: what it holds as tables, why it holds that, and what is made of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from selfinstruct.cli.status import all_figures
from selfinstruct.config import DEFAULT_POOL
from selfinstruct.errors import ConfigError
from selfinstruct.exports.row_files import KNOWN, TABLES, file_name
from selfinstruct.exports.writing import ALL, DEFAULTS, Exported, export, options_of
from selfinstruct.hub import pusher
from selfinstruct.own import in_words
from selfinstruct.pool import reader
from selfinstruct.pool.edits import FIELDS, Kind, change, correct, selected
from selfinstruct.pool.explain import explain
from selfinstruct.pool.journal import now
from selfinstruct.pool.records import Row
from selfinstruct.python import frames
from selfinstruct.python.ended import Ended, ended
from selfinstruct.python.functions import form_names
from selfinstruct.python.keywords import given, path_in, told_in_keywords, with_keywords
from selfinstruct.python.shown import TEXTS, Explanations, page, table_of_figures, table_of_rows

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

Form = str | Callable[[Row], dict[str, Any] | None]
"""A form of export by its name, as FILE.py:NAME, or as a function of a row."""
Share = float | str | Fraction
"""Of a split: a number, or a text such as 0.95 or 1/3."""
SHOWN = 3
"""Rows that a notebook shows of a pool."""


class Pool:
    """A pool in a folder. Each method reads it as it is at that moment, also while a run grows it."""

    def __init__(self, folder: str | Path = DEFAULT_POOL, outcome: Ended | None = None) -> None:
        self.folder = path_in("pool", folder)
        self._outcome = outcome
        with reader.snapshot(self.folder):  # is there one?
            pass

    @property
    def outcome(self) -> Ended | None:
        """How the run ended that gave this pool, else the last one; None while it runs, and where there was none."""
        if self._outcome is not None:
            return self._outcome
        last = reader.status(self.folder)["last_run"]
        return None if last is None or last["exit_code"] is None else ended(last["exit_code"], last["outcome"])

    def tasks(self) -> pd.DataFrame:
        """Seeds and accepted tasks in their order, removed ones too, with instructions as people corrected them."""
        with reader.snapshot(self.folder) as pool:
            return frames.tasks(pool)

    def rows(self, *, include_seeds: bool = False) -> pd.DataFrame:
        """Finished rows of generated tasks in the order of exports, without those of removed tasks."""
        with reader.snapshot(self.folder) as pool:
            return frames.rows(pool, include_seeds=include_seeds)

    def rejections(self) -> pd.DataFrame:
        """Rejected candidates, the newest last."""
        with reader.snapshot(self.folder) as pool:
            return frames.rejections(pool)

    def answers(self) -> pd.DataFrame:
        """What models answered, and failures, the newest last."""
        with reader.snapshot(self.folder) as pool:
            return frames.answers(pool)

    def rounds(self) -> pd.DataFrame:
        """Rounds in their order, with what became of their candidates."""
        with reader.snapshot(self.folder) as pool:
            return frames.rounds(pool)

    def metrics(self) -> dict[str, Any]:
        """The figures of `status --json`."""
        return all_figures(self.folder, reader.status(self.folder))

    def why(self, what: str) -> Explanations:
        """What became of a task or candidate, as `explain` tells it.

        `what` is a task id, a request id (or the beginning of one), a reason, or a piece of a text; twenty of each
        kind at most, and none where nothing matches. Raises: ConfigError, where it is no text or empty.
        """
        return Explanations(explain(self.folder, given("what", what, str, "a task id, a reason, or a piece of a text")))

    def lineage(self, task_id: str) -> pd.DataFrame:
        """A task, those that it was shown, those that these were shown, and so on; by its id, or the beginning of it.

        Raises:
            ConfigError: there is no such task.
        """
        given("task_id", task_id, str, "the id of a task")
        with reader.snapshot(self.folder) as pool:
            return frames.lineage(pool, task_id)

    def remove(
        self,
        ids: str | Iterable[str] = (),
        *,
        reason: str,
        where: str | None = None,
        descendants: bool = False,
    ) -> list[str]:
        """Leave tasks out of exports and of what the model is shown; nothing is deleted. The ids of those left out now.

        They are named by id, or by `where`, a condition in SQL on the columns of the table tasks. TASK/INSTANCE leaves
        out one row alone. `descendants` adds all tasks that they were shown for.

        Raises:
            ConfigError: an id is unknown, the condition cannot be used, or there is no reason.
            PoolError: no seed would be left.
        """
        return self._change("remove", ids, reason, where=where, descendants=descendants)

    @told_in_keywords()
    @with_keywords(dict.fromkeys(FIELDS))
    def edit(self, row_id: str, *, reason: str = "", **texts: str) -> str:
        """Correct the `instruction`, `input` or `output` of a row, which exports then have; its id in full.

        A row is named TASK/INSTANCE by these columns of `rows()`, or by its task where that has no other one. An
        instruction is corrected in all rows of its task. Nothing is lost: `restore(..., edits=True)` takes it back.

        Raises:
            ConfigError: there is no such row, it is removed, or a text is empty or none.
        """
        wanted = "TASK/INSTANCE, such as f'{row.task_id}/{row.instance}'"
        return correct(self.folder, given("row_id", row_id, str, wanted), texts, reason, now()).row

    def restore(
        self,
        ids: str | Iterable[str] = (),
        *,
        where: str | None = None,
        event: int | None = None,
        everything: bool = False,
        edits: bool = False,
        reason: str = "",
    ) -> list[str]:
        """Put removed tasks back: by id, by `where`, those of an event, or all. The ids of those put back.

        With `edits`, their corrections are taken back instead.

        Raises:
            ConfigError: as `remove`.
        """
        return self._change(
            "revert" if edits else "restore", ids, reason, where=where, event=event, everything=everything
        )

    @told_in_keywords()
    def _change(self, kind: Kind, ids: str | Iterable[str], reason: str, **more: Any) -> list[str]:
        given("reason", reason, str, "a text")
        named = (ids,) if isinstance(ids, str) else tuple(map(str, given("ids", ids, Iterable, "ids of tasks")))
        descendants = more.pop("descendants", False)
        selection = selected(kind, named, reason, **more)
        done = change(self.folder, kind, selection, reason, now(), descendants=descendants)
        return [task.name for task in done.tasks]

    @told_in_keywords()
    @with_keywords(DEFAULTS)
    def export(
        self,
        out: str | Path | None = None,
        *,
        formats: Form | Sequence[Form] = ("alpaca", "messages"),
        split: str | Mapping[str, Share] | None = None,
        push_to_hub: str | None = None,
        **options: Any,
    ) -> Exported:
        """Write training data to a folder, `export` in the pool's unless one is named; what was written.

        The options are those of the command `export`. A form may be a function of a row. `split` maps names to shares.

        Raises:
            ConfigError: a format is unknown, or an option is wrong.
            PoolError: the folder cannot be written or holds other files.
            AccessError: the Hub refuses the push.
        """
        push = None if push_to_hub is None else pusher(given("push_to_hub", push_to_hub, str, "OWNER/NAME"))
        folder = self.folder / "export" if out is None else path_in("out", out)
        found = export(self.folder, form_names(formats), folder, options_of(split=split, **options))
        if push is not None:
            push(folder)
        return found

    @told_in_keywords()
    def to_dataset(
        self, form: Form = "messages", *, split: str | Mapping[str, Share] | None = None, **options: Any
    ) -> Dataset | DatasetDict:
        """The rows of an export in one form as a `datasets.Dataset`; with `split`, one for each side by its name.

        `options` are those of `export`. What a row has no value for is None in it.

        Raises:
            ConfigError: the package datasets is missing, the rows fit into no table, or as `export`.
        """
        for name in options.keys() & {"out", "formats", "push_to_hub"}:
            raise ConfigError(f"to_dataset: there is no {name}, since no files are written; `export` has it")
        try:
            import datasets  # noqa: PLC0415 - optional, and takes a second
            import pyarrow as pa  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(f"to_dataset needs the package {error.name}: pip install datasets") from error
        if not isinstance(form, str) and not callable(form):
            raise ConfigError(f"form: {in_words(form)} given, wanted the name of one form, or a function")
        (name,) = form_names(form)
        if name in {*TABLES, ALL}:
            forms = ", ".join(one for one in KNOWN if one not in TABLES)
            raise ConfigError(f"to_dataset {name}: wanted one form of JSON, such as {forms}; see rows()")
        with tempfile.TemporaryDirectory(prefix="selfinstruct-dataset-") as folder:
            written = self.export(Path(folder) / "export", formats=[name], split=split, **options)
            try:
                found = {path.name: datasets.Dataset.from_dict(_columns(path)) for path in written.paths}
            except pa.ArrowException as error:
                said = " ".join(str(error).split())
                raise ConfigError(
                    f"to_dataset {name}: a key has values of several kinds in the rows ({said})"
                ) from error
        if not written.shares:
            return found[file_name(name, None)]
        return datasets.DatasetDict({side: found[file_name(name, side)] for side in written.shares})

    def __repr__(self) -> str:
        return f"Pool({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        with reader.snapshot(self.folder) as pool:
            status, rows = pool.status(str(self.folder)), pool.some_rows(SHOWN)
        figures = {
            "pool": status["pool"],
            "models": ", ".join(status["models"]) or "none yet",
            **{name: status[name] for name in ("seeds", "tasks", "instances", "rounds", "completions")},
            "rejections": sum(status["rejections"].values()),
            **({"cost": f"{status['usd']:.4f} USD"} if status["usd"] else {}),
            **({"ended": self.outcome.why} if self.outcome else {}),
        }
        shown = (dict(zip(TEXTS, (row.instruction, row.input, row.output), strict=True)) for row in rows)
        return page(table_of_figures(figures), table_of_rows(shown))


def _columns(path: Path) -> dict[str, list[Any]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    return {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
