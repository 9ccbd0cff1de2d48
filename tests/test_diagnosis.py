"""What a run that ends with 4 says: the reason that rejected most decides, in words that fit it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct import cli
from selfinstruct.diversity.diagnosis import diagnosis
from selfinstruct.records import canonical_json
from tests.builders import proposals
from tests.servers import ScriptedServer, completion


def ended(pool: Path, answers: Any, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a run that ends with 4, whose model gives these answers to new tasks."""

    async def answer(place: int, _: str, body: dict[str, Any], __: web.Request) -> web.Response:
        if "new_tasks" in str(body):
            return answers(place)
        if "task_inputs" in str(body):
            return completion('{"needs_input": false, "inputs": []}')
        return completion("As an AI language model, I cannot help with that request.")

    with ScriptedServer(answer) as server:
        arguments = ["--pool", str(pool), "--base-url", server.base_url, "--target", "400"]
        assert cli.run(["generate", *arguments, "--round-size", "2", "--concurrency", "2"]) == 4
    return next(line for line in capsys.readouterr().err.splitlines() if line.startswith("almost n"))


@pytest.mark.parametrize(
    ("answer", "reason", "said"),
    [
        (
            proposals("Describe how bees find their way home in dense fog."),
            "copy_of_demonstration",
            "the model repeats itself",
        ),
        (proposals("Sort it."), "too_short", "instructions are too short"),
        (proposals("Draw a picture of the old harbour at dawn."), "blocked_words", "tasks need more than text"),
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
    assert line.startswith("almost no task keeps an instance: 0 of the last 100")
    assert "the model declines to answer" in line
