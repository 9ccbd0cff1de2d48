"""The original's reading and rules, in tables and against two recorded runs of the original on `davinci`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq
from rouge_score import rouge_scorer, tokenize

from selfinstruct.pool.originals import Recording, instruction_key, read_originals
from selfinstruct.recipes import original
from selfinstruct.settings import RecipeSettings, Settings
from selfinstruct.similarity.scores import f1_in_floats
from selfinstruct.types import (
    Candidate,
    Completion,
    Instance,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Request,
    Task,
    Written,
)
from tests.builders import changed, settle

PROMPTS = Path(original.__file__).parent / "prompts" / "paper"
PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"
needs_parity = pytest.mark.skipif(
    not PARITY.is_dir(), reason=f"PARITY NOT TESTED: the recorded runs of the original are not at {PARITY}"
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Lone surrogates included."""
LOOSE = st.lists(
    st.sampled_from(["Example 1", "Input: a", "Output: b", "Output:", "Class label: X", "\n", "\n10. ", " c", "Task:"])
).map("\n".join)


def rouge_l_f1(a_tokens: Sequence[Hashable], b_tokens: Sequence[Hashable]) -> float:
    """ROUGE-L F1 of two token lists, bit for bit as `rouge_score` 0.1.2 computes it; symmetric."""
    numbers: dict[Hashable, int] = {}
    a, b = ([numbers.setdefault(token, len(numbers)) for token in side] for side in (a_tokens, b_tokens))
    return f1_in_floats(LCSseq.similarity(a, b), len(a), len(b))


def settings(**values: Any) -> Settings:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.txt")}
    recipe = RecipeSettings(name="original", tasks_per_request=7)
    return changed(Settings(seed=1, recipe=recipe, prompts=prompts, stages={}), **values)


SETTINGS = settings()
TASK = Task("t1", "Say whether it rains.", None)


def request(stage: str = "propose") -> Request:
    return Request("r", stage, 0, None, 0, "completions", "m", {}, (Message("prompt", "...\n9."),))


def answer(text: str, finish_reason: str = "stop", name: str = "r") -> Completion:
    return Completion(name, "answer", text, finish_reason)


def proposals(text: str, finish_reason: str = "stop") -> list[Candidate | Rejection]:
    return original.read_proposals(request(), answer(text, finish_reason), SETTINGS)


def pairs(text: str, *, is_classification: bool = False) -> list[tuple[str, str]]:
    read = original.read_instances(answer(text), is_classification=is_classification)
    return [(one.input, one.output) for one in read]


def screened(*instances: tuple[str, str], **values: Any) -> tuple[list[tuple[str, str]], list[str]]:
    candidates = [InstanceCandidate("r", place, *pair) for place, pair in enumerate(instances)]
    kept, rejected = original.screen_instances(TASK, candidates, settings(**values))
    assert len(kept) + len(rejected) == len(candidates)
    return [(one.input, one.output) for one in kept], [one.reason for one in rejected]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (" Name a city.\n10. Say why PhDs use Python.", ["Name a city.", "Say why phds use python."]),
        (" One here.\n10.Two here.\n11) Three here.", ["One here. 10.two here. 11) three here."]),
        (" One here.\n10 . Two  here.", ["One here.", "Two here."]),
        (" In 2016. Then\nmore.", ["In 2016. then more."]),
        ("\n10. Only this.", ["Only this."]),
    ],
)
def test_a_list_is_split_as_the_original_splits_it(text: str, read: list[str]) -> None:
    items = proposals(text)
    assert [one.instruction for one in items if isinstance(one, Candidate)] == read
    assert [one.position for one in items] == list(range(len(read)))


def test_a_cut_list_is_lost_whole() -> None:
    [lost] = proposals("One here.\n10. Two here.", "length")
    assert isinstance(lost, Rejection)
    assert (lost.reason, lost.text) == ("cut_off", "One here.\n10. Two here.")


