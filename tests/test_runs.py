"""Runs under other configurations: the paper recipe, roles, steering, and changes over a pool's life."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.config.loading import load
from selfinstruct.config.roles import role_of
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.run import run
from tests.builders import ROOT, assert_it_adds_up, exported, grow, rows
from tests.servers import short_server


def config_file(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_paper_recipe_grows_a_pool_in_its_own_steps(tmp_path: Path) -> None:
    assert grow(tmp_path / "p", target=20, recipe="paper").exit_code == 0
    now = assert_it_adds_up(tmp_path / "p")
    assert (now["tasks"], now["recipe"]) == (20, "paper")
    stages = {row[0] for row in rows(tmp_path / "p", "SELECT DISTINCT stage FROM requests")}
    assert stages == {"propose", "classify", "instances"}
    grow(tmp_path / "q", target=8, recipe="paper", concurrency=2)
    grow(tmp_path / "q", more=12, recipe="paper")
    assert exported(tmp_path / "p") == exported(tmp_path / "q")


def test_a_growth_by_the_recipe_original_keeps_the_originals_figures(tmp_path: Path) -> None:
    grow(tmp_path / "p", target=10, recipe="original")
    assert status(tmp_path / "p")["recipe"] == "original"
    found = rows(tmp_path / "p", "SELECT mean_score, most_similar FROM tasks WHERE origin = 'generated'")
    assert all(mean is not None and len(json.loads(similar)) == 10 for mean, similar in found)


def test_chinese_seeds_grow_a_pool_too(tmp_path: Path) -> None:
    seeds = ROOT / "seeds" / "zh.jsonl"
    assert grow(tmp_path / "p", target=5, seeds=seeds).exit_code == 0
    assert status(tmp_path / "p")["seeds"] == 100


def test_each_stage_may_have_a_model_and_a_server_of_its_own(tmp_path: Path) -> None:
    with OfflineServer() as one, OfflineServer() as other:
        text = f"""
            [model]
            name = "offline"
            base_url = "{one.base_url}"
            [stages.respond]
            base_url = ["{other.base_url}"]
            temperature = 0.1
        """
        grow(tmp_path / "p", target=5, config=config_file(tmp_path, text))
        served = dict(
            rows(tmp_path / "p", "SELECT stage, endpoint FROM completions c JOIN requests r ON r.id = c.request_id")
        )
    assert served == {"propose": one.base_url, "inputs": one.base_url, "respond": other.base_url}
    assert rows(
        tmp_path / "p", "SELECT DISTINCT json_extract(sampling, '$.temperature') FROM requests WHERE stage = 'respond'"
    ) == [(0.1,)]


def test_guidance_topics_and_prompts_of_the_users_reach_the_requests(tmp_path: Path) -> None:
    (tmp_path / "topics.txt").write_text("# subjects\nbees\nbridges\n\n", encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "respond.txt").write_text(
        "[user]\nAnswer like a pirate. {{instruction}}\n\n{{input?}}", encoding="utf-8"
    )
    text = f"""
        [recipe]
        guidance = "Everything is about the harbour."
        topics = "{tmp_path / "topics.txt"}"
        prompts = "{tmp_path / "prompts"}"
    """
    grow(tmp_path / "p", target=5, config=config_file(tmp_path, text))
    asked = [row[0] for row in rows(tmp_path / "p", "SELECT messages FROM questions WHERE stage = 'propose'")]
    assert all("Everything is about the harbour." in one for one in asked)
    assert all(("bees" in one) != ("bridges" in one) for one in asked)
    assert any("bees" in one for one in asked)
    responses = rows(tmp_path / "p", "SELECT messages FROM questions WHERE stage = 'respond'")
    assert all("Answer like a pirate." in row[0] for row in responses)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[recipe]\nprompts = "nowhere"', "nowhere is not a folder, nor a set of prompts"),
        ('[recipe]\ntopics = "nowhere.txt"', "nowhere.txt"),
        ("[filters]\nmin_words = 9\nmax_words = 3", "min_words is larger"),
        ('[filters]\ntokenizer = "letters"', "wants 'unicode' or 'rouge_score'"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        pool_settings(load(config_file(tmp_path, text), {}), "m")


def test_a_prompt_the_recipe_does_not_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "respnd.txt").write_text("[user]\nx")
    with pytest.raises(ConfigError, match=r"respnd\.txt: the recipe chat has no such prompt; it has .*respond\.txt"):
        pool_settings(load(config_file(tmp_path, f'[recipe]\nprompts = "{tmp_path}"'), {}), "m")


def test_a_role_takes_from_the_model_what_it_does_not_name(tmp_path: Path) -> None:
    text = '[model]\nname = "a"\ntimeout_s = 9\nextra_body = {top_k = 5}\n[stages.respond]\nname = "b"\nmax_tokens = 77'
    config = load(config_file(tmp_path, text), {})
    role = role_of(config, "respond")
    assert (role.name, role.timeout_s, role_of(config, "inputs").name) == ("b", 9, "a")
    stage = pool_settings(config, "a").stages["respond"]
    assert (stage.model, stage.sampling["max_tokens"], stage.sampling["extra_body"]) == ("b", 77, {"top_k": 5})


def halted_run(pool: Path, url: str, after: int) -> None:
    """A run that is stopped once so many completions are journaled."""

    async def work() -> None:
        growths: list[Growth] = []
        options = {"pool": pool, "target": 60, "base_url": [url], "model": "offline", "concurrency": 3}
        running = asyncio.ensure_future(run(load(None, options), lambda _: None, started=growths.append))
        while not growths or status(pool)["completions"] < after:  # noqa: ASYNC110 - what is awaited is in a database
            await asyncio.sleep(0.01)
        growths[0].halt(Outcome(130, "interrupted"))
        assert (await running).exit_code == 130

    asyncio.run(work())


def test_open_requests_are_planned_again_for_another_sampling_and_all_changes_are_told(tmp_path: Path) -> None:
    with OfflineServer(latency="fixed:0.02") as server:
        pool = tmp_path / "p"
        halted_run(pool, server.base_url, 12)
        open_before = {row[0] for row in rows(pool, "SELECT id FROM requests WHERE state = 'open'")}
        answered = {row[0] for row in rows(pool, "SELECT id FROM requests WHERE state = 'answered'")}
        assert open_before
        text = '[model]\ntemperature = 0.5\n[filters]\nrouge_threshold = 0.6\n[recipe]\nguidance = "Be brief."'
        told: list[str] = []
        grow(
            pool, target=80, base_url=[server.base_url], model="offline", config=config_file(tmp_path, text), tell=told
        )  # fmt: skip
    states = dict(rows(pool, "SELECT id, state FROM requests"))
    assert {states[one] for one in open_before} == {"superseded"}
    assert {states[one] for one in answered} == {"answered"}
    assert status(pool)["tasks"] == 80
    said = "\n".join(told)
    for wanted in ("rouge_threshold is '0.6' instead of '0.7'", "guidance is 'Be brief.'", "'temperature': 0.5"):
        assert wanted in said
    settings = [
        json.loads(row[0])
        for row in rows(
            pool, "SELECT settings FROM rounds r JOIN configurations c ON c.id = r.configuration ORDER BY number"
        )
    ]
    assert settings[0]["filters"]["rouge_threshold"] == "0.7"
    assert settings[-1]["filters"]["rouge_threshold"] == "0.6"


def test_no_task_beyond_a_lower_target_is_followed_up_and_what_is_open_is_asked_later(tmp_path: Path) -> None:
    with OfflineServer(latency="fixed:0.02") as server:
        pool = tmp_path / "p"
        halted_run(pool, server.base_url, 25)
        open_before = {row[0] for row in rows(pool, "SELECT id FROM requests WHERE state = 'open'")}
        assert status(pool)["tasks_pending"] > 10
        grow(pool, target=5, base_url=[server.base_url], model="offline")
        now = status(pool)
        assert now["tasks"] >= 5
        assert now["tasks_pending"] > 0
        assert len(exported(pool).splitlines()) >= 10
        grow(pool, target=60, base_url=[server.base_url], model="offline")
        assert max(server.seen.values()) == 1
    assert {row[0] for row in rows(pool, "SELECT id FROM requests WHERE state = 'answered'")} >= open_before
    assert rows(pool, "SELECT COUNT(*) FROM requests WHERE state = 'superseded'") == [(0,)]
    assert status(pool)["tasks"] == 60
    grow(tmp_path / "q", target=60)
    assert exported(pool) == exported(tmp_path / "q")


def test_the_least_context_length_of_the_endpoints_is_kept_with_each_round(tmp_path: Path) -> None:
    with short_server(9000) as one, short_server(8000) as other:
        grow(tmp_path / "p", target=3, base_url=[one.base_url, other.base_url], model="offline")
    found = rows(tmp_path / "p", "SELECT DISTINCT json_extract(settings, '$.context_length') FROM configurations")
    assert found == [(8000,)]


def test_each_attempt_at_a_job_has_the_goal_of_the_first(tmp_path: Path) -> None:
    def attempt(job: str, **options: Any) -> Outcome:
        config = load(None, {"pool": tmp_path / "p", **options})
        return asyncio.run(run(config, lambda _: None, job=job))

    assert attempt("monday", more=10, max_requests=12).exit_code == 3
    assert status(tmp_path / "p")["tasks"] < 10
    assert attempt("monday", more=10).exit_code == 0
    assert attempt("monday", more=10).reason == "the target of 10 tasks was reached before"
    assert attempt("tuesday", more=5, max_requests=1).exit_code == 3
    assert attempt("wednesday", more=5).exit_code == 0
    assert attempt("tuesday", more=5).reason == "the target of 15 tasks was reached before"
    found = rows(tmp_path / "p", "SELECT job, goal FROM runs ORDER BY id")
    assert found == [("monday", 10), ("monday", 10), ("tuesday", 15), ("wednesday", 15)]


def test_all_attempts_at_a_job_share_its_bounds_and_their_target_may_grow(tmp_path: Path) -> None:
    def attempt(job: str, target: int) -> Outcome:
        config = load(None, {"pool": tmp_path / "p", "target": target, "max_requests": 60})
        return asyncio.run(run(config, lambda _: None, job=job))

    assert attempt("monday", 5).exit_code == 0
    used = status(tmp_path / "p")["attempts"]
    assert used < 60
    assert attempt("monday", 100).exit_code == 3
    assert status(tmp_path / "p")["attempts"] == 60
    assert attempt("monday", 100).exit_code == 3
    assert status(tmp_path / "p")["attempts"] == 60
    assert attempt("tuesday", 100).exit_code == 3
    assert status(tmp_path / "p")["attempts"] == 120
