"""The first 1,000 real instructions, judged as the original judges them and by the index."""

from __future__ import annotations

from pathlib import Path

import pytest
from rouge_score.rouge_scorer import _score_lcs
from rouge_score.tokenize import tokenize

from selfinstruct.similarity.index import Index

INSTRUCTIONS = Path(__file__).parents[2] / "shared" / "data" / "gpt4o_mini_instructions_10k.txt"


@pytest.fixture(scope="module")
def instructions() -> list[str]:
    if not INSTRUCTIONS.exists():
        pytest.skip(f"NOT COMPARED WITH REAL INSTRUCTIONS: {INSTRUCTIONS} is missing")
    return INSTRUCTIONS.read_text(encoding="utf-8").splitlines()[:1000]


@pytest.fixture(scope="module")
def accepted_by_the_original(instructions: list[str]) -> list[int]:
    accepted: list[int] = []
    known: list[list[str]] = []
    for place, text in enumerate(instructions):
        tokens = tokenize(text, None)
        if all(_score_lcs(tokens, each).fmeasure <= 0.7 for each in known):
            accepted.append(place)
            known.append(tokens)
    return accepted


@pytest.mark.parametrize(("large_from", "round_size"), [(0, 1), (200, 48), (10**9, 1), (10**9, 48)])
def test_the_same_instructions_are_accepted_as_by_a_plain_rouge_score_loop(
    instructions: list[str], accepted_by_the_original: list[int], large_from: int, round_size: int
) -> None:
    index = Index("rouge_score", large_from=large_from)
    accepted = []
    for begin in range(0, len(instructions), round_size):
        ask = index.prepare(instructions[begin : begin + round_size], "0.7")
        for place, text in enumerate(instructions[begin : begin + round_size]):
            if ask(place) is None:
                accepted.append(begin + place)
                index.add(f"s{begin + place}", text)
    assert accepted == accepted_by_the_original
    assert len(accepted) > 400
