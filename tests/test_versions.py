"""Versions of the training data: what is in them, the gate, `latest`, and the command that is run once."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.config.sections import PublishSection
from selfinstruct.errors import ConfigError, PoolError, PoolInUse
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.edits import Selection, change
from selfinstruct.pool.reader import snapshot
from selfinstruct.types import Instance
from selfinstruct.versions import fine_tuning
from selfinstruct.versions.fine_tuning import filled, train, was_tried
from selfinstruct.versions.gate import ends_in_the_middle, measure, reasons_against
from selfinstruct.versions.publishing import Published, publish
from selfinstruct.versions.shelf import check_files, locked, shelf, version, versions
from tests.builders import ROOT, exported, grow, rows
from tests.pools import SMALL_SEEDS, Asked, Proposed, task_of, write_pool
from tests.vllm.processes import Seen, descendants, left_of, wait_until

GATE = PublishSection()


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("grown") / "p"
    grow(pool, target=60)
    return pool


@pytest.fixture
def pool(grown: Path, tmp_path: Path) -> Path:
    """A pool of 60 tasks, not published."""
    return Path(shutil.copytree(grown, tmp_path / "p"))


@pytest.fixture(scope="module")
def published(grown: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = Path(shutil.copytree(grown, tmp_path_factory.mktemp("published") / "p"))
    publish(pool, GATE)
    return pool


@pytest.fixture
def ready(published: Path, tmp_path: Path) -> Path:
    """The same with its first version."""
    return Path(shutil.copytree(published, tmp_path / "p", symlinks=True))


def files(folder: Path) -> dict[str, bytes]:
    """All that is part of a version."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if is_part(path)}


def is_part(path: Path) -> bool:
    return path.is_file() and path.name != "report.html"


def remove(pool: Path, ids: list[str], *, undo: bool = False) -> None:
    kind = "restore" if undo else "remove"
    assert change(pool, kind, Selection(tuple(ids)), "for a test", "2026-01-01T00:00:00+00:00").event  # type: ignore[arg-type]


def latest(pool: Path) -> str:
    return str((shelf(pool) / "latest").readlink())


def ids(published: Published) -> list[str]:
    return (published.version.folder / "tasks.txt").read_text("utf-8").split()


def test_a_version_holds_the_export_its_tasks_a_manifest_and_a_changelog(pool: Path) -> None:
    made = publish(pool, GATE)
    assert (made.is_new, made.version.number, made.version.state, latest(pool)) == (True, 1, "published", "1")
    found = files(made.version.folder)
    assert found["data/alpaca.jsonl"] + found["data/messages.jsonl"] == exported(pool)
    assert len(ids(made)) == 60
    manifest = made.version.manifest
    assert json.loads(found.pop("manifest.json")) == manifest
    assert {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} == {
        name: about["sha256"] for name, about in manifest["files"].items()
    }
    accepted = rows(pool, "SELECT id FROM tasks WHERE origin = 'generated' ORDER BY position")
    position = manifest["position"]
    assert (position["tasks"], position["last_task"], position["last_event"]) == (len(accepted), accepted[-1][0], 0)
    assert manifest["figures"]["tasks"] == 60


def test_the_report_of_that_time_lies_beside_each_version_and_is_written_again_where_it_is_gone(pool: Path) -> None:
    first = publish(pool, GATE).version
    page = first.report.read_text("utf-8")
    assert "p/versions/1" in page
    assert "report.html" not in first.manifest["files"]
    first.report.unlink()
    grow(pool, more=10)
    second = publish(pool, PublishSection(min_tasks=1000)).version
    assert (second.state, second.report.exists(), first.report.exists()) == ("rejected", True, False)
    assert publish(pool, PublishSection(min_tasks=1000)) == Published(second, is_new=False)
    assert publish(pool, GATE).version.number == 3
    check_files(first)
    status, later = figures_in(page), figures_in(second.report.read_text("utf-8"))
    assert (status["tasks"], later["tasks"]) == (60, 70)


def figures_in(page: str) -> dict[str, Any]:
    found = re.search(r'id="figures">(.*?)</script>', page)
    assert found
    return dict(json.loads(found[1])[0]["status"])


