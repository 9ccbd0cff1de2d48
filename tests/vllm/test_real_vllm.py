"""The real vLLM on a tiny model of random weights: structure, counts, finish reasons and laws, never text."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import aiohttp
import pytest

from selfinstruct.config.loading import load
from selfinstruct.errors import AccessError, ConfigError, SelfInstructError
from selfinstruct.models.client import Client
from selfinstruct.models.endpoint import EndpointConfig
from selfinstruct.models.routing import Slots
from selfinstruct.models.vllm.command import serve_command
from selfinstruct.models.vllm.log import reason
from selfinstruct.models.vllm.process import VllmServer
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.run import grow_blocking
from selfinstruct.types import Message, Request
from tests.builders import ROOT, jsonl, rows, seed_row
from tests.vllm.processes import Seen, descendants, everything, gone, wait_until
from tests.vllm.serving import (
    MODEL,
    Serving,
    check_laws,
    completions,
    config_file,
    starting_config,
    tasks,
    vllm_options,
)

if "SELFINSTRUCT_VLLM_PYTHON" not in os.environ:
    pytest.skip("REAL vLLM NOT TESTED: make test-vllm does", allow_module_level=True)

pytestmark = pytest.mark.timeout(900)


def grow(
    pool: Path, config: Path, began: Callable[[Growth], None] = lambda _: None, **options: object
) -> tuple[Outcome, list[str]]:
    told: list[str] = []
    return grow_blocking(load(config, {"pool": pool, **options}), told.append, began), told


@pytest.mark.parametrize("recipe", ["paper", "chat"])
def test_rounds_settle_and_tasks_are_accepted(tmp_path: Path, serving: Serving, recipe: str) -> None:
    outcome, told = grow(tmp_path / "p", config_file(tmp_path, serving, recipe=recipe, target=9, round_size=1))
    assert outcome.exit_code == 0, told
    now = check_laws(tmp_path / "p")
    assert now["tasks"] == 9
    assert now["instances"] >= 9
    assert now["failed"] == 0
    assert rows(tmp_path / "p", "SELECT COUNT(*) FROM rounds WHERE state = 'settled'")[0][0] >= 1
    assert now["cached_tokens"] > 0
    assert serving.server.context_length == 4096


def while_growing(pool: Path, config: Path, serving: Serving, harm: Callable[[], object], after: int = 6) -> Outcome:
    """A run that something is done to once so many completions are journaled; its server knows what is in flight."""
    result: list[Outcome] = []
    growing: list[tuple[Growth, asyncio.AbstractEventLoop]] = []
    watching: list[asyncio.Task[None]] = []

    async def watch(growth: Growth) -> None:
        while True:
            serving.in_flight = sum(progress.in_flight for progress in growth.progress())
            await asyncio.sleep(0.05)

    def began(growth: Growth) -> None:
        growing.append((growth, asyncio.get_running_loop()))
        watching.append(asyncio.create_task(watch(growth)))

    def run() -> None:
        result.append(grow(pool, config, began)[0])

    runner = threading.Thread(target=run, daemon=True)
    runner.start()
    try:
        wait_until(lambda: completions(pool) >= after, 100, "completions")
        harm()
        runner.join(400)
        assert result, "the run did not end"
    finally:
        if runner.is_alive() and growing:
            growth, loop = growing[0]
            loop.call_soon_threadsafe(growth.halt, Outcome(130, "the test has ended"))
            runner.join(100)
        serving.in_flight = 0
    return result[0]


@pytest.mark.parametrize("harm", ["kill of the engine", "kill of the API server", "SIGTERM", "engine stopped"])
def test_a_run_goes_on_after(tmp_path: Path, serving: Serving, harm: str) -> None:
    restarts = serving.server.restarts
    before = serving.processes
    wanted, number = {
        "kill of the engine": (serving.engine, signal.SIGKILL),
        "kill of the API server": (before[0].pid, signal.SIGKILL),
        "SIGTERM": (before[0].pid, signal.SIGTERM),
        "engine stopped": (serving.engine, signal.SIGSTOP),
    }[harm]
    engine = serving.engine
    pool = tmp_path / "p"

    def strike() -> None:
        """With the engine stopped, what is in flight stays so, and the run cannot end before the blow."""
        os.kill(engine, signal.SIGSTOP)
        time.sleep(1)  # what it has answered is on its way
        wait_until(lambda: serving.in_flight, 60, "a request in flight")
        assert tasks(pool) < 40
        os.kill(wanted, number)
        if number == signal.SIGTERM:
            os.kill(engine, signal.SIGCONT)

    config = config_file(tmp_path, serving, recipe="paper", target=40, seed=restarts + 5)
    outcome = while_growing(pool, config, serving, strike)
    print("\n".join(serving.told))
    assert outcome.exit_code == 0, outcome
    assert serving.server.restarts == restarts + 1
    assert any("starting it again" in line for line in serving.told)
    assert check_laws(pool)["tasks"] == 40
    gone(before)


@contextlib.contextmanager
def started(pool: Path, config: Path) -> Iterator[subprocess.Popen[str]]:
    """`generate --backend vllm` as a program of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--config", str(config)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as program:  # fmt: skip
        try:
            yield program
        finally:
            program.kill()


