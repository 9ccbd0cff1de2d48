"""Seed files of every form and container, good ones and bad ones."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq

from selfinstruct.errors import SeedError
from selfinstruct.seeds import Place, check_seeds, read_seeds
from selfinstruct.seeds.checking import MAX_PAIRS, near_duplicates
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Instance, Task, Turn

Rows = Sequence[dict[str, Any]]

OWN: Rows = [
    {"id": "capital", "name": "capitals", "instruction": "Name the capital of the country.",
     "instances": [{"input": "France", "output": "Paris"}, {"input": "Peru", "output": "Lima, a\ncity"}],
     "is_classification": False},
    {"id": "mood", "name": "", "instruction": "Is the sentence happy or sad?",
     "instances": [{"input": "I won!", "output": "happy"}], "is_classification": True},
    {"id": "诗", "name": "poem", "instruction": '写一首关于"秋天"的诗。',
     "instances": [{"input": "", "output": "秋风起,\n  叶落, 无声。"}], "is_classification": False},
]  # fmt: skip
ALPACA: Rows = [
    {"instruction": "Name the capital.", "input": "France", "output": "Paris"},
    {"instruction": "写一首诗。", "input": "", "output": "秋风起,\n叶落。"},
    {"instruction": "Name the capital.", "input": "Peru", "output": 'Lima, "city"'},
]
DOLLY: Rows = [
    {"instruction": "Name the capital.", "context": "France", "response": "Paris", "category": "closed_qa"},
    {"instruction": "Happy or sad?", "context": "I won!", "response": "happy", "category": "classification"},
    {"instruction": "Tell a joke.", "context": "", "response": "No.", "category": "creative_writing"},
]
CHAT: Rows = [
    {"messages": [{"role": "user", "content": "Name a city."}, {"role": "assistant", "content": "Paris"}]},
    {"messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Tell a joke."}, {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Please."}, {"role": "assistant", "content": "Fine."},
    ]},
]  # fmt: skip


def seed(
    instruction: str, *instances: tuple[str, str], task_id: str = "", name: str = "", is_classification: bool = False
) -> Task:
    return Task(task_id, instruction, is_classification, tuple(Instance(*pair) for pair in instances), "seed", name)


FORMS: dict[str, tuple[Rows, list[Task]]] = {
    "own": (OWN, [
        seed("Name the capital of the country.", ("France", "Paris"), ("Peru", "Lima, a\ncity"), task_id="capital",
             name="capitals"),
        seed("Is the sentence happy or sad?", ("I won!", "happy"), task_id="mood", is_classification=True),
        seed('写一首关于"秋天"的诗。', ("", "秋风起,\n  叶落, 无声。"), task_id="诗", name="poem"),
    ]),
    "Alpaca": (ALPACA, [
        seed("Name the capital.", ("France", "Paris"), ("Peru", 'Lima, "city"')),
        seed("写一首诗。", ("", "秋风起,\n叶落。")),
    ]),
    "Dolly": (DOLLY, [
        seed("Name the capital.", ("France", "Paris")),
        seed("Happy or sad?", ("I won!", "happy"), is_classification=True),
        seed("Tell a joke.", ("", "No.")),
    ]),
    "chat": (CHAT, [
        seed("Name a city.", ("", "Paris")),
        replace(
            seed("Tell a joke."), instances=(Instance("", "No.", (Turn("Please.", "Fine."),)),), system="Be short."
        ),
    ]),
}  # fmt: skip


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def write_jsonl_of_windows(path: Path, rows: Rows) -> None:
    lines = "\r\n\r\n".join(json.dumps(row) for row in rows)
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode())


def write_json(path: Path, rows: Rows) -> None:
    path.write_bytes(json.dumps(rows, ensure_ascii=False, indent=2).encode())


def write_json_on_one_line(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows))


def write_csv(path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> None:
    cells = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(cells)


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


CONTAINERS: dict[str, tuple[str, str, Callable[[Path, Rows], None]]] = {
    "JSON Lines": ("x.jsonl", "JSON Lines", write_jsonl),
    "JSON Lines of Windows": ("x.ndjson", "JSON Lines", write_jsonl_of_windows),
    "JSON Lines called .json": ("x.json", "JSON Lines", write_jsonl),
    "JSON Lines without an extension": ("x", "JSON Lines", write_jsonl),
    "JSON array": ("x.json", "JSON array", write_json),
    "JSON array called .jsonl": ("x.jsonl", "JSON array", write_json),
    "JSON array on one line": ("x.txt", "JSON array", write_json_on_one_line),
    "CSV": ("x.csv", "CSV", write_csv),
    "CSV of Excel": ("x.csv", "CSV", partial(write_csv, delimiter=";", encoding="utf-8-sig")),
    "tab-separated": ("x.tsv", "CSV", partial(write_csv, delimiter="\t")),
    "CSV called .txt": ("x.txt", "CSV", write_csv),
    "Parquet": ("x.parquet", "Parquet", write_parquet),
    "Parquet without an extension": ("x", "Parquet", write_parquet),
}


def without_derived_id(task: Task) -> Task:
    return replace(task, id="") if re.fullmatch("s[0-9a-f]{20}", task.id) else task


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_container_gives_the_same_tasks(form: str, container: str, tmp_path: Path) -> None:
    rows, tasks = FORMS[form]
    name, kind, write = CONTAINERS[container]
    write(tmp_path / name, rows)
    assert [without_derived_id(task) for task in read_seeds(tmp_path / name)] == tasks
    report = check_seeds(tmp_path / name)
    read_as = {"Alpaca": "columns", "Dolly": "columns"}.get(form, form)
    assert (report.errors, report.container, dict(report.forms)) == ((), kind, {read_as: len(rows)})


def test_forms_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [*OWN, *ALPACA, *DOLLY, *CHAT])
    assert check_seeds(path).forms == {"own": 3, "columns": 6, "chat": 2}
    capital = next(task for task in read_seeds(path) if task.instruction == "Name the capital.")
    assert [instance.input for instance in capital.instances] == ["France", "Peru", "France"]


def test_a_parquet_file_of_two_forms_has_nulls_where_a_form_has_no_field(tmp_path: Path) -> None:
    columns = {key for row in [*ALPACA, *DOLLY] for key in row}
    write_parquet(tmp_path / "y.parquet", [dict.fromkeys(columns) | row for row in [*ALPACA[:2], DOLLY[1]]])
    outputs = [task.instances[0].output for task in read_seeds(tmp_path / "y.parquet")]
    assert outputs == ["Paris", "秋风起,\n叶落。", "happy"]


def test_derived_ids_follow_from_the_instruction_alone(tmp_path: Path) -> None:
    def ids(rows: Rows) -> dict[str, str]:
        write_jsonl(tmp_path / "x.jsonl", rows)
        return {task.instruction: task.id for task in read_seeds(tmp_path / "x.jsonl")}

    assert ids(ALPACA) == ids(ALPACA[::-1])
    assert ids(DOLLY)["Name the capital."] == ids(ALPACA)["Name the capital."]
    own = [{"instruction": "Do.", "instances": [{"output": word}]} for word in ("a", "b")]
    write_jsonl(tmp_path / "x.jsonl", own)
    assert len({task.id for task in read_seeds(tmp_path / "x.jsonl")}) == 2


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"id": 7, "instruction": " Do.\n", "instances": [{"output": " a "}]}, seed("Do.", ("", " a "), task_id="7")),
        ({"id": "", "instruction": "Do.", "output": "a", "input": " \n"}, seed("Do.", ("", "a"))),
        ({"instruction": "Do.", "output": "a", "input": math.nan}, seed("Do.", ("", "a"))),
        ({"id": None, "name": None, "instruction": "Do.", "output": "a", "input": None}, seed("Do.", ("", "a"))),
        ({"id": "a", "instruction": "Do.", "response": "b", "category": None}, seed("Do.", ("", "b"), task_id="a")),
        ({"instruction": "Do.", "output": "a", "messages": []}, seed("Do.", ("", "a"))),
        *(
            (
                {"instruction": "Do.", "output": "a", "is_classification": yes},
                seed("Do.", ("", "a"), is_classification=True),
            )
            for yes in (True, "true", "yes", "Yes", " TRUE", "1", 1, 1.0)
        ),
        *(
            (
                {"instruction": "Do.", "response": "a", "is_classification": no, "category": "classification"},
                seed("Do.", ("", "a")),
            )
            for no in (False, "false", "No", "0", 0)
        ),
        (
            {"instruction": "Do.", "response": "a", "is_classification": "", "category": " Classification"},
            seed("Do.", ("", "a"), is_classification=True),
        ),
    ],
)
def test_what_may_be_left_out_or_written_in_another_way(row: dict[str, Any], task: Task, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [row])
    assert [without_derived_id(read) for read in read_seeds(tmp_path / "x.jsonl")] == [task]


GOOD = '{"instruction": "Do.", "output": "a"}'


def said_by(*turns: Any) -> str:
    return json.dumps({"messages": turns})


def alpaca(**changes: Any) -> str:
    return json.dumps({"instruction": "a", "output": "b", **changes})


def own(*instances: Any) -> str:
    return json.dumps({"instruction": "a", "instances": instances})


def turn(role: Any, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


IMAGE = [{"type": "image_url", "image_url": {}}]
BAD: dict[str, list[tuple[str | bytes, str]]] = {
    "x.jsonl": [
        # Files as a whole, bytes and JSON.
        ("", ": the file is empty"),
        ("\n  \r\n\n", ": only blank lines"),
        ("\u3000\n", ": only blank lines"),
        (GOOD.encode("utf-16") + b"\0\xd8", ": UTF-16 text that is broken"),
        (GOOD.encode() + b"\n{\xe9", ":2: not UTF-8: byte 0xe9 at byte offset 39"),
        (b"\xef\xbb\xbf\n\xff", ":2: not UTF-8: byte 0xff at byte offset 4"),
        (GOOD + '\n{"instruction": }', ":2: malformed JSON at column 17 (expecting value)"),
        ('{"a": "b', ":1: malformed JSON at column 7 (unterminated string starting)"),
        (GOOD + GOOD, f":1: malformed JSON at column {len(GOOD) + 1} (extra data)"),
        ("[" * 100_000, ":1: item 1: JSON nested too deeply"),
        ('{"a": ' + "[" * 100_000, ":1: JSON nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", ":1: JSON with a number too long to read"),
        (GOOD + '\n"Do."', ":2: text where an object belongs"),
        ('["Do."]\n' + GOOD, ":1: a list where an object belongs"),
        ("null", ":1: null where an object belongs"),
        # Forms.
        ("{}", ":1: an empty object"),
        ('{"instruction": "a"}', ':1: no "output" beside "instruction"'),
        ('{"\\n": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1}',
         ':1: no task form is made of "\\n", "b", "c", "d", "e", "f" and 2 more'),
        ('{"instruction": "a", "input": "b"}', ':1: no "output" beside "instruction" and "input"'),
        ('{"instrukction": "a", "input": "c", "response": "b"}',
         ':1: no "instruction", but "instrukction" looks like it; rename "instrukction" to "instruction"'),
        ('{"instances": []}', ':1: no "instruction" beside "instances"'),
        ('{"message": []}', ':1: no "messages", but "message" looks like it'),
        # Values.
        (own(), ':1: "instances" is empty'),
        (alpaca(output=None, instances={"output": "b"}), ':1: "instances" is an object'),
        (own("b"), ":1: instance 1 is text"),
        (own({"output": "b"}, {"input": "c"}), ':1: instance 2 has no "output";'),
        (own({"ouput": "b"}), ':1: instance 1 has no "output", but "ouput" looks like it'),
        (own({"input": 4.5, "output": "b"}), ':1: "input" of instance 1 is a number (4.5); write it as text: "4.5"'),
        (own({"output": " \n"}), ':1: "output" of instance 1 is empty'),
        (alpaca(instruction="  "), ':1: "instruction" is empty'),
        (alpaca(instruction=["a", "c"]), ':1: "instruction" is a list'),
        (alpaca(output=None), ':1: "output" is null'),
        (alpaca(output=42), ':1: "output" is a number (42); write it as text: "42"'),
        (alpaca(output=True), ':1: "output" is the truth value true'),
        (alpaca(is_classification="maybe"), ':1: "is_classification" is "maybe"'),
        (alpaca(is_classification=2), ':1: "is_classification" is a number'),
        (alpaca(id=[1]), ':1: "id" is a list'),
        (alpaca(instruction="a\0"), ':1: "instruction" holds a NUL character'),
        (alpaca(output="b\ud83d"), ':1: "output" holds a lone surrogate (\\ud83d)'),
        (alpaca(id="a") + "\n\n" + alpaca(id="a", instruction="c"), ':3: "id" is "a", as at line 1'),
        # Conversations.
        (said_by(), ':1: "messages" is empty'),
        ('{"messages": "hello"}', ':1: "messages" is text'),
        (said_by("hello"), ":1: turn 1 is text"),
        (said_by({"value": "a"}), ':1: turn 1 has no "role"'),
        (said_by(turn("user", "a"), turn("narrator", "b")), ':1: "role" of turn 2 is "narrator"'),
        (said_by(turn("user", IMAGE)), ':1: "content" of turn 1 holds a part of type "image_url"'),
        (said_by(turn(["user"], "a")), ':1: "role" of turn 1 is a list'),
        (said_by(turn("assistant", "a")), ':1: "messages" has no "user" turn'),
        (said_by(turn("user", "a")), ':1: "messages" has no "assistant" turn after the first "user" turn'),
        (said_by({"role": "user"}, turn("assistant", "b")), ':1: "content" of turn 1 is missing'),
        (said_by(turn("user", "a"), turn("assistant", None)), ':1: "content" of turn 2 is null'),
    ],
    "x.csv": [
        ("\ufeff", ": the file is empty"),
        (",,\n", ": only blank lines"),
        ("instruction,output\n", ":1: a header and no rows"),
        (b"instruction,output\nDo.,caf\xe9\n", ":2: not UTF-8: byte 0xe9 at byte offset 26"),
        (b"\xef\xbb\xbfinstruction\n\xff", ":2: not UTF-8: byte 0xff at byte offset 15"),
        ("instruction,output\nDo.\n", ":2: 1 cell where the header has 2"),
        ('instruction,output\n"Do\nit.",a\n\nDo,a,b\n', ":5: 3 cells where the header has 2"),
        ('instruction,output\nDo.,a\n"Do,b\nc,d\n', ":3: a quoted cell that is never closed"),
        ('instruction,output\n"Do" it,b\n', ":2: text after the closing quote of a cell"),
        ("instruction,output,output\nDo.,a,b\n", ':1: the header has "output" twice'),
        ("\ninstruction,outptu\nDo.,a\nDo,b\n", ':2: no "output", but "outptu" looks like it'),
        ("a,b\n1,2\n", ':1: no task form is made of "a" and "b"'),
        ("instruction,instances\nDo.,[{'output': 'a'}]\n", """:2: "instances" is not JSON: "[{'output': 'a'}]\""""),
        ("instruction,instances\nDo.,\n", ':2: "instances" is null'),
        ("instruction,output\nDo.,\n", ':2: "output" is empty'),
    ],
    "x.json": [
        ("[]", ": an empty list"),
        ('{"data":\n []}', ':1: "data" is empty'),
        ("3", ":1: a number where an object belongs"),
        (f"[{GOOD},\n{GOOD},\n 3]", ":3: item 3: a number where an object belongs"),
        (f"[{GOOD},\n]", ":2: item 2: malformed JSON at column 1 (expecting value)"),
        (f"[{GOOD}\n{GOOD}]", ":2: item 1: malformed JSON at column 1 (expecting ',' or ']')"),
        (f"[{GOOD}] x", f":1: item 1: malformed JSON at column {len(GOOD) + 4} (extra data)"),
        (f"[{GOOD}", f":1: item 1: malformed JSON at column {len(GOOD) + 2} (expecting ',' or ']')"),
        ('{\n"instruction": Do}', ":2: malformed JSON at column 16 (expecting value)"),
        (f"[{alpaca(id=1)},\n{alpaca(id='1', instruction='c')}]", ':2: item 2: "id" is "1", as at line 1, item 1'),
    ],
    "x.parquet": [("nonsense", ": not a Parquet file")],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "found"), [(name, *one) for name, bad in BAD.items() for one in bad])
