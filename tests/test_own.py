"""What users write themselves, from outside the package: a check, a recipe, a form of export, a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.checks.screening import screen_instances
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.exports.writing import export
from selfinstruct.types import InstanceCandidate, Task
from tests.builders import exported, grow, rows

CHECK = """
def no_questions(instruction):
    return "is_question: it asks" if instruction.rstrip().endswith("?") else None

def short(task, instance):
    return "too_wordy" if len(instance.output.split()) > 60 else None
"""
RECIPE = """
from dataclasses import replace

from selfinstruct.recipes import RECIPES
from selfinstruct.types import InstanceCandidate, Message, Prompt, Written

async def write_instances(task, ask, settings, seeds, fault):
    answer = await ask(Prompt("respond", 0, (Message("user", task.instruction),)))
    row = InstanceCandidate(answer.request_id, 0, "", answer.text.strip(), answer.finish_reason)
    return Written(False, (row,))

outputs_alone = replace(RECIPES["chat"], stages=("propose", "respond"), write_instances=write_instances)
"""
FORM = """
def question_and_answer(row):
    return None if row.input else {"q": row.instruction, "a": row.output}
"""
MODEL = """
import json

NUMBERS = iter(range(10**6))

async def answer(messages, options):
    schema = options.get("response_format", {}).get("json_schema", {}).get("name")
    if schema == "new_tasks":
        tasks = [f"Explain why number {next(NUMBERS)} {word} matters to {word} people." for word in WORDS]
        return json.dumps({"tasks": [{"instruction": text, "is_classification": False} for text in tasks]})
    if schema:
        return json.dumps({"missing": "nothing", "inputs": []})
    text = f"It helps {messages[-1]['content'].split()[-2]} people plan."
    return {"text": text, "prompt_tokens": 9, "completion_tokens": 6}

WORDS = ("harbour", "violin", "orchard", "desert", "engine", "poetry")
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "own.py"
    path.write_text(text, encoding="utf-8")
    return path


