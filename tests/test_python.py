"""The package as programs import it: growing a pool in a script and in a running loop, tables, own functions."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import selfinstruct as si
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.sections import FIELDS, OPTIONS
from selfinstruct.config.shaping import pool_settings
from selfinstruct.exports.row_files import COLUMNS
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import snapshot
from selfinstruct.pool.records import Position
from selfinstruct.python import frames
from selfinstruct.python.functions import kept
from selfinstruct.python.keywords import KEYWORDS, TABLES, read
from selfinstruct.report.tables import TaskSummary, task_rows
from selfinstruct.review.labels import Labels
from selfinstruct.review.session import Decision, Session, places
from selfinstruct.runner.pump import Growth
from selfinstruct.runner.run import run
from selfinstruct.runner.stopping import INTERRUPTED, Stopping
from selfinstruct.types import Instance
from tests.builders import ROOT, exported, grow, rows
from tests.pools import SMALL_SEEDS, Asked, Proposed, small_pool, task_of, write_pool
from tests.processes import counted, running, wait_until


def no_questions(instruction: str) -> str | None:
    """A check, as somebody writes it in a script."""
    return "is_question: it asks" if instruction.rstrip().endswith("?") else None


async def waits(messages: Any) -> str:
    """A model, and no check."""
    return str(messages)


async def wants_three(messages: Any, options: Any, more: Any) -> str:
    """A model that cannot be asked."""
    return f"{messages}{options}{more}"


# --- what is imported -----------------------------------------------------------------------------------------------


def test_the_import_alone_brings_nothing_heavy() -> None:
    code = "import sys, selfinstruct; print({'pydantic', 'pandas', 'typer', 'openai'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout == "set()\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(si, name) is not None for name in si.__all__)
    assert dir(si) == sorted(si.__all__)
    with pytest.raises(AttributeError, match="no attribute 'grow'"):
        si.grow  # noqa: B018
    assert (ROOT / "selfinstruct" / "py.typed").exists()


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [si.generate, si.agenerate])
def test_every_setting_is_a_keyword_with_its_default(function: Callable[..., Any]) -> None:
    shown = inspect.signature(function).parameters
    assert {*OPTIONS, *TABLES} <= shown.keys()
    for place, field in FIELDS.items():
        table, _, key = place.rpartition(".")
        if table not in {"publish", "finetune"} and KEYWORDS.get(key) == place and key not in {"pool", *TABLES}:
            assert shown[key].default == field.get_default(), place
    for name, one in OPTIONS.items():
        assert KEYWORDS[name] == one.place


def test_keywords_tables_and_a_config_file_come_to_what_the_command_line_reads(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[recipe]\nguidance = "short"\n[model]\nname = "a"\ntop_p = 0.5\n', encoding="utf-8")
    options = {"pool": tmp_path / "p", "model": "b", "max_usd": 2, "base_url": "http://localhost:1/v1"}
    wanted = load(path, {**options, "base_url": ["http://localhost:1/v1"]})
    assert read(tmp_path / "p", path, {"model": "b", "max_usd": 2, "base_url": options["base_url"]}) == wanted
    given = {"model": {"name": "b", "top_p": 0.5}, "budget": {"max_usd": 2}, "guidance": "short"}
    assert read(tmp_path / "p", None, {**given, "base_url": options["base_url"], "target": None}) == wanted


def test_the_default_checks_are_those_of_the_configuration() -> None:
    listed = read(None, None, {"checks": [*si.checks.default]})
    assert pool_settings(listed, "m").filters.checks == pool_settings(load(None, {}), "m").filters.checks
    assert pool_settings(read(None, None, {"checks": []}), "m").filters.checks == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tempratur": 1}, "unknown setting 'tempratur'; did you mean temperature?"),
        ({"num_tasks": 3}, "unknown setting 'num_tasks'; did you mean target?"),
        ({"Max_USD": 3}, "did you mean max_usd?"),
        ({"command": "x", "vllm_model": "y"}, "unknown setting 'vllm_model'"),
        ({"name": "x"}, "give its table: model={'name': ...} or recipe={'name': ...}"),
        ({"formats": ["alpaca"]}, "give its table: publish={'formats': ...}"),
        ({"api_key": "sk-1"}, "a key itself is never written here"),
        ({"qqqq": 1}, "unknown setting 'qqqq'; docs/configuration.md lists them"),
        ({"judge": {"enabeld": True}}, "unknown key 'judge.enabeld'; did you mean enabled?"),
        ({"target": "x"}, "target: wants a whole number, such as 1000 or 1k, found 'x'"),
        ({"backend": "ollama"}, "leave out the backend and give base_url http"),
        ({"checks": 5}, "filters.checks: wants a list, found 5"),
        ({"checks": ["typo"]}, "unknown check 'typo'"),
        ({"checks": ["-placeholder", "default"]}, "'-placeholder' takes nothing out, since placeholder is not listed"),
        ({"checks": ["default", "-placeholdr"]}, "did you mean -placeholder?"),
        ({"filters": 5}, "filters: wants a table of keys, found 5"),
        ({"config": {}}, "config: {} given, wanted a path"),
        ({"quiet": "no"}, "quiet: 'no' given, wanted True or False"),
        ({"guidance": "\ud800"}, "guidance: this is no text in UTF-8"),
        ({"target": 3, "more": 3}, "target and more: give one of them"),
        ({"model": len}, "model: len is no async function of messages"),
        (
            {"model": wants_three},
            "wants_three: missing a required argument: 'more'; wanted is a function of the messages",
        ),
        ({"model": waits, "base_url": "http://localhost:1/v1"}, "model: waits answers itself; leave out base_url"),
        ({"judge": True}, "judge: wants a table of keys"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(si.errors.ConfigError) as caught:
        si.generate(tmp_path / "p", **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p").exists()


# --- growing --------------------------------------------------------------------------------------------------------


def test_a_script_a_running_loop_and_the_command_line_give_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def in_a_loop() -> tuple[si.Pool, si.Pool]:
        blocking = si.generate(tmp_path / "b", target=20, seed=7, quiet=True)
        return blocking, await si.agenerate(tmp_path / "c", target=20, seed=7, quiet=True)

    in_script = si.generate(str(tmp_path / "a"), target=20, seed=7)
    assert "from 0 to 20 tasks" in capsys.readouterr().err
    pools = [in_script, *asyncio.run(in_a_loop())]
    assert capsys.readouterr() == ("", "")
    assert cli.run(["generate", str(tmp_path / "d"), "--target", "20", "--seed", "7", "--quiet"]) == 0
    assert {exported(tmp_path / name) for name in "abcd"} == {exported(tmp_path / "a")}
    assert [one.outcome for one in pools] == [si.Pool(tmp_path / "d").outcome] * 3
    again = si.generate(tmp_path / "a", target=20, quiet=True)
    assert again.outcome is not None
    assert again.outcome.why == "the target of 20 tasks was reached before"
    with pytest.raises(si.errors.ConfigError, match="unknown check 'typo'"):
        si.generate(tmp_path / "a", target=20, checks=["typo"])
    si.generate(tmp_path / "a", more=1, recipe="paper")
    assert "changed: recipe is 'paper' instead of 'chat', from round" in capsys.readouterr().err


def test_a_run_that_ends_before_its_target_says_how(tmp_path: Path) -> None:
    pool = si.generate(tmp_path / "p", target=50, max_requests=3, quiet=True)
    assert pool.outcome is not None
    assert (pool.outcome.how, "(max_requests)" in pool.outcome.why) == ("budget", True)
    assert si.Pool(tmp_path / "p").outcome == pool.outcome
    assert len(pool.answers()) == 3


def test_trouble_with_access_is_raised_with_the_words_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(si.errors.AccessError, match="wants a key: set OPENAI_API_KEY"):
        si.generate(tmp_path / "p", model="gpt-4o-mini", quiet=True)
    with OfflineServer(api_key="right") as server:
        monkeypatch.setenv("OPENAI_API_KEY", "wrong")
        with pytest.raises(si.errors.AccessError, match="OPENAI_API_KEY"):
            asyncio.run(si.agenerate(tmp_path / "p", base_url=server.base_url, model="offline", quiet=True))
    with pytest.raises(si.errors.PoolError, match="no such pool"):
        si.Pool(tmp_path / "p")


SCRIPT = """
import asyncio, sys, selfinstruct as si

