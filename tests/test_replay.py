"""Replay: recorded completions decided on again, from pools and from the original code's files."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.pool.explain import explain
from selfinstruct.pool.reader import status
from tests.builders import ROOT, assert_it_adds_up, exported, grow, jsonl, rows, seed_row

PARITY = ROOT.parent / "shared" / "parity"
needs_parity = pytest.mark.skipif(
    not PARITY.is_dir(), reason=f"PARITY NOT TESTED: the recorded runs of the original are not at {PARITY}"
)


def replay(*arguments: str | Path) -> int:
    return cli.run(["replay", *(str(one) for one in arguments)])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("source") / "pool"
    grow(pool, target=40)
    return pool


def test_the_same_configuration_gives_the_same_tasks(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "p"
    assert replay(source, "--pool", pool) == 0
    finished = "SELECT id, instruction FROM tasks WHERE state = 'done' ORDER BY position"
    assert rows(pool, finished) == rows(source, finished)
    assert exported(pool).startswith(b"{")
    now = assert_it_adds_up(pool)
    assert now["tasks_pending"] > 0, "candidates that the source had not decided yet"
    assert "written in the last run" not in capsys.readouterr().out
    assert now["last_run"]["tokens_per_second"] is None, "no model wrote"
    assert status(source)["last_run"]["tokens_per_second"] > 0


def test_another_threshold_decides_again_and_a_later_generate_asks_only_what_is_missing(
    source: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "p"
    assert replay(source, "--pool", pool, "--rouge-threshold", "0.9") == 0
    assert replay(source, "--pool", tmp_path / "strict", "--rouge-threshold", "0.4") == 0
    then = status(pool)
    assert then["rejections"]["near_duplicate"] < status(tmp_path / "strict")["rejections"]["near_duplicate"]
    assert then["completions"] <= status(source)["completions"]
    recorded = {row[0] for row in rows(pool, "SELECT request_id FROM completions")}
    grow(pool, target=then["tasks"] + then["tasks_pending"], rouge_threshold="0.9")
    assert status(pool)["tasks_pending"] == 0
    assert recorded <= {row[0] for row in rows(pool, "SELECT request_id FROM completions")}
    assert_it_adds_up(pool)


def test_several_sources_merge_and_what_both_have_is_taken_once(source: Path, tmp_path: Path) -> None:
    grow(tmp_path / "b", target=20, seed=7)
    assert replay(source, tmp_path / "b", "--pool", tmp_path / "c") == 0
    merged = status(tmp_path / "c")
    assert merged["rounds"] == status(source)["rounds"] + status(tmp_path / "b")["rounds"]
    assert merged["tasks"] > status(source)["tasks"]
    assert_it_adds_up(tmp_path / "c")
    assert replay(source, source, "--pool", tmp_path / "twice") == 0
    assert status(tmp_path / "twice")["tasks"] == status(source)["tasks"]
    assert replay(tmp_path / "c", "--pool", tmp_path / "again") == 0
    assert exported(tmp_path / "again") == exported(tmp_path / "c")


def test_lineage_is_kept_within_each_source_of_a_merge(tmp_path: Path) -> None:
    for name, seed in (("a", 42), ("b", 7)):
        grow(tmp_path / name, target=50, round_size=2, seed=seed)
    assert replay(tmp_path / "a", tmp_path / "b", "--pool", tmp_path / "c") == 0
    tasks = "SELECT id, source, request_id, request_position, parents FROM tasks WHERE origin = 'generated'"
    place_of = {row[0]: row[2:4] for row in rows(tmp_path / "b", tasks)}
    shown = dict(rows(tmp_path / "b", "SELECT id, demonstrations FROM requests WHERE stage = 'propose'"))
    merged = [row for row in rows(tmp_path / "c", tasks) if row[1] == 1]
    known = {row[2:4]: row[0] for row in merged}
    everything = {row[0]: row[1] for row in rows(tmp_path / "c", tasks)}
    found = missing = 0
    for _, _, request, _, parents in merged:
        for before, after in zip(json.loads(shown[request]), json.loads(parents), strict=True):
            if before not in place_of:
                assert after == before  # a seed
            elif place_of[before] in known:
                assert after == known[place_of[before]]
                found += 1
            else:
                assert after not in everything  # rejected here; never a task of the other source
                missing += 1
    assert found > 10
    assert missing > 0
    assert max(map(len, generations(tmp_path / "c", 1))) > 2
    named = max(generations(tmp_path / "c", 1), key=len)
    assert cli.run(["remove", str(tmp_path / "c"), named[0], "--reason", "bad", "--descendants"]) == 0
    assert set(named) <= {row[0] for row in rows(tmp_path / "c", "SELECT task_id FROM removed")}


def generations(pool: Path, source: int) -> list[list[str]]:
    """Chains of tasks of one source, each shown for the next."""
    chain: dict[str, list[str]] = {}
    for identity, parents in rows(pool, f"SELECT id, parents FROM tasks WHERE source = {source} ORDER BY position"):
        before = [chain[one] for one in json.loads(parents) if one in chain]
        chain[identity] = [*max(before, key=len, default=[]), identity]
    return list(chain.values())


def test_another_recipe_than_the_recorded_one_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(source, "--pool", tmp_path / "c", "--recipe", "paper") == 2
    assert "asked by the recipe chat; paper cannot read" in capsys.readouterr().err
    assert replay(source, "--pool", tmp_path / "c", "--recipe", "chat") == 0


def test_sources_with_different_seeds_need_the_seeds_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = jsonl(tmp_path / "s.jsonl", [seed_row("Explain how tides work.", 1), seed_row("Name a use of salt.", 2)])
    grow(tmp_path / "b", target=5, seeds=seeds)
    assert replay(source, tmp_path / "b", "--pool", tmp_path / "c") == 2
    assert "--seeds" in capsys.readouterr().err
    assert replay(source, tmp_path / "b", "--pool", tmp_path / "c", "--seeds", seeds) == 0
    assert status(tmp_path / "c")["seeds"] == 2


def test_what_cannot_be_replayed_is_one_clear_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(tmp_path / "nowhere", "--pool", tmp_path / "c") == 2
    assert "nowhere" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert replay(tmp_path / "empty", "--pool", tmp_path / "c") == 2
    assert "neither a pool nor" in capsys.readouterr().err
    assert replay(source, "--pool", source) == 2
    assert "another --pool" in capsys.readouterr().err


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The pool that a recorded run of the original code gives, made once."""

    @functools.cache
    def made(run: str, *more: str) -> Path:
        pool = tmp_path_factory.mktemp("original") / "p"
        seeds = PARITY / "seed_tasks.jsonl"
        assert replay(PARITY / run, "--seeds", seeds, "--pool", pool, *more) == 0
        assert_it_adds_up(pool)
        return pool

    return made


