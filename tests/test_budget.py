"""What a run may spend, and when it stops by itself."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.errors import BudgetError, ConfigError
from selfinstruct.models.budget import Attempt, Budget, Limits, most_tokens
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.models.prices import Price, in_dollars, listed_price
from selfinstruct.pool.reader import status
from selfinstruct.types import Completion, Message, Request
from tests.builders import exported, grow, rows

PRICES = '[prices.offline]\ninput = "0.5"\noutput = "1.5"\n'


def request(number: int, words: str = "Hello there", **sampling: Any) -> Request:
    return Request(
        f"{number:064x}", "propose", 0, None, 0, "chat", "m", {"max_tokens": 50, **sampling}, (Message("user", words),)
    )


class Book:
    """A ledger that remembers."""

    def __init__(self) -> None:
        self.reserved: list[Attempt] = []
        self.settled: list[tuple[int, int, int]] = []

    async def reserve(self, attempt: Attempt) -> None:
        self.reserved.append(attempt)

    def settle_attempt(self, attempt: Attempt, tokens: int, picodollars: int) -> None:
        self.settled.append((attempt.id, tokens, picodollars))


def used(number: int, prompt: int, completion: int, cached: int = 0) -> Completion:
    return Completion(f"{number:064x}", "answer", "x", "stop", prompt, completion, cached)


def test_a_reserve_is_an_upper_bound_of_bytes_overhead_and_the_longest_answer() -> None:
    prompt, completion = most_tokens(request(1, "héllo", extra_body={"max_tokens": 70}))
    assert (prompt, completion) == (6 + 200, 70)


def test_usage_takes_the_place_of_the_reserve_and_a_lost_answer_keeps_it() -> None:
    async def work() -> None:
        book = Book()
        budget = Budget(Limits(), {"m": Price(Decimal("0.5"), Decimal("1.5"), Decimal("0.1"))}, lambda: book)
        for number in (1, 2, 3):
            await budget.reserve(request(number))
        budget.spent(request(1), used(1, 10, 4, 6))
        budget.spent(request(2), None)
        budget.spent(request(3), Completion("3", "failed", "no", "bad_request"))
        reserve = book.reserved[1]
        assert book.settled[0] == (1, 14, int((4 * 0.5 + 6 * 0.1 + 4 * 1.5) * 1e6))
        assert book.settled[1] == (2, reserve.tokens, reserve.picodollars)
        assert book.settled[2] == (3, 0, 0)
        assert budget.used[1] == 14 + reserve.tokens

    asyncio.run(work())


def test_what_does_not_fit_waits_for_answers_on_their_way_and_then_is_refused() -> None:
    async def work() -> None:
        budget = Budget(Limits(tokens=600), {}, Book)
        await budget.reserve(request(1))
        await budget.reserve(request(2))
        third = asyncio.create_task(budget.reserve(request(3)))
        await asyncio.sleep(0.01)
        assert not third.done()
        budget.spent(request(1), used(1, 10, 4))
        async with asyncio.timeout(1):
            await third
        budget.spent(request(2), None)
        budget.spent(request(3), None)
        with pytest.raises(BudgetError, match="--max-tokens"):
            await budget.reserve(request(4))

    asyncio.run(work())


def test_prices_are_exact_and_known_for_public_providers_only() -> None:
    price = listed_price("gpt-4o-mini", "https://api.openai.com/v1")
    assert price is not None
    assert in_dollars(price.cost(1_000_000, 0)) == price.input
    assert listed_price("Qwen/Qwen3-8B", "http://localhost:8000/v1") is None


def spent(pool: Path) -> tuple[int, int, int]:
    """(attempts, tokens, picodollars) of a pool, lost ones at their reserve."""
    sql = "SELECT COUNT(*), SUM(COALESCE(tokens, reserved_tokens)), SUM(COALESCE(usd_e12, reserved_usd_e12))"
    ((requests, tokens, picodollars),) = rows(pool, f"{sql} FROM attempts")
    return requests, tokens or 0, picodollars or 0


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    """A configuration with the price of the offline model."""
    path = tmp_path / "c.toml"
    path.write_text(PRICES)
    return path


def test_random_budgets_are_never_exceeded_and_the_run_goes_on_with_more(tmp_path: Path, priced: Path) -> None:
    generator = random.Random(3)
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "config": priced, "target": 40}
        for number in range(int(os.environ.get("BUDGETS", "6"))):
            pool = tmp_path / f"p{number}"
            kind = ("max_requests", "max_tokens", "max_usd")[number % 3]
            amount = {"max_requests": generator.randint(1, 60), "max_tokens": generator.randint(2_000, 40_000),
                      "max_usd": f"{generator.uniform(0.002, 0.04):.5f}"}[kind]  # fmt: skip
            outcome = grow(pool, **options, **{kind: amount}, concurrency=generator.choice([1, 8, 32]))
            requests, tokens, picodollars = spent(pool)
            used = {"max_requests": requests, "max_tokens": tokens, "max_usd": in_dollars(picodollars)}[kind]
            assert used <= Decimal(amount)
            assert outcome.exit_code in {0, 3}
            assert requests == status(pool)["attempts"] >= status(pool)["completions"]
            if outcome.exit_code == 3:
                assert grow(pool, **options).exit_code == 0
                assert status(pool)["tasks"] == 40


def test_each_run_sends_as_many_requests_as_it_may(tmp_path: Path) -> None:
    """Also where a run begins with more open requests than its bound, all of which could be sent at once."""
    pool, sent = tmp_path / "p", [0]
    with OfflineServer(latency="fixed:0.05") as server:
        options = {"target": 30, "base_url": [server.base_url], "model": "offline", "concurrency": 64}
        while grow(pool, max_requests=15, **options).exit_code == 3:
            sent.append(rows(pool, "SELECT COUNT(*) FROM completions")[0][0])
            assert sent[-1] == sent[-2] + 15
    assert len(sent) > 3


ON_LATER_ROUNDS = """
SELECT COUNT(*), COALESCE(SUM(a.reserved_usd_e12), 0), (SELECT MAX(reserved_usd_e12) FROM attempts)
FROM attempts a JOIN requests r ON r.number = a.request
WHERE a.stage = 'propose' AND r.round > (SELECT MIN(round) FROM tasks WHERE state = 'pending')
"""
"""Propose requests sent for rounds after that of the first task left open, and the most they could cost."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_stopped_by_a_budget_all_that_is_finished_is_exported_and_little_is_left_half_done(
    tmp_path: Path, priced: Path, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    grow(tmp_path / "undisturbed", target=100)
    generator = random.Random(times)
    stopped = 0
    with OfflineServer() as server:
        for number in range(times):
            pool, concurrency = tmp_path / f"p{number}", generator.choice([1, 8, 32])
            command = ["generate", "--pool", str(pool), "--base-url", server.base_url, "--model", "offline", "--target",
                       "100", "--config", str(priced), "--concurrency", str(concurrency)]  # fmt: skip
            limit = f"{generator.uniform(0.005, 0.05):.4f}"
            code = cli.run([*command, "--max-usd", limit])
            assert code in {0, 3}, capsys.readouterr().err
            stopped += code == 3
            now = status(pool)
            assert in_dollars(spent(pool)[2]) <= Decimal(limit)
            if now["tasks"]:
                assert len((pool / "export" / "alpaca.jsonl").read_text("utf-8").splitlines()) == now["instances"]
            later, reserves, largest = rows(pool, ON_LATER_ROUNDS)[0]
            assert reserves <= 8 * (largest or 0), f"{later} requests for new rounds while tasks were left open"
            assert cli.run(command) == 0
            assert exported(pool) == exported(tmp_path / "undisturbed")
    assert stopped > times / 2