def work():
    try:
        print(si.generate(sys.argv[1], base_url=sys.argv[2], model="offline", target=40, concurrency=4).outcome.how)
    except KeyboardInterrupt as stopped:
        print(stopped)

async def in_a_loop():
    work()

work() if sys.argv[3] == "script" else asyncio.run(in_a_loop())
"""


@pytest.mark.parametrize("place", ["script", "loop"])
def test_an_interrupted_program_keeps_what_it_has_and_goes_on_to_the_same_bytes(tmp_path: Path, place: str) -> None:
    with OfflineServer(latency="fixed:0.05") as server:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "p"), server.base_url, place]
        with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: counted(tmp_path / "p") > 20, process)
            process.send_signal(signal.SIGINT)
            said, told = process.communicate(timeout=60)
        assert (said, process.returncode) == ("interrupted; what was answered is kept, and the same call goes on\n", 0)
        assert "stopping: nothing more is sent" in told
        kept_before = counted(tmp_path / "p")
        stopped = si.Pool(tmp_path / "p")
        assert stopped.outcome is not None
        assert stopped.outcome.how == "interrupted"
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert counted(tmp_path / "p") > kept_before
    grow(tmp_path / "q", target=40)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")


def test_a_second_interruption_stops_at_once(tmp_path: Path) -> None:
    with OfflineServer(latency="fixed:90") as server:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "p"), server.base_url, "script"]
        with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: counted(tmp_path / "p", "SELECT COUNT(*) FROM attempts") > 0, process)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while "stopping" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
        assert said.startswith("interrupted")


@pytest.mark.parametrize("turns", range(1, 16))
def test_a_second_interruption_right_after_the_first_is_not_lost(tmp_path: Path, turns: int) -> None:
    """So many turns of the loop later, among them the one in which the first has woken the run."""

    def interrupt_after(left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(interrupt_after, left - 1)
        else:
            stopping.interrupt()

    def tell(line: str) -> None:
        if line.startswith("stopping"):
            interrupt_after(turns)

    def watch(_: Growth) -> None:
        asyncio.get_running_loop().call_later(0.3, stopping.interrupt)

    stopping = Stopping(tell, watch)
    with OfflineServer(latency="fixed:90") as server:
        given = {"pool": tmp_path / "p", "base_url": [server.base_url], "model": "offline", "concurrency": 4}
        config = load(None, given)
        begun = time.monotonic()
        assert stopping.run(lambda started: run(config, tell, started=started)) == INTERRUPTED
        assert time.monotonic() - begun < 10


HANGS = """
import asyncio, sys, selfinstruct as si