def config(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_check_of_instructions_and_one_of_instances_stand_in_one_list(tmp_path: Path) -> None:
    own = written(tmp_path, CHECK)
    chosen = config(tmp_path, f'[filters]\nchecks = ["default", "{own}:no_questions", "{own}:short"]\n')
    grow(tmp_path / "p", target=60, config=chosen)
    found = dict(rows(tmp_path / "p", "SELECT reason, MIN(kind) FROM rejections GROUP BY 1"))
    assert (found["is_question"], found["too_wordy"]) == ("instruction", "instance")
    (questions,) = rows(
        tmp_path / "p", "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND instruction LIKE '%?'"
    )
    assert questions == (0,)
    own.unlink()
    grow(tmp_path / "p", target=62, config=config(tmp_path, ""))
    assert exported(tmp_path / "p")


def test_checks_run_in_the_order_of_the_list_and_each_can_be_taken_out(tmp_path: Path) -> None:
    own = written(tmp_path, "def own(task, instance):\n    return 'own_reason'\n")
    text = "Write the word HELLO in capital letters, please"

    def found(*names: str) -> str:
        listed = ", ".join(json.dumps(name) for name in names)
        of = pool_settings(load(config(tmp_path, f"[filters]\nchecks = [{listed}]\n"), {}), "m")
        candidate = InstanceCandidate("r", 0, "", "<|im_end|>")
        _, rejected = screen_instances(Task("t", text, False), [candidate], of)
        return rejected[0].reason if rejected else "kept"

    assert found("default", f"{own}:own") == "leftover_marker"
    assert found(f"{own}:own", "default") == "own_reason"
    assert found("no_regex:im_end", "default") == "unwanted_match"
    assert found("default", "-leftover_marker", f"{own}:own") == "own_reason"
    assert found("default", "-leftover_marker") == "kept"
    assert found() == "kept"


def test_a_package_brings_a_check_a_recipe_and_a_form_of_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brought.py").write_text(CHECK + RECIPE + FORM, encoding="utf-8")
    about = tmp_path / "brought-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[selfinstruct.checks]\nno_questions = brought:no_questions\n"
        "[selfinstruct.recipes]\noutputs_alone = brought:outputs_alone\n"
        "[selfinstruct.exports]\nqa = brought:question_and_answer\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    chosen = config(tmp_path, '[recipe]\nname = "outputs_alone"\n[filters]\nchecks = ["default", "no_questions"]\n')
    grow(tmp_path / "p", target=40, config=chosen)
    assert rows(tmp_path / "p", "SELECT COUNT(*) > 0 FROM rejections WHERE reason = 'is_question'") == [(1,)]
    assert rows(tmp_path / "p", "SELECT DISTINCT stage FROM requests ORDER BY 1") == [("propose",), ("respond",)]
    (path,) = export(tmp_path / "p", ["qa"], tmp_path / "out").paths
    assert path.name == "qa.jsonl"
    assert {frozenset(json.loads(line)) for line in path.read_text("utf-8").splitlines()} == {frozenset({"q", "a"})}


def test_a_recipe_of_ones_own_grows_a_pool_and_is_kept_by_content(tmp_path: Path) -> None:
    own = written(tmp_path, RECIPE)
    for name, concurrency in (("a", 1), ("b", 16)):
        grow(tmp_path / name, target=20, recipe=f"{own}:outputs_alone", concurrency=concurrency)
    assert exported(tmp_path / "a") == exported(tmp_path / "b")
    assert rows(tmp_path / "a", "SELECT DISTINCT stage FROM requests ORDER BY 1") == [("propose",), ("respond",)]
    assert rows(tmp_path / "a", "SELECT DISTINCT input FROM instances i JOIN tasks t ON t.id = i.task_id "
                                "WHERE origin = 'generated'") == [("",)]  # fmt: skip
    ((stored,),) = rows(tmp_path / "a", "SELECT settings FROM configurations")
    own.unlink()
    assert cli.run(["replay", str(tmp_path / "a"), "--pool", str(tmp_path / "r")]) == 0
    texts = "SELECT instruction, output FROM instances i JOIN tasks t ON t.id = i.task_id ORDER BY 1, 2"
    assert rows(tmp_path / "r", texts) == rows(tmp_path / "a", texts)
    kept = json.loads(stored)
    assert kept["own_code"][kept["recipe"]["name"].split(":")[1]] == RECIPE


def test_a_file_of_ones_own_is_read_once_for_all_that_it_names(tmp_path: Path) -> None:
    own = written(tmp_path, CHECK + RECIPE)
    chosen = config(tmp_path, f'[filters]\nchecks = ["{own}:no_questions"]\n')
    found = load(chosen, {"recipe": f"{own}:outputs_alone"})
    own.unlink()
    assert pool_settings(found, "m").recipe.name.endswith(":outputs_alone")


def test_a_form_of_export_of_ones_own_writes_its_file(tmp_path: Path) -> None:
    own = written(tmp_path, FORM)
    grow(tmp_path / "p", target=30)
    done = export(tmp_path / "p", [f"{own}:question_and_answer", "alpaca"], tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "question_and_answer.jsonl").read_text().splitlines()]
    alpaca = [json.loads(line) for line in (tmp_path / "out" / "alpaca.jsonl").read_text().splitlines()]
    assert lines == [{"q": one["instruction"], "a": one["output"]} for one in alpaca if not one["input"]]
    assert 0 < len(lines) < len(alpaca)
    assert done


def test_a_model_of_ones_own_is_asked_journaled_and_bounded(tmp_path: Path) -> None:
    own = written(tmp_path, MODEL)
    chosen = config(tmp_path, "[filters]\nrouge_threshold = 0.9\n")
    told: list[str] = []
    options: dict[str, Any] = {"backend": f"{own}:answer", "config": chosen, "tell": told}
    outcome = grow(tmp_path / "p", target=10, **options)
    assert outcome.exit_code == 0, outcome
    assert any(f"answer at {own}:answer" in line for line in told), told
    assert rows(tmp_path / "p", "SELECT DISTINCT endpoint FROM completions") == [(f"{own}:answer",)]
    tokens = rows(tmp_path / "p", "SELECT DISTINCT c.prompt_tokens FROM completions c JOIN requests r "
                                  "ON r.id = c.request_id WHERE r.stage = 'respond'")  # fmt: skip
    assert tokens == [(9,)]
    assert grow(tmp_path / "q", target=10, max_requests=3, **options).exit_code == 3
    assert rows(tmp_path / "q", "SELECT COUNT(*) FROM attempts") == [(3,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "{own}:nothing"], "has no function nothing"),
        (["--recipe", "{own}:number"], "is no recipe"),
        (["--recipe", "nowhere.py:recipe"], "nowhere.py"),
        (["--backend", "{own}:fails"], "KeyError: 'a key'"),
        (["--backend", "{own}:number"], "is no async function"),
        (["--backend", "offlin"], "did you mean offline?"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    own = written(tmp_path, "number = 3\n\nasync def fails(messages):\n    raise KeyError('a key')\n")
    given = [one.format(own=own) for one in arguments]
    assert cli.run(["generate", str(tmp_path / "p"), *given, "--target", "3"]) in {2, 5}
    lines = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert len(lines) == 1, lines