@pytest.mark.parametrize("completion", [answer(" \n"), Completion("r", "failed", "", "too_long")])
def test_nothing_to_read_is_one_rejection(completion: Completion) -> None:
    [lost] = original.read_proposals(request(), completion, SETTINGS)
    assert isinstance(lost, Rejection)
    assert lost.reason == "unreadable"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three cities", "too_short"),
        ("Name three large cities", None),
        ("word " * 150, None),
        ("word " * 151, "too_long"),
        ("Describe the IMAGE in words.", "blocked_words"),
        ("Tell me where to Go to tonight.", "blocked_words"),
        ("Describe the imagery in words.", None),
        ("Write a program that prints primes.", "starts_with_program"),
        ("Write a programme of the evening.", "starts_with_program"),
        ("Please write a program for me.", None),
        ("(a) name three cities.", "starts_with_punctuation"),
        ("Éloge de la folie en prose.", "not_ascii"),
        ("Write a program that draws a map.", "blocked_words"),
        ("Name three large \x00 cities", "broken_text"),
        ("\ud800", "broken_text"),
    ],
)
def test_instructions_are_judged_by_the_original_rules_in_their_order(text: str, reason: str | None) -> None:
    fault = original.fault_of_instruction(text)
    assert (fault and fault[0]) == reason


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Output: 42", [("", "42")]),
        ("Example 1\nInput: a\nOutput: b\nExample 2.\nInput 2: c\nOutput 2 : d", [("a", "b"), ("c", "d")]),
        ("Example 1\nList: a\nOutput: b", [("List: a", "b")]),
        ("Example 1\nOnly an input", [("", "Only an input")]),
        ("Output: a\nOutput: b", [("", "a")]),
        ("Output: a\nInput: b\nOutput: c", [("", "a")]),
        ("Output: For Example this", [("", "For"), ("", "this")]),
        ("just text", []),
        ("", []),
    ],
)
def test_instances_of_generation_are_read_with_the_original_faults(text: str, read: list[tuple[str, str]]) -> None:
    assert pairs(text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Class label: X\nInput: a\nClass label: Y", [("Input: a", "X"), ("", "Y")]),
        ("before\nClass label: X", [("", "X")]),
        ("class label: X", []),
        ("Output: X", []),
    ],
)
def test_instances_of_classification_are_read_label_first(text: str, read: list[tuple[str, str]]) -> None:
    assert pairs(text, is_classification=True) == read


@pytest.mark.parametrize(
    ("instances", "kept", "reasons"),
    [
        ([("a", "a")], [], ["same_as_input"]),
        ([("a", "")], [], ["empty_output"]),
        ([("a:", "b"), ("c", "d:")], [], ["cut_off", "cut_off"]),
        ([("a", "b"), ("a", "b")], [("a", "b")], ["duplicate"]),
        ([("a", "b"), ("a", "c"), ("d", "e")], [], ["conflicting_outputs"] * 3),
        ([("", "b"), ("", "c")], [("", "b"), ("", "c")], []),
        ([("a", "b"), ("a", "c:")], [("a", "b")], ["cut_off"]),
        ([("a", "\ud800")], [], ["broken_text"]),
    ],
)
def test_instances_are_judged_by_the_original_rules(
    instances: list[tuple[str, str]], kept: list[tuple[str, str]], reasons: list[str]
) -> None:
    assert screened(*instances) == (kept, reasons)


def test_at_most_five_are_drawn_and_always_the_same() -> None:
    many = [(str(place), "x") for place in range(20)]
    kept, reasons = screened(*many)
    assert (len(kept), reasons) == (5, ["too_many"] * 15)
    assert kept == [one for one in many if one in kept]
    assert screened(*many) == (kept, reasons)
    assert screened(*many, seed=2)[0] != kept


def test_the_last_instance_of_a_cut_answer_is_not_kept() -> None:
    read = original.read_instances(
        answer("Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d", "length"), is_classification=False
    )
    kept, rejected = original.screen_instances(TASK, read, SETTINGS)
    assert [one.output for one in kept] == ["b"]
    assert [one.reason for one in rejected] == ["cut_off"]


