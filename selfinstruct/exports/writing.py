"""Writing a pool as a folder of training data."""

from __future__ import annotations

import heapq
import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

from selfinstruct.errors import ConfigError, PoolError, option_name, unknown
from selfinstruct.exports.card import card
from selfinstruct.exports.choice import CONTAMINATED, Choice, Places, Screen, places_of, with_fitting
from selfinstruct.exports.companions import axolotl, dataset_info
from selfinstruct.exports.folder import MANIFEST, whole_folder
from selfinstruct.exports.formats import FORMATS, ReasoningIn, Unfit, Wording, title
from selfinstruct.exports.manifest import Figures, describe, software
from selfinstruct.exports.more_forms import KTO, NOTHING, Answers, right
from selfinstruct.exports.row_files import KNOWN, NAMES, ONE_LINE, Write, file_name, opened
from selfinstruct.exports.splits import BRIDGES, Sides, Split, split_of, walk
from selfinstruct.exports.templates import Quoter
from selfinstruct.own import in_words, named
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Row, StoredTask
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.types import Exclusion, Origin

if TYPE_CHECKING:
    from selfinstruct.exports.chat_template import ChatTemplate

LEFT_OUT = "left_out.jsonl"
"""Rows that are left out of one form or of all, each with its reason; missing if there are none."""
ALL = "all"
EXAMPLES, SHORT = 3, 800
"""Rows that the card shows, and the characters that each has fewer than."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Options:
    """What an export holds, besides its formats."""

    wording: Wording = field(default_factory=Wording)
    choice: Choice = field(default_factory=Choice)
    answers: Answers = field(default_factory=Answers)
    split: Split | None = None
    tokenizer: str | None = None
    """Path or name of a tokenizer whose chat template is tried on the rows."""
    exclusions: tuple[Exclusion, ...] = ()
    """Rows near a text of these are left out."""

    def check(self) -> None:
        """Check the options.

        Raises:
            ConfigError: one is of the wrong kind, lets nothing through or needs a tokenizer, or is not valid UTF-8.
        """
        given = {**asdict(self.wording), **asdict(self.choice), **asdict(self.answers)}
        for name, value in given.items():
            if wanted := _wanted(value, _IN_PARTS[name]):
                raise ConfigError(f"{option_name(name)}: {in_words(value)} given, wanted {wanted}")
        self.choice.check()
        if not isinstance(self.tokenizer, str | None):
            raise ConfigError(f"--tokenizer: {in_words(self.tokenizer)} given, wanted a folder or a name")
        if self.choice.max_tokens is not None and self.tokenizer is None:
            raise ConfigError("--max-tokens needs --tokenizer, which says what a token is")
        if self.wording.system.isspace():
            raise ConfigError("--system: white space alone given, wanted a text")
        if _UNSTORABLE.search(self.wording.system):
            raise ConfigError("--system: the text is not valid UTF-8")

    def to_json(self) -> dict[str, Any]:
        """The options as in the manifest."""
        shares = {name: str(share) for name, share in self.split.shares.items()} if self.split else None
        return {**asdict(self.wording), **asdict(self.choice), **asdict(self.answers), "split": shares}


_IN_PARTS = {one.name: one.default for part in (Choice, Answers, Wording) for one in fields(part)}
DEFAULTS: Mapping[str, Any] = {"split": None, **_IN_PARTS, "tokenizer": None, "exclude": ()}
"""The options by the names of those of the command."""


def options_of(*, split: object = None, tokenizer: object = None, exclude: object = (), **more: Any) -> Options:
    """The options of an export by the names of those of the command.

    `split` is a text, or a mapping of names to shares; `exclude` names one file or several.

    Raises:
        ConfigError: one is unknown, of the wrong kind, or names what cannot be read.
    """
    for name in more.keys() - _IN_PARTS.keys():
        raise ConfigError(f"{option_name(name)}: an export has no such option; {unknown(name, DEFAULTS)}")
    files = [exclude] if isinstance(exclude, str | Path) else exclude
    if not isinstance(files, list | tuple) or not all(isinstance(one, str | Path) for one in files):
        raise ConfigError(f"--exclude: {in_words(exclude)} given, wanted the path of a file, or a list of some")
    options = Options(
        Wording(**{name: value for name, value in more.items() if hasattr(Wording, name)}),
        Choice(**{name: value for name, value in more.items() if hasattr(Choice, name)}),
        Answers(**{name: value for name, value in more.items() if hasattr(Answers, name)}),
        None if split is None else split_of(split),
        str(tokenizer) if isinstance(tokenizer, Path) else tokenizer,  # type: ignore[arg-type] # checked below
        read_exclusions([Path(one) for one in files]),
    )
    options.check()
    return options


_ONLY_FOR = {
    "mixed_prompts": ("self-instruct",),
    "csv_safe": ("csv",),
    "reasoning": ("reasoning",),
    "pairs_per_row": ("preference", "preference-plain"),
    "min_margin": ("preference", "preference-plain", *KTO),
    "rejected_at": ("preference", "preference-plain", *KTO),
}
"""Options that no other form looks at."""


def _check_use(formats: Sequence[str], options: Options) -> None:
    """Raises: ConfigError, for an option that would change nothing."""
    given = {**asdict(options.wording), **asdict(options.answers)}
    for name, forms in _ONLY_FOR.items():
        if given[name] != DEFAULTS[name] and not {*forms} & {*formats}:
            raise ConfigError(
                f"{option_name(name)}: it changes nothing in {', '.join(formats)}; leave it out, "
                f"or add {' or '.join(f'--format {form}' for form in forms)}"
            )


def _wanted(value: object, default: object) -> str:
    """What is wanted instead of the value of an option with this default; empty where it can be used."""
    words = next((get_args(one) for one in (Origin, ReasoningIn) if default in get_args(one)), ())
    if words:
        return "" if value in words else " or ".join(words)
    if isinstance(default, bool | str):
        is_right = isinstance(value, type(default))
        return "" if is_right else "True or False" if isinstance(default, bool) else "a text"
    if isinstance(default, float):
        is_right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        return "" if is_right else "a number, 0 or more"
    is_right = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return "" if is_right or value is default is None else "a whole number, 1 or more"


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
    """By format, then reason: rows that it cannot carry unchanged, or that have nothing for it."""
    by_rule: Mapping[str, Mapping[str, int]]
    """By format, then rule: the lines that it made, in forms of more than a row's output."""
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
    by_rule: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[Row] = field(default_factory=list)
    """The first row of the first tasks that are short enough to be shown."""
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
    _check_use(wanted, options)
    try:
        with whole_folder(out) as temporary:
            return _export(pool, wanted, out, options, temporary)
    except OSError as error:
        raise PoolError(f"{out}: the export cannot be written ({error.strerror or error})") from error