@pytest.mark.parametrize(("bound", "amount"), [("max_requests", 12), ("max_tokens", 12_000), ("max_usd", "0.012")])
def test_a_run_with_little_finishes_open_tasks_and_begins_no_round(
    tmp_path: Path, priced: Path, bound: str, amount: object
) -> None:
    pool = tmp_path / "p"
    options: dict[str, Any] = {"model": "offline", "config": priced, "target": 100}
    with OfflineServer() as server:
        options["base_url"] = [server.base_url]
        assert grow(pool, max_requests=16, **options).exit_code == 3
        before = status(pool)
        assert before["tasks_pending"] > 12
        assert rows(pool, "SELECT COUNT(*) > 0 FROM requests WHERE stage = 'propose' AND state = 'open'") == [(1,)]
        assert grow(pool, **{bound: amount}, **options).exit_code == 3
    now = status(pool)
    asked = dict(rows(pool, "SELECT stage, COUNT(*) FROM attempts WHERE run = 2 GROUP BY stage"))
    assert asked.keys() == {"inputs", "respond"}
    assert now["tasks"] > before["tasks"]
    half_done = "SELECT COUNT(DISTINCT t.id) FROM tasks t JOIN requests r ON r.task_id = t.id AND r.state = 'answered'"
    assert rows(pool, f"{half_done} WHERE t.state = 'pending'")[0][0] <= 1


