"""The source `evolve`: tasks made out of tasks of the pool."""

from __future__ import annotations

import json
from pathlib import Path

from selfinstruct.algorithm import Accepted, Screening, plan_round
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.pool.explain import explain
from selfinstruct.settings import RecipeSettings
from selfinstruct.types import Candidate, Rejection, Task
from tests.builders import assert_it_adds_up, exported, grow, rows, settings, task

PARENT = "Describe in two sentences how a canal lock lifts a boat from one level to the next one."
OTHER = "List four reasons why bread dough may fail to rise, and say how to tell them apart."
EVOLVING = RecipeSettings(sources=("evolve",), tasks_per_request=3)
SEEDS = [task(PARENT, 0), task(OTHER, 1)]


def decided(text: str, parent: str | None = "s0") -> Accepted | Rejection:
    """What becomes of a candidate that was made out of the first seed."""
    known = [(seed.id, seed.instruction) for seed in SEEDS]
    screening = Screening("unicode", lambda start: known[start:])
    drawn = {} if parent is None else {"parent": parent}
    return screening.decide(Candidate("r", 0, text), [PARENT], settings(), drawn)


def test_a_request_shows_one_task_and_ways_and_the_parent_is_kept(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('recipe.sources = ["evolve"]\n[evolve]\nways = ["deeper", "rarer"]\n', encoding="utf-8")
    grow(tmp_path / "p", target=60, config=config)
    assert_it_adds_up(tmp_path / "p")
    asked = rows(tmp_path / "p", "SELECT drawn, demonstrations, messages, round FROM questions WHERE stage = 'propose'")
    texts = dict(rows(tmp_path / "p", "SELECT id, instruction FROM tasks"))
    for drawn, shown, messages, _ in asked:
        found = json.loads(drawn)
        assert json.loads(shown) == [found["parent"]]
        assert json.dumps(texts[found["parent"]])[1:-1] in messages or texts[found["parent"]] in messages
        assert {"deeper", "rarer"} == set(found["ways"].split(", "))
    later = [json.loads(drawn)["parent"] for drawn, _, _, number in asked if number >= 2]
    generated = sum(one.startswith("t") for one in later)
    assert 0 < generated < len(later), "seeds and tasks of the pool are evolved, once there are some"
    parents = rows(tmp_path / "p", "SELECT parents FROM tasks WHERE origin = 'generated'")
    assert all(len(json.loads(one)) == 1 for (one,) in parents)
    identity = rows(tmp_path / "p", "SELECT id FROM tasks WHERE origin = 'generated'")[0][0]
    assert ("source", "evolve") in explain(tmp_path / "p", identity)[0].lines


def test_a_task_may_be_more_similar_to_its_parent_than_to_others() -> None:
    text = PARENT.replace("how a canal lock lifts a boat", "how a canal lock lifts a loaded barge, and why it leaks,")
    alone = decided(text, parent=None)
    assert isinstance(alone, Rejection)
    assert alone.reason == "near_duplicate"
    assert isinstance(decided(text), Accepted)


def test_the_bound_to_the_parent_holds_also_below_that_of_others() -> None:
    text = PARENT.replace("how a canal lock lifts a boat", "why a canal lock with two gates wastes so much water, and")
    assert isinstance(decided(text), Accepted)
    strict = settings().model_copy(update={"evolve": settings().evolve.model_copy(update={"max_similarity": "0.5"})})
    known = [(seed.id, seed.instruction) for seed in SEEDS]
    found = Screening("unicode", lambda start: known[start:]).decide(
        Candidate("r", 0, text), [PARENT], strict, {"parent": "s0"}
    )
    assert isinstance(found, Rejection)
    assert (found.reason, found.nearest) == ("not_evolved", "s0")


def test_what_hardly_differs_from_its_parent_is_rejected() -> None:
    found = decided(PARENT.replace("Describe", "Explain"))
    assert isinstance(found, Rejection)
    assert (found.reason, found.nearest) == ("not_evolved", "s0")


def test_what_is_too_similar_to_another_task_is_rejected_as_ever() -> None:
    found = decided(OTHER.replace("four", "five"))
    assert isinstance(found, Rejection)
    assert (found.reason, found.nearest) == ("near_duplicate", "s1")


def test_another_task_counts_also_where_the_parent_is_nearer() -> None:
    seeds = [*SEEDS, Task("s2", PARENT.replace("two sentences", "three sentences"), is_classification=False)]
    screening = Screening("unicode", lambda start: [(one.id, one.instruction) for one in seeds][start:])
    text = PARENT.replace("a boat", "a barge")
    found = screening.decide(Candidate("r", 0, text), [PARENT], settings(), {"parent": "s0"})
    assert isinstance(found, Rejection)
    assert found.reason in {"near_duplicate", "not_evolved"}
    loose = settings().model_copy(update={"evolve": settings().evolve.model_copy(update={"max_similarity": "1"})})
    again = screening.decide(Candidate("r", 1, text), [PARENT], loose, {"parent": "s0"})
    assert isinstance(again, Rejection)
    assert (again.reason, again.nearest) == ("near_duplicate", "s2")


def test_each_request_of_a_round_draws_its_own_ways() -> None:
    evolving = pool_settings(load(None, {"recipe": "chat"}).model_copy(update={"recipe": EVOLVING}), "offline")
    first = plan_round(3, evolving, SEEDS, [])
    assert [one.id for one in first] == [one.id for one in plan_round(3, evolving, SEEDS, [])]
    assert len({one.drawn["ways"] for one in first}) > 1


def test_steps_and_one_run_give_the_same_bytes(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('recipe.sources = ["evolve", "demonstrations"]\n', encoding="utf-8")
    for target in (10, 35, 60):
        grow(tmp_path / "p", target=target, config=config)
    grow(tmp_path / "q", target=60, config=config, concurrency=1)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")