def test_the_same_state_gives_no_new_version_and_elsewhere_the_same_bytes(
    pool: Path, grown: Path, tmp_path: Path
) -> None:
    first = publish(pool, GATE)
    again = publish(pool, GATE)
    assert (again.is_new, again.version.number, len(versions(pool))) == (False, 1, 1)
    other = tmp_path / "elsewhere" / "other"
    shutil.copytree(grown, other)
    assert files(publish(other, GATE).version.folder) == files(first.version.folder)
    remove(pool, ids(first)[:1])
    remove(pool, ids(first)[:1], undo=True)
    assert publish(pool, GATE) == Published(first.version, is_new=False)


def test_what_grew_is_a_new_version_with_what_came_and_went(pool: Path) -> None:
    first = publish(pool, GATE)
    gone = ids(first)[:2]
    remove(pool, gone)
    grow(pool, more=10)
    second = publish(pool, GATE)
    assert (second.version.number, latest(pool)) == (2, "2")
    assert set(ids(first)) - set(ids(second)) == set(gone)
    manifest = second.version.manifest
    assert (manifest["previous"], manifest["tasks_removed"]) == (1, 2)
    assert manifest["tasks_added"] == len(set(ids(second)) - set(ids(first))) == manifest["figures"]["tasks"] - 58
    assert manifest["position"]["last_event"] == 1
    text = (second.version.folder / "changelog.md").read_text("utf-8")
    assert f"{manifest['tasks_added']} tasks added, 2 removed" in text
    assert all(one in text for one in gone)
    assert f"| tasks | 60 | {manifest['figures']['tasks']} |" in text


def test_a_version_made_worse_is_kept_with_the_reasons_and_latest_stays(pool: Path) -> None:
    first = publish(pool, GATE)
    before = files(first.version.folder)
    remove(pool, ids(first)[:20])
    worse = publish(pool, GATE)
    assert (worse.is_new, worse.version.number, worse.version.state, latest(pool)) == (True, 2, "rejected", "1")
    assert any("tasks fell by 33.3%, from 60 to 40" in reason for reason in worse.version.reasons)
    assert "rejected" in (worse.version.folder / "changelog.md").read_text("utf-8")
    assert (worse.version.data / "alpaca.jsonl").exists()
    assert files(first.version.folder) == before
    again = publish(pool, GATE)
    assert (again.is_new, again.version.number) == (False, 2)
    lenient = publish(pool, GATE.model_copy(update={"max_drop": 1.0}))
    assert (lenient.is_new, lenient.version.number, lenient.version.state, latest(pool)) == (True, 3, "published", "3")


BAD = {
    "tasks": 3.0, "rows": 9.0, "duplicate_share": 0.3, "short_share": 0.9, "cut_share": 0.2, "recent_acceptance": 0.01,
    "distinct_2": 0.1, "compression_ratio": 9.0, "top_openings_share": 0.8, "verb_noun_entropy": 1.0,
    "mean_nearest_rouge_l": 0.69, "vendi_score": 2.0,
}  # fmt: skip
BOUNDS = {
    "min_tasks": 4, "max_duplicate_share": 0.2, "max_short_share": 0.8, "max_cut_share": 0.1, "min_acceptance": 0.02,
    "min_distinct_2": 0.2, "max_compression_ratio": 8.0, "max_top_openings_share": 0.7, "min_verb_noun_entropy": 2.0,
    "max_mean_nearest_rouge_l": 0.6, "min_vendi_score": 3.0,
}  # fmt: skip


@pytest.mark.parametrize("bound", sorted(set(PublishSection.model_fields) - {"formats", "split", "max_drop"}))
def test_each_bound_refuses_what_is_beyond_it_and_passes_what_is_at_it(bound: str) -> None:
    free = {"min_tasks": 1, "max_duplicate_share": 1, "max_short_share": 1, "max_cut_share": 1, "min_acceptance": 0}
    (reason,) = reasons_against(BAD, None, PublishSection(**{**free, bound: BOUNDS[bound]}))
    assert f"{bound} = " in reason
    figure = reason.split()[0]
    assert not reasons_against(BAD, None, PublishSection(**{**free, bound: BAD[figure]}))
    assert not reasons_against({**BAD, figure: None}, None, PublishSection(**{**free, bound: BOUNDS[bound]}))


BREAD = "Mix flour, water and salt, let the dough rest, then bake it well"
MEASURED = (
    Proposed("Write a story about the sea.", (Instance("", "Once upon a time there was,"),)),  # ends in the middle
    Proposed("Name two rivers of Spain.", (Instance("", "Ebro, Tagus"),)),  # short
    Proposed(
        "Is the review good or bad?",
        (Instance("Great food.", "good"), Instance("Cold soup.", "bad"), Instance("great food", "fine")),  # asked twice
        is_classification=True,
    ),
    Proposed("Explain how bread is made.", (Instance("", BREAD),)),
    Proposed("Tell a child what a baker does.", (Instance("", BREAD.upper() + "!"),)),  # answered as before
    Proposed("Print a number in Python.", (Instance("", "```python\nprint(1 + 1)"),)),  # ends in the middle
)


