"""Exports: what is in each form, that texts come back as they were, and that a folder is whole or as it was."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.exports.card import licence_hint
from selfinstruct.exports.chat_template import FAULTS
from selfinstruct.exports.choice import REASONS, Choice, Screen
from selfinstruct.exports.folder import _exchange, whole_folder
from selfinstruct.exports.formats import END, FORMATS, WITH_INPUT, WITHOUT_INPUT, Frame, Unfit, Wording, asked
from selfinstruct.exports.more_forms import NOTHING
from selfinstruct.exports.row_files import _BATCH_CHARS, COLUMNS, KNOWN, NAMES, file_name, opened
from selfinstruct.exports.templates import Quoter
from selfinstruct.exports.writing import Exported, Options, export
from selfinstruct.models.offline.options import parse_quirks
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.pool.records import Row, StoredSample, Used
from selfinstruct.types import Exclusion, Instance, JudgeVerdict, Task, Turn
from tests.builders import ROOT, grow, made_pool
from tests.builders import rows as pool_rows
from tests.servers import ScriptedServer

csv.field_size_limit(2**30)

ROWS = [
    Row("t1", "Name a colour.", Instance("", "Red."), 3, 0, "generated", 1, '["s0","s1"]', 0.12345, "big", "small",
        "chat", is_classification=True, topic="art", source="tickets",
        verdict=JudgeVerdict("r", 0, 0, "t1", "j", "passed", valid=5, input=4, output=3),
        samples=tuple(StoredSample("Red.", "weak", right, None, "tiny") for right in (True, False, False))),
    Row("s0", "Add the numbers.", Instance("1, 2", "3"), 0, 0, "seed"),
]  # fmt: skip

EXPECTED: dict[str, Any] = {
    "alpaca": [
        {"instruction": "Name a colour.", "input": "", "output": "Red."},
        {"instruction": "Add the numbers.", "input": "1, 2", "output": "3"},
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "Name a colour."}, {"from": "gpt", "value": "Red."}]},
        {"conversations": [{"from": "human", "value": "Add the numbers.\n\n1, 2"}, {"from": "gpt", "value": "3"}]},
    ],
    "messages": [
        {"messages": [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Red."}]},
        {"messages": [{"role": "user", "content": "Add the numbers.\n\n1, 2"}, {"role": "assistant", "content": "3"}]},
    ],
    "prompt-completion": [
        {"prompt": [{"role": "user", "content": "Name a colour."}],
         "completion": [{"role": "assistant", "content": "Red."}]},
        {"prompt": [{"role": "user", "content": "Add the numbers.\n\n1, 2"}],
         "completion": [{"role": "assistant", "content": "3"}]},
    ],
    "prompt-completion-plain": [
        {"prompt": "Name a colour.\n\n", "completion": "Red."},
        {"prompt": "Add the numbers.\n\n1, 2\n\n", "completion": "3"},
    ],
    "self-instruct": [
        {"prompt": "Name a colour.\n\nOutput:", "completion": " Red.<|endoftext|>"},
        {"prompt": "Add the numbers.\n\nInput: 1, 2\n\nOutput:", "completion": " 3<|endoftext|>"},
    ],
    "gemini-tuning": [
        {"contents": [{"role": "user", "parts": [{"text": "Name a colour."}]},
                      {"role": "model", "parts": [{"text": "Red."}]}]},
        {"contents": [{"role": "user", "parts": [{"text": "Add the numbers.\n\n1, 2"}]},
                      {"role": "model", "parts": [{"text": "3"}]}]},
    ],
}  # fmt: skip
EXPECTED["mlx"] = EXPECTED["messages"]

TABLE = [
    {"task_id": "t1", "instance": 0, "origin": "generated", "round": 1, "parents": ["s0", "s1"], "model": "big",
     "output_model": "small", "recipe": "chat", "nearest_score": 0.1235, "is_classification": True,
     "weak_share": 0.3333, "strong_share": None, "drawn": "", "turns": [], "is_edited": False,
     "topic": "art", "source": "tickets", "system": "", "valid_score": 5, "input_score": 4, "output_score": 3,
     "instruction": "Name a colour.", "input": "", "output": "Red."},
    {"task_id": "s0", "instance": 0, "origin": "seed", "round": None, "parents": [], "model": None,
     "output_model": None, "recipe": None, "nearest_score": None, "is_classification": False,
     "weak_share": None, "strong_share": None, "drawn": "", "turns": [], "is_edited": False,
     "topic": None, "source": None, "system": "", "valid_score": None, "input_score": None, "output_score": None,
     "instruction": "Add the numbers.", "input": "1, 2", "output": "3"},
]  # fmt: skip


def written(folder: Path, name: str, rows: Sequence[Row], wording: Wording | None = None) -> tuple[Path, list[Unfit]]:
    """The file of a format with these rows, and what it could not carry."""
    path = folder / file_name(name, None)
    with opened(name, path, wording or Wording()) as write:
        unfit = [found for found in map(write, rows) if isinstance(found, Unfit)]
    return path, unfit


def lines(path: Path) -> list[Any]:
    """Read by a reader that knows more line ends than JSON has."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file by Python's own reader."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", list(FORMATS))
