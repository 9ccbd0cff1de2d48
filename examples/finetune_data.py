"""What a fine-tuning job reads: the rows of an export, and task files to be measured on."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = dict[str, str]

FORMATS = ("prompt-completion", "messages", "prompt-completion-plain")
"""The forms of an export that a job trains on; of those in a folder the first is taken unless one is named."""

EXACT_CATEGORIES = frozenset({
    "textual entailment", "cause effect classification", "coreference resolution", "dialogue act recognition",
    "answerability classification", "word analogy",
})  # fmt: skip
"""What Super-NaturalInstructions scores by exact match (its other test categories by ROUGE-L): src/compute_metrics.py
of github.com/yizhongw/Tk-Instruct."""


class JobError(Exception):
    """What ends the job with one clear line and exit code 2."""


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt, as messages or as plain text, with the answers that count as right; the first is the one to learn.

    `is_classification` is None where the source does not say.
    """

    prompt: tuple[Message, ...] | str
    answers: tuple[str, ...]
    is_classification: bool | None
    place: str


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Each value of a JSON Lines file with the number of its line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except json.JSONDecodeError as error:
                        raise JobError(f"{path}:{number}: no JSON ({error.msg}); each line is one object") from error
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: cannot be read ({error})") from error


def digest(path: Path) -> str:
    """The SHA-256 of a file, or of all JSON files in a folder with their names."""
    found = hashlib.sha256()
    for one in _files(path):
        found.update(one.name.encode() if path.is_dir() else b"")
        with one.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


# --- exports --------------------------------------------------------------------------------------------------------


def export_files(folder: Path, wanted: str) -> tuple[str, Path, Path | None]:
    """The form, the file to train on, and the file of held-out rows; None where the export has no split `test`."""
    if not folder.is_dir():
        raise JobError(f"{folder}: no such folder; --data wants the folder of an export")
    for name in (wanted,) if wanted else FORMATS:
        train, test, whole = (folder / f"{name}{part}.jsonl" for part in ("-train", "-test", ""))
        if train.exists():
            return name, train, test if test.exists() else None
        if whole.exists():
            return name, whole, None
    raise JobError(
        f"{folder}: no {wanted or ', '.join(FORMATS)} in it; "
        f"export with --format {wanted or FORMATS[0]} --split train=0.9,test=0.1"
    )


def read_export(path: Path, name: str) -> list[Row]:
    """The rows of an exported file of this form."""
    flags = _flags(path, name)
    rows = [_row(value, name, f"{path}:{number}", flags) for number, value in json_lines(path)]
    if not rows:
        raise JobError(f"{path}: no rows; export more tasks")
    return rows


def _row(value: Any, name: str, place: str, flags: dict[tuple[str, str], bool]) -> Row:
    row = value if isinstance(value, dict) else {}
    if name == "prompt-completion-plain":
        if not isinstance(row.get("prompt"), str) or not _text(row.get("completion")):
            raise JobError(f'{place}: wanted {{"prompt": text, "completion": text}}, found {_short(value)}')
        return Row(row["prompt"], (row["completion"],), flags.get((row["prompt"], row["completion"])), place)
    if name == "messages":
        wanted, turns = '{"messages": [...]}', row.get("messages")
    else:
        wanted, prompt, completion = '{"prompt": [...], "completion": [...]}', row.get("prompt"), row.get("completion")
        turns = [*prompt, *completion] if isinstance(prompt, list) and isinstance(completion, list) else None
    if not isinstance(turns, list) or len(turns) < 2 or not all(map(_is_message, turns)):
        raise JobError(f"{place}: wanted {wanted} of at least a user's and an assistant's, found {_short(value)}")
    *before, last = turns
    if last["role"] != "assistant" or not _text(last["content"]):
        raise JobError(f'{place}: the last message is no answer ("role": "assistant", "content": text)')
    asked = before[-1]["content"]
    return Row(tuple(before), (last["content"],), flags.get((asked, last["content"])), place)


