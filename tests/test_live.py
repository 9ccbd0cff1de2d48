"""What a terminal shows of a run while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from selfinstruct.cli import commands as cli
from selfinstruct.cli.live import Look, lines, look
from selfinstruct.cli.text import duration, show_json
from selfinstruct.config.loading import load
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.runner.pump import Growth
from selfinstruct.runner.run import run
from tests.builders import ROOT, rows
from tests.processes import counted, generate, running, wait_until

FIRST = Look(100.0, 40, 240, "tasks", 0, (), 0, 0, 0, 0, 0, 0, (), "")
SINCE = replace(FIRST, at_s=160.0, done=80, tokens=10_000)
NOW = Look(
    220.0, 140, 240, "tasks", 7, ((10, 40),) * 3 + ((5, 50),) * 5, 32, 9, 12, 4, 40_000, 2_500_000_000,
    (("near_duplicate", 1_200), ("too_long", 3), ("too_short", 2), ("toxic", 1)), "Name\x1b[31m three\nrivers.",
    100.0, (("requests", 90, 200), ("usd", 2_500_000_000, 2 * 10**12)),
)  # fmt: skip


def test_the_figures_are_those_of_the_last_minute_and_of_the_whole_run() -> None:
    assert lines(NOW, SINCE, FIRST, 200) == [
        "about 1 min 40 s left, 140 of 240 tasks, 7 on their way, 2 min 00 s so far " + "█" * 17 + "░" * 13,
        "accepted  10% of the candidates of the last 5 rounds, 25% in the rounds before",
        "asking    32 requests in flight, 9 waiting; 500 tokens a second",
        "again     12 requests sent again, 4 of them refused as too many (429)",
        "cost      0.0025 of 2 USD, about 0.01 USD in the end, 90 of 200 requests",
        "rejected  near_duplicate 1,200, too_long 3, too_short 2",
        "newest    Name [31m three rivers.",
    ]


def test_at_the_beginning_nothing_is_made_up() -> None:
    assert lines(FIRST, FIRST, FIRST, 200) == [
        "40 of 240 tasks, 0 on their way, 0 s so far " + "█" * 5 + "░" * 25,
        "accepted  no round settled yet",
        "asking    0 requests in flight, 0 waiting; 0 tokens a second",
    ]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(cell_len, lines(NOW, SINCE, FIRST, width))) <= width
    assert width < 40 or lines(NOW, SINCE, FIRST, width)[0].startswith("about 1 min 40 s left, ")
    for text in ("请把下面的句子翻译成英文，并解释每个词的意思。" * 4, "강의 이름을 말해 보세요. " * 9, "🌊🏔️ " * 60):
        shown = lines(replace(NOW, newest=text), SINCE, FIRST, width)[-1]
        assert width - 1 <= cell_len(shown) <= width
        assert shown.endswith("…")


def test_durations_are_said_as_people_do() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.9, 61, 7_260)] == ["0 s", "59 s", "1 min 01 s", "2 h 01 min"]


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6))
@example({"pool": "x:star:y", "rule": "[bold]a[/bold] \\[b]"})
def test_json_is_printed_as_it_is(value: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        show_json(value)
    assert json.loads(shown.getvalue()) == value
    assert shown.getvalue().count("\n") == 1


def environment(**more: str) -> dict[str, str]:
    """This process' environment without what it says of terminals, and with more."""
    of_terminals = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERM", "COLUMNS", "LINES")
    return {name: value for name, value in os.environ.items() if name not in of_terminals} | more


def in_a_terminal(*arguments: object, **more: str) -> tuple[int, str, str]:
    """(exit code, all that came to stderr on a terminal, stdout) of a command; `more` says what terminal it is."""
    ours, theirs = pty.openpty()
    terminal = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40", **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "selfinstruct", *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environment(**terminal),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:
            break
        if not some:
            break
        shown += some
    os.close(ours)
    out = process.communicate()[0].decode()
    return process.wait(), shown.decode(), out


