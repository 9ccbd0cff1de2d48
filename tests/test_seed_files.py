"""Seed files of other people through the command line: their column names, their faults, and our own exports."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.exports.formats import WITH_INPUT, WITHOUT_INPUT
from selfinstruct.exports.row_files import NAMES, file_name
from selfinstruct.pool.opening import seeds_digest
from selfinstruct.seeds import check_seeds, read_seeds
from selfinstruct.seeds.talk import unframed
from selfinstruct.types import Instance, Task, Turn
from tests.builders import jsonl, made_pool, rows
from tests.trainers.rules import axolotl, llama_factory

ASKED, GIVEN, ANSWER = "Translate the sentence into French.", "Where is the station, please?", "Où est la gare ?"
TURNS = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWER}]


def run(*arguments: object) -> int:
    return cli.run([str(one) for one in arguments])


def seeds_of(pool: Path) -> list[tuple[str, str, str]]:
    return rows(
        pool,
        "SELECT t.instruction, i.input, i.output FROM tasks t JOIN instances i ON i.task_id = t.id "
        "WHERE t.origin = 'seed' ORDER BY t.position, i.position",
    )


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": ASKED, "input": GIVEN, "response": ANSWER},
        {"instruction": ASKED, "context": GIVEN, "output": ANSWER},
        {"instruction": ASKED, "query_context": GIVEN, "completion": ANSWER},
        {"instruction": ASKED, "input": "", "context": GIVEN, "answer": ANSWER},
        {"Instruction": ASKED, "Input Text": GIVEN, "Response": ANSWER},
        {"prompt": ASKED, "passage": GIVEN, "chosen": ANSWER, "rejected": "Non."},
        {"question": ASKED, "context": GIVEN, "answer": ANSWER},
        {"instruction": ASKED, "question": GIVEN, "answer": ANSWER},
        {"query": ASKED, "document": GIVEN, "answers": [ANSWER]},
        {"instruction": ASKED, "input": GIVEN, "output": ANSWER, "text": f"{ASKED}\n\n{GIVEN}\n\n{ANSWER}"},
        {"instruction": ASKED, "instances": [{"context": GIVEN, "response": ANSWER}]},
        {"userPrompt": ASKED, "source_document": GIVEN, "modelOutput": ANSWER},
    ],
)
def test_an_input_is_read_whichever_name_it_bears(row: dict[str, Any], tmp_path: Path) -> None:
    assert [(task.instruction, task.instances) for task in read_seeds(jsonl(tmp_path / "x.jsonl", [row]))] == [
        (ASKED, (Instance(GIVEN, ANSWER),))
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED, "completion": ANSWER},
        {"inputs": ASKED, "targets": ANSWER},
        {"input": ASKED, "output": ANSWER},
        {"prompt": ASKED, "prompt_id": "7f", "messages": TURNS, "category": "Generation"},
        {"prompt": ASKED, "chosen": TURNS, "rejected": TURNS},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"chosen": TURNS, "rejected": TURNS, "score_chosen": 5.0},
        {"chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {ANSWER}", "rejected": f"\n\nHuman: {ASKED}\n\nAssistant: Non."},
        {"chosen": f"### Human: {ASKED}\n### Assistant: {ANSWER}", "rejected": "Non."},
        {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": ANSWER}]},
        {"contents": [{"role": "user", "parts": [{"text": ASKED}]}, {"role": "model", "parts": [{"text": ANSWER}]}]},
        {"conversation": [{"human": ASKED, "assistant": ANSWER}, {"human": "And?", "assistant": "No."}]},
        {"conversation": [{"system": "", "input": ASKED, "output": ANSWER}]},
        {"id": "0", "data": [ASKED, ANSWER, "And?", "No."]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ASKED}]},
                      {"role": "assistant", "content": [{"type": "thinking", "thinking": "French"},
                                                        {"type": "text", "text": ANSWER}]}]},
        {"messages": [{"role": "prompter", "text": ASKED}, {"role": "assistant", "text": ANSWER}]},
    ],
)  # fmt: skip
def test_conversations_and_rows_without_an_input_are_read_in_the_forms_that_people_have(
    row: dict[str, Any], tmp_path: Path
) -> None:
    further = (Turn("And?", "No."),) if "And?" in json.dumps(row) else ()
    assert [(task.instruction, task.instances) for task in read_seeds(jsonl(tmp_path / "x.jsonl", [row]))] == [
        (ASKED, (Instance("", ANSWER, further),))
    ]


@pytest.mark.parametrize(
    ("more", "read", "why"),
    [
        ([("user", "And?"), ("assistant", "No."), ("user", "Why?"), ("assistant", "So.")], 2, ""),
        ([("user", "And?"), ("user", "Well?"), ("assistant", "No.")], 1, ""),
        ([("user", "And?"), ("assistant", "No."), ("user", "Why?")], 1, "the last question has no answer"),
        ([("user", "And?"), ("tool", "7"), ("assistant", "No.")], 0, "turn 4 is no text of user or assistant"),
        ([("user", "And?"), ("assistant", "")], 0, "turn 4 is no text"),
        ([("assistant", "Or so.")], 0, "turn 3 answers nothing"),
        ([("user", "And?"), ("assistant", "No."), ("system", "Be rude."), ("user", "Why?")], 1, "turn 5 is no text"),
        ([("user", "And?"), ("owl", "Hoo.")], 0, "turn 4 is no text of user or assistant"),
    ],
)
def test_a_conversation_is_read_as_far_as_questions_and_answers_go(
    more: list[tuple[str, str]], read: int, why: str, tmp_path: Path
) -> None:
    turns = [*TURNS, *({"role": role, "content": text} for role, text in more)]
    path = jsonl(tmp_path / "x.jsonl", [{"messages": turns}])
    (task,) = read_seeds(path)
    assert len(task.instances[0].turns) == read
    doubts = [one.found for one in check_seeds(path).warnings]
    assert [why in one for one in doubts] == ([True] if why else [])
    if read and not why:
        users = [text for role, text in more if role == "user"]
        assert "\n\n".join(one.user for one in task.instances[0].turns) == "\n\n".join(users)


@pytest.mark.parametrize(
    "row",
    [
        {"system_prompt": "Be brief.", "question": ASKED, "response": ANSWER, "id": "niv.1"},
        {"System Prompt": " Be brief.\n", "instruction": ASKED, "input": "", "output": ANSWER},
        {"system": "Be brief.", "instruction": ASKED, "instances": [{"input": "", "output": ANSWER}]},
        {"system": "Be brief.", "messages": TURNS},
        {"system": "Be long.", "messages": [{"role": "system", "content": "Be brief."}, *TURNS]},
        {"system": "Be brief.", "messages": [{"role": "system", "content": ""}, *TURNS]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, *TURNS]},
        {"conversations": [{"from": "system", "value": "Be brief."}, {"from": "user", "value": ASKED},
                           {"from": "assistant", "value": ANSWER}]},
        {"conversation": [{"system": "Be brief.", "input": ASKED, "output": ANSWER}]},
        {"prompt": [{"role": "system", "content": "Be brief."}, TURNS[0]], "completion": TURNS[1:]},
        {"systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
         "contents": [{"role": "user", "parts": [{"text": ASKED}]}, {"role": "model", "parts": [{"text": ANSWER}]}]},
        {"chosen": f"System: Be brief.\n\nHuman: {ASKED}\n\nAssistant: {ANSWER}", "rejected": "Non."},
    ],
)  # fmt: skip
def test_a_system_text_is_kept_apart_from_the_instruction(row: dict[str, Any], tmp_path: Path) -> None:
    (task,) = read_seeds(jsonl(tmp_path / "x.jsonl", [row]))
    assert (task.system, task.instruction, task.instances) == ("Be brief.", ASKED, (Instance("", ANSWER),))


def test_rows_with_other_system_texts_are_tasks_of_their_own_and_not_alike(tmp_path: Path) -> None:
    rows = [
        {"system": system, "instruction": ASKED, "output": answer}
        for system, answer in (("Be brief.", ANSWER), ("Be kind.", ANSWER), ("Be brief.", "Salut!"), ("", "Bonsoir!"))
    ]
    path = jsonl(tmp_path / "x.jsonl", rows)
    tasks = read_seeds(path)
    assert [(task.system, [one.output for one in task.instances]) for task in tasks] == [
        ("Be brief.", [ANSWER, "Salut!"]), ("Be kind.", [ANSWER]), ("", ["Bonsoir!"]),
    ]  # fmt: skip
    assert len({task.id for task in tasks}) == 3
    report = check_seeds(path)
    assert (report.near_duplicate_count, report.warnings) == (0, ())
    assert seeds_digest(tasks) != seeds_digest([replace(task, system="") for task in tasks])


def test_what_is_not_read_is_named_once_for_all_rows_by_check_and_by_generate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {
        "history": [["hi", "hello"]],
        "system_response": "Be strict.",
        "source": "web",
        "score": 0.5,
        "prompt_id": "x",
    }
    path = jsonl(
        tmp_path / "x.jsonl",
        [
            {"instruction": f"Explain why number {n} is odd.", "output": "It is not even.", **more}
            for n in range(1, 113)
        ],
    )
    assert run("seeds", "check", path) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("near-duplicate")]
    assert lines[0].startswith(f'warning: {path}: 112 rows: column "history" is not read; first at line 1')
    assert lines[1].startswith(f'warning: {path}: 112 rows: column "system_response" is not read; first at line 1')
    assert lines[2].startswith("note: ")
    assert '"source" and "prompt_id"' in lines[2]
    assert len(lines) == 5  # the language and the figures last
    assert run("generate", "--pool", tmp_path / "pool", "--seeds", path, "--target", 1) == 0
    told = [
        f"warning: {said}" for line in capsys.readouterr().err.splitlines() if (said := line.partition("warning: ")[2])
    ]
    assert told == lines[:2]


def test_a_check_says_nothing_of_what_it_did_not_read_and_no_language_of_few_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("seeds", "check", tmp_path / "none.jsonl") == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"error: {tmp_path / 'none.jsonl'}: no such file; ")
    rows = [{"instruction": f"Explain why number {n} is odd.", "output": "It is not."} for n in range(20)]
    for few, shown in ((rows[:19], 0), (rows, 1)):
        assert run("seeds", "check", jsonl(tmp_path / "x.jsonl", few)) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("language: ") for line in lines) == shown
        assert f"{len(few)} tasks with" in lines[-1]


def faulty(path: Path) -> Path:
    good = [{"instruction": f"Name {n} things that float.", "input": "", "output": f"{n} corks."} for n in (3, 4, 5)]
    bad = [{"instruction": f"Write {n} lines of code.", "input": "", "output": ""} for n in range(28)]
    return jsonl(path, [good[0], *bad, {"instruction": 7, "output": "x"}, *good[1:]])


def test_one_faulty_row_refuses_a_file_and_says_the_ways_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, pool = faulty(tmp_path / "x.jsonl"), tmp_path / "pool"
    assert run("generate", "--pool", pool, "--seeds", path) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    assert '28 rows: "output" is empty; first at line 2;' in refused
    assert "--skip-faulty-seeds" in refused
    assert not pool.exists()
    assert run("generate", "--pool", pool, "--seeds", path, "--skip-faulty-seeds", "--target", 2, "--dry-run") == 0
    assert "29 faulty rows are skipped, 3 are read" in capsys.readouterr().err
    assert run("generate", "--pool", pool, "--seeds", path, "--skip-faulty-seeds", "--target", 2) == 0
    told = capsys.readouterr().err
    assert "29 faulty rows are skipped, 3 are read" in told
    assert '28 rows: "output" is empty; first at line 2' in told
    assert f'{path}:30: "instruction" is a number (7)' in told
    assert len(seeds_of(pool)) == 3


def test_the_good_rows_are_written_as_they_were_and_never_over_the_file_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, good = faulty(tmp_path / "x.jsonl"), tmp_path / "good.jsonl"
    before = path.read_bytes()
    assert run("seeds", "check", path) == 2
    assert capsys.readouterr().out.count("error: ") == 2
    assert run("seeds", "check", path, "--write-good", good) == 0
    lines = before.splitlines()
    assert [json.loads(line) for line in good.read_bytes().splitlines()] == [json.loads(lines[n]) for n in (0, 30, 31)]
    assert run("seeds", "check", good) == 0
    (tmp_path / "link.jsonl").symlink_to(path)
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("x.jsonl", "link.jsonl", "folder.jsonl", "good.csv"):
        capsys.readouterr()
        assert run("seeds", "check", path, "--write-good", tmp_path / name) == 2, name
        assert capsys.readouterr().err.count("\n") == 1
    assert path.read_bytes() == before
    hopeless = jsonl(tmp_path / "bad.jsonl", [{"instruction": "Do it now.", "output": ""}])
    assert run("seeds", "check", hopeless, "--write-good", tmp_path / "none.jsonl") == 2
    assert not (tmp_path / "none.jsonl").exists()
    assert run("generate", "--pool", tmp_path / "p", "--seeds", hopeless, "--skip-faulty-seeds") == 2


TASKS = [
    Task("t1", ASKED, False, (Instance(GIVEN, ANSWER), Instance("Good\n\nevening", "Bonsoir,\nmon ami"))),
    Task("t2", "写一首诗。", False, (Instance("", "秋风起,\n叶落。"),)),
    Task("t3", "Is the sentence happy or sad?", True, (Instance("I won!", "happy"),)),
]
ROWS = [(task.instruction, one.input, one.output) for task in TASKS for one in task.instances]


@pytest.mark.parametrize("name", NAMES)
def test_every_form_that_export_writes_is_a_seed_file(name: str, tmp_path: Path) -> None:
    pool, out = made_pool(tmp_path / "pool", TASKS), tmp_path / "export"
    assert run("export", pool, "--format", name, "--out", out, "--system", "Be brief.") == 0
    found = [
        (task.instruction, one.input, one.output)
        for task in read_seeds(out / file_name(name, None))
        for one in task.instances
    ]
    if name in {
        "messages",
        "sharegpt",
        "prompt-completion",
        "prompt-completion-plain",
        "gemini-tuning",
        "mlx",
    }:  # one text
        assert found == [(f"{asked}\n\n{given}" if given else asked, "", answer) for asked, given, answer in ROWS]
    else:
        assert found == ROWS
    assert run("seeds", "check", out / file_name(name, None)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_system_texts_come_back_from_every_form_that_has_a_place_for_them(name: str, tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "system", "content": "Be brief.\nBe kind."}, *TURNS]},
        {"messages": [{"role": "user", "content": "Sing."}, {"role": "assistant", "content": "La."}]},
    ]
    command = ["--seeds", jsonl(tmp_path / "x.jsonl", rows), "--pool", tmp_path / "pool", "--target", 1]
    assert run("generate", *command) == 0
    assert [one.system for one in read_seeds(tmp_path / "x.jsonl")] == ["Be brief.\nBe kind.", ""]
    command = ["export", tmp_path / "pool", "--format", name, "--include-seeds", "--system", "Be wise."]
    assert run(*command, "--out", tmp_path / "out") == 0
    found = [(task.system, task.instruction) for task in read_seeds(tmp_path / "out" / file_name(name, None))]
    if json.loads((tmp_path / "out" / "dataset_info.json").read_text()):
        assert llama_factory(tmp_path / "out") == []
    if (tmp_path / "out" / "axolotl.yaml").exists():
        assert axolotl(tmp_path / "out" / "axolotl.yaml") == []
        assert name in {"messages", "sharegpt", "alpaca", "prompt-completion-plain"}  # not a table: axolotl drops it
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["figures"]["rows_with_system"] == 1
    without = {"alpaca", "self-instruct", "prompt-completion-plain"}
    assert manifest["left_out"]["by_format"] == ({name: {"system": 1}} if name in without else {})
    others = "" if name in {*without, "csv", "parquet"} else "Be wise."
    assert found[:2] == ([] if name in without else [("Be brief.\nBe kind.", ASKED)]) + [(others, "Sing.")] + (
        [(others, found[1][1])] if name in without else []
    )


@pytest.mark.parametrize("frame", [*WITH_INPUT, *WITHOUT_INPUT])
def test_what_stands_around_a_prompt_of_self_instruct_is_taken_off(frame: Any) -> None:
    given = GIVEN if frame in WITH_INPUT else ""
    prompt = frame.before + ASKED + frame.between + given + frame.after
    instruction, read, output = unframed(prompt, " " * prompt.endswith(":") + ANSWER + "<|endoftext|>")
    assert output == ANSWER
    assert " ".join(f"{instruction} {read}".split()) == f"{ASKED} {given}".strip()
    assert unframed(prompt, ANSWER) == (prompt, "", ANSWER)
    assert unframed(ASKED, f"{ANSWER}<|endoftext|>") == (ASKED, "", f"{ANSWER}<|endoftext|>")


def test_shipped_seeds_go_by_their_names_and_a_file_of_that_name_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "en").mkdir()  # a folder is no file of that name
    for name, count in (("zh", 100), ("en", 175)):
        assert run("generate", "--pool", tmp_path / name / "pool", "--seeds", name, "--target", 1) == 0
        connection = sqlite3.connect(tmp_path / name / "pool" / "pool.db")
        assert connection.execute("SELECT COUNT(*) FROM tasks WHERE origin = 'seed'").fetchone() == (count,)
        connection.close()
    capsys.readouterr()
    assert run("generate", "--pool", "pool", "--seeds", "zhh") == 2
    assert capsys.readouterr().err.endswith("or seeds that come with the package: en, zh (did you mean zh?)\n")
    jsonl(tmp_path / "fr", [{"instruction": "Nomme une ville.", "output": "Lyon"}])
    jsonl(tmp_path / "zh.jsonl", [{"instruction": "Nomme une ville.", "output": "Lyon"}])
    (tmp_path / "zh").rename(tmp_path / "away")
    (tmp_path / "fr").rename(tmp_path / "zh")
    assert run("generate", "--pool", "own", "--seeds", "zh", "--target", 1) == 0
    assert seeds_of(tmp_path / "own") == [("Nomme une ville.", "", "Lyon")]