def of_file(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def instances(pool: Path) -> set[tuple[str, str, str]]:
    sql = "SELECT t.instruction, i.input, i.output FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.round >= 0"
    return set(rows(pool, sql))


@needs_parity
def test_the_first_recorded_run_comes_out_as_the_original_had_it(original: Callable[..., Path]) -> None:
    pool = original("davinci_a", "--recipe", "original")
    recorded = of_file(PARITY / "davinci_a" / "machine_generated_instructions.jsonl")
    ours = rows(
        pool, "SELECT instruction, mean_score, most_similar FROM tasks WHERE origin = 'generated' ORDER BY position"
    )
    assert [row[0] for row in ours] == [row["instruction"] for row in recorded]
    assert len(ours) == 67
    for (_, mean, similar), row in zip(ours, recorded, strict=True):
        assert abs(mean - row["avg_similarity_score"]) < 1e-12
        scores = [score for _, score in json.loads(similar)]
        theirs = list(row["most_similar"].values())
        assert all(min(abs(score - one) for one in scores) < 1e-12 for score in theirs)
        if len(theirs) == 10:
            assert max(abs(a - b) for a, b in zip(scores, theirs, strict=True)) < 1e-12
    known = of_file(PARITY / "davinci_a" / "all_generated_instances.jsonl")
    assert instances(pool) == {(row["instruction"], row["input"], row["output"]) for row in known}
    assert len(instances(pool)) == 78
    found = status(pool)
    assert (found["rejections"]["near_duplicate"], found["rejections"]["starts_with_program"]) == (2, 13)
    assert found["rejections"]["blocked_words"] == 3


@needs_parity
def test_the_second_recorded_run_comes_out_as_the_original_had_it(original: Callable[..., Path]) -> None:
    pool = original("davinci_b", "--recipe", "original")
    known = of_file(PARITY / "davinci_b" / "all_generated_instances.jsonl")
    assert instances(pool) == {(row["instruction"], row["input"], row["output"]) for row in known}
    assert len(instances(pool)) == 226
    means = dict(rows(pool, "SELECT instruction, mean_score FROM tasks WHERE origin = 'generated'"))
    recorded = of_file(PARITY / "davinci_b" / "machine_generated_instances.jsonl")
    assert len(recorded) == 185
    assert all(abs(means[row["instruction"]] - row["avg_similarity_score"]) < 1e-12 for row in recorded)


@needs_parity
def test_every_difference_of_our_own_reading_can_be_explained(original: Callable[..., Path]) -> None:
    ours, theirs = original("davinci_a"), original("davinci_a", "--recipe", "original")
    accepted = "SELECT instruction FROM tasks WHERE origin = 'generated'"
    for one, other in ((ours, theirs), (theirs, ours)):
        kept = {row[0].casefold() for row in rows(one, accepted)}
        for (text,) in rows(other, accepted):
            if text.casefold() not in kept:
                lines = [label for found in explain(one, text) for label, _ in found.lines]
                assert "reason" in lines, text


def test_a_pool_of_either_recipe_for_base_models_is_replayed_by_the_other_or_by_its_own(tmp_path: Path) -> None:
    grow(tmp_path / "original", target=8, recipe="original")
    grow(tmp_path / "paper", target=8, recipe="paper")
    decided = "SELECT text, reason FROM rejections UNION ALL SELECT instruction, mean_score FROM tasks ORDER BY 1, 2"
    found = {}
    for source, more in (("original", []), ("paper", ["--recipe", "original"]), ("original", ["--recipe", "paper"])):
        pool = tmp_path / f"{source} {len(found)}"
        assert replay(tmp_path / source, "--pool", pool, *more) == 0
        assert_it_adds_up(pool)
        ((stored,),) = rows(pool, "SELECT DISTINCT settings FROM configurations")
        name, tokenizer = json.loads(stored)["recipe"]["name"], json.loads(stored)["filters"]["tokenizer"]
        assert (name, tokenizer) in {("original", "rouge_score"), ("paper", "unicode")}
        found[source, name] = rows(pool, decided)
    assert len(found) == 3
    assert found["original", "original"] != found["original", "paper"]
    assert replay(tmp_path / "original", "--pool", tmp_path / "q", "--recipe", "chat") == 2


LABELS = "is_clf_or_not_template_1.jsonl"
QUESTION = "List five tools that a gardener needs in spring."
OWN_SEEDS = [seed_row("Name a colour of the rainbow.", 1), seed_row("Say what rain is made of.", 2)]


def recorded_row(name: str, response: Any, prompt: Any) -> dict[str, Any]:
    """A row of each of the original's files about one instruction."""
    metadata = {"prompt": prompt, "response": response}
    return {
        "machine_generated_instructions.jsonl": {"instruction": QUESTION, "metadata": metadata, "request_idx": 1},
        LABELS: {"instruction": QUESTION, "is_classification": " No"},
        "machine_generated_instances.jsonl": {
            "instruction": QUESTION,
            "raw_instances": "Output: Spade, rake, hoe, shears, trowel",
            "instance_metadata": {"prompt": "p", "response": None},
        },
    }[name]


OLD = {"choices": [{"text": QUESTION, "finish_reason": "stop"}]}
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Come up with tasks."}]
FILES = ("machine_generated_instructions.jsonl", LABELS, "machine_generated_instances.jsonl")


@pytest.mark.parametrize("files", [(name,) for name in FILES] + [FILES[:2], FILES[1:], FILES[::2], FILES])
def test_any_file_of_the_original_may_be_missing_whatever_recipe_is_the_default(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    folder, config = tmp_path / "src", tmp_path / "config.toml"
    folder.mkdir()
    config.write_text('recipe = "chat"\n')
    for name in files:
        jsonl(folder / name, [recorded_row(name, OLD, "list\n9.")])
    seeds = jsonl(tmp_path / "seeds.jsonl", OWN_SEEDS)
    assert replay(folder, "--seeds", seeds, "--pool", tmp_path / "p", "--config", config) == 0
    done = int(LABELS in files and FILES[2] in files)
    now = status(tmp_path / "p")
    assert (now["tasks"], now["tasks_pending"]) == (done, 1 - done)
    assert rows(tmp_path / "p", "SELECT instruction FROM tasks WHERE origin = 'generated'") == [(QUESTION,)]
    assert_it_adds_up(tmp_path / "p")


@pytest.mark.parametrize(
    "response",
    [QUESTION, [QUESTION], {"choices": [QUESTION]}, {"choices": [{"message": {"content": QUESTION}}]},
     {"role": "assistant", "content": QUESTION}, {"text": QUESTION}],
)  # fmt: skip
@pytest.mark.parametrize("prompt", [CHAT, ["list", "of texts"], "list\n9.", None])
def test_answers_of_a_fork_that_asks_a_served_model_are_read(tmp_path: Path, response: Any, prompt: Any) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    jsonl(folder / FILES[0], [recorded_row(FILES[0], response, prompt)])
    seeds = jsonl(tmp_path / "seeds.jsonl", OWN_SEEDS)
    assert replay(folder, "--seeds", seeds, "--pool", tmp_path / "p") == 0
    asked = "SELECT r.messages, c.text, c.finish_reason FROM questions r JOIN completions c ON c.request_id = r.id"
    ((messages, text, finish_reason),) = rows(tmp_path / "p", asked)
    assert text == QUESTION
    assert finish_reason == ("" if response in (QUESTION, [QUESTION], {"choices": [QUESTION]}) else "stop")
    every = [prompt] if isinstance(prompt, str) else prompt or []
    texts = [one["content"] if isinstance(one, dict) else one for one in every]
    assert [said for _, said in json.loads(messages)] == texts
    assert status(tmp_path / "p")["tasks_pending"] == 1


def test_seeds_of_the_original_are_taken_as_they_are_from_its_folder_or_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    jsonl(folder / LABELS, [recorded_row(LABELS, None, None)])
    empty = {**OWN_SEEDS[0], "instances": [{"input": "", "output": ""}]}
    named = jsonl(tmp_path / "named.jsonl", [empty, OWN_SEEDS[1]])
    assert replay(folder, "--pool", tmp_path / "a") == 2
    assert "name them by --seeds" in capsys.readouterr().err
    assert replay(folder, "--seeds", named, "--pool", tmp_path / "a") == 0
    named.rename(folder / "seed_tasks.jsonl")
    assert replay(folder, "--pool", tmp_path / "b", "--recipe", "original") == 0
    for pool in ("a", "b"):
        outputs = "SELECT i.output FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.origin = 'seed'"
        assert sorted(rows(tmp_path / pool, outputs)) == [("",), ("Answer 2.",)]


def test_a_replay_that_fails_midway_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / LABELS).write_text('{"instruction": "Say it.", "is_classif')
    seeds = jsonl(tmp_path / "seeds.jsonl", OWN_SEEDS)
    assert replay(folder, "--seeds", seeds, "--pool", tmp_path / "outputs" / "p") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()
    (tmp_path / "p").mkdir()
    assert replay(folder, "--seeds", seeds, "--pool", tmp_path / "p") == 2
    assert list((tmp_path / "p").iterdir()) == []