def test_a_bad_file_is_refused_with_one_clear_line(name: str, content: str | bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SeedError) as caught:
        read_seeds(path)
    said = str(caught.value)
    assert said.startswith(f"{path}{found}")
    assert "\n" not in said
    (error,) = check_seeds(path).errors
    assert said.removesuffix("; --skip-faulty-seeds goes on without such rows") == error.text(path)
    assert error.remedy


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(SeedError) as caught:
            read_seeds(path)
        return str(caught.value).removeprefix(str(path))

    name = "name a seed file: .jsonl, .json, .csv or .parquet"
    shipped = ", or seeds that come with the package: en, zh"
    assert said(tmp_path / "none.jsonl") == f": no such file; {name}{shipped}"
    assert said(tmp_path / "ZH.jsonl") == f": no such file; {name}{shipped} (did you mean zh?)"
    assert said(tmp_path) == f": a folder; {name}"
    (tmp_path / "x").write_text("")
    assert said(tmp_path / "x" / "y.jsonl") == f": no such file; {name}{shipped}"
    assert check_seeds(tmp_path / "none.jsonl").errors[0].place == Place()


def test_faults_in_parquet_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"

    def said(**columns: Any) -> str:
        pq.write_table(pa.table(columns), path)
        (error,) = check_seeds(path).errors
        return error.text(path).removeprefix(str(path)).rpartition("; ")[0]

    none = pa.array([], pa.string())
    broken = pa.array([b"a", b"caf\xe9", b"c"]).view(pa.string())
    assert said(instruction=["a", "b", "c"], output=["1", "", ""]) == ': 2 rows: "output" is empty; first at row 2'
    assert said(instruction=["a"], output=[1]) == ': row 1: "output" is a number (1)'
    assert said(instruction=["a"], ouput=["b"]) == ': no "output", but "ouput" looks like it'
    assert said(instruction=[b"a"], output=["b"]) == ': row 1: "instruction" is bytes'
    assert said(instruction=none, output=none) == ": a Parquet file without rows"
    assert said(instruction=["a", "b", "c"], output=broken) == ": row 2: text that is not UTF-8 (byte 0xe9)"
    assert said(id=[1, 1], instruction=["a", "b"], output=["c", "c"]) == ': row 2: "id" is "1", as at row 1'
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(40) + whole[44:])
    assert check_seeds(path).errors[0].text(path).startswith(f"{path}: row 1: not readable as Parquet (")
    path.write_bytes(whole[:-20])
    assert check_seeds(path).errors[0].found.startswith("not readable as Parquet (")