def test_each_form_has_the_fields_its_trainers_know(tmp_path: Path, name: str) -> None:
    path, unfit = written(tmp_path, name, ROWS)
    assert (lines(path), unfit) == (EXPECTED[name], [])


def test_tables_have_the_lineage_of_each_row(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "parquet", ROWS)
    assert pq.read_table(path).to_pylist() == TABLE
    path, _ = written(tmp_path, "csv", ROWS)
    spelled = [{name: "" if row[name] is None else row[name] for name in row} for row in TABLE]
    assert [{**row, "parents": json.loads(row["parents"])} for row in table(path)] == [
        {name: value if name == "parents" else str(value) for name, value in row.items()} for row in spelled
    ]


def test_a_system_text_has_its_place_in_the_forms_that_know_one(tmp_path: Path) -> None:
    wording = Wording(system="Be brief.")
    system = {"role": "system", "content": "Be brief."}
    for name in FORMATS:
        path, _ = written(tmp_path, name, ROWS, wording)
        for found, plain in zip(lines(path), EXPECTED[name], strict=True):
            match name:
                case "messages" | "mlx":
                    assert found == {"messages": [system, *plain["messages"]]}
                case "prompt-completion":
                    assert found == {**plain, "prompt": [system, *plain["prompt"]]}
                case "sharegpt":
                    turn = {"from": "system", "value": "Be brief."}
                    assert found == {"conversations": [turn, *plain["conversations"]]}
                case "gemini-tuning":
                    assert found == {**plain, "systemInstruction": {"parts": [{"text": "Be brief."}]}}
                case _:
                    assert found == plain


def test_the_system_text_of_a_row_goes_before_that_of_all_rows(tmp_path: Path) -> None:
    own = [ROWS[0], ROWS[1]._replace(system="Be kind.")]
    for name in ("messages", "prompt-completion", "sharegpt", "gemini-tuning", "mlx"):
        path, unfit = written(tmp_path, name, own, Wording(system="Be brief."))
        assert unfit == []
        assert ["Be kind." in json.dumps(one) for one in lines(path)] == [False, True]
        assert ["Be brief." in json.dumps(one) for one in lines(path)] == [True, False]
    for name in ("alpaca", "self-instruct", "prompt-completion-plain"):
        path, unfit = written(tmp_path, name, own)
        assert (lines(path), unfit) == (EXPECTED[name][:1], [Unfit("system")])


# --- texts come back as they were -----------------------------------------------------------------------------------