def of_the_server(family: list[Seen]) -> list[Seen]:
    return [one for one in family if "EngineCore" in one.command]


def engine_killed_in_the_middle(program: subprocess.Popen[str], pool: Path, target: int) -> list[Seen]:
    """Kill the engine of a run that stands still meanwhile, well before its target; the run's processes till then."""
    wait_until(lambda: completions(pool) or program.poll() is not None, 400, "completions")
    program.send_signal(signal.SIGSTOP)
    family = descendants(program.pid)
    assert tasks(pool) < target
    (engine,) = of_the_server(family)
    os.kill(engine.pid, signal.SIGKILL)
    program.send_signal(signal.SIGCONT)
    return family


def test_generate_starts_a_server_outlives_its_engine_and_leaves_nothing(models: Path, tmp_path: Path) -> None:
    pool = tmp_path / "p"
    with started(pool, starting_config(tmp_path, models / "chat", recipe="chat", target=24)) as program:
        family = engine_killed_in_the_middle(program, pool, 24)
        _, told = program.communicate(timeout=400)
    assert program.returncode == 0, told
    assert "starting it again (1 of 3 times)" in told
    gone(family)
    now = check_laws(pool)
    assert (now["tasks"], now["server_restarts"], now["last_run"]["server_restarts"]) == (24, 1, 1)
    assert now["cached_tokens"] > 0
    assert now["last_run"]["tokens_per_second"] > 0


def test_nothing_is_left_of_a_program_that_is_killed(models: Path, tmp_path: Path) -> None:
    pool = tmp_path / "p"
    with started(pool, starting_config(tmp_path, models / "chat", recipe="paper", target=5000)) as program:
        wait_until(lambda: completions(pool) >= 5, 400, "completions")
        family = descendants(program.pid)
        assert of_the_server(family)
        program.send_signal(signal.SIGKILL)
        program.communicate()
    gone(family)
    check_laws(pool)


def test_a_server_that_dies_for_good_ends_the_run_and_the_same_command_goes_on(models: Path, tmp_path: Path) -> None:
    pool = tmp_path / "p"
    config = starting_config(tmp_path, models / "chat", recipe="paper", target=24, max_restarts=0)
    with started(pool, config) as program:
        family = engine_killed_in_the_middle(program, pool, 24)
        _, told = program.communicate(timeout=400)
    assert program.returncode == 5, told
    assert "vLLM is not started again" in told
    gone(family)
    before = check_laws(pool)
    with started(pool, config) as program:
        _, told = program.communicate(timeout=400)
    assert program.returncode == 0, told
    now = check_laws(pool)
    assert now["tasks"] == 24 > before["tasks"]


def test_prompts_are_fitted_to_the_context(tmp_path: Path, serving: Serving) -> None:
    seeds = [seed_row(f"Name the {number} best things about tea and say why.", number) for number in range(30)]
    seeds += [
        seed_row(f"Sum up number {number}. " + "The kettle sang and the cup was warm. " * 150, number)
        for number in range(30, 40)
    ]
    path = jsonl(tmp_path / "seeds.jsonl", seeds)
    config = config_file(tmp_path, serving, recipe="paper", target=15)
    outcome, told = grow(tmp_path / "p", config, seeds=path)
    assert outcome.exit_code == 0, told
    now = check_laws(tmp_path / "p")
    assert now["tasks"] == 15
    assert now["prompts_shortened"] > 0
    assert now["failed"] == 0


