"""Writing a pool as a folder of training data."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfinstruct.errors import ConfigError, PoolError, unknown
from selfinstruct.export.card import card
from selfinstruct.export.choice import Choice, Places, judge, limit
from selfinstruct.export.companions import axolotl, dataset_info
from selfinstruct.export.folder import MANIFEST, whole_folder
from selfinstruct.export.formats import Wording, form_named
from selfinstruct.export.manifest import Figures, described, software
from selfinstruct.export.screening import CONTAMINATED, Screen
from selfinstruct.export.splits import BRIDGES, Sides, Split, walk
from selfinstruct.export.tables import NAMES, Write, file_name, opened
from selfinstruct.own import file_and_name
from selfinstruct.records import Exclusion
from selfinstruct.store.exclusions import used
from selfinstruct.store.reading import Connection, snapshot
from selfinstruct.store.training import Row, configurations, open_tasks, rows, text_at, texts_of_tasks

if TYPE_CHECKING:
    from selfinstruct.export.chat_template import ChatTemplate

LEFT_OUT = "left_out.jsonl"
"""Rows that one form or all of them went without, each with its reason; not there if there are none."""
ALL = "all"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Placed = tuple[Row, str | None, str]
"""A row, its side of the split (None where there is none), and why it is left out (empty if it is not)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an export is to hold, beside its formats."""

    wording: Wording = field(default_factory=Wording)
    choice: Choice = field(default_factory=Choice)
    split: Split | None = None
    tokenizer: str | None = None
    """Path or name of a tokenizer whose chat template the rows are held against."""
    exclusions: tuple[Exclusion, ...] = ()
    """Rows near a text of these are left out."""

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: a bound that lets nothing through, or one that lacks its measure.
        """
        self.choice.check()
        if self.choice.max_tokens is not None and self.tokenizer is None:
            raise ConfigError("--max-tokens needs --tokenizer, which says what a token is")
        if _UNSTORABLE.search(self.wording.system):
            raise ConfigError("--system: the text is not valid UTF-8")

    def to_json(self) -> dict[str, Any]:
        """The options as they stand in the manifest."""
        shares = {name: str(share) for name, share in self.split.shares.items()} if self.split else None
        return {**asdict(self.wording), **asdict(self.choice), "split": shares}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the files of rows, and how many tasks of the pool are still open."""

    paths: tuple[Path, ...]
    rows: int
    """Rows chosen; a form that cannot carry one of them has fewer."""
    open_tasks: int
    """Accepted, and not finished: what they bring is in a later export."""
    counts: Mapping[Path, int]
    """The rows in each file."""
    unfit: Mapping[str, Mapping[str, int]]
    """By format, then reason: rows that it cannot carry unchanged."""
    left_out: Mapping[str, int]
    """Rows that no file has, by reason."""
    chat_template: Mapping[str, Any] | None
    """Figures of the rows in the tokenizer's chat template, as in the manifest."""
    shares: Mapping[str, tuple[float, float]]
    """By side of the split: the share that was wanted, and that of the rows written."""


@dataclass(slots=True)
class _Written:
    counts: Counter[str] = field(default_factory=Counter)
    unfit: dict[str, Counter[str]] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    chat_template: dict[str, Any] | None = None


def export(folder: Path, names: Sequence[str], out: Path, options: Options | None = None) -> Exported:
    """Write the pool's finished tasks in each format to the folder `out`, which becomes whole or stays as it was.

    Rows near a text of the exclusions are left out. The bytes follow from these and the judged candidates alone: no
    time, path, cost or count of requests is in them.

    Raises:
        ConfigError: a format that is not known, or options that cannot be meant.
        PoolError: no pool, or a folder that cannot be written or holds files that are not from an export.
    """
    formats_wanted(names)
    with snapshot(folder) as connection:
        return export_from(connection, names, out, options)


def export_from(connection: Connection, names: Sequence[str], out: Path, options: Options | None = None) -> Exported:
    """`export` of the pool as this connection sees it."""
    wanted, options = formats_wanted(names), options or Options()
    options.check()
    with _as_pool_error(out), whole_folder(out) as temporary:
        sides = walk(texts_of_tasks(connection), options.split) if options.split else None

        def found() -> Iterator[Row]:
            return rows(connection, options.choice.origins)

        template, screen = _chat_template(options), Screen(options.exclusions)
        places = _places(found, partial(text_at, connection), options.choice, sides, template, screen)
        placed = _placed(found(), places, sides, template)
        written = _write_rows(temporary, wanted, sides.names if sides else (None,), options.wording, screen, placed)
        written.chat_template = template.to_json() if template else None
        left_out = places.counts() if places else {}
        configuration = configurations(connection)
        clear_of = used(connection, (one for settings in configuration for one in settings.get("exclusions", ())))
        _write_about(temporary, wanted, options, written, left_out, configuration, screen.to_json(clear_of))
        still_open = len(open_tasks(connection))
    counts = {out / name: count for name, count in written.counts.items()}
    total = written.figures.rows.total()
    shares = options.split.shares if options.split else {}
    reached = {name: (float(share), written.figures.rows[name] / max(1, total)) for name, share in shares.items()}
    return Exported(tuple(counts), total, still_open, counts, written.unfit, left_out, written.chat_template, reached)