MARKS = [
    "<|im_start|>", "<|im_end|>", "### Response:", "### Instruction:\n", "</s>", "[INST]", "<|endoftext|>", "Input:",
    "Output:", "\t", '"', "'", "\\", "\\n", "\n", "\r", "\r\n", "\n\n", ",", ";", "\x85", "\u2028", "\u2029", "\ufeff",
    "\x1c", "\x7f", "NA", "null", "None", "nan", "#N/A", "1", "01", "1e5", "-", "=1+1", "é", "e\u0301", "日本",
    "\u200d", "\U0001f469", "\U0010ffff", "{", "}", "{{x}}", "%s", "%(output)b",
    '",', '","', '",\n  "', "$x", " ", "\u00a0", "\u200b", "true",
]  # fmt: skip
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(st.sampled_from(MARKS), max_size=8).map("".join),
    st.builds(lambda mark, times: mark * times, st.sampled_from(MARKS), st.integers(1, 3000)),
)
FILLED = TEXT.filter(bool)
ANY_ROWS = st.lists(
    st.builds(
        lambda instruction, input_, output, number: Row(f"t{number}", instruction, Instance(input_, output), number),
        FILLED, TEXT, FILLED, st.integers(0, 99),
    ),
    max_size=5,
)  # fmt: skip


def carried(name: str, path: Path) -> list[Any]:
    """What a reader finds, as (what is asked, the output)."""
    if name in {"parquet", "csv", "alpaca"}:
        found = pq.read_table(path).to_pylist() if name == "parquet" else table(path) if name == "csv" else lines(path)
        return [(one["instruction"], one["input"], one["output"]) for one in found]
    match name:
        case "sharegpt":
            return [tuple(turn["value"] for turn in one["conversations"]) for one in lines(path)]
        case "messages" | "mlx":
            return [tuple(turn["content"] for turn in one["messages"]) for one in lines(path)]
        case "gemini-tuning":
            return [tuple(turn["parts"][0]["text"] for turn in one["contents"]) for one in lines(path)]
        case "prompt-completion":
            return [(one["prompt"][0]["content"], one["completion"][0]["content"]) for one in lines(path)]
        case "prompt-completion-plain":
            return [(one["prompt"].removesuffix("\n\n"), one["completion"]) for one in lines(path)]
    raise AssertionError(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "self-instruct"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=ANY_ROWS)
def test_any_text_comes_back_equal_from_every_form(tmp_path: Path, name: str, rows: list[Row]) -> None:
    path, unfit = written(tmp_path, name, rows)
    whole = name in {"alpaca", "parquet", "csv"}
    assert carried(name, path) == [
        (row.instruction, row.instance.input, row.instance.output) if whole else (asked(row), row.instance.output)
        for row in rows
    ]
    assert unfit == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=ANY_ROWS, mixed=st.booleans())
def test_self_instruct_carries_a_text_unchanged_or_says_why_not(tmp_path: Path, rows: list[Row], mixed: bool) -> None:
    path, unfit = written(tmp_path, "self-instruct", rows, Wording(mixed_prompts=mixed))
    fit = [row for row in rows if END not in row.instruction + "\0" + row.instance.input + "\0" + row.instance.output]
    assert unfit == [Unfit("end_mark")] * (len(rows) - len(fit))
    for found, row in zip(lines(path), fit, strict=True):
        frames = WITH_INPUT if row.instance.input else WITHOUT_INPUT
        taken = [frame for frame in frames if _unframed(frame, row) == found["prompt"]]
        assert taken if mixed else frames[0] in taken
        gap = " " if found["prompt"].endswith(":") else ""
        assert found["completion"] == gap + row.instance.output + END


