"""What users write themselves, from outside the package: all that a file or a package can bring."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.ask import at_once
from selfinstruct.checks import instance_checks, instruction_checks
from selfinstruct.checks.screening import screen_instances
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import Halted
from selfinstruct.exports.writing import export
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.recipes import recipe_of
from selfinstruct.types import Completion, InstanceCandidate, Prompt, Task
from tests.builders import ROOT, assert_it_adds_up, exported, grow, rows
from tests.processes import running, wait_until
from tests.test_docs import fenced

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
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
STEP_AND_SOURCE = """
async def louder(task, rows, ask):
    return rows if (await ask("Louder?")).text else ["silent" for _ in rows]

def plain(number, generator, demonstrations):
    return f"Write 6 new tasks, number {number}, as a list in JSON."
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


MISTAKEN = """number = 3

async def fails(messages):
    raise KeyError('a key')

async def leaves(messages, **more):
    raise SystemExit(3)

async def gives_none(messages):
    return None

async def gives_a_number(messages):
    return 7

async def gives_no_text(messages):
    return {"content": "well"}
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
    assert found(f"{own}:own", "default", f"-{own}:own") == "leftover_marker"
    assert found() == "kept"


def test_a_package_brings_a_source_a_check_a_step_a_recipe_and_a_form_of_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brought.py").write_text(CHECK + RECIPE + FORM + STEP_AND_SOURCE, encoding="utf-8")
    about = tmp_path / "brought-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[selfinstruct.checks]\nno_questions = brought:no_questions\n"
        "[selfinstruct.recipes]\noutputs_alone = brought:outputs_alone\n"
        "[selfinstruct.exports]\nqa = brought:question_and_answer\n"
        "[selfinstruct.steps]\nlouder = brought:louder\n[selfinstruct.sources]\nplain = brought:plain\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    lists = 'sources = ["default", "plain"]\nsteps = ["louder"]\n[filters]\nchecks = ["default", "no_questions"]\n'
    chosen = config(tmp_path, f'[recipe]\nname = "outputs_alone"\n{lists}')
    grow(tmp_path / "p", target=40, config=chosen)
    assert rows(tmp_path / "p", "SELECT COUNT(*) > 0 FROM rejections WHERE reason = 'is_question'") == [(1,)]
    stages = rows(tmp_path / "p", "SELECT DISTINCT stage, source_name FROM requests ORDER BY 1, 2")
    assert stages == [("louder", None), ("propose", "demonstrations"), ("propose", "plain"), ("respond", None)]
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


def test_rows_of_several_answers_are_each_judged(tmp_path: Path) -> None:
    two_rows = """
    asked = [Prompt("respond", number, (Message("user", task.instruction),)) for number in range(2)]
    first, second = [await ask(one) for one in asked]
    return Written(False, tuple(InstanceCandidate(one.request_id, 0, name, one.text) for one, name in
                                ((first, "One part."), (second, "Another part."))))"""
    own = written(tmp_path, RECIPES_OF_ONES_OWN.format(body=two_rows, changes="write_instances=step"))
    chosen = config(tmp_path, f"recipe.name = '{own}:recipe'\n[judge]\nenabled = true\n[filters]\nchecks = []\n")
    grow(tmp_path / "p", target=4, config=chosen)
    assert rows(tmp_path / "p", "SELECT DISTINCT candidates FROM requests WHERE stage = 'respond'") == [(1,)]
    assert rows(tmp_path / "p", "SELECT COUNT(*) % 2 FROM verdicts") == [(0,)]


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


def test_a_model_of_ones_own_that_loses_its_connection_is_asked_again(tmp_path: Path) -> None:
    lost = """
LOST = iter(range(7))

async def loses(messages, options):
    if next(LOST, None) is not None:
        try:
            raise OSError("net down")
        except OSError as error:
            raise RuntimeError("no connection") from error
    return await answer(messages, options)
