"""Merging pools: each task against all others, only what is new, the same bytes in steps and after kills."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.exports.writing import export
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool import opening
from selfinstruct.pool.reader import status
from selfinstruct.similarity.tokens import tokenize
from tests.builders import assert_it_adds_up, exported, grow, jsonl, rows, seed_row
from tests.pools import large_pool
from tests.processes import kills

ACCEPTED = "SELECT instruction FROM tasks WHERE origin = 'generated' ORDER BY position"
FINISHED = "SELECT instruction FROM tasks WHERE origin = 'generated' AND state = 'done' ORDER BY position"
DECIDED = "SELECT (SELECT COUNT(*) FROM tasks WHERE round >= 0) + COUNT(*) FROM rejections WHERE kind = 'instruction'"


def merge(pool: Path, *sites: Path) -> int:
    return cli.run(["merge", *map(str, sites), "--pool", str(pool)])


def refused(capsys: pytest.CaptureFixture[str], pool: Path, *sites: Path) -> str:
    """The one line by which a merge is refused."""
    capsys.readouterr()
    assert merge(pool, *sites) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pools of the same seed tasks, each with a seed of its own."""
    folder = tmp_path_factory.mktemp("sites")
    pools = [folder / f"site{number}" for number in (1, 2, 3)]
    for number, pool in enumerate(pools):
        grow(pool, target=60, seed=number)
    return pools