def test_the_figures_are_those_computed_by_hand(tmp_path: Path) -> None:
    dropped = Proposed("Sing.", reason="too_short", evidence="1.0 words, at least 4 wanted")
    rounds: list[tuple[Proposed, ...]] = [()] * 24
    rounds[0], rounds[3] = (dropped,) * 3, (dropped,)  # not among the last twenty
    rounds[4], rounds[23] = MEASURED, (dropped,)
    write_pool(tmp_path / "p", SMALL_SEEDS, [[Asked(("s0",), candidates)] for candidates in rounds])
    with snapshot(tmp_path / "p") as connection:
        figures, tasks = measure(connection)
    assert tasks == [task_of(4, 0, position) for position in range(6)]
    assert {name: figures[name] for name in ("tasks", "rows", "duplicate_share", "short_share", "cut_share")} == {
        "tasks": 6, "rows": 8, "duplicate_share": 2 / 8, "short_share": 1 / 5, "cut_share": 2 / 8,
    }  # fmt: skip
    assert (figures["acceptance"], figures["recent_acceptance"]) == (round(6 / 11, 4), round(6 / 7, 4))


def test_a_text_ends_in_the_middle_by_its_last_mark_or_an_open_block_of_code() -> None:
    cut = ["and so,", "as follows: ", "f(", "[", "{", "甲，", "如下：", "甲、", "（", "```\nx"]
    whole = ["", "Done.", "no mark", "(a)", "```\nx\n```", "甲。", "a: b"]
    assert [text for text in (*cut, *whole) if ends_in_the_middle(text)] == cut


def test_whole_rows_of_an_answer_that_was_broken_off_are_not_cut(tmp_path: Path) -> None:
    with OfflineServer(quirk="length=60%") as server:
        grow(tmp_path / "p", target=15, recipe="paper", base_url=[server.base_url], model="offline")
    ((whole,),) = rows(
        tmp_path / "p",
        "SELECT COUNT(*) FROM instances i JOIN completions c ON c.request_id = i.request_id "
        "WHERE c.finish_reason = 'length'",
    )
    assert whole > 2
    made = publish(tmp_path / "p", GATE)
    assert (made.version.manifest["figures"]["cut_share"], made.version.reasons) == (0.0, ())