def test_a_bound_on_the_pools_total_counts_all_its_runs(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(PRICES + '[budget]\npool_max_usd = "0.02"\n')
    outcomes = [
        grow(tmp_path / "p", config=tmp_path / "c.toml", model="offline", backend="offline", target=200)
        for _ in range(2)
    ]
    assert [one.exit_code for one in outcomes] == [3, 3]
    assert "pool_max_usd" in outcomes[1].reason
    assert in_dollars(spent(tmp_path / "p")[2]) <= Decimal("0.02")


def test_a_budget_in_dollars_for_a_model_without_a_price_is_refused_at_the_start(tmp_path: Path) -> None:
    with OfflineServer() as server, pytest.raises(ConfigError, match=r'\[prices."offline"\]'):
        grow(tmp_path / "p", base_url=[server.base_url], model="offline", max_usd="1", target=5)
    assert not (tmp_path / "p" / "pool.db").exists()


def test_minutes_end_the_sending_and_the_run(tmp_path: Path) -> None:
    with OfflineServer(latency="fixed:0.5") as server:
        outcome = grow(
            tmp_path / "p", base_url=[server.base_url], model="offline", max_minutes=0.1, concurrency=2, target=90
        )
    assert outcome.exit_code == 3
    assert "--max-minutes" in outcome.reason
    assert 0 < status(tmp_path / "p")["completions"] < 60


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    tmp_path: Path, priced: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with OfflineServer() as server:
        arguments = ["generate", "--pool", str(tmp_path / "p"), "--base-url", server.base_url, "--model", "offline"]
        arguments += ["--config", str(priced), "--target", "50"]
        assert cli.run([*arguments, "--dry-run"]) == 0
        assert not server.seen
        out = capsys.readouterr().out
        assert all(wanted in out for wanted in ("assumed, as the pool has no history", "respond", " USD, "))
        assert cli.run([*arguments, "--dry-run", "--max-usd", "0.001", "--max-requests", "9999"]) == 0
        bounded = capsys.readouterr().out
        assert "  --max-usd 0.001 would end it before that\n" in bounded
        assert "--max-requests" not in bounded
        assert cli.run([*arguments, "--dry-run", "--show-prompts"]) == 0
        figures, *prompts = capsys.readouterr().out.split("\n--- propose request ")
        assert (figures, len(prompts)) == (out, 8)
        assert cli.run([*arguments, "--show-prompts"]) == 2
        assert "goes with --dry-run" in capsys.readouterr().err
        for more, shown in ((["--show-prompts"], 8), ([], 0)):
            assert cli.run([*arguments, "--dry-run", "--json", *more]) == 0
            found = json.loads(capsys.readouterr().out)
            assert (found["tasks"], found["target"], len(found.get("first_round", ()))) == (0, 50, shown)
            assert [stage["stage"] for stage in found["stages"]] == ["propose", "inputs", "respond"]
            assert found["usd"] == pytest.approx(sum(stage["usd"] for stage in found["stages"]))
        assert not (tmp_path / "p").exists()
        assert cli.run(arguments) == 0
        asked = sum(server.seen.values())
        capsys.readouterr()
        assert cli.run([*arguments[:-1], "100", "--dry-run"]) == 0
        assert sum(server.seen.values()) == asked
        assert "figures of this pool" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "config"),
    [
        (["--backend", "vllm", "--model", "m"], '[vllm]\ncommand = "/nowhere/vllm"'),
        (["--exclude", "/nowhere/test.jsonl"], ""),
        (["--seeds", "/nowhere/seeds.jsonl"], ""),
        (["--base-url", "SERVER", "--model", "offline", "--max-usd", "1"], ""),
        ([], '[filters]\nvalidators = ["nothing_of_this_name"]'),
        (["--pool", "REAL"], ""),
    ],
    ids=["vllm", "exclusion", "seeds", "price", "validator", "pool"],
)  # fmt: skip
def test_a_dry_run_refuses_what_the_run_refuses_in_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], config: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "c.toml").write_text(config)
    pool = tmp_path / "p"
    if "--pool" in options:
        options = []
        with OfflineServer() as server:
            grow(pool, base_url=[server.base_url], model="offline", target=1)
        with sqlite3.connect(pool / "pool.db") as connection:
            connection.execute("UPDATE meta SET value = 'false' WHERE key = 'offline'")
        connection.close()
        capsys.readouterr()
    found = []
    with OfflineServer() as server:
        command = ["generate", "--pool", str(pool), "--config", str(tmp_path / "c.toml"), "--target", "5"]
        command += [server.base_url if word == "SERVER" else word for word in options]
        for more in ([], ["--dry-run"]):
            code = cli.run([*command, *more])
            found.append((code, capsys.readouterr().err.splitlines()[-1]))
        assert not server.seen
    assert found[0] == found[1]
    assert found[0][0] in {2, 5}