def formats_wanted(names: Sequence[str], setting: str = "--format") -> tuple[str, ...]:
    """The formats by their names or `all`, each once, in the order of `KNOWN`; then the user's own.

    Raises:
        ConfigError: a name is unknown, the user's own cannot be loaded, or two would be written into one file.
    """
    if not names:
        raise ConfigError(f"{setting}: none is given; wanted one or more of {', '.join(KNOWN)}, or {ALL}")
    for name in names:
        if name in (*KNOWN, ALL):
            continue
        function = named("exports", name)
        if function is None:
            known = f"{', '.join(KNOWN)}, or {ALL}"
            raise ConfigError(f"{setting} {name}: unknown format; {unknown(name, (*KNOWN, ALL), known)}")
        if not callable(function):
            raise ConfigError(f"{setting} {name} is no function; wanted one of a row that gives a dict, or None")
        if inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{setting} {name} is `async def`; wanted a plain `def` of a row that gives a dict, or None"
            )
    own = dict.fromkeys(name for name in names if name not in (*KNOWN, ALL))
    every = NAMES if ALL in names else ()
    wanted = (*(name for name in KNOWN if name in names or name in every), *own)
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
    has_samples = options.answers.all_answers > 1 or not {*names} <= {*FORMATS}
    rows = _reasons(found(sampled=has_samples), places)
    with ExitStack() as stack:
        files = _Files(temporary, names, options, sides, template, screen, stack)
        for row, reason in rows:
            files.put(row, reason)
        if "generated" in choice.origins and {*names} & {*KTO}:
            for row in pool.judged_wrong():
                files.put_wrong(row)
    written = files.written
    figures = template.to_json() if template else None
    left_out = places.counts() if places else {}
    configuration = pool.configurations()
    clear_of = pool.excluded(one for settings in configuration for one in settings.get("exclusions", ()))
    about: dict[str, Any] = {
        "left_out": {
            "rows": left_out,
            "by_format": _by_title(names, written.unfit),
        },
        **({"lines_by_rule": by_rule} if (by_rule := _by_title(names, written.by_rule)) else {}),
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
        by_rule=written.by_rule,
        left_out=left_out,
        chat_template=figures,
        shares={
            name: (float(share), written.figures.rows[name] / max(1, total))
            for name, share in (split.shares if split else {}).items()
        },
    )