def _publish_and_die(pool: str, after: int) -> None:
    """Publish, and die at a rename."""
    renames = [0]
    real_rename, real_replace = Path.rename, Path.replace

    def counted(real: Any) -> Any:
        def call(self: Path, target: Path) -> Path:
            renames[0] += 1
            if renames[0] == after:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, target)  # type: ignore[no-any-return]

        return call

    Path.rename, Path.replace = counted(real_rename), counted(real_replace)  # type: ignore[method-assign]
    publish(Path(pool), GATE)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_killed_at_any_rename_the_last_version_is_whole_and_the_next_publish_goes_on(pool: Path, after: int) -> None:
    publish(pool, GATE)
    before = files(version(pool, None).folder)
    grow(pool, more=5)
    process = multiprocessing.get_context("fork").Process(target=_publish_and_die, args=(str(pool), after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert latest(pool) == "1"
    assert files(shelf(pool) / "1") == before
    published = publish(pool, GATE)
    assert (published.version.number, latest(pool), len(versions(pool))) == (2, "2", 2)
    assert not list(shelf(pool).glob(".new-*"))


def test_a_version_may_be_split_and_no_row_changes_sides(pool: Path) -> None:
    def side(made: Published, name: str) -> set[str]:
        return set((made.version.data / f"messages-{name}.jsonl").read_text("utf-8").splitlines())

    split = GATE.model_copy(update={"split": "train=0.7,test=0.3"})
    first = publish(pool, split)
    grow(pool, more=15)
    second = publish(pool, split)
    assert second.version.number == 2
    for name in ("train", "test"):
        assert side(first, name)
        assert side(first, name) < side(second, name)
    assert publish(pool, GATE).version.number == 3  # other files of the same state
    with locked(shelf(pool) / ".lock", "busy"), pytest.raises(PoolInUse, match="another process publishes"):
        publish(pool, GATE)


# --- fine-tuning ----------------------------------------------------------------------------------------------------

TRAIN = (
    "import sys, pathlib; data, out, note = sys.argv[1:4]; "
    "out = pathlib.Path(out); out.mkdir(exist_ok=True); "
    "(out / 'model').write_text(str(len(pathlib.Path(data, 'messages.jsonl').read_text().splitlines()))); "
    "open(note, 'a').write('run\\n'); print('said'); sys.exit(int(pathlib.Path(note + '.code').read_text()))"
)


def command(note: Path, code: int) -> str:
    Path(f"{note}.code").write_text(str(code))
    return f'"{sys.executable}" -c "{TRAIN}" {{data}} {{out}} {note}'


def test_the_command_runs_once_for_a_version_and_a_failure_is_tried_again(ready: Path, tmp_path: Path) -> None:
    one, note = version(ready, None), tmp_path / "note"
    before = files(one.folder)
    assert not was_tried(one)
    failed = train(ready, one, command(note, 3))
    assert (failed.exit_code, failed.is_done, failed.log.read_text()) == (3, False, "said\n")
    assert was_tried(one)
    done = train(ready, one, command(note, 0))
    assert (done.is_done, done.attempt) == (True, 2)
    assert (done.out / "model").read_text() == str(one.manifest["figures"]["rows"])
    again = train(ready, one, command(note, 0))
    assert (again.is_done, again.is_new) == (True, False)
    assert note.read_text() == "run\nrun\n"
    assert {name: content for name, content in files(one.folder).items() if not name.startswith("finetune")} == before
    assert publish(ready, GATE).is_new is False


STUBBORN = (  # the command and its child want to live on; a third process starts a session of its own
    "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & setsid sleep 300 & echo up; wait; sleep 300"
)


def finetuning(pool: Path, script: str, *, shell: str = "exec {0}") -> subprocess.Popen[str]:
    """A `finetune` whose command is at work, in a process of its own."""
    words = [sys.executable, "-m", "selfinstruct", "finetune", str(pool), "--command", f"sh -c {shlex.quote(script)}"]
    process = subprocess.Popen(
        ["sh", "-c", shell.format(shlex.join(words))], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    logs = pool / "versions/1/finetune"
    wait_until(lambda: any("up" in one.read_text() for one in logs.glob("attempt-*.log")), 60, "the command at work")
    return process


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGKILL, 1)]
)
def test_the_command_ends_with_finetune_whatever_ends_that(ready: Path, number: signal.Signals, times: int) -> None:
    one = version(ready, None)
    process = finetuning(ready, STUBBORN if times == 2 else STUBBORN.replace("''", "exit"))
    family = descendants(process.pid)
    assert sum("sleep" in each.command for each in family) >= 2
    process.send_signal(number)
    if times == 2:
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for the command, which was asked to end
            process.wait(1)
        process.send_signal(number)
    code = process.wait(8 if times == 2 else 60)  # twice: less than the time that a command has
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    is_heard = number in {signal.SIGINT, signal.SIGTERM}
    assert process.communicate()[1] == ("interrupted; the same command does the rest\n" if is_heard else "")
    wait_until(lambda: is_free(one.folder / "finetune" / ".lock"), 10, "the lock")
    assert not left_of(family)  # nobody can begin again before all have ended


def is_free(lock: Path) -> bool:
    try:
        with locked(lock, "busy"):
            return True
    except PoolInUse:
        return False


def test_a_hangup_that_nohup_ignores_does_not_end_the_command(ready: Path) -> None:
    process = finetuning(ready, "echo up; sleep 1; echo done", shell="trap '' HUP; exec {0}")
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0
    assert process.communicate()[1] == "the fine-tuning on version 1 is done\n"


def test_a_child_that_will_not_end_is_killed_with_the_command(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "GRACE_S", 0.5)
    one, flag = version(ready, None), ready / "flag"
    script = f"(trap '' TERM; touch {flag}; while :; do sleep 1; done) & wait"
    until = time.monotonic() + 20
    family: list[Seen] = []

    def stopped() -> bool:
        if flag.exists():
            family.extend(descendants(os.getpid()))
        return flag.exists() or time.monotonic() > until

    assert train(ready, one, f"sh -c {shlex.quote(script)}", stopped).exit_code is None
    assert sum("touch" in each.command for each in family) >= 2
    assert not left_of(family)