def test_reading_names_the_first_fault_and_checking_lists_all(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{GOOD}\n{{"instruction": "", "output": 1}}\nnonsense\n{GOOD}\n{{"messages": []}}\n')
    with pytest.raises(SeedError) as caught:
        read_seeds(path)
    assert str(caught.value) == (
        f'{path}:2: "instruction" is empty; write it, or leave the task out; '
        "--skip-faulty-seeds goes on without such rows "
        f"(3 more: python -m selfinstruct seeds check {path} lists all)"
    )
    report = check_seeds(path)
    assert [(error.line, error.field) for error in report.errors] == [
        (2, "instruction"),
        (2, "output"),
        (3, ""),
        (5, "messages"),
    ]
    assert (report.tasks, report.instances) == (1, 2)


def test_doubts_are_warnings_and_the_same_doubt_about_many_rows_is_one(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows: Rows = [
        *({"instruction": f"Do {word}.", "inptu": "x", "output": "y", "source": "web"} for word in ("this", "that")),
        {"instruction": "Sing.", "instances": [{"Input": "x", "output": "y"}], "is_clasification": True},
        *CHAT,
        {"instruction": "Name a city.", "response": "Paris", "category": "classification"},
    ]
    write_jsonl(path, rows)
    assert len(read_seeds(path)) == 5
    report = check_seeds(path)
    assert report.errors == ()
    assert [warning.text(path).removeprefix(str(path)) for warning in report.warnings] == [
        ': 2 rows: "inptu" is not read, but looks like "input"; first at line 1; rename it to "input" if that is meant',
        (
            ':3: "is_clasification" is not read, but looks like "is_classification"; '
            'rename it to "is_classification" if that is meant'
        ),
        (
            ":6: the instruction of line 4 again, but not alike in whether it is a classification; "
            "make both rows say the same; the first one counts"
        ),
        ":6: the instruction, input and output of line 4 again; remove one of the rows",
    ]


def test_the_report_counts_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    again = OWN[0] | {"id": "again", "instruction": "name the capital of a country"}
    write_jsonl(path, [*OWN[:2], again])
    report = check_seeds(path, lambda task: ["starts small"] if task.instruction[0].islower() else [])
    assert (report.tasks, report.instances, report.classifications, report.instances_without_input) == (3, 5, 1, 0)
    assert (report.mean_words, report.leading_words) == (6.0, 2)
    assert [(f.line, f.found, f.severity) for f in report.faults] == [(3, "starts small", "warning")]
    [pair] = report.near_duplicates
    assert (pair.place, pair.other_place, pair.score) == (Place(1), Place(3), 10 / 12)
    assert pair.other_text == again["instruction"]
    assert check_seeds(path, threshold=10 / 12).near_duplicate_count == 0


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
not_blank = text.filter(lambda value: bool(value.strip()))
tasks = st.builds(
    Task,
    id=not_blank.map(str.strip),
    instruction=not_blank.map(str.strip),
    is_classification=st.booleans(),
    instances=st.lists(
        st.builds(Instance, input=text.map(lambda value: value if value.strip() else ""), output=not_blank),
        min_size=1,
        max_size=3,
    ).map(tuple),
    origin=st.just("seed"),
    name=text,
)


@given(
    st.lists(tasks, min_size=1, max_size=5, unique_by=lambda task: task.id), st.sampled_from(["jsonl", "json", "csv"])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_tasks_written_in_the_own_form_are_read_back_equal(tmp_path: Path, written: list[Task], suffix: str) -> None:
    rows = [{key: value for key, value in asdict(task).items() if key != "origin"} for task in written]
    for row in rows:
        row["instances"] = list(row["instances"])
    path = tmp_path / f"x.{suffix}"
    {"jsonl": write_jsonl, "json": write_json, "csv": write_csv}[suffix](path, rows)
    assert read_seeds(path) == tuple(written)


@given(st.binary(), st.sampled_from(["x.jsonl", "x.json", "x.csv", "x.parquet", "x"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_bytes_make_anything_but_tasks_or_faults(tmp_path: Path, raw: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(raw)
    report = check_seeds(tmp_path / name)
    assert report.errors or report.tasks


FIELDS = ["id", "instruction", "instances", "input", "output", "response", "messages", "role", "is_classification"]
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), values, max_size=5),
)


@given(st.lists(json_values, min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_json_makes_anything_but_tasks_or_faults(tmp_path: Path, values: list[Any]) -> None:
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, values)))
    report = check_seeds(tmp_path / "x.jsonl")
    assert report.errors or report.tasks
    for fault in report.faults:
        assert "\n" not in fault.text(Path("x.jsonl"))


def pairs_one_by_one(texts: list[str], threshold: str) -> list[tuple[int, int, float]]:
    tokens = [tokenize(text) for text in texts]
    found = []
    for j, other in enumerate(tokens):
        for i, one in enumerate(tokens[:j]):
            common = LCSseq.similarity(one, other)
            if common and Fraction(2 * common, len(one) + len(other)) > Fraction(threshold):
                found.append((i, j, 2 * common / (len(one) + len(other))))
    return sorted(found)


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12).map(" ".join), max_size=30),
    st.sampled_from(["0", "0.3", "0.5", "0.7", "0.75", "0.8", "1"]),
)
def test_near_duplicates_are_those_of_a_comparison_one_by_one(texts: list[str], threshold: str) -> None:
    found, count = near_duplicates(texts, float(threshold))
    assert sorted(found) == pairs_one_by_one(texts, threshold)
    assert (count, found) == (len(found), sorted(found, key=lambda pair: (-pair[2], pair[:2])))