"""
    own = written(tmp_path, MODEL + lost)
    told: list[str] = []
    assert grow(tmp_path / "p", target=2, backend=f"{own}:loses", tell=told).exit_code == 0
    assert any("does not answer (RuntimeError: no connection" in line for line in told), told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "{own}:nothing"], "has no function nothing"),
        (["--recipe", "{own}:number"], "is no recipe"),
        (["--recipe", "nowhere.py:recipe"], "nowhere.py"),
        (["--backend", "{own}:fails"], "KeyError: 'a key'"),
        (["--backend", "{own}:number"], "is no async function"),
        (["--backend", "offlin"], "did you mean offline?"),
        (["--backend", "{own}:leaves"], "SystemExit: 3 (own.py:7)"),
        (["--backend", "{own}:gives_none"], "gave None; wanted a text"),
        (["--backend", "{own}:gives_a_number"], "gave 7; wanted a text"),
        (["--backend", "{own}:gives_no_text"], "wanted a text, or a mapping with `text`"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    own = written(tmp_path, MISTAKEN)
    given = [one.format(own=own) for one in arguments]
    assert cli.run(["generate", str(tmp_path / "p"), *given, "--target", "3"]) in {2, 5}
    lines = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert len(lines) == 1, lines


def refused(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a command that ends with exit code 2."""
    capsys.readouterr()
    assert cli.run(list(map(str, arguments))) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("alpaca", "{own}:alpaca"), "alpaca.jsonl is also the file of alpaca"),
        (("{own}:Alpaca", "alpaca"), "Alpaca.jsonl is also the file of alpaca"),
        (("{own}:mine", "{other}:mine"), "mine.jsonl is also the file of {own}:mine"),
        (("{own}:left_out",), "left_out.jsonl is also the file of the list of rows left out"),
        (("{own}:number",), "is no function"),
        (("{own}:waits",), "is `async def`"),
    ],
)
def test_no_two_forms_of_export_share_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: Sequence[str], said: str
) -> None:
    own, other = tmp_path / "own.py", tmp_path / "other.py"
    for path in (own, other):
        path.write_text(
            "def alpaca(row):\n    return {}\n\nAlpaca = mine = left_out = alpaca\nnumber = 3\n"
            "async def waits(row):\n    return {}\n",
            encoding="utf-8",
        )
    grow(tmp_path / "p", target=3)
    formats = [part for name in names for part in ("--format", name.format(own=own, other=other))]
    line = refused(["export", tmp_path / "p", *formats, "--out", tmp_path / "out"], capsys)
    assert said.format(own=own) in line
    assert not (tmp_path / "out").exists()


def test_an_export_names_a_form_of_ones_own_without_its_path(tmp_path: Path) -> None:
    own = written(tmp_path, FORM)
    grow(tmp_path / "p", target=30)
    export(tmp_path / "p", [f"{own}:question_and_answer"], tmp_path / "out")
    assert "config_name: question_and_answer\n" in (tmp_path / "out" / "README.md").read_text("utf-8")
    for path in (tmp_path / "out").iterdir():
        assert str(tmp_path) not in path.read_text("utf-8"), path


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return {'a': {1, 2}}", "which JSON cannot hold"),
        ("return {3: 'a'}", "wanted texts as keys"),
        ("raise SystemExit(3)", "SystemExit: 3 (own.py:2); mend the function"),
    ],
)
def test_a_form_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, said: str
) -> None:
    own = written(tmp_path, f"def form(row):\n    {body}\n")
    grow(tmp_path / "p", target=3)
    line = refused(["export", tmp_path / "p", "--format", f"{own}:form", "--out", tmp_path / "out"], capsys)
    assert f"--format {own}:form: row " in line
    assert said in line


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ("text", "instruction"), ("text, limit=3", "instruction"), ("text='', *more", "instruction"),
        ("task, instance", "instance"), ("task, instance, **more", "instance"),
        ("", None), ("a, b, c", None), ("*given", None), ("task, instance, *, limit", None),
    ],
)  # fmt: skip
def test_the_number_of_parameters_says_what_a_check_is_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parameters: str, kind: str | None
) -> None:
    own = written(tmp_path, f"def check({parameters}):\n    return 'found'\n")
    chosen = config(tmp_path, f'[filters]\nchecks = ["{own}:check"]\n')
    if kind is None:
        line = refused(["generate", tmp_path / "p", "--config", chosen, "--target", 2], capsys)
        assert f"filters.checks: {own}:check" in line
        assert "wanted is a plain function of one (instruction) or of two (task, instance)" in line
    else:
        found = pool_settings(load(chosen, {}), "m")
        assert (len(instruction_checks(found)), len(instance_checks(found))) == (
            (1, 0) if kind == "instruction" else (0, 1)
        )