def test_too_long_prompts_end_those_requests_and_the_run_goes_on(tmp_path: Path, serving: Serving) -> None:
    """Text of a token a letter, which no estimate foresees."""
    seeds = [seed_row(f"Name the {number} best things about tea and say why.", number) for number in range(60)]
    seeds.append(seed_row("Sum up this. " + "qzxjkqxzvw" * 480, 60))
    path = jsonl(tmp_path / "seeds.jsonl", seeds)
    config = config_file(tmp_path, serving, recipe="paper", target=25)
    outcome, told = grow(tmp_path / "p", config, seeds=path)
    assert outcome.exit_code == 0, told
    now = check_laws(tmp_path / "p")
    assert now["tasks"] == 25
    too_long = rows(tmp_path / "p", "SELECT COUNT(*) FROM completions WHERE finish_reason = 'too_long'")[0][0]
    assert now["failed"] == too_long > 0


def test_the_client_takes_a_too_long_prompt_for_that_requests_end(serving: Serving) -> None:
    async def work() -> None:
        endpoint = EndpointConfig(serving.server.base_url, serving.server.api_key, "VLLM_API_KEY")
        client = Client([endpoint], Slots(2), tell=lambda _: None)
        try:
            assert [card["id"] for card in await client.check()] == [MODEL]
            assert client.context_length(MODEL) == 4096
            message = Message("prompt", "The kettle sang. " * 4000)
            request = Request("0" * 64, "propose", 0, None, 0, "completions", MODEL, {"max_tokens": 5}, (message,))
            completion = await client.complete(request, 0)
            assert (completion.kind, completion.finish_reason) == ("failed", "too_long")
            short = (Message("prompt", "The kettle sang."),)
            long_winded = replace(request, id="1" * 64, sampling={"max_tokens": 4097}, messages=short)
            with pytest.raises(AccessError, match="fewer output tokens"):
                await client.complete(long_winded, 0)
        finally:
            await client.close()

    asyncio.run(work())


def test_a_base_model_asked_for_chat_is_told_of_the_paper_recipe(models: Path, tmp_path: Path) -> None:
    with Serving(vllm_options(models / "base"), tmp_path / "vllm.log") as serving:
        outcome, _ = grow(tmp_path / "p", config_file(tmp_path, serving, recipe="chat", target=5))
        assert outcome.exit_code == 5
        assert "--recipe paper" in outcome.reason
        outcome, _ = grow(tmp_path / "q", config_file(tmp_path, serving, recipe="paper", target=3))
        assert outcome.exit_code == 0


def failed_start(model: Path | str, folder: Path, *more: str, **options: object) -> SelfInstructError:
    async def work() -> None:
        given = replace(vllm_options(Path("/"), *more, **options), model=str(model))
        async with VllmServer(given, MODEL, folder / "vllm.log", lambda _: None):
            pass

    with pytest.raises(SelfInstructError) as caught:
        asyncio.run(work())
    return caught.value


def test_starts_that_must_fail_say_why(models: Path, tmp_path: Path) -> None:
    chat = models / "chat"
    for error, kind, wanted in (
        (failed_start(chat, tmp_path, "--no-such-flag", "7"), ConfigError, "--no-such-flag"),
        (failed_start(chat, tmp_path, "--dtype", "float7"), ConfigError, "--dtype"),
        (failed_start(chat, tmp_path, "--kv-cache-memory-bytes", "100000"), AccessError, "--max-model-len"),
        (failed_start("nobody/nothing", tmp_path), AccessError, "huggingface.co"),
        (failed_start(chat, tmp_path, env={"VLLM_TEST_BUILD": "cu130"}), AccessError, "finds no GPU"),
    ):
        assert isinstance(error, kind)
        assert wanted in str(error)


