"""A pool as a program has it: what it holds as tables, why it holds that, and what is made of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from selfinstruct.cli.status import all_figures
from selfinstruct.config import DEFAULT_POOL
from selfinstruct.errors import ConfigError
from selfinstruct.exports.choice import Choice
from selfinstruct.exports.formats import FORMATS, Wording
from selfinstruct.exports.hub import pusher
from selfinstruct.exports.row_files import TABLES, file_name
from selfinstruct.exports.splits import parse_split
from selfinstruct.exports.writing import ALL, Exported, Options, export
from selfinstruct.pool import reader
from selfinstruct.pool.explain import explain
from selfinstruct.pool.journal import now
from selfinstruct.pool.records import Row
from selfinstruct.pool.removal import Kind, change, selected
from selfinstruct.python import frames
from selfinstruct.python.ended import Ended, ended
from selfinstruct.python.functions import form_name
from selfinstruct.python.shown import TEXTS, Explanations, page, table_of_figures, table_of_rows
from selfinstruct.seeds.benchmarks import read_exclusions

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
        self.folder = Path(folder)
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
        """Seeds and accepted tasks in their order, removed ones too."""
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
        kind at most. Raises: PoolError, where nothing matches.
        """
        return Explanations(explain(self.folder, what))

    def lineage(self, task_id: str) -> pd.DataFrame:
        """A task, those that it was shown, those that these were shown, and so on. Raises: PoolError, without one."""
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

        They are named by id, or by `where`, a condition in SQL on the columns of the table tasks. `descendants` adds
        all tasks that they were shown for.

        Raises:
            ConfigError: an id is unknown, the condition cannot be used, or there is no reason.
            PoolError: no seed would be left.
        """
        return self._change("remove", ids, reason, where=where, descendants=descendants)

    def restore(
        self,
        ids: str | Iterable[str] = (),
        *,
        where: str | None = None,
        event: int | None = None,
        everything: bool = False,
        reason: str = "",
    ) -> list[str]:
        """Put removed tasks back: by id, by `where`, those of a removal, or all. The ids of those put back.

        Raises:
            ConfigError: as `remove`.
        """
        return self._change("restore", ids, reason, where=where, event=event, everything=everything)

    def _change(self, kind: Kind, ids: str | Iterable[str], reason: str, **more: Any) -> list[str]:
        named = (ids,) if isinstance(ids, str) else tuple(map(str, ids))
        descendants = more.pop("descendants", False)
        selection = selected(kind, named, reason, **more)
        done = change(self.folder, kind, selection, reason, now(), descendants=descendants)
        return [task.id for task in done.tasks]

    def export(
        self,
        out: str | Path | None = None,
        *,
        formats: Form | Sequence[Form] = ("alpaca", "messages"),
        split: str | Mapping[str, Share] | None = None,
        origin: Literal["generated", "seed"] = "generated",
        include_seeds: bool = False,
        one_instance: bool = False,
        min_chars: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
        tokenizer: str | None = None,
        exclude: str | Path | Sequence[str | Path] = (),
        system: str = "",
        mixed_prompts: bool = False,
        csv_safe: bool = False,
        push_to_hub: str | None = None,
    ) -> Exported:
        """Write training data to a folder, `export` in the pool's unless one is named; what was written.

        The options are those of the command `export`. A form may be a function of a row. `split` maps names to shares.

        Raises:
            ConfigError: a format is unknown, or an option is wrong.
            PoolError: the folder cannot be written or holds other files.
            AccessError: the Hub refuses the push.
        """
        push = pusher(push_to_hub) if push_to_hub is not None else None
        named = [form_name(one) for one in ([formats] if isinstance(formats, str) or callable(formats) else formats)]
        if isinstance(split, Mapping):
            split = ",".join(f"{name}={share}" for name, share in split.items())
        excluded = [exclude] if isinstance(exclude, str | Path) else exclude
        options = Options(
            Wording(system=system, mixed_prompts=mixed_prompts, csv_safe=csv_safe),
            Choice(
                origin=origin, include_seeds=include_seeds, one_instance=one_instance, min_chars=min_chars,
                max_chars=max_chars, max_tokens=max_tokens, limit=limit,
            ),
            None if split is None else parse_split(split),
            tokenizer,
            read_exclusions([Path(one) for one in excluded]),
        )  # fmt: skip
        folder = self.folder / "export" if out is None else Path(out)
        found = export(self.folder, named, folder, options)
        if push is not None:
            push(folder)
        return found

    def to_dataset(
        self, form: Form = "messages", *, split: str | Mapping[str, Share] | None = None, **options: Any
    ) -> Dataset | DatasetDict:
        """The rows of an export in one form as a `datasets.Dataset`; with `split`, one for each side by its name.

        `options` are those of `export`.

        Raises:
            ConfigError: the package datasets is missing, or as `export`.
        """
        try:
            import datasets  # noqa: PLC0415 - optional, and takes a second
        except ImportError as error:
            raise ConfigError(f"to_dataset needs the package {error.name}: pip install datasets") from error
        name = form_name(form)
        if name in {*TABLES, ALL}:
            raise ConfigError(f"to_dataset {name}: wanted one form of JSON, such as {', '.join(FORMATS)}; see rows()")
        with tempfile.TemporaryDirectory(prefix="selfinstruct-dataset-") as folder:
            written = self.export(Path(folder) / "export", formats=[name], split=split, **options)
            found = {path.name: datasets.Dataset.from_list(_lines(path)) for path in written.paths}
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


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