@pytest.fixture
def growing(sites: Sequence[Path], tmp_path: Path) -> list[Path]:
    """Copies of the first two that a test may grow on."""
    return [Path(shutil.copytree(one, tmp_path / one.name)) for one in sites[:2]]


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L F1 by the table of the longest common subsequence."""
    if not {*one} & {*other}:
        return 0.0
    before = [0] * (len(other) + 1)
    for word in one:
        line = [0]
        for place, theirs in enumerate(other):
            line.append(before[place] + 1 if word == theirs else max(before[place + 1], line[place]))
        before = line
    return 2 * before[-1] / (len(one) + len(other))


def test_a_large_pool_is_made_durable_in_parts_with_the_same_bytes(
    sites: Sequence[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert merge(tmp_path / "once", *sites) == 0
    monkeypatch.setattr(opening, "AT_ONCE", 1)
    assert merge(tmp_path / "parts", *sites) == 0
    assert exported(tmp_path / "parts") == exported(tmp_path / "once")


def test_each_task_is_screened_in_order_against_all_that_are_there(sites: Sequence[Path], tmp_path: Path) -> None:
    assert merge(tmp_path / "all", *sites) == 0
    seeds = [row[0] for row in rows(sites[0], "SELECT instruction FROM tasks WHERE origin = 'seed'")]
    known, taken = [tokenize(one) for one in seeds], list[str]()
    for site in sites:
        for (text,) in rows(site, FINISHED):
            words = tokenize(text)
            if all(rouge_l(words, other) <= 0.7 for other in known):
                known.append(words)
                taken.append(text)
    assert len(taken) < 180
    assert [row[0] for row in rows(tmp_path / "all", ACCEPTED)] == taken
    found = assert_it_adds_up(tmp_path / "all")
    assert found["tasks"] == len(taken)
    assert found["rejections"]["near_duplicate"] == 180 - len(taken)


def test_one_pool_alone_comes_with_all_of_its_rows_and_answers(tmp_path: Path) -> None:
    config = tmp_path / "rich.toml"
    config.write_text(
        '[recipe]\nsources = ["demonstrations", "evolve"]\nsteps = ["default", "sample", "turns"]\n'
        "[judge]\nenabled = true\n[sample]\nanswers = 3\n[constraints]\nshare = 0.5\n"
        '[draw]\nlevel = ["easy", "hard"]\n'
    )
    site, pool = tmp_path / "site", tmp_path / "all"
    grow(site, target=40, config=config, round_size=2)
    assert merge(pool, site) == 0
    forms = ["alpaca", "messages", "preference", "grpo"]
    texts = [[path.read_bytes() for path in export(one, forms, one / "out").paths] for one in (site, pool)]
    assert texts[0] == texts[1]
    for table in ("instances", "samples", "verdicts"):
        counted = f"SELECT COUNT(*) FROM {table}"
        assert rows(site, counted) == rows(pool, counted) != [(0,)]
    kept = "SELECT instruction, demands, constraints, NULLIF(drawn, '') ->> 'level' FROM tasks WHERE state = 'done'"
    assert rows(site, kept) == rows(pool, kept)
    asked = "SELECT q.id, c.text FROM requests q JOIN completions c ON c.request_id = q.id WHERE task_id IN "
    asked += "(SELECT id FROM tasks WHERE state = 'done') ORDER BY 1"
    assert rows(site, asked) == rows(pool, asked)
    parents = {row[0] for row in rows(pool, "SELECT NULLIF(drawn, '') ->> 'parent' FROM tasks WHERE round >= 0")} - {
        None
    }
    assert parents <= {row[0] for row in rows(pool, "SELECT id FROM tasks")}
    assert_it_adds_up(pool)


def test_a_task_says_which_pool_it_came_from_and_is_found_there(
    sites: Sequence[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge(tmp_path / "all", *sites) == 0
    (first,) = rows(tmp_path / "all", "SELECT id, instruction FROM tasks WHERE source = 2 ORDER BY position LIMIT 1")
    capsys.readouterr()
    assert cli.run(["explain", str(tmp_path / "all"), first[0]]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  merged from")]
    site, _, there = line.removeprefix("  merged from").strip().partition(", task ")
    assert site == sites[1].name
    assert rows(sites[1], f"SELECT instruction FROM tasks WHERE id = '{there.split()[0]}'") == [(first[1],)]


def test_merged_one_by_one_or_at_once_the_bytes_are_the_same(sites: Sequence[Path], tmp_path: Path) -> None:
    assert merge(tmp_path / "once", *sites) == 0
    for site in sites:
        assert merge(tmp_path / "steps", site) == 0
    assert exported(tmp_path / "once") == exported(tmp_path / "steps")
    windows = "SELECT * FROM windows"
    assert rows(tmp_path / "once", windows) == rows(tmp_path / "steps", windows)


def test_what_was_merged_is_not_merged_again_and_only_what_is_new_comes(
    growing: Sequence[Path], tmp_path: Path
) -> None:
    pool = tmp_path / "all"
    assert merge(pool, *growing) == 0
    first = exported(pool)
    assert merge(pool, *growing) == 0
    assert exported(pool) == first
    grow(growing[1], target=90, seed=1)
    grow(growing[0], target=80, seed=0)
    for order in (growing, [*reversed(growing)]):
        assert merge(pool, *order) == 0
        assert exported(pool).count(b"\n") > first.count(b"\n")
        assert rows(pool, DECIDED) == [(170,)]
    assert rows(pool, "SELECT DISTINCT source FROM rounds ORDER BY 1") == [(1,), (2,)]
    assert_it_adds_up(pool)


def test_a_task_that_was_not_finished_comes_once_it_is(tmp_path: Path) -> None:
    site, pool = tmp_path / "site", tmp_path / "all"
    with OfflineServer() as server:
        grow(site, target=40, base_url=[server.base_url], model="offline", max_requests=60)
        assert status(site)["tasks_pending"] > 0
        finished = rows(site, FINISHED)
        assert merge(pool, site) == 0
        assert rows(pool, ACCEPTED) == finished
        grow(site, target=40, base_url=[server.base_url], model="offline")
    assert merge(pool, site) == 0
    assert sorted(rows(pool, ACCEPTED)) == sorted(rows(site, FINISHED))
    assert_it_adds_up(pool)


def test_a_merged_pool_can_be_merged_on_grown_and_replayed(sites: Sequence[Path], tmp_path: Path) -> None:
    region, world = tmp_path / "region", tmp_path / "world"
    assert merge(region, *sites[:2]) == 0
    assert merge(world, region, sites[2]) == 0
    assert merge(region, sites[2]) == 0
    assert rows(world, ACCEPTED) == rows(region, ACCEPTED)
    assert merge(world, region) == 0
    assert rows(world, ACCEPTED) == rows(region, ACCEPTED)
    assert cli.run(["replay", str(region), "--pool", str(tmp_path / "again")]) == 0
    assert {*rows(region, ACCEPTED)} <= {*rows(tmp_path / "again", ACCEPTED)}
    before = status(region)["tasks"]
    grow(region, more=20, seed=9)
    assert assert_it_adds_up(region)["tasks"] == before + 20


def test_what_was_merged_into_a_pool_is_known_where_that_is_merged(growing: Sequence[Path], tmp_path: Path) -> None:
    region, world = tmp_path / "region", tmp_path / "world"
    assert merge(region, *growing) == 0
    grow(growing[0], target=80, seed=0)
    assert merge(region, growing[0]) == 0  # some requests have tasks of both merges
    assert merge(world, region) == 0
    assert assert_it_adds_up(world)["tasks"] == status(region)["tasks"]
    lineage = "SELECT instruction, json_array_length(parents) FROM tasks ORDER BY position"
    assert rows(world, lineage) == rows(region, lineage)
    rejected = "SELECT reason, COUNT(*) FROM rejections WHERE kind = 'instruction' GROUP BY 1"
    before = rows(world, ACCEPTED), rows(region, rejected)
    assert merge(world, growing[1], growing[0]) == 0
    assert (rows(world, ACCEPTED), rows(world, rejected)) == before, "what region has refused is refused, no more"
    assert_it_adds_up(world)


def test_what_a_person_removed_is_named_and_found_by_its_id(
    growing: Sequence[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = rows(growing[1], "SELECT id, instruction FROM tasks WHERE state = 'done' AND origin = 'generated'")
    assert merge(tmp_path / "all", *growing) == 0
    taken = {text for (text,) in rows(tmp_path / "all", "SELECT instruction FROM tasks WHERE source = 2")}
    kept = next(identity for identity, text in there if text in taken)
    assert cli.run(["remove", str(growing[1]), kept, "--reason", "bad"]) == 0
    capsys.readouterr()
    assert merge(tmp_path / "again", *growing) == 0
    assert f"remove them in the new pool again: {kept}" in capsys.readouterr().err
    assert cli.run(["explain", str(tmp_path / "again"), kept]) == 0
    assert f"task {kept} there" in " ".join(capsys.readouterr().out.split())
    before = status(tmp_path / "again")["removed"]
    assert cli.run(["remove", str(tmp_path / "again"), kept, "--reason", "bad"]) == 0
    assert status(tmp_path / "again")["removed"] == before + 1


@pytest.mark.timeout(600)
def test_killed_on_the_way_and_merged_again_the_bytes_are_the_same(tmp_path: Path) -> None:
    pools = [large_pool(tmp_path / f"site{number}", 1000, number) for number in (1, 2, 3)]
    assert merge(tmp_path / "whole", *pools) == 0
    command = [sys.executable, "-m", "selfinstruct", "merge", *map(str, pools), "--pool", str(tmp_path / "torn")]
    killed = 0
    for _ in kills(command, tmp_path / "torn", 6, random.Random(3), DECIDED, 600):
        killed += 1
    assert killed > 1
    assert exported(tmp_path / "torn") == exported(tmp_path / "whole")
    assert rows(tmp_path / "torn", DECIDED) == [(3000,)]
    assert_it_adds_up(tmp_path / "torn")


def test_pools_that_cannot_be_one_are_refused_in_one_line_and_nothing_is_left(
    sites: Sequence[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "all"
    seeds = jsonl(tmp_path / "s.jsonl", [seed_row("Explain how tides work.", 1), seed_row("Name a use of salt.", 2)])
    grow(tmp_path / "other", target=2, seeds=seeds)
    assert "grown from other seeds" in refused(capsys, pool, sites[0], tmp_path / "other")
    twin = shutil.copytree(sites[0], tmp_path / "twin")
    assert "asked the same questions" in refused(capsys, pool, sites[0], twin)
    assert "named twice" in refused(capsys, pool, sites[0], sites[0])
    assert "named twice" in refused(capsys, sites[0], *sites)
    assert "no such pool" in refused(capsys, pool, sites[0], tmp_path / "nowhere")
    real = large_pool(tmp_path / "real", 5)
    assert "another kind of model" in refused(capsys, pool, sites[0], real)
    assert not pool.exists()
    assert "left open" in refused(capsys, sites[0], *sites[1:])


def test_another_pool_of_the_same_seed_is_not_taken_for_the_one_that_was_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, quirk in (("one", "none"), ("two", "dup=60%")):
        with OfflineServer(quirk=quirk) as server:
            grow(tmp_path / name, target=12, base_url=[server.base_url], model="offline")
    assert rows(tmp_path / "one", ACCEPTED) != rows(tmp_path / "two", ACCEPTED)
    assert merge(tmp_path / "all", tmp_path / "one") == 0
    assert "another pool of the same seed" in refused(capsys, tmp_path / "all", tmp_path / "two")
    assert rows(tmp_path / "all", ACCEPTED) == rows(tmp_path / "one", ACCEPTED)