def test_a_dry_run_with_a_base_model_counts_the_question_for_the_kind_of_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", "--pool", str(tmp_path / "p"), "--recipe", "paper", "--target", "10", "--dry-run", "--json"]
    assert cli.run(command) == 0
    stages = {one["stage"]: one for one in json.loads(capsys.readouterr().out)["stages"]}
    assert (stages["classify"]["requests"], stages["instances"]["requests"]) == (10, 10)
    assert stages["classify"]["completion_tokens"] == 30  # of at most three each


def test_a_dry_run_needs_no_key_and_says_that_the_run_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    command = ["generate", "--pool", str(tmp_path / "p"), "--model", "gpt-4o-mini", "--target", "5"]
    assert cli.run(command) == 5
    fault = capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")
    assert "wants a key: set OPENAI_API_KEY" in fault
    assert cli.run([*command, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert f"warning: for the run, {fault}" in said.err
    assert "USD" in said.out
    assert not (tmp_path / "p").exists()


def test_a_dry_run_has_the_goal_of_the_run_and_proposes_nothing_for_accepted_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def foreseen(*more: str) -> tuple[str, float]:
        capsys.readouterr()
        assert cli.run(["generate", "--pool", str(tmp_path / "p"), *more, "--dry-run"]) == 0
        out = capsys.readouterr().out
        return out, next(float(line.split()[1]) for line in out.splitlines() if line.startswith("  propose "))

    grow(tmp_path / "p", target=20)
    assert grow(tmp_path / "p", more=40, max_requests=20).exit_code == 3
    now = status(tmp_path / "p")
    assert now["tasks_pending"] > 10
    out, proposed = foreseen("--more", "40")
    assert f"from {now['tasks']} to 60 tasks" in out
    unaccepted = 60 - now["tasks"] - now["tasks_pending"]
    asked = next(one["requests"] for one in now["usage"] if one["stage"] == "propose")
    assert proposed == pytest.approx(unaccepted * asked / (now["tasks"] + now["tasks_pending"]), abs=0.5)
    assert foreseen("--target", str(now["tasks"] + now["tasks_pending"]))[1] == 0


def test_status_shows_tokens_and_cost_by_stage_and_model(
    tmp_path: Path, priced: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grow(tmp_path / "p", config=priced, target=10)
    now = status(tmp_path / "p")
    assert {one["stage"] for one in now["usage"]} == {"propose", "inputs", "respond"}
    by_hand = sum(one["prompt_tokens"] * 0.5e-6 + one["completion_tokens"] * 1.5e-6 for one in now["usage"])
    assert now["usd"] == pytest.approx(by_hand)
    assert sum(one["usd"] for one in now["usage"]) == pytest.approx(by_hand)
    assert cli.run(["status", str(tmp_path / "p")]) == 0
    assert "respond" in capsys.readouterr().out