def test_no_end_of_a_text_is_seen_within_one() -> None:
    quoter = Quoter()
    for length in range(1, 6):
        for text in map("".join, product('",\\\n ', repeat=length)):
            quoter.see(Row("t1", text, Instance(text, text, (Turn(text, text),)), system=text))
            assert {*quoter.texts.values()} == {orjson.dumps(text)[1:-1]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(rows=ANY_ROWS, data=st.data(), system=TEXT)
def test_a_line_written_by_a_template_is_the_object_of_its_form(
    tmp_path: Path, rows: list[Row], data: st.DataObject, system: str
) -> None:
    turns = st.lists(st.builds(Turn, TEXT, TEXT), max_size=2).map(tuple)
    rows = [
        row._replace(instance=Instance(row.input, row.output, data.draw(turns)), system=data.draw(st.just("") | TEXT))
        for row in rows
    ]
    for name in FORMATS:
        path, unfit = written(tmp_path, name, rows, Wording(system=system))
        made = [FORMATS[name](Wording(system=system))(row) for row in rows]
        assert unfit == [one for one in made if isinstance(one, Unfit)]
        wanted = [orjson.dumps(one) for one in made if not isinstance(one, Unfit)]
        for character in "\x85\u2028\u2029":
            wanted = [one.replace(character.encode(), f"\\u{ord(character):04x}".encode()) for one in wanted]
        assert path.read_bytes() == b"".join(one + b"\n" for one in wanted)


def _unframed(frame: Frame, row: Row) -> str:
    return "".join((frame.before, row.instruction, frame.between, row.instance.input, frame.after))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=ANY_ROWS)
def test_pandas_reads_the_csv_as_the_card_says(tmp_path: Path, rows: list[Row]) -> None:
    path, _ = written(tmp_path, "csv", rows)
    found = pd.read_csv(path, keep_default_na=False, na_values={"round": [""], "nearest_score": [""]}, dtype=TEXTS)
    kept = [tuple(row) for row in found[["instruction", "input", "output"]].itertuples(index=False)]
    assert kept == [(row.instruction, row.instance.input, row.instance.output) for row in rows]


TEXTS = dict.fromkeys(("instruction", "input", "output"), str)