given = {"checks": [sys.argv[2]], "target": 3}

async def main():
    if sys.argv[3] == "agenerate":
        await si.agenerate(sys.argv[1], **given)
    try:
        si.generate(sys.argv[1], **given)
    except KeyboardInterrupt as stopped:
        await asyncio.sleep(0)  # the loop goes on
        print(stopped)

asyncio.run(main())
"""


@pytest.mark.parametrize("start", ["generate", "agenerate"])
def test_a_check_that_never_ends_is_ended_by_one_interruption(tmp_path: Path, start: str) -> None:
    begun, own = tmp_path / "begun", tmp_path / "own.py"
    begin = f"open({str(begun)!r}, 'w').close()"
    own.write_text(f"import time\n\ndef mine(text):\n    {begin}\n    time.sleep(1000)\n", encoding="utf-8")
    command = [sys.executable, "-c", HANGS, str(tmp_path / "p"), f"{own}:mine", start]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(begun.exists, process)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=60)
    assert "the check mine did not end and was stopped, at: " in told
    kept = "interrupted; what was answered is kept, and the same call goes on"
    assert (said, process.returncode) == ((f"{kept}\n", 0) if start == "generate" else ("", -signal.SIGINT))
    assert kept in said + told
    pool = si.Pool(tmp_path / "p")
    assert pool.outcome is not None
    assert (pool.outcome.how, len(pool.answers()) > 0) == ("interrupted", True)


def test_a_cancelled_coroutine_keeps_what_it_has(tmp_path: Path) -> None:
    async def cancelled() -> None:
        with OfflineServer(latency="fixed:0.05") as server:
            work = si.agenerate(tmp_path / "p", base_url=server.base_url, model="offline", target=60, quiet=True)
            task = asyncio.create_task(work)
            while counted(tmp_path / "p") < 10:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    pool = si.Pool(tmp_path / "p")
    assert pool.outcome is not None
    assert (pool.outcome.how, len(pool.answers()) >= 10) == ("interrupted", True)


def test_a_preview_shows_rows_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = si.preview(2, guidance="short")
    assert found.rows.task_id.nunique() == 2
    assert found.outcome.how == "target"
    assert all(text in repr(found) for text in found.rows.instruction)
    assert not [*tmp_path.iterdir()]
    for given, said in (({"target": 5}, "there is no target"), ({"tasks": 0}, "one task or more")):
        with pytest.raises(si.errors.ConfigError, match=said):
            si.preview(**given)
    for tasks in (True, "3"):
        with pytest.raises(si.errors.ConfigError, match="one task or more"):
            si.preview(tasks)  # type: ignore[arg-type]


# --- tables ---------------------------------------------------------------------------------------------------------

TABLES_OF = {
    "tasks": frames.TASKS,
    "rows": frames.ROWS,
    "rejections": frames.REJECTIONS,
    "answers": frames.ANSWERS,
    "rounds": frames.ROUNDS,
}


def types_of(frame: pd.DataFrame) -> dict[str, str]:
    """The types of the columns by name, as a user sees them."""
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


def test_the_types_of_all_tables_are_the_same_whatever_is_in_them(tmp_path: Path) -> None:
    empty, judged = write_pool(tmp_path / "empty", SMALL_SEEDS, []), tmp_path / "judged"
    grow(judged, target=12)
    for folder in (empty, small_pool(tmp_path / "small"), judged):
        pool = si.Pool(folder)
        for name, columns in TABLES_OF.items():
            assert types_of(getattr(pool, name)()) == columns, (folder.name, name)
        assert types_of(pool.lineage(pool.tasks().id.iloc[-1])) == frames.LINEAGE
    pool = si.Pool(empty)
    assert [len(getattr(pool, name)()) for name in TABLES_OF] == [2, 0, 0, 0, 0]
    assert pool.outcome is not None
    assert pool.metrics()["tasks"] == 0
    assert "<table>" in pool._repr_html_()


def test_the_tables_hold_what_the_pool_holds(tmp_path: Path) -> None:
    pool = si.Pool(small_pool(tmp_path / "p"))
    tasks, found, lost, asked, rounds = (getattr(pool, name)() for name in TABLES_OF)
    assert tasks.origin.tolist() == ["seed"] * 2 + ["generated"] * 3
    assert tasks.instances.tolist() == [1, 1, 1, 2, 0]
    assert tasks.parents.iloc[2] == ["s0", "s1"]
    assert pd.isna(tasks["round"].iloc[0])
    assert [*found.columns[: len(COLUMNS)]] == [*COLUMNS]
    assert found.output.tolist() == ["Once upon a time.", "good", "bad"]
    assert pool.rows(include_seeds=True).origin.tolist() == ["seed"] * 2 + ["generated"] * 3
    assert lost.reason.tolist() == ["near_duplicate", "too_short", "refusal", "too_short"]
    assert lost.score.iloc[0] == 1.0
    assert (len(asked), asked.kind.unique().tolist()) == (7, ["answer"])
    assert asked.received_at.iloc[0] == pd.Timestamp("2026-01-01T00:00:00Z")
    assert rounds[["number", "accepted", "rejected", "rejected_instances"]].values.tolist() == [
        [0, 2, 2, 0],
        [1, 1, 1, 1],
    ]
    assert rounds.reasons.iloc[0]["instruction"] == {"near_duplicate": 1, "too_short": 1}


def test_lineage_goes_back_to_the_seeds(tmp_path: Path) -> None:
    pool = si.Pool(small_pool(tmp_path / "p"))
    sea = task_of(0, 0, 0)
    found = pool.lineage(task_of(1, 0, 0))
    assert [*zip(found.generation, found.id, strict=True)] == [(0, task_of(1, 0, 0)), (1, "s0"), (1, sea), (2, "s1")]
    assert pool.lineage(task_of(1, 0, 0)[:6]).equals(found)


def test_why_tells_what_explain_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = si.Pool(small_pool(tmp_path / "p"))
    found = pool.why("near_duplicate")
    assert [one.title for one in found] == [f"rejected instruction {found[0].title.split()[-1]}"]
    assert cli.run(["explain", str(tmp_path / "p"), "near_duplicate"]) == 0
    assert capsys.readouterr().out.strip() == repr(found).strip()
    nothing = pool.why("no such thing anywhere")
    assert (len(nothing), "none contains it" in repr(nothing)) == (0, True)


def test_figures_are_those_of_status_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = si.Pool(small_pool(tmp_path / "p"))
    assert cli.run(["status", str(tmp_path / "p"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(pool.metrics()))


def test_tasks_are_removed_and_put_back(tmp_path: Path) -> None:
    pool = si.Pool(small_pool(tmp_path / "p"))
    sea, old = task_of(0, 0, 0), task_of(1, 0, 0)
    assert pool.remove(pool.tasks().id[2:3], reason="too many seas", descendants=True) == [sea, old]
    assert pool.tasks().is_removed.tolist() == [False, False, True, False, True]
    assert sea not in pool.rows().task_id.tolist()
    assert pool.remove(sea, reason="again") == []
    assert pool.restore([sea]) == [sea]
    assert pool.restore(everything=True) == [old]
    assert pool.remove(where="instruction LIKE '%sea%'", reason="x") == [sea, old]
    assert pool.restore(event=1) == [sea, old]


def test_a_row_is_corrected_and_the_correction_taken_back(tmp_path: Path) -> None:
    folder = small_pool(tmp_path / "p")
    pool, tale = si.Pool(folder), task_of(0, 0, 0)
    before, figures = pool.rows(), pool.metrics()
    labels = before.task_id[1]
    assert pool.edit(tale[:8], output="Once, long ago.", reason="too short") == f"{tale}/0"
    assert pool.edit(f"{labels}/1", input="", instruction="Good or bad?") == f"{labels}/1"
    assert pool.edit(f"{labels}/1", input="", instruction="Good or bad?") == f"{labels}/1"  # no change, no event
    found = pool.rows()
    assert found.is_edited.tolist() == [True, True, True]
    assert found.output.tolist() == ["Once, long ago.", "good", "bad"]
    assert found.instruction.tolist() == [before.instruction[0], "Good or bad?", "Good or bad?"]
    assert found.input.tolist() == [before.input[0], before.input[1], ""]
    assert pool.tasks().instruction.tolist().count("Good or bad?") == 1
    assert pool.metrics() == {**figures, "corrected": 2, "diversity": pool.metrics()["diversity"]}
    assert rows(folder, "SELECT kind, reason FROM events") == [("correct", "too short"), ("correct", "")]
    assert "Once, long ago." in repr(pool.why("too short")) + repr(pool.why(tale))
    pool.export(tmp_path / "out", formats="alpaca")
    assert '"output":"Once, long ago."' in (tmp_path / "out" / "alpaca.jsonl").read_text("utf-8")
    review = Session(folder, places(folder), Labels(folder), blind=False)
    assert review.decide(Decision(task_id=tale, instance=0, decision="keep"))
    assert "Once, long ago." in str(review.row(0))
    summary = TaskSummary()
    with snapshot(folder) as opened:
        assert "Good or bad?" in str([*task_rows(opened, summary)])
    assert "Once, long ago." in str(summary.details)
    with snapshot(folder, Position(5, task_of(1, 0, 0), 1, last_event=1)) as then:  # as a version has it
        assert [row.is_edited for row in then.rows()][:3] == [True, False, False]
    pool.remove(tale, reason="x")
    with pytest.raises(si.errors.ConfigError, match="its task is removed"):
        pool.edit(tale, output="x")
    for _ in range(2):  # a second time takes no correction back
        assert pool.restore(event=3) in ([tale], [])
        assert pool.rows().is_edited.tolist() == [True, True, True]
    pool.edit(tale, output="Once more.")
    assert pool.restore(event=1, edits=True) == []  # another correction stands now
    assert pool.rows().output[0] == "Once more."
    assert pool.restore(everything=True, edits=True) == [tale, labels]
    assert pool.rows().equals(before)
    assert pool.edit(tale, output="Again.") == f"{tale}/0"
    assert pool.rows().output.tolist() == ["Again.", "good", "bad"]
    assert pool.restore(f"{tale}/0", edits=True) == [tale]
    one, other = (pool.edit(f"{labels}/{number}", output="x") for number in (0, 1))
    with pytest.raises(si.errors.ConfigError, match=f"{other} would lose its corrections too; give {labels}"):
        pool.restore(one, edits=True)
    assert pool.restore(labels, edits=True) == [labels]


def test_a_corrected_pool_grows_on_as_if_it_were_not(tmp_path: Path) -> None:
    for name in "ab":
        pool = grow(tmp_path / name, target=12) and si.Pool(tmp_path / name)
        if name == "a":
            for row in pool.rows().task_id[:6]:
                pool.edit(f"{row}/0", instruction="Something else.", output="Done.")
            assert cli.run(["edit", str(tmp_path / "a"), f"{row}/0", "--no-input", "--output", "By hand."]) == 0
        grow(tmp_path / name, target=24)
    (first, found), (other, _) = ((si.Pool(tmp_path / name), si.Pool(tmp_path / name).rows()) for name in "ab")
    assert (found.is_edited.sum(), found.output[found.is_edited].iloc[-1]) == (6, "By hand.")
    assert first.rejections().equals(other.rejections())
    assert cli.run(["restore", str(tmp_path / "a"), "--all", "--edits"]) == 0
    assert exported(tmp_path / "a") == exported(tmp_path / "b")


EVIL = "<script>alert(1)</script> \x1b[31m $\\href{javascript:alert(1)}{x}$"


def test_a_models_text_is_escaped_wherever_it_is_shown(tmp_path: Path) -> None:
    one = Proposed(EVIL + " a", (Instance(EVIL, EVIL),), nearest=("s1", 0.5))
    lost = Proposed(EVIL + " b", reason="too_short", evidence=EVIL)
    pool = si.Pool(write_pool(tmp_path / "p", SMALL_SEEDS, [[Asked(("s0",), (one, lost))]]))
    shown = [pool._repr_html_(), pool.why("too_short")._repr_html_()]
    for html in shown:
        assert "<script" not in html
        assert "&lt;script&gt;" in html
        assert "\x1b" not in html
        assert html.count("<pre>") == html.count("</pre>")
        assert "$" not in "".join(
            part.partition("</pre>")[2] for part in html.split("<pre>")
        )  # no math outside of <pre>
    assert "\x1b" not in repr(pool.why("too_short"))


# --- exports --------------------------------------------------------------------------------------------------------


def test_an_export_is_that_of_the_command_line(tmp_path: Path) -> None:
    grow(tmp_path / "p", target=40)
    pool = si.Pool(tmp_path / "p")
    done = pool.export(tmp_path / "a", formats=["messages"], split={"train": 0.95, "test": 0.05}, system="Be kind.")
    command = ["export", str(tmp_path / "p"), "--format", "messages", "--split", "train=0.95,test=0.05"]
    assert cli.run([*command, "--system", "Be kind.", "--out", str(tmp_path / "b")]) == 0
    read_all = [{one.name: one.read_bytes() for one in (tmp_path / name).iterdir()} for name in "ab"]
    assert read_all[0] == read_all[1]
    assert {one.name for one in done.paths} == {"messages-train.jsonl", "messages-test.jsonl"}
    assert {one.parent for one in pool.export().paths} == {tmp_path / "p" / "export"}
    thirds = pool.export(tmp_path / "c", formats="alpaca", split={"a": Fraction(1, 3), "b": "2/3"})
    assert len(thirds.paths) == 2
    shown = inspect.signature(pool.export).parameters
    assert {name: shown[name].default for name in ("limit", "origin", "tokenizer")} == {
        "limit": None, "origin": "generated", "tokenizer": None,
    }  # fmt: skip


def mixed(row: Any) -> dict[str, Any]:
    return {"text": row.output if len(row.output) % 2 else 3}


def not_a_number(row: Any) -> dict[str, Any]:
    return {"text": row.output, "score": float("nan")}


_FIVE: Any = 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda pool: si.Pool(3), "pool: 3 given, wanted a path"),
        (lambda pool: pool.remove(["s0"], reason=" "), "say why by reason; "),
        (lambda pool: pool.remove(["s0"], reason=5), "reason: 5 given, wanted a text"),
        (lambda pool: pool.remove(5, reason="x"), "ids: 5 given, wanted ids of tasks"),
        (lambda pool: pool.remove(reason="x"), "name the tasks to remove in one way: by ID... or where EXPR"),
        (lambda pool: pool.restore(), "where EXPR, event N, or everything"),
        (lambda pool: pool.restore("s0", everything=True), "where EXPR, event N, or everything"),
        (lambda pool: pool.remove("nothing", reason="x"), "nothing: no such task"),
        (lambda pool: pool.edit("nothing/0", output="x"), "nothing: no such task"),
        (lambda pool: pool.edit("s0/7", output="x"), "s0/7: there is no such row; its task has s0/0"),
        (lambda pool: pool.edit("s0/0", output=" "), "output: it would be empty"),
        (lambda pool: pool.edit("s0/0", output=5), "output: 5 given, wanted a text"),
        (lambda pool: pool.edit("s0/0", outptu="x"), "outptu: a row has no such text; did you mean output?"),
        (lambda pool: pool.edit("s0/0"), "nothing to correct is given"),
        (lambda pool: pool.lineage("nothing"), "nothing: no such task"),
        (lambda pool: pool.lineage(5), "task_id: 5 given"),
        (lambda pool: pool.why(""), "wanted a task id"),
        (lambda pool: pool.why(5), "what: 5 given"),
        (lambda pool: pool.export(formats=["message"]), "formats message: unknown format; did you mean messages?"),
        (lambda pool: pool.export(formats=[]), "formats: none is given; wanted one or more of alpaca"),
        (lambda pool: pool.export(formats=5), "formats: 5 given, wanted names of forms, or functions"),
        (lambda pool: pool.export(formats=[5]), "formats: 5 given, wanted the name of a form, or a function"),
        (lambda pool: pool.export(formats=not_a_number), "'score': nan}, which JSON cannot hold"),
        (lambda pool: pool.export(formats=[_form("a"), _form("b")]), "formats: two functions have the name form"),
        (lambda pool: pool.export(split={"train": 0.5}), "wanted two or more names with shares"),
        (lambda pool: pool.export(split=[0.5]), "split: [0.5] given; wanted two or more names"),
        (lambda pool: pool.export(origin="seeds"), "origin: 'seeds' given, wanted seed or generated"),
        (lambda pool: pool.export(limit=2.5), "limit: 2.5 given, wanted a whole number, 1 or more"),
        (lambda pool: pool.export(limit=True), "limit: True given, wanted a whole number"),
        (lambda pool: pool.export(min_chars=9, max_chars=8), "min_chars 9 is more than max_chars 8"),
        (lambda pool: pool.export(one_instance="no"), "one_instance: 'no' given, wanted True or False"),
        (lambda pool: pool.export(system=5), "system: 5 given, wanted a text"),
        (lambda pool: pool.export(5), "out: 5 given, wanted a path"),
        (lambda pool: pool.export(tokenizer=5), "tokenizer: 5 given, wanted a folder or a name"),
        (lambda pool: pool.export(exclude=5), "exclude: 5 given, wanted the path of a file"),
        (lambda pool: pool.export(limt=3), "limt: an export has no such option; did you mean limit?"),
        (lambda pool: pool.to_dataset(limt=3), "limt: an export has no such option; did you mean limit?"),
        (lambda pool: pool.to_dataset(out="x"), "to_dataset: there is no out"),
        (lambda pool: pool.to_dataset(mixed), "to_dataset mixed: a key has values of several kinds"),
        (lambda pool: pool.to_dataset("parquet"), "wanted one form of JSON"),
        (lambda pool: si.export_format(5), "export_format: 5 is no name"),
        (lambda pool: si.export_format("x")(_FIVE), "export_format 'x': 5 is no function"),
        (lambda pool: si.source(_FIVE), "source: 5 is no function; write @source above a `def`"),
        (lambda pool: si.check(_FIVE), "check: 5 is no function"),
        (lambda pool: si.step(_FIVE), "step: 5 is no function"),
        (lambda pool: si.export_format("messages"), "built-in form"),
        (lambda pool: si.export_format("../x"), "name becomes that of a file"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_the_keyword(
    tmp_path: Path, wrong: Callable[[si.Pool], Any], said: str
) -> None:
    if "to_dataset" in said:
        pytest.importorskip("datasets")
    with pytest.raises(si.errors.ConfigError) as caught:
        wrong(si.Pool(small_pool(tmp_path / "p")))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p" / "export").exists()


def test_a_function_of_a_row_is_a_form_of_export(tmp_path: Path) -> None:
    @si.export_format("gemini")
    def gemini(row: Any) -> dict[str, Any] | None:
        return {"contents": [{"parts": [{"text": row.instruction}]}]} if not row.input else None

    @si.export_format
    def bare(row: Any) -> dict[str, Any]:
        return {"text": row.output}

    pool = si.Pool(small_pool(tmp_path / "p"))
    done = pool.export(tmp_path / "out", formats=["gemini", "bare", _form("a"), si.export_format("b")(_form("b"))])
    assert {path.name: count for path, count in done.counts.items()} == {
        "gemini.jsonl": 1, "bare.jsonl": 3, "form.jsonl": 3, "b.jsonl": 3,
    }  # fmt: skip
    assert done.unfit == {"gemini": {"gemini": 2}}
    assert '{"b":"good"}' in (tmp_path / "out" / "b.jsonl").read_text("utf-8")


def _form(key: str) -> Callable[[Any], dict[str, Any]]:
    def form(row: Any) -> dict[str, Any]:
        return {key: row.output}

    return form


def test_rows_become_a_dataset(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    grow(tmp_path / "p", target=30)
    pool = si.Pool(tmp_path / "p")
    whole = pool.to_dataset("messages")
    assert whole[0]["messages"][0] == {"role": "user", "content": whole[0]["messages"][0]["content"]}
    assert len(whole) == len(pool.rows())
    sides = pool.to_dataset("alpaca", split={"train": 0.8, "test": 0.2})
    assert sorted(sides) == ["test", "train"]
    assert sides["train"].column_names == ["instruction", "input", "output"]
    assert len(pool.to_dataset("messages", limit=5)) == 5

    def by_input(row: Any) -> dict[str, Any]:
        return {"input" if row.input else "none": row.id}

    kinds = pool.to_dataset(by_input)
    assert {*kinds.column_names} == {"input", "none"}
    assert all((one["input"] is None) != (one["none"] is None) for one in kinds)


# --- own functions --------------------------------------------------------------------------------------------------


def test_a_check_is_kept_by_its_source_and_holds_without_the_program(tmp_path: Path) -> None:
    assert si.check(no_questions) is no_questions
    si.generate(tmp_path / "p", target=40, checks=[*si.checks.default, no_questions], quiet=True)
    assert rows(tmp_path / "p", "SELECT DISTINCT kind, evidence FROM rejections WHERE reason = 'is_question'") == [
        ("instruction", "it asks")
    ]
    ((stored,),) = rows(tmp_path / "p", "SELECT settings FROM configurations")
    settings = json.loads(stored)
    (name,) = (one for one in settings["filters"]["checks"] if one.startswith("own:"))
    assert name.endswith(":no_questions")
    (source,) = settings["own_code"].values()
    assert 'endswith("?")' in source
    own = tmp_path / "own.py"
    own.write_text(source, encoding="utf-8")
    by_file = read(None, None, {"checks": [f"{own}:no_questions"]})
    again = pool_settings(by_file, "m")
    assert again.filters.checks == (name.replace(":no_questions", ":own.py:no_questions"),)
    assert again.own_code == settings["own_code"]
    assert cli.run(["replay", str(tmp_path / "p"), "--pool", str(tmp_path / "r")]) == 0


IMPORTED = """
import re