def _by_title(names: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Counts by name of a format as in the manifest."""
    return {title(one): dict(sorted(counts[one].items())) for one in names if one in counts}


def _texts(task: StoredTask) -> list[str]:
    """Instruction plus input of each row of a task, as rows are compared."""
    return [_text(task.instruction, one.input) for one in task.instances]


def _text(instruction: str, given: str) -> str:
    return f"{instruction}\n{given}" if given else instruction


def _texts_of_tasks(pool: Reader) -> Iterator[tuple[int, str, list[str]]]:
    """(position, id, texts) of every finished task, in order.

    Seeds are among them, what was removed, as it was accepted, and what the judge rejected as wrong: this is for what
    must not change when tasks are removed, corrected or asked for, or when other forms are.
    """
    taken = ((task.position, task.id, text) for task in pool.tasks(as_accepted=True) for text in _texts(task))
    wrong = (
        (row.position, row.task_id, _text(row.instruction, row.input)) for row in pool.judged_wrong(as_accepted=True)
    )
    for (position, task_id), some in groupby(heapq.merge(taken, wrong, key=itemgetter(0)), key=itemgetter(0, 1)):
        yield position, task_id, [text for *_, text in some]


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


class _Files:
    """The files of rows, and the list of the rows left out."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        options: Options,
        sides: Sides | None,
        template: ChatTemplate | None,
        screen: Screen,
        stack: ExitStack,
    ) -> None:
        self.written = _Written()
        self._folder, self._options, self._sides, self._template = folder, options, sides, template
        self._screen, self._stack = screen, stack
        self._report: TextIO | None = None
        self._taken: set[int] | None = None if options.choice.limit is None else set()
        """Where only so many rows are wanted: the positions of their tasks."""
        self._files: dict[str | None, list[tuple[str, str, Write]]] = {}
        quoter = Quoter()
        for split in sides.names if sides else (None,):
            for name in names:
                file = file_name(name, split)
                self.written.counts[file] = 0
                write = stack.enter_context(opened(name, folder / file, options.wording, options.answers, quoter))
                self._files.setdefault(split, []).append((name, file, write))

    def put(self, row: Row, reason: str) -> None:
        """Write a row, or why it is left out."""
        if reason:
            if reason in {BRIDGES, CONTAMINATED}:
                self._leave_out(row, None, reason)
            return
        written = self.written
        if self._template:
            self._template.count(row)
        if self._taken is not None:
            self._taken.add(row.position)
        side = self._sides.of(row.position) if self._sides else None
        written.figures.count(row, side)
        if not row.number and len(written.examples) < EXAMPLES and len(row.system) + row.characters < SHORT:
            written.examples.append(row)
        row = self._fitting(row)
        answers = right(row, self._options.answers.all_answers)
        for name, file, write in self._files[side]:
            for one in answers if name in FORMATS else (row,):
                found = self._written(one, name, file, write)
                if found is not None and one is row:
                    written.unfit.setdefault(name, Counter())[found.reason] += 1
                    if found.reason not in NOTHING:
                        self._leave_out(row, title(name), found.reason)

    def put_wrong(self, row: Row) -> None:
        """Write what the judge rejected as wrong, a question without a right answer, where it has a place."""
        side = self._sides.of(row.position) if self._sides else None
        if (self._sides and side is None) or (self._taken is not None and row.position not in self._taken):
            return
        for name, file, write in self._files[side]:
            if name in KTO:
                self._written(self._fitting(row), name, file, write)

    def _written(self, row: Row, name: str, file: str, write: Write) -> Unfit | None:
        found = write(row)
        if found is ONE_LINE:
            self.written.counts[file] += 1
            return None
        if isinstance(found, Unfit):
            return found
        self.written.counts[file] += len(found)
        if any(found):
            self.written.by_rule.setdefault(name, Counter()).update(found)
        return None

    def _fitting(self, row: Row) -> Row:
        if not row.samples:
            return row
        tokens = self._template.tokens if self._template else None
        return with_fitting(row, self._options.choice, tokens, self._screen)

    def _leave_out(self, row: Row, format_: str | None, reason: str) -> None:
        if self._report is None:
            self._report = self._stack.enter_context((self._folder / LEFT_OUT).open("w", encoding="utf-8"))
        about = {"task_id": row.task_id, "instance": row.number, "format": format_, "reason": reason}
        if reason == CONTAMINATED:
            about["near"] = self._screen.rows[row.id]
        self._report.write(json.dumps(about, ensure_ascii=False) + "\n")


def _write_about(
    folder: Path, names: Sequence[str], options: Options, written: _Written, about: Mapping[str, Any]
) -> None:
    """Write the files that describe the others, the manifest last."""
    splits: Sequence[str | None] = list(options.split.shares) if options.split else [None]
    template = about.get("chat_template")
    packages = ["orjson", "lingua-language-detector", *(["pyarrow"] if "parquet" in names else [])]
    packages += ["transformers", "tokenizers", "jinja2"] if template else []
    manifest = {"figures": written.figures.to_json(), **about, "software": software(*packages)}
    trained = options.split.trained if options.split else None
    # Room for the longest row, where that is known, in steps of 64.
    length = max(64, -(-template["tokens"]["max"] // 64) * 64) if template else 2048
    texts = {
        "README.md": card(manifest, names, splits, written.counts, written.examples),
        "dataset_info.json": dataset_info(names, splits, options.wording, written.counts),
        "axolotl.yaml": axolotl(
            names, splits, written.counts, trained, length, has_systems=written.figures.with_system > 0
        ),
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