def write(task: Task, seeds: tuple[Task, ...] = (), **answers: Completion) -> Written | list[Prompt]:
    """What is written after these answers by stage, or the questions that are asked next."""
    given = {(stage, 0): completion for stage, completion in answers.items()}
    return settle(lambda ask: original.write_instances(task, ask, SETTINGS, seeds), given)


@pytest.mark.parametrize(
    ("said", "is_classification", "reasons"),
    [
        (" Yes", True, []),
        ("YES ", True, []),
        (" No", False, []),
        (" Yes.", False, ["no_label"]),
        ("Maybe", False, ["no_label"]),
        ("", False, ["no_label"]),
    ],
)
def test_only_a_bare_yes_is_a_classification(said: str, is_classification: bool, reasons: list[str]) -> None:
    end = write(TASK, classify=answer(said), instances=answer("Class label: a\nInput: b\nOutput: c"))
    assert isinstance(end, Written)
    assert end.is_classification is is_classification
    assert [one.reason for one in end.rejections] == reasons


def test_a_failed_request_gives_no_data() -> None:
    failed = Completion("r", "failed", "", "too_long")
    end = write(TASK, classify=failed, instances=failed)
    assert isinstance(end, Written)
    assert [one.reason for one in end.rejections] == ["no_label", "unreadable"]
    assert "the request failed: too_long" in end.rejections[1].evidence


def test_prompts_show_the_first_seeds_and_end_with_the_task() -> None:
    seeds = (
        Task("s1", "Add the numbers.", False, (Instance("1, 2", "3"),), "seed"),
        Task("s2", "Tell a joke.", False, (Instance("", "Ha."),), "seed"),
        Task("s3", "Is it a verb?", True, (Instance("run", "Yes"),), "seed"),
    )
    asked = write(TASK, seeds)
    assert isinstance(asked, list)
    assert asked[0].messages[0].content.endswith("Task: Say whether it rains.\nFixed labels:")
    for said, block in (("No", "Example 1\nInput: 1, 2\nOutput: 3\n\n"), ("Yes", "Class label: Yes\nInput: run\n\n")):
        asked = write(TASK, seeds, classify=answer(said))
        assert isinstance(asked, list)
        text = asked[0].messages[0].content
        assert block in text
        assert text.endswith("\n\nTask: Say whether it rains.\n")


@given(st.one_of(ANY_TEXT, LOOSE), st.sampled_from(["stop", "length", ""]))
def test_any_list_is_read(text: str, reason: str) -> None:
    items = proposals(text, reason)
    assert items
    for item in items:
        if isinstance(item, Candidate):
            original.fault_of_instruction(item.instruction)


@given(st.one_of(ANY_TEXT, LOOSE), st.one_of(ANY_TEXT, LOOSE), st.sampled_from(["answer", "failed"]))
def test_every_follow_up_ends_and_counts_add_up(label: str, text: str, kind: Any) -> None:
    classify, instances = Completion("c", kind, label, "stop"), Completion("i", kind, text, "length")
    end = write(TASK, classify=classify, instances=instances)
    assert isinstance(end, Written)
    assert end.candidates or end.rejections
    kept, rejected = original.screen_instances(TASK, end.candidates, SETTINGS)
    assert len(kept) + len(rejected) == len(end.candidates)


@given(ANY_TEXT)
def test_tokens_are_those_of_the_reference(text: str) -> None:
    assert list(original.tokens(text)) == tokenize.tokenize(text, None)


@given(*[st.lists(st.sampled_from("abcd 1é"), max_size=40).map("".join)] * 2)
def test_the_score_is_that_of_the_reference_to_the_last_bit(left: str, right: str) -> None:
    reference = rouge_scorer.RougeScorer(["rougeL"]).score(left, right)["rougeL"].fmeasure
    assert rouge_l_f1(original.tokens(left), original.tokens(right)) == reference