import selfinstruct as si

LETTERS = re.compile("[a-z]")

@si.check
def has_letters(instruction):
    return None if LETTERS.search(instruction) else "no_letters"
"""


def test_a_check_of_a_file_that_was_imported_is_kept_with_what_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checks_of_mine.py").write_text(IMPORTED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import checks_of_mine  # type: ignore[import-not-found]

    _, own = kept("check", checks_of_mine.has_letters)
    assert own.source == IMPORTED
    assert own.value("42") == "no_letters"
    pool = si.generate(tmp_path / "p", target=10, checks=[checks_of_mine.has_letters], quiet=True)
    assert "validator_error" not in pool.rejections().reason.tolist()
    by_name = read(None, None, {"checks": f"{tmp_path / 'checks_of_mine.py'}:has_letters"})
    assert pool_settings(by_name, "m").own_code == {own.stored.split(":")[1]: IMPORTED}


def _closure() -> Callable[..., Any]:
    words = {"never"}

    def inner(instruction: str) -> str | None:
        return "word" if instruction in words else None

    return inner


def _made_of_text() -> Callable[..., Any]:
    found: dict[str, Any] = {"__name__": "__main__"}
    exec("def typed(instruction):\n    return None\n", found)
    check: Callable[..., Any] = found["typed"]
    return check


@staticmethod
def _decorated(instruction: str) -> str | None:
    return instruction


def _of_three(task: Any, instance: Any, more: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_of_three, "_of_three has 3 parameters; wanted is a plain function of one (instruction) or of two"),
        (lambda text: None, "source of this function cannot be had"),
        (_made_of_text(), "typed: the source of this function cannot be had"),
        (_closure(), "inner uses words from outside of it"),
        (waits, "waits: a check is no async function"),
        (_decorated.__func__, "the decorator @staticmethod would be lost"),
        (len, "len is no function that was written by `def`"),
    ],
)
def test_a_check_that_cannot_be_kept_is_refused_in_one_line(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(si.errors.ConfigError) as caught:
        si.check(function)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_check_may_be_annotated_and_import_what_it_needs() -> None:
    def has_digits(instruction: Instance) -> None:
        import re

        class Found:
            name = "digits"
            again = name

        return Found.again if re.search(r"\d", str(instruction)) else None  # type: ignore[return-value]

    _, own = kept("check", has_digits)
    assert (own.value("a1"), own.value("a")) == ("digits", None)


class CountingModel:
    """A model that is an object with something of its own, which no source could hold."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, messages: list[dict[str, str]], options: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        form = options.get("response_format", {}).get("json_schema", {}).get("name")
        text = "It helps people plan their days."
        if form == "new_tasks":
            words = ("harbour", "violin", "orchard", "desert", "engine", "poetry")
            texts = [f"Explain why number {self.asked} {word} matters to {word} people." for word in words]
            text = json.dumps({"tasks": [{"instruction": one, "is_classification": False} for one in texts]})
        elif form:
            text = json.dumps({"missing": "nothing", "inputs": []})
        return {"text": text, "prompt_tokens": 9, "completion_tokens": 6}