RECIPES_OF_ONES_OWN = """
from dataclasses import replace

from selfinstruct.ask import gather
from selfinstruct.recipes import RECIPES
from selfinstruct.types import InstanceCandidate, Message, Prompt, Written

QUESTION = Prompt("respond", 0, (Message("user", "Say it."),))

async def step(task, ask, settings, seeds, fault):
    {body}

recipe = replace(RECIPES["chat"], {changes})
"""


@pytest.mark.parametrize(
    ("body", "changes", "said"),
    [
        ("raise ValueError('no luck')", "write_instances=step", "raised ValueError: no luck (own.py:11); mend it"),
        ("raise SystemExit(2)", "write_instances=step", "raised SystemExit: 2"),
        ("return None", "write_instances=step", "gave None; wanted is a `selfinstruct.types.Written`"),
        ("await 3", "write_instances=step", "raised TypeError"),
        ("await ask(replace(QUESTION, stage='other'))", "write_instances=step", "is none of the recipe's"),
        ("await ask(replace(QUESTION, messages='Say it.'))", "write_instances=step", "a tuple of"),
        ("await gather([ask(QUESTION), ask(QUESTION)])", "write_instances=step", "index 0 were asked before"),
        ("await ask(replace(QUESTION, stage='propose'))", "write_instances=step", "is for new instructions"),
        ("await ask('Say it.')", "write_instances=step", "wanted is a `selfinstruct.types.Prompt`"),
        ("return Written(False, (InstanceCandidate('r', 0, '', 'a'),))", "write_instances=step", "the request_id of"),
        ("return Written(None, ())", "write_instances=step", "is_classification has to be"),
        ("pass", "stages='propose'", "has the stages 'propose'; wanted is a tuple"),
        ("pass", "stages=('respond',)", "begins with 'propose'"),
        ("pass", "stages=('propose', 'other')", "has no sampling for its stage 'other'"),
        ("pass", "propose=lambda *given: 3", "propose gave 3; wanted"),
        ("pass", "api='chats'", "has the api 'chats'"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, changes: str, said: str
) -> None:
    own = written(tmp_path, RECIPES_OF_ONES_OWN.format(body=body, changes=changes))
    line = refused(["generate", tmp_path / "p", "--recipe", f"{own}:recipe", "--target", 2], capsys)
    assert line.startswith("error: recipe")
    assert said in line
    assert not (tmp_path / "p" / "pool.db").exists()


def test_what_a_recipe_makes_of_a_missing_answer_is_never_decided(tmp_path: Path) -> None:
    body = """
    try:
        answer = await ask(QUESTION)
    except Exception:
        return Written(False, ())
    return Written(False, (InstanceCandidate(answer.request_id, 0, "", answer.text),))"""
    own = written(tmp_path, RECIPES_OF_ONES_OWN.format(body=body, changes="write_instances=step"))
    of = pool_settings(load(None, {"recipe": f"{own}:recipe"}), "m")

    async def nobody(_: Prompt) -> Completion:
        raise Halted

    with pytest.raises(Halted):
        at_once(recipe_of(of).write_instances(Task("t", "Say it.", False), nobody, of, (), lambda *_: None))


@pytest.mark.parametrize("given", ["instruction", "task, instance"])
def test_a_check_that_always_fails_ends_the_run_soon_and_is_named(tmp_path: Path, given: str) -> None:
    own = written(tmp_path, f"def mine({given}):\n    raise TypeError('no luck')\n")
    chosen = config(tmp_path, f'[filters]\nchecks = ["default", "{own}:mine"]\n')
    outcome = grow(tmp_path / "p", target=100, config=chosen, concurrency=8, round_size=2, lookahead=1)
    assert outcome.exit_code == 4
    assert "the check mine failed on " in outcome.reason
    assert "TypeError: no luck (own.py:2); mend it; rounds that are planned keep the code" in outcome.reason
    assert_it_adds_up(tmp_path / "p")
    ((asked,),) = rows(tmp_path / "p", "SELECT COUNT(*) FROM completions")
    assert asked < 80
    own.write_text("def mine(instruction):\n    return None\n", encoding="utf-8")
    assert grow(tmp_path / "p", target=3, config=chosen).exit_code == 0


HANGS = """
import time
from pathlib import Path

def mine(instruction):
    Path({begun!r}).touch()
    {does}
"""


def test_a_mended_check_judges_the_answers_of_a_pool_that_it_held_up(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    own = written(tmp_path, HANGS.format(begun=str(begun), does="time.sleep(1000)"))
    chosen = config(tmp_path, f'[filters]\nchecks = ["default", "{own}:mine"]\n')
    command = [sys.executable, "-m", "selfinstruct", "generate", "--config", str(chosen), "--target", "3"]
    held, mended = tmp_path / "held", tmp_path / "mended"
    with running([*command, "--pool", str(held)], stderr=subprocess.PIPE, text=True) as process:
        wait_until(begun.exists, process)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = [line for line in said.splitlines() if "the check mine did not end" in line]
    assert f"replay {held} --pool NEW" in line
    assert assert_it_adds_up(held)["waiting"] > 0
    own.write_text(HANGS.format(begun=str(begun), does="return None"), encoding="utf-8")
    assert cli.run(["replay", str(held), "--pool", str(mended), "--config", str(chosen)]) == 0
    answers = "SELECT COUNT(*) FROM completions"
    asked = rows(mended, answers)
    assert asked == rows(held, answers)
    assert grow(mended, target=3, config=chosen).exit_code == 0


def test_a_mended_recipe_reads_the_answers_of_a_pool_that_it_failed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = RECIPE.replace("    return Written", "    assert task.id == 'rehearsal', 'no luck'\n    return Written")
    own, held, mended = written(tmp_path, broken), tmp_path / "held", tmp_path / "mended"
    line = refused(["generate", "--pool", held, "--recipe", f"{own}:outputs_alone", "--target", 2], capsys)
    assert "recipe outputs_alone: write_instances raised AssertionError: no luck (own.py:10); mend it; " in line
    assert f"replay {held} --pool NEW" in line
    written(tmp_path, RECIPE)
    assert cli.run(["replay", str(held), "--pool", str(mended), "--recipe", f"{own}:outputs_alone"]) == 0
    assert rows(mended, "SELECT COUNT(*) > 0 FROM tasks WHERE origin = 'generated'") == [(1,)]
    assert grow(mended, target=2, recipe=f"{own}:outputs_alone").exit_code == 0


def test_the_examples_of_the_page_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "own.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (snippet,) = fenced(page, "toml")
    with OfflineServer() as server:
        source = "\n".join(fenced(page, "python"))
        assert "http://localhost:11434/v1" in source
        written(tmp_path, source.replace("http://localhost:11434/v1", server.base_url))
        chosen = config(tmp_path, snippet.replace("qwen3:8b", "offline"))
        assert load(chosen, {}).recipe.name == "own.py:outputs_alone"
        command = [sys.executable, "-m", "selfinstruct", "generate", "--config", str(chosen), "--target", "12"]
        for more in (["--pool", "chat", "--recipe", "chat"], ["--pool", "own"]):
            done = subprocess.run([*command, *more], env=ENVIRONMENT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    for pool in ("chat", "own"):
        (path,) = export(tmp_path / pool, ["own.py:question_and_answer"], tmp_path / f"of_{pool}").paths
        assert path.name == "question_and_answer.jsonl"
        assert path.read_text(encoding="utf-8").strip()
        texts = rows(tmp_path / pool, "SELECT instruction FROM tasks WHERE origin = 'generated'")
        assert texts
        assert not any(text.endswith("?") for (text,) in texts)