def test_near_duplicates_among_long_texts_are_those_of_a_comparison_one_by_one() -> None:
    draw = random.Random(1)
    words = [f"w{i}" for i in range(300)]
    texts = []
    for _ in range(100):
        texts.append(draw.choices(words, k=draw.randint(1, 150)))
        texts.append([word if draw.random() < 0.7 else draw.choice(words) for word in texts[-1]])
    joined = [" ".join(text) for text in texts]
    found, _ = near_duplicates(joined, 0.7)
    assert sorted(found) == pairs_one_by_one(joined, "0.7")
    assert any(len(texts[i]) > 64 for i, _, _ in found)


def test_of_a_file_of_copies_all_pairs_are_counted_and_some_are_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"instruction": "Do it.", "instances": [{"output": "a"}]}] * 200)
    report = check_seeds(tmp_path / "x.jsonl")
    assert (report.near_duplicate_count, len(report.near_duplicates)) == (200 * 199 // 2, MAX_PAIRS)


def test_five_thousand_rows_are_read_in_2_s_and_checked_in_10_s_of_work(tmp_path: Path) -> None:
    draw = random.Random(1)
    words = [f"w{number}" for number in range(8000)]
    often = list(accumulate(1 / (rank + 1) for rank in range(len(words))))

    def sentence(low: int, high: int) -> str:
        return " ".join(draw.choices(words, cum_weights=often, k=draw.randint(low, high)))

    rows = [
        {"instruction": sentence(5, 25), "context": sentence(0, 100), "response": sentence(20, 100)}
        for _ in range(5000)
    ]
    rows[9] = rows[8] | {"instruction": rows[8]["instruction"] + " indeed"}
    write_jsonl(tmp_path / "x.jsonl", rows)
    start = time.process_time()
    tasks = read_seeds(tmp_path / "x.jsonl")
    assert time.process_time() - start < 2
    start = time.process_time()
    report = check_seeds(tmp_path / "x.jsonl")
    assert time.process_time() - start < 10
    assert sum(len(task.instances) for task in tasks) == report.instances == 5000
    assert (Place(9), Place(10)) in {(pair.place, pair.other_place) for pair in report.near_duplicates}