def test_a_spreadsheet_runs_no_cell_of_a_safe_csv_and_the_manifest_says_so(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1 is less", "@SUM(A1)", "\t=1", " =1", "\uff1d1+1", "1=1", "fine"]
    pool = made_pool(
        tmp_path / "p", [Task(f"t{n}", text, False, (Instance(text, text),)) for n, text in enumerate(texts)]
    )
    cells = {}
    for flag in ([], ["--csv-safe"]):
        out = tmp_path / f"out{len(flag)}"
        assert cli.run(["export", str(pool), "--format", "csv", "--out", str(out), *flag]) == 0
        assert json.loads((out / "manifest.json").read_text("utf-8"))["export"]["csv_safe"] is bool(flag)
        with (out / "dataset.csv").open(encoding="utf-8", newline="") as file:
            cells[bool(flag)] = [(row["instruction"], row["output"]) for row in csv.DictReader(file)]
    assert cells[False] == [(text, text) for text in texts]
    safe = [text if text in {"1=1", "fine"} else "'" + text for text in texts]
    assert cells[True] == [(text, text) for text in safe]


def test_mixed_prompts_depend_on_the_row_alone_and_use_every_wording(tmp_path: Path) -> None:
    rows = [Row(f"t{n}", "Add the numbers.", Instance("1, 2" if n % 2 else "", "3"), n) for n in range(400)]
    path, _ = written(tmp_path, "self-instruct", rows, Wording(mixed_prompts=True))
    prompts = [line["prompt"] for line in lines(path)]
    assert len(set(prompts)) == len(WITH_INPUT) + len(WITHOUT_INPUT)
    path, _ = written(tmp_path, "self-instruct", rows[::-1], Wording(mixed_prompts=True))
    assert [line["prompt"] for line in lines(path)] == prompts[::-1]


def test_odd_texts_of_a_pool_come_back_from_its_export_or_are_named(tmp_path: Path) -> None:
    texts = [*MARKS, "x" * 1_000_000, "".join(MARKS)]
    tasks = [Task(f"t{n:020x}", f"Do {text}", False, (Instance(text, text + "."),)) for n, text in enumerate(texts)]
    found = export(made_pool(tmp_path / "p", tasks), ["all"], tmp_path / "x")
    ended = [task for task in tasks if END in task.instruction]
    assert len(ended) == 2
    assert found.unfit == {"self-instruct": {"end_mark": 2}}
    assert lines(tmp_path / "x" / "left_out.jsonl") == [
        {"task_id": task.id, "instance": 0, "format": "self-instruct", "reason": "end_mark"} for task in ended
    ]
    for name in NAMES:
        path = tmp_path / "x" / file_name(name, None)
        assert found.counts[path] == len(tasks) - (2 if name == "self-instruct" else 0)
        if name != "self-instruct":
            assert [one[-1] for one in carried(name, path)] == [text + "." for text in texts]


# --- what lies beside the rows --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("demo") / "pool"
    grow(pool, target=30)
    return pool


@pytest.fixture(scope="module")
def everything(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """An export in all forms, only to be looked at."""
    folder = tmp_path_factory.mktemp("everything") / "x"
    return folder, export(demo, ["all"], folder)


def test_the_manifest_has_rows_checksums_configuration_and_versions(everything: tuple[Path, Exported]) -> None:
    folder, found = everything
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, about in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (about["bytes"], about["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert about.get("rows") == found.counts.get(folder / name)
    assert manifest["figures"]["tasks"] == 30
    assert manifest["figures"]["rows"] == found.rows
    (configuration,) = manifest["configuration"]
    assert (configuration["recipe"]["name"], configuration["filters"]["rouge_threshold"]) == ("chat", "0.7")
    assert {"selfinstruct", "python", "pyarrow"} <= manifest["software"].keys()


JUDGED = """
[model]
name = "writer"

[judge]
enabled = true
revise = true

[stages.respond]
name = "answerer"

[stages.revise]
name = "reviser"
"""


def test_each_output_is_credited_to_the_model_that_wrote_it(tmp_path: Path) -> None:
    pool, config = tmp_path / "p", tmp_path / "c.toml"
    config.write_text(JUDGED, encoding="utf-8")
    offline = Model(quirks=parse_quirks("wrong=30%"))

    async def answer(place: int, path: str, body: dict[str, Any], request: web.Request) -> web.Response:
        return web.json_response(answer_chat({**body, "model": "offline"}, offline))

    with ScriptedServer(answer, ("writer", "answerer", "reviser")) as server:
        assert grow(pool, config=config, base_url=[server.base_url], target=30).exit_code == 0
    written: Counter[str] = Counter()
    export(pool, ["parquet"], tmp_path / "x")
    texts = (
        "SELECT i.task_id, i.position, i.output, c.text, r.stage, r.model FROM instances i "
        "JOIN requests r ON r.task_id = i.task_id JOIN completions c ON c.request_id = r.id WHERE r.stage != 'judge'"
    )
    answers: dict[tuple[str, int], set[str]] = {}
    for task, number, output, text, stage, model in pool_rows(pool, texts):
        if output == text.strip() if stage == "respond" else json.dumps(output, ensure_ascii=False) in text:
            answers.setdefault((task, number), set()).add(model)
    for row in pq.read_table(tmp_path / "x/dataset.parquet").to_pylist():
        assert row["model"] == "writer"
        assert row["output_model"] in answers[row["task_id"], row["instance"]], row
        written[row["output_model"]] += 1
    assert set(written) == {"writer", "answerer", "reviser"}, "the writer's are labels, which come with the inputs"
    figures = json.loads((tmp_path / "x/manifest.json").read_text("utf-8"))["figures"]
    assert figures["rows_by_output_model"] == written


def test_two_exports_are_the_same_bytes_and_name_no_path(
    demo: Path, everything: tuple[Path, Exported], tmp_path: Path
) -> None:
    folder, _ = everything
    export(demo, ["all"], tmp_path / "b")
    for path in folder.iterdir():
        data = path.read_bytes()
        assert data == (tmp_path / "b" / path.name).read_bytes()
        assert str(folder.parent).encode() not in data


def test_the_card_names_each_file_for_hugging_face(everything: tuple[Path, Exported]) -> None:
    head, body = (everything[0] / "README.md").read_text("utf-8").removeprefix("---\n").split("\n---\n", 1)
    configs = {config["config_name"]: config for config in yaml.safe_load(head)["configs"]}
    assert list(configs) == list(FORMATS)
    for name, config in configs.items():
        assert config["data_files"] == [{"split": "train", "path": file_name(name, None)}]
    for name in NAMES:
        assert f"`{file_name(name, None)}`" in body
    assert [name for name, config in configs.items() if config.get("default")] == ["messages"]
    (examples,) = re.findall(r"```json\n(.*?)```", body, re.DOTALL)
    first, _ = json.JSONDecoder().raw_decode(examples)
    assert first in lines(everything[0] / "alpaca.jsonl")
    assert re.search(r"propose by `offline` at [^;]*temperature [0-9.]+", body)
    assert 'load_dataset("parquet", data_files="dataset.parquet")' in body
    assert "| `offline` | 30 |" in body
    assert licence_hint("offline") in body


def test_a_models_name_cannot_break_the_card(tmp_path: Path) -> None:
    name = "evil`|\n---\n# <b>"
    pool = made_pool(tmp_path / "p", [Task("t1", "Do it.", False, (Instance("", "Done."),))], model=name)
    export(pool, ["alpaca"], tmp_path / "x")
    card = (tmp_path / "x/README.md").read_text("utf-8")
    assert card.count("\n---\n") == 1
    assert "<b>" not in card


def test_llama_factory_and_axolotl_are_told_of_files_that_are_there(everything: tuple[Path, Exported]) -> None:
    folder, _ = everything
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    files = {about["file_name"] for about in info.values()}
    assert files <= {path.name for path in folder.iterdir()}
    assert "dataset.csv" not in files, "they would take a text such as NA for a missing one"
    assert info["selfinstruct_sharegpt"]["columns"] == {"messages": "conversations"}
    config = yaml.safe_load((folder / "axolotl.yaml").read_text("utf-8"))
    (dataset,) = config["datasets"]
    assert (dataset["path"], dataset["type"], dataset["field_messages"]) == (
        "messages.jsonl", "chat_template", "messages",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_format_alone_makes_an_export(demo: Path, tmp_path: Path, name: str) -> None:
    found = export(demo, [name], tmp_path)
    assert [path.name for path in found.paths] == [file_name(name, None)]
    config = tmp_path / "axolotl.yaml"
    if name in {"prompt-completion", "self-instruct", "gemini-tuning", "mlx", "csv"}:
        assert not config.exists()
        assert json.loads((tmp_path / "dataset_info.json").read_text("utf-8")) == {}
    else:
        assert yaml.safe_load(config.read_text("utf-8"))["datasets"][0]["path"] == file_name(name, None)


def test_an_unknown_format_is_refused(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--format jsonl: unknown format; known: alpaca, .* or all"):
        export(demo, ["jsonl"], tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_long_rows_are_not_kept_in_memory_until_there_are_many(tmp_path: Path) -> None:
    long = "x" * (_BATCH_CHARS // 10)
    rows = [Row(f"t{n}", "Say it.", Instance("", long), n) for n in range(25)]
    path, _ = written(tmp_path, "parquet", rows)
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)] == [10, 10, 5]
    assert [row["task_id"] for row in file.read(["task_id"]).to_pylist()] == [row.task_id for row in rows]


PEOPLE, MODELS = "The seed tasks and their outputs were written by people", "Outputs of generated tasks were written by"


def test_the_card_says_who_wrote_the_rows_and_who_judged_them(demo: Path, tmp_path: Path) -> None:
    def card(pool: Path, choice: Choice | None = None) -> str:
        export(pool, ["alpaca"], tmp_path / "x", Options(choice=choice or Choice()))
        return (tmp_path / "x/README.md").read_text("utf-8")

    grown, seeds, both = card(demo), card(demo, Choice(origin="seed")), card(demo, Choice(include_seeds=True))
    assert [PEOPLE in text for text in (grown, seeds, both)] == [False, True, True]
    assert [MODELS in text for text in (grown, seeds, both)] == [True, False, True]
    assert ["- synthetic" in text for text in (grown, seeds, both)] == [True, False, True]
    assert "A language model judged" not in grown
    assert "rejected by a judge" not in grown
    (config := tmp_path / "c.toml").write_text(
        "[judge]\nenabled = true\nmin_valid = 4\nmin_input = 2\nmin_output = 3\n", encoding="utf-8"
    )
    grow(tmp_path / "p", config=config, target=5)
    judged = card(tmp_path / "p")
    assert "A language model judged each generated row" in judged
    assert "an instance was rejected by a judge below valid 4, input 2, output 3 of 5; seed" in judged


def test_each_test_set_of_a_manifest_has_one_name_and_it_is_that_of_left_out() -> None:
    screen = Screen([Exclusion("a", "x.txt", ((1, ("Name a colour, please.",)),)), Exclusion("b", "x.txt (2)", ())])
    about = screen.to_json([Used("b", "x.txt", 1, 5), Used("c", "x.txt", 1, 7), Used("d", "y.txt", 1, 9)])
    names = {one["sha256"]: one["name"] for one in about}
    assert names == {"a": "x.txt", "b": "x.txt (2)", "c": "x.txt (3)", "d": "y.txt"}
    rejected = {one["sha256"]: one["candidates_rejected"] for one in about if "candidates_rejected" in one}
    assert rejected == {"b": 5, "c": 7, "d": 9}


# --- whole or as it was ---------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _a_file(folder: Path) -> None:
    (folder / "mine.txt").write_text("mine")


def _a_manifest_of_another_program(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "manifest.json").write_text('{"files": ["mine.txt"], "software": {}}')
    (folder / "mine.txt").write_text("mine")


@pytest.mark.parametrize("change", [_a_file, _a_manifest_of_another_program])
def test_files_of_others_are_never_deleted(demo: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    out = tmp_path / "x"
    export(demo, ["alpaca"], out)
    change(out)
    before = {path.name for path in out.iterdir()}
    with pytest.raises(PoolError, match="holds files that are not from an export"):
        export(demo, ["alpaca"], out)
    assert {path.name for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_put_there_while_it_is_written_survives(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="not from an export"), whole_folder(tmp_path / "x") as folder:  # noqa: PT012
        (folder / "new").write_text("new")
        (tmp_path / "x").mkdir()
        (tmp_path / "x/mine").write_text("mine")
    assert contents(tmp_path / "x") == {"mine": b"mine"}


def test_a_file_put_there_at_the_last_moment_survives(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfinstruct.exports import folder as module

    export(demo, ["alpaca"], tmp_path / "x")
    exchange = module._exchange

    def after_a_file_came(new: Path, old: Path) -> bool:
        (old / "mine").write_text("mine")
        return exchange(new, old)

    monkeypatch.setattr(module, "_exchange", after_a_file_came)
    with pytest.raises(PoolError, match="mine"):
        export(demo, ["csv"], tmp_path / "x")
    assert {"alpaca.jsonl", "mine"} <= {path.name for path in (tmp_path / "x").iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("name", ["x**", "r[1]", "a*", "?"])
def test_what_a_kill_left_behind_is_cleared_away_whatever_the_name(tmp_path: Path, name: str) -> None:
    others = {f".{name}.export-mine.export-abc", f".{name}.export-", ".ab.export-abc", "r1"}
    for left in (*others, f".{name}.export-abc", f".{name}.export-a_c.old"):
        (tmp_path / left).mkdir()
    (tmp_path / name).mkdir()
    with whole_folder(tmp_path / name) as folder:
        (folder / "new").write_text("new")
    assert contents(tmp_path / name) == {"new": b"new"}
    assert {path.name for path in tmp_path.iterdir()} == {*others, name}


def test_a_pool_without_rows_gives_an_export_without_rows(tmp_path: Path) -> None:
    found = export(made_pool(tmp_path / "p", []), ["all"], tmp_path / "x")
    assert set(found.counts.values()) == {0}
    assert "configs:" not in (tmp_path / "x/README.md").read_text("utf-8")
    assert pq.read_table(tmp_path / "x/dataset.parquet").num_rows == 0


def test_a_folder_that_is_a_file_is_refused(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(PoolError, match="this is a file"):
        export(demo, ["alpaca"], tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def test_an_export_that_fails_leaves_the_old_one(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(demo, ["alpaca"], tmp_path / "x")
    before = contents(tmp_path / "x")
    grow(demo, more=5)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("selfinstruct.exports.writing._write_about", full)
    with pytest.raises(PoolError, match="No space left"):
        export(demo, ["alpaca"], tmp_path / "x")
    assert contents(tmp_path / "x") == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_where_folders_cannot_be_exchanged_in_one_step_it_takes_two(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfinstruct.exports.folder._exchange", lambda *_: False)
    export(demo, ["csv"], tmp_path / "x")
    export(demo, ["alpaca"], tmp_path / "x")
    assert (tmp_path / "x/alpaca.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    # killed between the two steps: the next export finds the old one and gives it its name back
    (tmp_path / "x").rename(tmp_path / ".x.export-1.old")
    (tmp_path / ".x.export-1").mkdir()
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "x"):
        _ = 1 / 0
    assert (tmp_path / "x/alpaca.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


FOR_EVER = """
import json, sys
from pathlib import Path
from selfinstruct.exports.folder import whole_folder
number = int(sys.argv[2])
while True:
    number += 1
    with whole_folder(Path(sys.argv[1])) as folder:
        for name in "abc":
            (folder / name).write_text(str(number))
        about = {"files": {"a": {}, "b": {}, "c": {}}, "software": {"selfinstruct": "1"}}
        (folder / "manifest.json").write_text(json.dumps(about))
    print(number, flush=True)
"""


def test_killed_at_any_instant_a_folder_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    out = tmp_path / "x"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    in_one_step = _exchange(tmp_path / "one", tmp_path / "other")
    last = 0
    generator = random.Random(1)
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", FOR_EVER, str(out), str(last)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(generator.random() / 20)
        process.kill()
        said = [last, *map(int, process.communicate()[0].split())]
        if not in_one_step and not out.exists():  # an export mends what a kill between the two steps left
            with suppress(ZeroDivisionError), whole_folder(out):
                _ = 1 / 0
        found = contents(out)
        assert found["a"] == found["b"] == found["c"]
        assert int(found["a"]) >= said[-1]
        last = int(found["a"])
    assert last >= 10


def test_export_is_light_until_a_format_wants_more(demo: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from selfinstruct.cli.commands import run; run(['export', sys.argv[1], '--out', sys.argv[2]]);"
        "print([m for m in ('prefect', 'openai', 'pandas', 'pyarrow', 'transformers', 'huggingface_hub', 'numba')"
        " if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(demo), str(tmp_path / "x")]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_columns_formats_and_reasons_are_described() -> None:
    text = (ROOT / "docs/export.md").read_text("utf-8")
    for name in (*COLUMNS, *KNOWN, *NOTHING, *filter(None, REASONS), *FAULTS, "end_mark"):
        assert f"`{name}`" in text, name
