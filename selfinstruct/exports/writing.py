"""Writing a pool as a folder of training data."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfinstruct.errors import ConfigError, PoolError, unknown
from selfinstruct.exports.card import card
from selfinstruct.exports.choice import CONTAMINATED, Choice, Places, Screen, places_of
from selfinstruct.exports.companions import axolotl, dataset_info
from selfinstruct.exports.folder import MANIFEST, whole_folder
from selfinstruct.exports.formats import Wording, title
from selfinstruct.exports.manifest import Figures, describe, software
from selfinstruct.exports.row_files import NAMES, Write, file_name, opened
from selfinstruct.exports.splits import BRIDGES, Sides, Split, walk
from selfinstruct.own import named
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Row, StoredTask
from selfinstruct.types import Exclusion

if TYPE_CHECKING:
    from selfinstruct.exports.chat_template import ChatTemplate

LEFT_OUT = "left_out.jsonl"
"""Rows that are left out of one form or of all, each with its reason; missing if there are none."""
ALL = "all"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Options:
    """What an export holds, besides its formats."""

    wording: Wording = field(default_factory=Wording)
    choice: Choice = field(default_factory=Choice)
    split: Split | None = None
    tokenizer: str | None = None
    """Path or name of a tokenizer whose chat template is tried on the rows."""
    exclusions: tuple[Exclusion, ...] = ()
    """Rows near a text of these are left out."""

    def check(self) -> None:
        """Check the options.

        Raises:
            ConfigError: a bound lets nothing through or needs a tokenizer, or the system text is not valid UTF-8.
        """
        self.choice.check()
        if self.choice.max_tokens is not None and self.tokenizer is None:
            raise ConfigError("--max-tokens needs --tokenizer, which says what a token is")
        if _UNSTORABLE.search(self.wording.system):
            raise ConfigError("--system: the text is not valid UTF-8")

    def to_json(self) -> dict[str, Any]:
        """The options as in the manifest."""
        shares = {name: str(share) for name, share in self.split.shares.items()} if self.split else None
        return {**asdict(self.wording), **asdict(self.choice), "split": shares}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    rows: int
    """Rows chosen; a form that cannot carry one of them has fewer."""
    open_tasks: int
    """Accepted tasks that are not finished and will be in a later export."""
    counts: Mapping[Path, int]
    """The rows in each file."""
    unfit: Mapping[str, Mapping[str, int]]
    """By format, then reason: rows that it cannot carry unchanged."""
    left_out: Mapping[str, int]
    """Rows that are in no file, by reason."""
    chat_template: Mapping[str, Any] | None
    """Figures of the rows in the tokenizer's chat template, as in the manifest."""
    shares: Mapping[str, tuple[float, float]]
    """By side of the split: the wanted share, and that of the rows written."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of rows."""
        return tuple(self.counts)


@dataclass(slots=True)
class _Written:
    counts: Counter[str] = field(default_factory=Counter)
    unfit: dict[str, Counter[str]] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)


def export(folder: Path, names: Sequence[str], out: Path, options: Options | None = None) -> Exported:
    """Write the pool's finished tasks in each format to the folder `out`, which becomes whole or stays as it was.

    The bytes follow from the options and the pool's rows alone: they hold no time, path, cost or count of requests.

    Raises:
        ConfigError: a format is unknown, or an option is wrong.
        PoolError: there is no pool, or the folder cannot be written or holds files that are not from an export.
    """
    formats_wanted(names)
    with snapshot(folder) as pool:
        return export_from(pool, names, out, options)


def export_from(pool: Reader, names: Sequence[str], out: Path, options: Options | None = None) -> Exported:
    """`export` of the pool as this reader sees it."""
    wanted, options = formats_wanted(names), options or Options()
    options.check()
    try:
        with whole_folder(out) as temporary:
            return _export(pool, wanted, out, options, temporary)
    except OSError as error:
        raise PoolError(f"{out}: the export cannot be written ({error.strerror or error})") from error


def formats_wanted(names: Sequence[str], setting: str = "--format") -> tuple[str, ...]:
    """The formats by their names or `all`, each once, in the order of `NAMES`; then the user's own.

    Raises:
        ConfigError: a name is unknown, the user's own cannot be loaded, or two would be written into one file.
    """
    for name in names:
        if name in (*NAMES, ALL):
            continue
        function = named("exports", name)
        if function is None:
            known = f"{', '.join(NAMES)}, or {ALL}"
            raise ConfigError(f"{setting} {name}: unknown format; {unknown(name, (*NAMES, ALL), known)}")
        if not callable(function):
            raise ConfigError(f"{setting} {name} is no function; wanted one of a row that gives a dict, or None")
    own = dict.fromkeys(name for name in names if name not in (*NAMES, ALL))
    wanted = (*(name for name in NAMES if name in names or ALL in names), *own)
    files = {LEFT_OUT: "the list of rows left out"}
    for name in wanted:
        file = file_name(name, None).casefold()  # some file systems take Alpaca and alpaca for one name
        if file in files:
            raise ConfigError(
                f"{setting} {name}: {file_name(name, None)} is also the file of {files[file]}; "
                "give the function another name, or export the two apart"
            )
        files[file] = name
    return wanted