@pytest.mark.parametrize("content", ["", "[{", "7"])
def test_a_record_that_cannot_be_read_is_an_attempt_that_was_not_done(
    ready: Path, tmp_path: Path, content: str
) -> None:
    one, note = version(ready, None), tmp_path / "note"
    train(ready, one, command(note, 0))
    record = one.folder / "finetune" / "record.json"
    record.write_text(content)
    again = train(ready, one, command(note, 0))
    assert (again.is_new, again.attempt) == (True, 2)
    assert "record.json could not be read" in fine_tuning.as_line(one, again)
    assert note.read_text() == "run\nrun\n"
    once_more = train(ready, one, command(note, 0))
    assert (once_more.is_new, fine_tuning.as_line(one, once_more)) == (False, "version 1 was fine-tuned on before")


def test_a_folder_that_cannot_be_written_is_one_clear_line(ready: Path, tmp_path: Path) -> None:
    one = version(ready, None)
    (one.folder / "finetune").write_text("in the way")
    with pytest.raises(PoolError, match="the attempt cannot be written down"):
        train(ready, one, command(tmp_path / "note", 0))


def test_no_shell_reads_the_command_and_each_place_is_filled_in(ready: Path) -> None:
    one = version(ready, None)
    words = filled("run --n={number} '$(touch x)' {data} '{\"a\": 1}' \"two words\"", ready, one)
    assert words == ["run", "--n=1", "$(touch x)", str(one.data.absolute()), '{"a": 1}', "two words"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("train {model}", "unknown place {model}"), ("train 'x", "No closing quotation"), (" ", "is empty"),
     ("no-such-program {data}", "'no-such-program' cannot be run"), (None, "no command")],
)  # fmt: skip
def test_a_command_that_cannot_be_used_is_one_clear_line(ready: Path, text: str | None, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        train(ready, version(ready, None), text)


def test_data_that_was_changed_is_not_trained_on(ready: Path, tmp_path: Path) -> None:
    one = version(ready, None)
    changed = one.data / "alpaca.jsonl"
    changed.chmod(0o644)
    changed.write_text("{}\n")
    with pytest.raises(PoolError, match=r"alpaca\.jsonl: changed since"):
        train(ready, one, command(tmp_path / "note", 0))
    assert not (tmp_path / "note").exists()


# --- commands -------------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> int:
    return cli.run([str(one) for one in arguments])


def test_publish_and_finetune_as_a_user_meets_them(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("publish", pool) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()) == pool / "versions/1/data"
    assert "version 1 is published: 60 tasks" in err
    assert run("finetune", pool, "--command", command(tmp_path / "note", 0)) == 0
    assert Path(capsys.readouterr().out.strip()) == pool / "versions/1/finetune/out"
    strict = tmp_path / "strict.toml"
    strict.write_text("[publish]\nmin_tasks = 1000\n")
    grow(pool, more=1)
    assert run("publish", pool, "--config", strict, "--json") == 6
    out, err = capsys.readouterr()
    assert json.loads(out)["reasons"] == ["tasks 61 is less than min_tasks = 1,000"]
    assert run("finetune", pool, "--command", command(tmp_path / "note", 1), "--version", "1") == 0  # done before


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("publish", "{tmp}/none"), "no such pool"),
        (("publish", "{pool}", "--config", "{tmp}/formats.toml"), "publish.formats csvv: unknown format"),
        (("publish", "{pool}", "--config", "{tmp}/split.toml"), "publish.split = train=2"),
        (("publish", "{pool}", "--config", "{tmp}/bound.toml"), "publish.max_drop"),
        (("publish", "{pool}", "--config", "{tmp}/key.toml"), "unknown key 'publish.max_drip'"),
        (("finetune", "{tmp}/none", "--command", "x"), "no such pool"),
        (("finetune", "{pool}", "--command", "x"), "no version was published yet"),
        (("finetune", "{pool}", "--command", "x", "--version", "7"), "no version 7; there are: none yet"),
    ],
)
def test_each_bad_input_is_one_clear_line(
    grown: Path, tmp_path: Path, arguments: tuple[str, ...], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "formats": 'formats = ["csvv"]',
        "split": 'split = "train=2"',
        "bound": "max_drop = 2",
        "key": "max_drip = 1",
    }
    for name, line in wrong.items():
        (tmp_path / f"{name}.toml").write_text(f"[publish]\n{line}\n")
    assert run(*(one.format(tmp=tmp_path, pool=grown) for one in arguments)) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert wanted in err