def _flags(path: Path, name: str) -> dict[tuple[str, str], bool]:
    """Which (what is asked, answer) are of classifications, by the table beside the file if there is one."""
    table, text = (
        path.with_name(path.name.replace(name, "dataset", 1)).with_suffix(end) for end in (".parquet", ".csv")
    )
    columns = ["is_classification", "instruction", "input", "output"]
    if table.exists():
        from pyarrow.parquet import read_table

        values = read_table(table, columns=columns).to_pylist()
    elif text.exists():
        csv.field_size_limit(2**30)
        with text.open(encoding="utf-8", newline="") as file:
            values = [{**row, "is_classification": row["is_classification"] == "True"} for row in csv.DictReader(file)]
    else:
        return {}
    end = "\n\n" if name == "prompt-completion-plain" else ""
    return {
        (question(row["instruction"], row["input"]) + end, row["output"]): row["is_classification"] for row in values
    }


def question(instruction: str, text: str) -> str:
    """What the user says in an export: the instruction, and the input if there is one."""
    return f"{instruction}\n\n{text}" if text else instruction


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- task files -----------------------------------------------------------------------------------------------------


def read_tasks(path: Path, like: Sequence[Row]) -> list[Row]:
    """The instances of a task file, asked in the way of the rows trained on.

    A `.jsonl` file in the form of Self-Instruct's `seed_tasks.jsonl` and `user_oriented_instructions.jsonl`, a `.json`
    file in that of Super-NaturalInstructions, or a folder of such files.
    """
    found = [row for file in _files(path) for row in (_superni(file) if file.suffix == ".json" else _original(file))]
    if not found:
        raise JobError(f"{path}: no instances with an output; see docs/finetuning.md for the forms")
    first = like[0].prompt
    if isinstance(first, str):
        return [Row(f"{row.prompt}\n\n", row.answers, row.is_classification, row.place) for row in found]
    system = first[:1] if first[0]["role"] == "system" else ()
    return [
        Row((*system, {"role": "user", "content": str(row.prompt)}), row.answers, row.is_classification, row.place)
        for row in found
    ]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.suffix in {".json", ".jsonl"})
    if not path.exists():
        raise JobError(f"{path}: no such file")
    return [path]


def _original(path: Path) -> Iterator[Row]:
    for number, task in json_lines(path):
        place = f"{path}:{number}"
        try:
            instruction, instances, flag = task["instruction"], task["instances"], task.get("is_classification")
            for one in instances:
                if _text(one["output"]):
                    yield Row(question(instruction, one["input"]), (one["output"],), flag, place)
        except (KeyError, TypeError, AttributeError) as error:
            raise JobError(
                f'{place}: wanted {{"instruction", "instances": [{{"input", "output"}}]}}, found {_short(task)}'
            ) from error


def _superni(path: Path) -> Iterator[Row]:
    try:
        task = json.loads(path.read_text(encoding="utf-8"))
        definition = task["Definition"]
        instruction = definition if isinstance(definition, str) else "\n".join(definition)
        exact = any(category.lower() in EXACT_CATEGORIES for category in task.get("Categories", ()))
        flag = exact if "Categories" in task else None
        for one in task["Instances"]:
            answers = [one["output"]] if isinstance(one["output"], str) else one["output"]
            if kept := tuple(filter(_text, answers)):
                yield Row(question(instruction, one["input"]), kept, flag, f"{path}: {one.get('id', '')}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(
            f'{path}: wanted a task of Super-NaturalInstructions, {{"Definition": [...], "Instances": '
            f'[{{"input", "output": [...]}}]}}; {type(error).__name__}: {error}'
        ) from error


def some(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """So many of the rows, chosen at random by the seed, in their order; all of them for 0."""
    if not count or count >= len(rows):
        return list(rows)
    return [rows[place] for place in sorted(random.Random(seed).sample(range(len(rows)), count))]
