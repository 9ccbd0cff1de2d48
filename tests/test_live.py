"""What a terminal shows of a run while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from selfinstruct.cli.live import Look, duration, lines, look
from selfinstruct.cli.text import show_json
from selfinstruct.config.loading import load
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.runner.pump import Growth
from selfinstruct.runner.run import run
from tests.builders import ROOT, rows

FIRST = Look(100.0, 40, 240, 0, (), 0, 0, 0, 0, (), "")
SINCE = replace(FIRST, at_s=160.0, done=80, tokens=10_000)
NOW = Look(
    220.0, 140, 240, 7, ((10, 40),) * 3 + ((5, 50),) * 5, 32, 9, 40_000, 2_500_000_000,
    (("near_duplicate", 1_200), ("too_long", 3)), "Name\x1b[31m three\nrivers.",
)  # fmt: skip


def test_the_figures_are_those_of_the_last_minute_and_of_the_whole_run() -> None:
    assert lines(NOW, SINCE, FIRST, 200) == [
        "about 1 min 40 s left, 140 of 240 tasks, 7 on their way, 2 min 00 s so far " + "█" * 17 + "░" * 13,
        "accepted  10% of the candidates of the last 5 rounds, 25% in the rounds before",
        "asking    32 requests in flight, 9 waiting; 500 tokens a second",
        "cost      0.0025 USD, about 0.01 USD in the end",
        "rejected  near_duplicate 1,200, too_long 3",
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


def in_a_terminal(*arguments: object, term: str = "xterm-256color") -> tuple[int, str, str]:
    """(exit code, what stderr showed on a terminal, stdout) of a command."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "selfinstruct", *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
        env=environment(TERM=term, COLUMNS="120", LINES="40"),
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
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()), out


def test_a_terminal_sees_the_run_and_then_the_summary(tmp_path: Path) -> None:
    with OfflineServer(latency="fixed:0.3") as server:
        code, shown, out = in_a_terminal(
            "generate", "--pool", tmp_path / "p", "--target", 60, "--base-url", server.base_url, "--model", "offline",
            "--concurrency", 8,
        )  # fmt: skip
    assert code == 0
    frames = re.findall(r"(\d+) of 60 tasks", shown)
    assert len(set(frames)) >= 3
    assert [int(frame) for frame in frames] == sorted(int(frame) for frame in frames)
    for wanted in ("accepted  ", "requests in flight", "tokens a second", "rejected  ", "newest  ", " left"):
        assert wanted in shown
    assert "round 0:" not in shown
    assert "the target of 60 tasks is reached" in shown
    assert "accepted tasks" in out


def test_without_a_terminal_each_round_is_a_line_and_quiet_says_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "selfinstruct", "generate", "--target", "90", "--json", "--pool"]

    def into_a_file(name: str, *options: str, **more: str) -> str:
        whole = [*command, tmp_path / name, *options]
        env = environment(**more)
        return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=True, env=env).stderr

    loud = into_a_file("coloured", FORCE_COLOR="1", TERM="xterm")
    assert "round 0:" in loud
    assert "█" not in loud
    assert "\x1b[" not in loud
    assert into_a_file("q", "--quiet") == ""
    code, shown, out = in_a_terminal("generate", "--target", 20, "--json", "--quiet", "--pool", tmp_path / "r")
    assert (code, shown, out[:1]) == (0, "", "{")
    code, shown, _ = in_a_terminal("generate", "--target", 60, "--json", "--pool", tmp_path / "dumb", term="dumb")
    assert (code, "round 0:" in shown, "█" in shown) == (0, True, False)  # no line can be drawn over


def test_the_reasons_are_those_of_instructions_and_of_instances(tmp_path: Path) -> None:
    begun: list[Growth] = []
    config = load(None, {"pool": tmp_path / "p", "target": 40})
    asyncio.run(run(config, lambda _: None, started=begun.append))
    found = rows(tmp_path / "p", "SELECT reason, COUNT(*) FROM rejections GROUP BY reason")
    assert rows(tmp_path / "p", "SELECT 1 FROM rejections WHERE kind = 'instance'")
    assert begun[0].rejected == Counter(dict(found))
    assert look(begun[0], 0.0).reasons == tuple(begun[0].rejected.most_common(3))