def test_a_model_is_any_async_function_of_messages(tmp_path: Path) -> None:
    model = CountingModel()
    pool = si.generate(tmp_path / "p", model=model, target=8, rouge_threshold=0.95, quiet=True)
    assert pool.outcome is not None
    assert pool.outcome.how == "target"
    assert model.asked >= len(pool.answers()) > 0
    assert pool.answers().model.unique().tolist() == ["CountingModel"]

    async def answer(messages: list[dict[str, str]], options: dict[str, Any]) -> Any:
        return await model(messages, options)

    bound = functools.partial(answer)
    again = si.generate(tmp_path / "p", model=bound, target=10, rouge_threshold=0.95, quiet=True)
    assert set(again.answers().model) == {"CountingModel", "answer"}
    assert set(again.answers().endpoint) == {"test_python.py:CountingModel", "test_python.py:answer"}


class RefusedError(Exception):
    """What a client of some provider raises."""

    status_code = 401


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncio.CancelledError(), "refuses every propose request (CancelledError)"),
        (ConnectionError("no net"), "none of 8 calls was answered (ConnectionError: no net); is what it asks running?"),
        (RefusedError("bad key"), "fails: RefusedError: bad key"),
        (KeyError("a key"), "refuses every propose request (KeyError: 'a key')"),
    ],
)
def test_a_model_that_only_fails_ends_the_run_in_its_own_words(tmp_path: Path, error: BaseException, said: str) -> None:
    async def fails(messages: Any) -> str:
        raise error

    with pytest.raises(si.errors.AccessError) as caught:
        si.generate(tmp_path / "p", model=fails, target=5, quiet=True)
    assert said in str(caught.value)
    assert str(caught.value).startswith("test_python.py:fails")


def test_a_key_of_a_model_stays_in_the_environment(tmp_path: Path) -> None:
    del tmp_path
    assert "SELFINSTRUCT_API_KEY" not in os.environ
    with pytest.raises(si.errors.ConfigError, match="not the key itself") as caught:
        si.generate(api_key_env="sk-abc123def456ghi789")
    assert "abc123" not in str(caught.value)