def plainly(shown: str) -> str:
    """What a terminal was sent, without what it obeys."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


COLOURED = re.compile(r"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")


@pytest.mark.parametrize(("columns", "more"), [(120, {}), (80, {"NO_COLOR": "1"}), (40, {})])
def test_a_terminal_sees_the_run_and_then_the_summary(tmp_path: Path, columns: int, more: dict[str, str]) -> None:
    with OfflineServer(latency="fixed:0.2", fault="500=20%") as server:
        code, shown, out = in_a_terminal(
            "generate", "--pool", tmp_path / "p", "--target", 40, "--base-url", server.base_url, "--model", "offline",
            "--concurrency", 8, "--max-requests", 900, COLUMNS=str(columns), **more,
        )  # fmt: skip
    assert code == 0
    assert bool(COLOURED.search(shown)) == (not more)
    lines = [line for line in re.split(r"[\r\n]+", plainly(shown)) if not re.match("growing|.*changed|http", line)]
    assert max(map(cell_len, lines)) <= columns
    frames = [line for line in lines if re.match(r"(about [^,]* left, )?\d+ of 40", line)]
    assert sum(line.startswith("about ") for line in frames) > len(frames) / 2
    done = [int(found[1]) for line in frames if (found := re.search(r"(\d+) of 40", line))]
    assert done == sorted(done)
    assert len(set(done)) >= 3
    for wanted in ("accepted  ", "requests in flight", "again     ", " of 900 requests", "rejected  ", "newest  "):
        assert any(line.startswith(wanted) or wanted in line for line in lines), wanted
    assert "round 0:" not in shown
    assert "the target of 40 tasks is reached" in " ".join(" ".join(lines).split())
    assert "accepted tasks" in out


TIMED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \S")


def test_without_a_terminal_each_round_is_a_line_with_its_time_and_quiet_says_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "selfinstruct", "generate", "--target", "90", "--json", "--pool"]

    def into_a_file(name: str, *options: str, **more: str) -> str:
        whole = [*command, tmp_path / name, *options]
        env = environment(**more)
        return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=True, env=env).stderr

    loud = into_a_file("coloured", FORCE_COLOR="1", TERM="xterm")
    assert "  round 0:" in loud
    assert all(TIMED.match(line) for line in loud.splitlines())
    assert "█" not in loud
    assert "\x1b[" not in loud
    assert into_a_file("q", "--quiet") == ""
    code, shown, out = in_a_terminal("generate", "--target", 20, "--json", "--quiet", "--pool", tmp_path / "r")
    assert (code, shown, out[:1]) == (0, "", "{")
    code, shown, _ = in_a_terminal("generate", "--target", 60, "--json", "--pool", tmp_path / "dumb", TERM="dumb")
    assert (code, "round 0:" in shown, "█" in shown) == (0, True, False)  # no line can be drawn over


def test_a_log_has_a_line_a_minute_with_progress_cost_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfinstruct.cli.live.LOGGED_EVERY_S", 0.5)
    (tmp_path / "c.toml").write_text("[prices.offline]\ninput = 1\noutput = 1\n")
    with OfflineServer(latency="fixed:0.2") as server:
        arguments = ["--pool", tmp_path / "p", "--target", 40, "--base-url", server.base_url, "--model", "offline",
                     "--concurrency", 8, "--max-usd", 5, "--config", tmp_path / "c.toml"]  # fmt: skip
        assert cli.run(["generate", *map(str, arguments)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " of 5 USD" in line]
    assert len(lines) >= 3
    assert all(TIMED.match(line) for line in lines)
    assert all(re.search(r"\d+ of 40 tasks, \d\.\d{4} of 5 USD", line) for line in lines)
    assert any("  about " in line and " s left, " in line for line in lines)


def test_under_nohup_a_run_outlives_its_terminal_and_leaves_a_log_with_times(tmp_path: Path) -> None:
    log = tmp_path / "nohup.out"
    with OfflineServer(latency="fixed:0.2") as server, log.open("wb") as file:
        command = ["nohup", *generate(tmp_path / "p", server.base_url, 40, "--concurrency", 8)]
        with running(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment()) as process:
            wait_until(lambda: counted(tmp_path / "p") > 10, process)
            process.send_signal(signal.SIGHUP)
            assert process.wait(timeout=120) == 0
    lines = log.read_text("utf-8").splitlines()
    assert "  growing " in lines[0]
    (verdict,) = [line for line in lines if "the target of 40 tasks is reached" in line]
    assert all(TIMED.match(line) for line in lines[: lines.index(verdict)] if line)
    assert " Next: " in verdict
    assert max(map(cell_len, lines[lines.index(verdict) + 1 :])) <= 80 + len(str(tmp_path))


def test_the_reasons_are_those_of_instructions_and_of_instances(tmp_path: Path) -> None:
    begun: list[Growth] = []
    config = load(None, {"pool": tmp_path / "p", "target": 40})
    asyncio.run(run(config, lambda _: None, started=begun.append))
    found = rows(tmp_path / "p", "SELECT reason, COUNT(*) FROM rejections GROUP BY reason")
    assert rows(tmp_path / "p", "SELECT 1 FROM rejections WHERE kind = 'instance'")
    assert begun[0].rejected == Counter(dict(found))
    assert look(begun[0], 0.0).reasons == tuple(begun[0].rejected.most_common())