def _export(pool: Reader, names: Sequence[str], out: Path, options: Options, temporary: Path) -> Exported:
    choice, split = options.choice, options.split
    sides = walk(_texts_of_tasks(pool), split) if split else None
    template, screen = _chat_template(options), Screen(options.exclusions)
    found = partial(pool.rows, choice.origins)
    places = None
    if sides is not None or screen.exclusions or not choice.takes_all:
        tokens = template.tokens if template else None
        places = places_of(found(), choice, sides, tokens, screen, partial(_text_at, pool))
    written = _write_rows(temporary, names, options.wording, sides, _reasons(found(), places), template, screen)
    figures = template.to_json() if template else None
    left_out = places.counts() if places else {}
    configuration = pool.configurations()
    clear_of = pool.excluded(one for settings in configuration for one in settings.get("exclusions", ()))
    about: dict[str, Any] = {
        "left_out": {
            "rows": left_out,
            "by_format": {
                title(one): dict(sorted(written.unfit[one].items())) for one in names if one in written.unfit
            },
        },
        "excluded": screen.to_json(clear_of),
        "export": {"formats": [title(one) for one in names], **options.to_json()},
        "configuration": list(configuration),
        **({"chat_template": figures} if figures else {}),
    }
    _write_about(temporary, names, options, written, about)
    total = written.figures.rows.total()
    return Exported(
        rows=total,
        open_tasks=len(pool.open_tasks()),
        counts={out / name: count for name, count in written.counts.items()},
        unfit=written.unfit,
        left_out=left_out,
        chat_template=figures,
        shares={
            name: (float(share), written.figures.rows[name] / max(1, total))
            for name, share in (split.shares if split else {}).items()
        },
    )


def _texts(task: StoredTask) -> list[str]:
    """Instruction plus input of each row of a task, as rows are compared."""
    return [f"{task.instruction}\n{one.input}" if one.input else task.instruction for one in task.instances]


def _texts_of_tasks(pool: Reader) -> Iterator[tuple[int, str, list[str]]]:
    """(position, id, texts) of every finished task, in order.

    Seeds are among them, and what was removed: this is for what must not change when tasks are removed or asked for.
    """
    return ((task.position, task.id, _texts(task)) for task in pool.tasks() if task.instances)


def _text_at(pool: Reader, position: int, number: int) -> str:
    """Instruction plus input of one row."""
    (task,) = pool.tasks("t.position = ?", (position,))
    return _texts(task)[number]


def _chat_template(options: Options) -> ChatTemplate | None:
    if options.tokenizer is None:
        return None
    from selfinstruct.exports.chat_template import ChatTemplate  # noqa: PLC0415 - imports transformers

    return ChatTemplate(options.tokenizer, options.wording, options.choice.max_tokens)


def _reasons(found: Iterable[Row], places: Places | None) -> Iterator[tuple[Row, str]]:
    """Each row with the reason for which it is left out; empty if it is not."""
    for place, row in enumerate(found):
        yield row, places.reason(place) if places else ""


def _write_rows(
    folder: Path,
    names: Sequence[str],
    wording: Wording,
    sides: Sides | None,
    found: Iterable[tuple[Row, str]],
    template: ChatTemplate | None,
    screen: Screen,
) -> _Written:
    """Write the files of rows, and the list of the rows left out."""
    written = _Written()
    with ExitStack() as stack:
        files: dict[str | None, list[tuple[str, str, Write]]] = {}
        for split in sides.names if sides else (None,):
            for name in names:
                file = file_name(name, split)
                written.counts[file] = 0
                write = stack.enter_context(opened(name, folder / file, wording))
                files.setdefault(split, []).append((name, file, write))
        report = None
        for row, reason in found:
            left_out: list[tuple[str | None, str]] = [(None, reason)] if reason in {BRIDGES, CONTAMINATED} else []
            if not reason:
                if template:
                    template.count(row)
                side = sides.of(row.position) if sides else None
                written.figures.count(row, side)
                for name, file, write in files[side]:
                    unfit = write(row)
                    if unfit is None:
                        written.counts[file] += 1
                    else:
                        written.unfit.setdefault(name, Counter())[unfit.reason] += 1
                        left_out.append((title(name), unfit.reason))
            for format_, why in left_out:
                report = report or stack.enter_context((folder / LEFT_OUT).open("w", encoding="utf-8"))
                about = {"task_id": row.task_id, "instance": row.number, "format": format_, "reason": why}
                if why == CONTAMINATED:
                    about["near"] = screen.rows[row.id]
                report.write(json.dumps(about, ensure_ascii=False) + "\n")
    return written


def _write_about(
    folder: Path, names: Sequence[str], options: Options, written: _Written, about: Mapping[str, Any]
) -> None:
    """Write the files that describe the others, the manifest last."""
    splits: Sequence[str | None] = list(options.split.shares) if options.split else [None]
    filled = [split for split in splits if written.figures.rows[split]]  # trainers fail on empty files
    template = about.get("chat_template")
    packages = ["orjson", *(["pyarrow"] if "parquet" in names else [])]
    packages += ["transformers", "tokenizers", "jinja2"] if template else []
    manifest = {"figures": written.figures.to_json(), **about, "software": software(*packages)}
    trained = options.split.trained if options.split else None
    # Room for the longest row, where that is known, in steps of 64.
    length = max(64, -(-template["tokens"]["max"] // 64) * 64) if template else 2048
    texts = {
        "README.md": card(manifest, names, splits, written.counts),
        "dataset_info.json": dataset_info(names, filled, options.wording.system),
        "axolotl.yaml": axolotl(names, filled, trained, length),
    }
    for name, text in texts.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    counts = written.counts
    manifest["files"] = {
        path.name: {**({"rows": counts[path.name]} if path.name in counts else {}), **describe(path)}
        for path in sorted(folder.iterdir())
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