# --- against recorded runs of the original --------------------------------------------------------------------------


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def seed_tokens() -> list[tuple[str, ...]]:
    return [original.tokens(row["instruction"]) for row in rows(PARITY / "seed_tasks.jsonl")]


def all_instances(recording: Recording, instructions: list[str]) -> set[tuple[str, str, str]]:
    found = set()
    for place, text in enumerate(instructions):
        exchanges = recording.follow_ups[instruction_key(text)]
        answers = {asked.stage: done for asked, done in exchanges}
        if "instances" in answers:
            task = Task(f"t{place}", text, None)
            end = write(task, **answers)
            assert isinstance(end, Written)
            kept, _ = original.screen_instances(task, end.candidates, SETTINGS)
            found |= {(text, one.input, one.output) for one in kept}
    return found


def expected_instances(folder: Path) -> set[tuple[str, str, str]]:
    read = rows(folder / "all_generated_instances.jsonl")
    return {(row["instruction"], row["input"], row["output"]) for row in read}


@needs_parity
def test_the_first_recorded_run_is_judged_exactly_as_the_original_judged_it() -> None:
    recording = read_originals(PARITY / "davinci_a")
    pool = seed_tokens()
    accepted: list[str] = []
    scores_of: list[list[float]] = []
    reasons: Counter[str] = Counter()
    for asked, done in (exchange for exchanges in recording.rounds for exchange in exchanges):
        for candidate in original.read_proposals(asked, done, SETTINGS):
            assert isinstance(candidate, Candidate)
            fault = original.fault_of_instruction(candidate.instruction)
            words = original.tokens(candidate.instruction)
            scores = [rouge_l_f1(known, words) for known in pool]
            if fault or max(scores) > 0.7:
                reasons[fault[0] if fault else "near_duplicate"] += 1
                continue
            accepted.append(candidate.instruction)
            scores_of.append(scores)
            pool.append(words)
    recorded = rows(PARITY / "davinci_a" / "machine_generated_instructions.jsonl")
    assert accepted == [row["instruction"] for row in recorded]
    assert reasons == {"near_duplicate": 2, "starts_with_program": 13, "blocked_words": 3}
    for row, scores in zip(recorded, scores_of, strict=True):
        best = sorted(scores, reverse=True)[:10]
        known = sorted(row["most_similar"].values(), reverse=True)
        assert sum(scores) / len(scores) == pytest.approx(row["avg_similarity_score"], rel=0, abs=1e-12)
        # Equal texts share one entry of the recorded map, so it may be shorter.
        assert known[0] == pytest.approx(best[0], rel=0, abs=1e-12)
        if len(known) == 10:
            assert known == pytest.approx(best, rel=0, abs=1e-12)
        assert all(any(abs(score - one) <= 1e-12 for one in best) for score in known)
    assert all_instances(recording, accepted) == expected_instances(PARITY / "davinci_a")
    assert len(expected_instances(PARITY / "davinci_a")) == 78


@needs_parity
def test_the_second_recorded_run_gives_the_same_instances_and_averages() -> None:
    folder = PARITY / "davinci_b"
    recording = read_originals(folder)
    instructions = [candidate.instruction for candidate in recording.taken]
    assert all_instances(recording, instructions) == expected_instances(folder)
    assert len(expected_instances(folder)) == 226
    averages = {
        row["instruction"]: row["avg_similarity_score"] for row in rows(folder / "machine_generated_instances.jsonl")
    }
    assert len(averages) == 185
    pool = seed_tokens()
    compared = 0
    for text in instructions:
        words = original.tokens(text)
        if text in averages:
            mean = sum(rouge_l_f1(known, words) for known in pool) / len(pool)
            assert mean == pytest.approx(averages[text], rel=0, abs=1e-12)
            compared += 1
        pool.append(words)
    assert compared == 185
