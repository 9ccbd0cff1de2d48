"""Prompts that fit the context of the model, and the record of what was left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfinstruct import algorithm
from selfinstruct.errors import ConfigError
from selfinstruct.pool.reader import status
from selfinstruct.recipes.fitting import fits, most_likely_tokens
from selfinstruct.settings import Settings
from selfinstruct.types import Instance, Prompt, Task
from tests.builders import changed, grow, jsonl, rows, seed_row, settings, settle, task
from tests.servers import short_server

LONG = "Sum up this report. " + "The kettle sang and the cup was warm. " * 60
SEEDS = [task(f"Explain topic number {number} in plain words.", number) for number in range(11)]


def short_of(given: Settings, tokens: int) -> Settings:
    """The same with room for so many tokens of prompt."""
    answer = int(given.stages["propose"].sampling["max_tokens"])
    return changed(given, context_length=tokens + answer)


@pytest.mark.parametrize("recipe", ["chat", "paper"])
def test_the_longest_demonstrations_are_left_out_until_the_prompt_fits(recipe: str) -> None:
    seeds = [*SEEDS[:7], task(LONG, 11)]
    whole = algorithm.plan_round(0, settings(recipe), seeds, [])
    room = most_likely_tokens(whole[0].messages) - 100
    fitted = algorithm.plan_round(0, short_of(settings(recipe), room), seeds, [])
    for before, after in zip(whole, fitted, strict=True):
        assert (before.left_out, after.left_out) == (0, 1)
        assert after.demonstrations == tuple(one for one in before.demonstrations if one != "s11")
        assert most_likely_tokens(after.messages) <= room


def test_one_demonstration_stays_whatever_it_takes() -> None:
    (request, *_) = algorithm.plan_round(0, changed(settings(), context_length=1600), [task(LONG, 0), *SEEDS[:3]], [])
    assert len(request.demonstrations) == 1
    assert request.demonstrations != ("s0",)
    assert request.left_out == 3


def test_without_a_known_context_everything_is_shown() -> None:
    assert fits(Prompt("propose", 0, ()), settings())
    assert {request.left_out for request in algorithm.plan_round(0, settings(), [task(LONG, 11), *SEEDS], [])} == {0}


@pytest.mark.parametrize(("is_classification", "stage"), [(None, "classify"), (False, "instances")])
def test_examples_of_the_paper_are_left_out_too(is_classification: bool | None, stage: str) -> None:
    examples = [
        Task(f"s{number}", f"Tell what {LONG if number == 3 else number}", number % 2 == 1,
             (Instance("", f"Answer {number}." * (300 if number == 2 else 1)),), "seed")
        for number in range(30)
    ]  # fmt: skip
    asked = Task("t0", "Name three rivers.", is_classification)
    given = settings("paper")
    whole = _first(given, asked, examples)
    room = most_likely_tokens(whole.messages) - 30
    length = room + int(given.stages[stage].sampling["max_tokens"])
    fitted = _first(changed(given, context_length=length), asked, examples)
    assert whole.stage == fitted.stage == stage
    assert whole.left_out == 0
    assert 1 <= fitted.left_out <= 8
    assert most_likely_tokens(fitted.messages) <= room


def _first(given: Settings, asked: Task, examples: list[Task]) -> Prompt:
    found = settle(lambda ask: algorithm.finish(asked, ask, given, examples), {})
    assert isinstance(found, list)
    return found[0]


@pytest.mark.parametrize(
    ("recipe", "table", "stage", "most"),
    [
        ("chat", "model", "propose", 8192),
        ("chat", "model", "propose", 8000),
        ("chat", "stages.respond", "respond", 9000),
        ("chat", "stages.judge", "judge", 8192),
        ("paper", "stages.instances", "instances", 8192),
    ],
)
def test_an_answer_that_leaves_no_room_for_a_prompt_is_refused_before_anything_is_asked(
    tmp_path: Path, recipe: str, table: str, stage: str, most: int
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f"[judge]\nenabled = {str(stage == 'judge').lower()}\n[{table}]\nmax_tokens = {most}\n")
    with short_server(8192) as server, pytest.raises(ConfigError) as caught:
        grow(tmp_path / "p", config=config, target=5, base_url=[server.base_url], model="offline", recipe=recipe)
    assert f"max_tokens = {most} leaves no room for the prompts of {stage}" in str(caught.value)
    assert "takes 8192 of prompt and answer" in str(caught.value)
    assert not (tmp_path / "p" / "pool.db").exists()


def test_a_stage_with_a_longer_context_of_its_own_may_answer_at_length(tmp_path: Path) -> None:
    with short_server(4096) as short, short_server(65_536) as long:
        config = tmp_path / "c.toml"
        config.write_text(f'[stages.respond]\nmax_tokens = 10000\nbase_url = "{long.base_url}"\n')
        outcome = grow(tmp_path / "p", config=config, target=5, base_url=[short.base_url], model="offline")
    assert outcome.exit_code == 0
    assert status(tmp_path / "p")["failed"] == 0


def test_the_context_of_every_server_in_use_counts(tmp_path: Path) -> None:
    with short_server(65_536) as long, short_server(3000) as short:
        config = tmp_path / "c.toml"
        config.write_text(f'[stages.respond]\nbase_url = "{short.base_url}"\n')
        grow(tmp_path / "p", config=config, target=5, base_url=[long.base_url], model="offline")
    (sampling,) = rows(tmp_path / "p", "SELECT DISTINCT sampling FROM requests WHERE stage = 'respond'")
    assert json.loads(sampling[0])["max_tokens"] == 1500


def test_a_run_on_a_short_context_fits_its_prompts_and_says_so(tmp_path: Path) -> None:
    seeds = [
        seed_row(f"{LONG if number % 2 else 'Explain this'} in {number} plain words.", number) for number in range(20)
    ]
    path = jsonl(tmp_path / "seeds.jsonl", seeds)
    with short_server(3000) as server:
        outcome = grow(tmp_path / "p", target=10, seeds=path, base_url=[server.base_url], model="offline")
    now = status(tmp_path / "p")
    assert (outcome.exit_code, now["tasks"], now["failed"]) == (0, 10, 0)
    assert now["prompts_shortened"] >= 8
    for left_out, shown in rows(
        tmp_path / "p", "SELECT left_out, demonstrations FROM requests WHERE stage = 'propose'"
    ):
        assert left_out >= 1
        assert left_out + len(json.loads(shown)) == 8
    (sampling,) = rows(tmp_path / "p", "SELECT DISTINCT sampling FROM requests WHERE stage = 'respond'")
    assert json.loads(sampling[0])["max_tokens"] == 1500