def test_a_port_that_somebody_takes_meanwhile_is_told(models: Path, serving: Serving) -> None:
    port = int(serving.server.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    command = serve_command(vllm_options(models / "chat"), MODEL, port)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    error = reason((ended.stdout + ended.stderr).splitlines(), ended.returncode)
    assert isinstance(error, ConfigError)
    assert "port is taken" in str(error)


@pytest.mark.timeout(60 + 100 * int(os.environ.get("VLLM_STARTS", "5")))
def test_starts_that_are_stopped_at_any_moment_leave_nothing(models: Path, tmp_path: Path) -> None:
    """Five in CI; `make soak` sets VLLM_STARTS to 100."""
    generator = random.Random(3)

    async def one(seconds: float) -> None:
        server = VllmServer(vllm_options(models / "chat"), MODEL, tmp_path / "vllm.log", lambda _: None)

        async def serve() -> None:
            async with server:
                await asyncio.sleep(60)

        known = {(seen.pid, seen.started) for seen in everything()}
        serving = asyncio.create_task(serve())
        await asyncio.sleep(seconds)
        family = [seen for seen in descendants(os.getpid()) if (seen.pid, seen.started) not in known]
        assert family
        began = time.monotonic()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert time.monotonic() - began < 50
        gone(family)

    for _ in range(int(os.environ.get("VLLM_STARTS", "5"))):
        asyncio.run(one(generator.uniform(0.2, 22.0)))


FIXED = {
    ("paper", "propose"): 32, ("paper", "classify"): 800, ("paper", "instances"): 1100,
    ("chat", "propose"): 700, ("chat", "inputs"): 256, ("chat", "respond"): 96,
}  # fmt: skip
"""Tokens that stand first in all prompts of a stage, at least: one with its changing part in front has none."""


def test_the_fixed_part_of_each_stage_comes_from_the_prefix_cache(
    tmp_path: Path, serving: Serving, record_property: Callable[[str, object], None]
) -> None:
    """At least 90 % of the whole blocks that it fills, in a run after another one has warmed the cache."""
    for recipe in ("paper", "chat"):
        grow(tmp_path / f"warm-{recipe}", config_file(tmp_path, serving, recipe=recipe, target=12, seed=100))
        warm = {form_of(*row) for row in rows(tmp_path / f"warm-{recipe}", "SELECT stage, messages FROM questions")}
        before = serving.prefix_tokens
        pool = tmp_path / recipe
        grow(pool, config_file(tmp_path, serving, recipe=recipe, target=12, seed=200))
        after = serving.prefix_tokens
        asked = rows(
            pool,
            "SELECT r.stage, r.messages, c.prompt_tokens, c.cached_tokens FROM questions r JOIN completions c "
            "ON c.request_id = r.id WHERE c.kind = 'answer'",
        )
        queries, hits = (now - then for now, then in zip(after, before, strict=True))
        assert queries >= sum(row[2] for row in asked), "at least: an empty answer is asked for again"
        assert hits >= sum(row[3] for row in asked)
        measured: set[str] = set()
        by_form: dict[tuple[str, str], list[tuple[list[int], int]]] = defaultdict(list)
        for (stage, messages, _, cached), tokens in zip(
            asked, tokenized(serving, [row[1] for row in asked]), strict=True
        ):
            by_form[form_of(stage, messages)].append((tokens, cached))
        for (stage, form), requests in by_form.items():
            if len(requests) < 3 or (stage, form) not in warm:
                continue
            measured.add(stage)
            columns = zip(*(tokens for tokens, _ in requests), strict=False)
            shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
            whole = shared // 32 * 32
            hit = sum(min(cached, whole) for _, cached in requests)
            assert whole >= FIXED[recipe, stage], (recipe, stage, form)
            share = hit / (whole * len(requests))
            record_property(f"{recipe}/{stage}", f"{whole} fixed tokens in whole blocks, {share:.1%} hit")
            print(f"{recipe}/{stage}: {len(requests)} requests, {whole} fixed tokens, {share:.1%} hit")
            assert share >= 0.9, (recipe, stage, form)
        assert len(measured) == 3
        record_property(f"{recipe}/all prompt tokens", f"{hits / queries:.1%}")
        print(f"{recipe}: {hits / queries:.1%} of all prompt tokens hit")


def form_of(stage: str, messages: str) -> tuple[str, str]:
    """By what requests of a stage differ in their fixed part: some stages have two wordings of it."""
    return stage, messages[:120]


def tokenized(serving: Serving, messages: list[str]) -> list[list[int]]:
    """The tokens of prompts, given as the messages in JSON."""

    async def one(session: aiohttp.ClientSession, text: str) -> list[int]:
        given = json.loads(text)
        body: dict[str, object] = {"model": MODEL}
        if given[0][0] == "prompt":
            body["prompt"] = given[0][1]
        else:
            body["messages"] = [{"role": role, "content": content} for role, content in given]
        root = serving.server.base_url.removesuffix("/v1")
        async with session.post(f"{root}/tokenize", json=body) as response:
            found: list[int] = (await response.json())["tokens"]
            return found

    async def work() -> list[list[int]]:
        headers = {"Authorization": f"Bearer {serving.server.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            return [await one(session, text) for text in messages]

    return asyncio.run(work())
