"""What a run that ends with 4 says: the reason that rejected most decides, in words that fit it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.algorithm import plan_request
from selfinstruct.cli import commands as cli
from selfinstruct.diversity.diagnosis import diagnosis
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.recipes import chat
from selfinstruct.runner.signs import LEAST_ANSWERS, Endings, Pace
from selfinstruct.types import Finished, JudgeVerdict, Task, canonical_json
from tests.builders import proposals, settings, task
from tests.processes import generate, running
from tests.servers import ScriptedServer, completion


def ended(pool: Path, answers: Any, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a run that ends with 4, whose model gives these answers to new tasks."""

    async def answer(place: int, _: str, body: dict[str, Any], __: web.Request) -> web.Response:
        if "new_tasks" in str(body):
            return answers(place)
        if "task_inputs" in str(body):
            return completion('{"missing": "nothing", "inputs": []}')
        return completion("As an AI language model, I cannot help with that request.")

    with ScriptedServer(answer) as server:
        arguments = ["--pool", str(pool), "--base-url", server.base_url, "--target", "400"]
        assert cli.run(["generate", *arguments, "--round-size", "2", "--concurrency", "2"]) == 4
    return next(line for line in capsys.readouterr().err.splitlines() if "almost n" in line)


@pytest.mark.parametrize(
    ("answer", "reason", "said"),
    [
        (
            proposals("Describe how bees find their way home in dense fog."),
            "copy_of_demonstration",
            "the model repeats itself",
        ),
        (proposals("Sort it."), "too_short", "instructions are too short"),
        (proposals("Draw a picture of the old harbour at dawn."), "beyond_text", "tasks need more than text"),
        ('{"tasks": [{"instruction": "Describe how bees', "cut_off", "raise max_tokens"),
        ("I would love to help you with that!", "unreadable", "not in the form that is asked for"),
        (proposals("[insert topic] is to be explained to a child."), "starts_with_punctuation", "starts_with_punct"),
    ],
)
def test_the_reason_that_rejected_most_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str, reason: str, said: str
) -> None:
    finish_reason = "length" if reason == "cut_off" else "stop"
    line = ended(tmp_path / "p", lambda _: completion(answer, finish_reason), capsys)
    assert f"mostly rejected: {reason} " in line
    assert said in line.partition("): ")[2]
    assert ("repeats itself" in line) == (reason == "copy_of_demonstration")


def test_reasons_of_one_kind_count_together() -> None:
    found = diagnosis({"wrong_language": 5, "near_duplicate": 3, "copy_of_demonstration": 3})
    assert found.startswith("the model repeats itself")
    assert diagnosis({"wrong_language": 7, "near_duplicate": 3, "copy_of_demonstration": 3}).startswith(
        "the model writes"
    )
    assert diagnosis({}) == ""


def test_the_last_tasks_that_kept_nothing_say_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fresh(place: int) -> web.Response:
        subjects = ("bees", "bridges", "bakers", "sailors", "goats", "gardens", "rivers", "clocks")
        texts = [f"Tell {one} about {place * 7919 % 1009} {place}x{at} ideas." for at, one in enumerate(subjects)]
        return completion(canonical_json({"tasks": [{"instruction": text} for text in texts]}))

    line = ended(tmp_path / "p", fresh, capsys)
    assert "almost no task keeps an instance: 0 of the last 100" in line
    assert "the model declines to answer" in line


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (proposals("The best part of patience is that it never turns around."), "recipe.prompts"),
        (
            proposals("It is concrete. Name the subject, the reader, the form, the limit."),
            "the model recites its prompts",
        ),
        ('{"tasks": [{"instruction": "Describe how bees', "raise max_tokens"),
    ],
)
def test_what_is_likely_wrong_is_said_after_the_first_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str, said: str
) -> None:
    async def says(*_: object) -> web.Response:
        return completion(answer, "length" if answer.endswith("bees") else "stop")

    with ScriptedServer(says) as server:
        arguments = ["--pool", str(tmp_path / "p"), "--base-url", server.base_url, "--max-requests", "10"]
        cli.run(["generate", *arguments, "--round-size", "4", "--concurrency", "2", "--target", "9"])
    assert said in next(line for line in capsys.readouterr().err.splitlines() if "of the first" in line)


def test_a_judge_that_gives_all_the_same_scores_is_told_once() -> None:
    def end(score: int, number: int) -> Finished:
        verdict = JudgeVerdict("r", 0, 0, "t", f"j{number}", "passed", 5, "Fine.", 5, "Fine.", score, "Fine.")
        return Finished(Task("t", "Name a river.", False), (), (), (verdict,))

    flat, varied = Endings(), Endings()
    told = [flat.note(end(5, number)) for number in range(40)]
    assert [bool(one) for one in told] == [number == 29 for number in range(40)]
    assert "all of 30 instances the scores 5 5 5" in told[29]
    assert not any(varied.note(end(5 - (number == 7), number)) for number in range(40))


def test_an_answer_that_takes_ten_times_as_long_as_others_is_told_once() -> None:
    pace, asked = Pace(), chat.propose(settings(), [task("Name a river.", 1)], 0, None)
    for number in range(LEAST_ANSWERS):
        clock = iter((100.0, 104.0)).__next__
        with pace.timed(plan_request(asked, settings(), number, None), clock):
            pass
    slow = plan_request(asked, settings(), 99, None)
    with pace.timed(slow, lambda: 200.0):
        assert pace.stragglers(239.0) == []
        assert pace.stragglers(241.0) == [(slow, 41.0, 4.0)]
        assert pace.stragglers(300.0) == []
    assert pace.stragglers(999.0) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_waits_for_a_straggler_is_read_and_shown(tmp_path: Path) -> None:
    """The first request gets no answer until the run has said so."""
    is_free = threading.Event()

    async def answer(place: int, _: str, body: dict[str, Any], __: web.Request) -> web.Response:
        while place == 0 and not is_free.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.01)
        return web.json_response(answer_chat(body, Model()))

    with ScriptedServer(answer, models=("offline",)) as server:
        command = generate(tmp_path / "p", server.base_url, 60)
        with running(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            told = next(line for line in process.stderr if "propose request: no answer for" in line)
            is_free.set()
            process.communicate()
            assert process.returncode == 0
    assert re.search(
        r"s are usual; round 0 waits for it with 7 of 8 answers that hold 42 tasks, such as: \w+ .*\w", told
    )