def _chat_template(options: Options) -> ChatTemplate | None:
    if options.tokenizer is None:
        return None
    from selfinstruct.export.chat_template import ChatTemplate  # noqa: PLC0415 - brings transformers

    return ChatTemplate(options.tokenizer, options.wording, options.choice.max_tokens)


def _places(
    found: Callable[[], Iterator[Row]],
    text_of: Callable[[int, int], str],
    choice: Choice,
    sides: Sides | None,
    template: ChatTemplate | None,
    screen: Screen,
) -> Places | None:
    """What becomes of each row; None if all are taken."""
    if choice.takes_all and sides is None and not screen.exclusions:
        return None
    places = judge(found(), choice, sides, template.tokens if template else None, screen)
    if choice.limit is not None:
        limit(places, choice.limit, text_of)
    return places


def _placed(
    found: Iterable[Row], places: Places | None, sides: Sides | None, template: ChatTemplate | None
) -> Iterator[Placed]:
    for place, row in enumerate(found):
        reason = places.reason(place) if places else ""
        if template and not reason:
            template.count(row)
        yield row, sides.of(row.position) if sides and not reason else None, reason


def formats_wanted(names: Sequence[str]) -> tuple[str, ...]:
    """The formats by their names or `all`, each once, in the order of `NAMES`; then the user's own.

    Raises:
        ConfigError: a name that is not known.
    """
    for name in names:
        if name not in (*NAMES, ALL) and file_and_name(name) is None:
            known = f"{', '.join(NAMES)}, or {ALL}"
            raise ConfigError(f"--format {name}: unknown format; {unknown(name, (*NAMES, ALL), known)}")
    own = [name for name in dict.fromkeys(names) if name not in (*NAMES, ALL)]
    for name in own:
        form_named(name)
    return (*(name for name in NAMES if name in names or ALL in names), *own)


@contextlib.contextmanager
def _as_pool_error(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PoolError(f"{out}: the export cannot be written ({error.strerror or error})") from error


def _write_rows(
    folder: Path,
    names: Sequence[str],
    splits: Sequence[str | None],
    wording: Wording,
    screen: Screen,
    placed: Iterable[Placed],
) -> _Written:
    """Write the files of rows, and the list of those that a form cannot carry."""
    written = _Written()
    with contextlib.ExitStack() as stack:
        files: dict[str | None, list[tuple[str, str, Write]]] = {}
        for split in splits:
            for name in names:
                file = file_name(name, split)
                written.counts[file] = 0
                write = stack.enter_context(opened(name, folder / file, wording))
                files.setdefault(split, []).append((name, file, write))
        report = None
        for row, split, reason in placed:
            unfit: list[tuple[str | None, str]] = []
            if reason in {BRIDGES, CONTAMINATED}:
                unfit.append((None, reason))
            elif not reason:
                written.figures.count(row, split)
                for name, file, write in files[split]:
                    found = write(row)
                    if found is None:
                        written.counts[file] += 1
                    else:
                        written.unfit.setdefault(name, Counter())[found.reason] += 1
                        unfit.append((name, found.reason))
            for format_, why in unfit:
                report = report or stack.enter_context((folder / LEFT_OUT).open("w", encoding="utf-8"))
                about = {"task_id": row.task_id, "instance": row.number, "format": format_, "reason": why}
                if why == CONTAMINATED:
                    about["near"] = screen.rows[row.id]
                report.write(json.dumps(about, ensure_ascii=False) + "\n")
    return written


def _write_about(
    folder: Path,
    names: Sequence[str],
    options: Options,
    written: _Written,
    left_out: Mapping[str, int],
    configuration: Sequence[Mapping[str, Any]],
    excluded: Sequence[Mapping[str, Any]],
) -> None:
    """Write the files that describe the others, the manifest last."""
    splits: Sequence[str | None] = list(options.split.shares) if options.split else [None]
    filled = [split for split in splits if written.figures.rows[split]]  # trainers stumble over empty files
    by_format = {name: dict(sorted(written.unfit[name].items())) for name in names if name in written.unfit}
    template = written.chat_template
    packages = ["orjson", *(["pyarrow"] if "parquet" in names else [])]
    packages += ["transformers", "tokenizers", "jinja2"] if template else []
    manifest: dict[str, Any] = {
        "figures": written.figures.to_json(),
        **({"chat_template": template} if template else {}),
        "left_out": {"rows": dict(left_out), "by_format": by_format},
        "excluded": list(excluded),
        "export": {"formats": list(names), **options.to_json()},
        "configuration": list(configuration),
        "software": software(*packages),
    }
    texts = {
        "README.md": card(manifest, names, splits, written.counts),
        "dataset_info.json": dataset_info(names, filled, options.wording.system),
        "axolotl.yaml": axolotl(
            names, filled, options.split.trained if options.split else None, _sequence_len(template)
        ),
    }
    for name, text in texts.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    files = described(folder.iterdir(), written.counts)
    text = json.dumps({"files": files, **manifest}, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")


def _sequence_len(template: Mapping[str, Any] | None) -> int:
    """Room for the longest row where that is known, in steps of 64."""
    return 2048 if template is None else max(64, -(-template["tokens"]["max"] // 64) * 64)
