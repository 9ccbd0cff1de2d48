"""The novelty index against arithmetic on fractions, in its small and its compiled form."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import RougeScorer

from selfinstruct.similarity import index as index_module
from selfinstruct.similarity import large
from selfinstruct.similarity.index import (
    Index,
    Neighbour,
    exceeds_exactly,
    exceeds_in_floats,
    f1_in_floats,
    sampled_places,
)
from selfinstruct.similarity.scores import Cutoff
from selfinstruct.similarity.small import Small

SMALL = 10**9
TOKENIZERS = ["unicode", "rouge_score"]
THRESHOLDS = st.sampled_from(["0.7", "0.5", "0.4", "0.3", "0.25", "0.1", "0", "0.8", "0.66666", "1"])
TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join), max_size=14)
TAILS = st.sampled_from([0, 3, 2048])
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=12)

fixed = settings(derandomize=True, max_examples=100)


@contextmanager
def indexed_beyond(tail: int) -> Iterator[None]:
    """Texts beyond so many become part of the compiled index at the next question."""
    before = large._MIN_TAIL
    large._MIN_TAIL = tail
    try:
        yield
    finally:
        large._MIN_TAIL = before


def built(texts: Sequence[str], tokenizer: str = "unicode", large_from: int = 0) -> Index:
    index = Index(tokenizer, large_from=large_from)
    for place, text in enumerate(texts):
        index.add(f"s{place}", text)
    return index


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        above = row[:]
        for place, b in enumerate(other, 1):
            row[place] = above[place - 1] + 1 if a == b else max(above[place], row[place - 1])
    return row[-1]


def ranking(texts: Sequence[str], query: str, tokenize: Callable[[str], tuple[str, ...]]) -> list[tuple[int, int, int]]:
    """(place, common, known length) of all texts, nearest first, earlier first among equals."""
    length = len(tokenize(query))
    pairs = [
        (place, common_length(tokenize(text), tokenize(query)), len(tokenize(text))) for place, text in enumerate(texts)
    ]
    return sorted(pairs, key=lambda pair: (-Fraction(2 * pair[1], max(1, pair[2] + length)), pair[0]))


def expected(texts: Sequence[str], query: str, tokenizer: str, passes: Callable[[int, int, int], bool]) -> str | None:
    tokenize = index_module.TOKENIZERS[tokenizer]
    length = len(tokenize(query))
    for place, common, known in ranking(texts, query, tokenize):
        if common and passes(common, known, length):
            return f"s{place}"
    return None


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("large_from", [0, SMALL])
@fixed
@given(texts=TEXTS, queries=TEXTS, threshold=THRESHOLDS, tail=TAILS)
def test_the_nearest_above_a_threshold_is_that_of_brute_force(
    tokenizer: str, large_from: int, texts: list[str], queries: list[str], threshold: str, tail: int
) -> None:
    exceeds = (exceeds_in_floats if tokenizer == "rouge_score" else exceeds_exactly)(threshold)
    with indexed_beyond(tail):
        index = built(texts, tokenizer, large_from)
        found = [index.near_duplicate(query, threshold) for query in queries]
        assert [one and one.id for one in found] == [expected(texts, query, tokenizer, exceeds) for query in queries]
        assert index.near_duplicates(queries, threshold) == found


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("large_from", [0, SMALL])
@fixed
@given(texts=TEXTS, query=TEXTS.map(" ".join), cutoff=THRESHOLDS, tail=TAILS)
def test_the_nearest_at_or_above_a_cutoff_is_that_of_brute_force(
    tokenizer: str, large_from: int, texts: list[str], query: str, cutoff: str, tail: int
) -> None:
    def reaches(common: int, m: int, n: int) -> bool:
        if tokenizer == "rouge_score":
            return f1_in_floats(common, m, n) >= float(cutoff)
        return Fraction(2 * common, m + n) >= Fraction(cutoff)

    with indexed_beyond(tail):
        found = built(texts, tokenizer, large_from).nearest_above(query, cutoff)
    assert (found and found.id) == expected(texts, query, tokenizer, reaches)


@pytest.mark.parametrize("large_from", [0, SMALL])
@fixed
@given(texts=TEXTS, query=TEXTS.map(lambda texts: " ".join(texts[:1])), k=st.integers(1, 20), tail=TAILS)
def test_the_nearest_k_and_the_mean_are_those_of_brute_force(
    large_from: int, texts: list[str], query: str, k: int, tail: int
) -> None:
    with indexed_beyond(tail):
        index = built(texts, large_from=large_from)
        length = len(index.tokenize(query))
        ranked = [
            Neighbour(f"s{place}", 2 * common / max(1, known + length))
            for place, common, known in ranking(texts, query, index.tokenize)
        ]
        assert index.top(query, k) == ranked[:k]
        assert index.nearest(query) == (ranked[0] if ranked else None)
        mean = index.mean_score(query)
    if texts:
        assert mean == pytest.approx(sum(one.score for one in ranked) / len(texts))
    else:
        assert mean is None


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("large_from", [0, 5, SMALL])
@fixed
@given(texts=TEXTS, rounds=st.lists(TEXTS, max_size=4), threshold=THRESHOLDS, tail=TAILS)
def test_a_round_judged_in_one_go_has_the_verdicts_of_one_by_one(
    tokenizer: str, large_from: int, texts: list[str], rounds: list[list[str]], threshold: str, tail: int
) -> None:
    with indexed_beyond(tail):
        alone, together = built(texts, tokenizer, large_from), built(texts, tokenizer, large_from)
        for candidates in rounds:
            ask = together.prepare(candidates, threshold)
            for place, text in enumerate(candidates):
                found = alone.near_duplicate(text, threshold)
                assert ask(place) == found
                if found is None:
                    alone.add(f"n{len(alone)}", text)
                    together.add(f"n{len(together)}", text)


@pytest.mark.parametrize("large_from", [0, SMALL])
@fixed
@given(texts=st.lists(ANYTHING, min_size=1, max_size=6), query=ANYTHING, tail=TAILS)
def test_random_unicode_never_raises_is_symmetric_and_equals_itself(
    large_from: int, texts: list[str], query: str, tail: int
) -> None:
    with indexed_beyond(tail):
        index = built([*texts, query], large_from=large_from)
        found = index.near_duplicate(query, "0.7")
        if index.tokenize(query):
            assert found is not None
            assert found.score == 1
        else:
            assert found is None
        assert index.near_duplicates([query, *texts], "0.5") == [
            index.near_duplicate(text, "0.5") for text in [query, *texts]
        ]
        for text in texts:
            assert built([text], large_from=large_from).nearest(query) == built([query], large_from=large_from).nearest(
                text
            )


@settings(derandomize=True, max_examples=40)
@given(
    texts=st.lists(st.lists(st.sampled_from("abcdefghijkl"), max_size=400).map(" ".join), max_size=5),
    swaps=st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abz")), max_size=60),
    threshold=THRESHOLDS,
    tail=TAILS,
)
def test_texts_of_many_words_are_compared_as_exactly(
    texts: list[str], swaps: list[tuple[int, str]], threshold: str, tail: int
) -> None:
    queries = [*texts, "a b c"]
    for place, text in enumerate(texts):
        changed = text.split()
        for at, token in swaps:
            changed[at : at + 1] = [token]
        queries[place] = " ".join(changed)
    with indexed_beyond(tail):
        small, compiled = built(texts, large_from=SMALL), built(texts)
        assert compiled.near_duplicates(queries, threshold) == small.near_duplicates(queries, threshold)
        assert [compiled.top(query, 3) for query in queries] == [small.top(query, 3) for query in queries]
        assert [compiled.nearest(query) for query in queries] == [small.nearest(query) for query in queries]


@pytest.mark.parametrize("words", [2, 20, 200, 2000])
def test_the_common_subsequence_of_long_texts_is_that_of_rapidfuzz(words: int) -> None:
    generator = random.Random(words)
    texts = [[generator.randrange(words) for _ in range(generator.randrange(400))] for _ in range(60)]
    texts += [[*text[generator.randrange(len(text) + 1) :], *text[:40]] for text in texts]
    known = large.Large(texts)
    for query in texts:
        common, lengths = known.commons(query)
        assert common.tolist() == [LCSseq.similarity(query, text) for text in texts]
        assert lengths.tolist() == [len(text) for text in texts]


@pytest.mark.parametrize("tail", [0, 20, 2048])
def test_a_search_from_a_position_on_leaves_out_what_lies_before(tail: int) -> None:
    generator = random.Random(tail)
    texts = [[generator.randrange(6) for _ in range(generator.randrange(9))] for _ in range(40)]
    with indexed_beyond(tail):
        small, compiled = Small(texts), large.Large(texts)
        for threshold in ("0.1", "0.5", "0.7"):
            cutoff = Cutoff(threshold, strict=True, floats=False)
            for first in (0, 1, 15, 39, 40, 50):
                found = small.best(texts, cutoff, first)
                assert compiled.best(texts, cutoff, first) == found
                assert all(match is None or match.place >= first for match in found)


@pytest.mark.parametrize("large_from", [0, SMALL])
@pytest.mark.parametrize("tail", [0, 2048])
def test_the_earliest_of_equals_is_named(large_from: int, tail: int) -> None:
    texts = ["x y z", "a b c d e q", "a b c d e w", "a b c d e", "a b c d e", "d c b a"]
    with indexed_beyond(tail):
        index = built(texts, large_from=large_from)
        assert index.near_duplicate("a b c d e r", "0.7") == Neighbour("s3", 10 / 11)
        assert index.near_duplicate("a b c d e", "0.7") == Neighbour("s3", 1.0)
        assert index.near_duplicate("a b c d e q w", "0.7") == Neighbour("s1", 12 / 13)
        assert [one.id for one in index.top("a b c d e", 4)] == ["s3", "s4", "s1", "s2"]


BOUNDARY = [((7, 7, 13), True), ((7, 8, 12), True), ((7, 9, 11), True), ((7, 10, 10), False), ((14, 17, 23), False)]


@pytest.mark.parametrize(("counts", "exceeds"), BOUNDARY)
@pytest.mark.parametrize("large_from", [0, SMALL])
@pytest.mark.parametrize("tail", [0, 2048])
def test_at_exactly_seven_tenths_floats_reject_some_and_exact_arithmetic_none(
    counts: tuple[int, int, int], exceeds: bool, large_from: int, tail: int
) -> None:
    common, m, n = counts
    shared = [f"c{number}" for number in range(common)]
    one = " ".join(shared + [f"a{number}" for number in range(m - common)])
    other = " ".join(shared + [f"b{number}" for number in range(n - common)])
    assert exceeds_in_floats("0.7")(common, m, n) is exceeds
    assert exceeds_exactly("0.7")(common, m, n) is False
    assert RougeScorer(["rougeL"]).score(one, other)["rougeL"].fmeasure == f1_in_floats(common, m, n)
    with indexed_beyond(tail):
        # A tie that the float formula does not reject must not hide a later one of the same ratio that it does.
        later = " ".join(shared[:7] + [f"d{number}" for number in range(6)])
        texts = [one, later] if len(shared) == 7 and n == 10 else [one]
        in_floats = built(texts, "rouge_score", large_from).near_duplicate(other, "0.7")
        assert (in_floats is not None) is exceeds
        exactly = built([one], large_from=large_from)
        assert exactly.near_duplicate(other, "0.7") is None
        assert exactly.nearest_above(other, "0.7") == Neighbour("s0", 0.7)
        assert exactly.near_duplicate(other, "0.69") == Neighbour("s0", 0.7)


@pytest.mark.parametrize("large_from", [0, SMALL])
@pytest.mark.parametrize("tail", [0, 2048])
def test_a_tie_that_floats_let_pass_does_not_hide_a_later_one_that_they_do_not(large_from: int, tail: int) -> None:
    query = "a b c d e f g"
    passed = "a b c d e f g"[:13] + " h i j k l m"
    assert exceeds_in_floats("0.7")(7, 13, 7)
    ten = "q1 q2 q3 a b c d e f g"
    with indexed_beyond(tail):
        index = built([ten, "a b c d e f g x y z", passed], "rouge_score", large_from)
        query_of_ten = "a b c d e f g h i j"
        assert index.near_duplicate(query_of_ten, "0.7") is not None
        assert index.near_duplicate(query, "0.8") == Neighbour("s0", f1_in_floats(7, 10, 7))
        ties = built(["k1 k2 k3 a b c d e f g", "a b c d e f g x1"], "rouge_score", large_from)
        twelve = "a b c d e f g y1 y2 y3 y4 y5"  # 7 of (10, 12) is less, 7 of (8, 12) a tie that floats reject
        assert ties.near_duplicate(twelve, "0.7") == Neighbour("s1", f1_in_floats(7, 8, 12))


@pytest.mark.parametrize("large_from", [0, SMALL])
def test_a_text_without_tokens_is_like_nothing_and_never_raises(large_from: int) -> None:
    index = built(["", "  ", "a b"], large_from=large_from)
    assert index.near_duplicate("", "0.7") is None
    assert index.nearest_above(" \n", "0") is None
    assert index.near_duplicates(["", "a b", "\t"], "0.7") == [None, Neighbour("s2", 1.0), None]
    assert index.top("", 2) == [Neighbour("s0", 0.0), Neighbour("s1", 0.0)]
    assert index.nearest("") == Neighbour("s0", 0.0)
    assert index.mean_score("") == 0.0
    empty = Index(large_from=large_from)
    assert (empty.near_duplicate("a", "0.7"), empty.nearest("a"), empty.top("a", 3)) == (None, None, [])
    assert (empty.near_duplicates([], "0.7"), empty.mean_score("a")) == ([], None)


@pytest.mark.parametrize("large_from", [0, SMALL])
def test_asking_leaves_no_trace(large_from: int) -> None:
    index = built(["a b c", "d e f"], large_from=large_from)
    index.near_duplicate("warm up", "0.7")
    before = {name: array.tolist() for name, array in index.to_arrays().items()}
    for number in range(300):
        index.near_duplicate(f"new{number} words{number}", "0.7")
        index.nearest(f"other{number}")
    index.prepare(["unseen one", "unseen two"], "0.5")(1)
    assert {name: array.tolist() for name, array in index.to_arrays().items()} == before


def test_an_addition_is_found_at_once_however_many_came_before() -> None:
    with indexed_beyond(8):
        index = Index(large_from=20)
        for number in range(300):
            text = f"w{number} w{number // 2} w{number // 3} common words here"
            index.add(f"t{number:020x}", text)
            assert index.near_duplicate(text, "0.99") is not None
            assert index.near_duplicate(f"w{number} w{number // 2} w{number // 3}", "0.99") is None
        assert index.nearest("w299 w149 w99 common words here") == Neighbour(f"t{299:020x}", 1.0)


def saved(index: Index, folder: Path) -> dict[str, np.ndarray]:
    np.savez(folder / "index.npz", **index.to_arrays())
    with np.load(folder / "index.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize(("large_from", "opened_as"), [(0, 0), (SMALL, SMALL), (0, SMALL), (SMALL, 0)])
@pytest.mark.parametrize("tail", [0, 20, 2048])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_an_opened_index_answers_as_the_saved_one_and_grows_on(
    tmp_path: Path, large_from: int, opened_as: int, tail: int, tokenizer: str
) -> None:
    ids = [f"t{number:020x}" if number % 3 else f"seed {number}\0\\ü\n" for number in range(60)]
    texts = [f"w{number % 7} w{number % 11} w{number % 5} 你好 ü{number % 3} \ud800" for number in range(60)] + [
        "",
        " ",
    ]
    with indexed_beyond(tail):
        index, grown = Index(tokenizer, large_from=large_from), Index(tokenizer, large_from=large_from)
        for name, text in zip(ids[:50], texts, strict=False):
            index.add(name, text)
            index.near_duplicate(text, "0.7")
            grown.add(name, text)
        arrays = saved(index, tmp_path)
        opened = Index.from_arrays(arrays, lambda place: (ids[place], texts[place]), tokenizer, large_from=opened_as)
        for name, text in zip(ids[50:], texts[50:], strict=False):
            assert opened.near_duplicate(text, "0.5") == grown.near_duplicate(text, "0.5")
            opened.add(name, text)
            grown.add(name, text)
        for text in texts:
            assert opened.near_duplicate(text, "0.4") == grown.near_duplicate(text, "0.4")
            assert opened.top(text, 5) == grown.top(text, 5)
        assert len(opened) == len(grown) == 60


def test_arrays_of_another_pool_are_refused(tmp_path: Path) -> None:
    texts = [f"alpha {number} beta" for number in range(40)]
    arrays = saved(built(texts), tmp_path)

    def sample(place: int) -> tuple[str, str] | None:
        return f"s{place}", texts[place]

    assert len(Index.from_arrays(arrays, sample)) == 40
    with pytest.raises(ValueError, match="as task 39 of the pool"):
        Index.from_arrays(arrays, lambda place: sample(place) if place < 39 else None)
    with pytest.raises(ValueError, match="as task 0 of the pool"):
        Index.from_arrays(arrays, lambda place: (f"other{place}", texts[place]))
    with pytest.raises(ValueError, match="as task 0 of the pool"):
        Index.from_arrays(arrays, lambda place: (f"s{place}", "something else"))
    with pytest.raises(ValueError, match="wanted"):
        Index.from_arrays(arrays, sample, "rouge_score")
    with pytest.raises(ValueError, match="says 40 tasks"):
        Index.from_arrays({**arrays, "starts": arrays["starts"][:-1]}, sample)
    assert sampled_places(1) == [0]
    assert sampled_places(0) == []
    assert {0, 99_999} <= set(sampled_places(100_000))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("static_posts", lambda array: array[:-1], "fit together"),
        ("static_order", lambda array: array[:-1], "fit together"),
        ("words", lambda array: array[:-20], "texts of others"),
        ("tokens", lambda array: array[:-1], "says 40 tasks"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray], words: str, tmp_path: Path
) -> None:
    texts = [f"alpha{number} beta gamma" for number in range(40)]
    with indexed_beyond(0):
        index = built(texts)
        index.nearest("beta")
        arrays = saved(index, tmp_path)
    with pytest.raises(ValueError, match=words):
        Index.from_arrays(
            {**arrays, name: change(arrays[name])}, lambda place: (f"s{place}", texts[place]), large_from=0
        )


def test_an_opened_index_knows_all_words_though_the_last_texts_use_few(tmp_path: Path) -> None:
    texts = [" ".join(f"w{number}x{word}" for word in range(10)) for number in range(400)] + ["w0x0 w0x1 w0x2"] * 3
    with indexed_beyond(300):
        index = built(texts[:400])
        index.nearest("w0x0")
        for place in range(400, 403):
            index.add(f"s{place}", texts[place])
        opened = Index.from_arrays(saved(index, tmp_path), lambda place: (f"s{place}", texts[place]), large_from=0)
    assert opened.near_duplicates(texts, "0.7") == index.near_duplicates(texts, "0.7")
    assert opened.nearest(texts[399]) == Neighbour("s399", 1.0)


def test_an_empty_index_is_saved_and_opened(tmp_path: Path) -> None:
    opened = Index.from_arrays(saved(Index(), tmp_path), lambda _: None)
    opened.add("a", "one two")
    assert opened.nearest("one two") == Neighbour("a", 1.0)


def test_ids_of_generated_tasks_take_ten_bytes() -> None:
    index = built(["a"] * 10)
    for number in range(100):
        index.add(f"t{number:020x}", "b c")
    assert index.nbytes()["ids"] == 1100
    assert index.nearest("b c") == Neighbour(f"t{0:020x}", 1.0)


def test_more_words_than_unicode_has_characters_still_compare() -> None:
    texts = Small([[0x10FFFE, 5, 6, 7], [0x110000, 0x110001, 7], [5, 6, 7]])
    cutoff = Cutoff("0.5", strict=True, floats=False)
    assert texts.best([[5, 6, 7, 8], [0x110000, 0x110001, -1]], cutoff) == [(2, 3, 3), (1, 2, 3)]
    assert texts.texts()[1] == [0x110000, 0x110001, 7]


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_pool_of_a_few_thousand_tasks_loads_no_compiler() -> None:
    code = """
import sys
from selfinstruct.similarity.index import Index
index = Index()
for number in range(4000):
    index.add(f"s{number}", f"a{number} b{number % 50} c")
assert index.near_duplicate("a7 b7 c", "0.7").id == "s7"
index.to_arrays()
print("numba" in sys.modules, "selfinstruct.similarity.compiled" in sys.modules)
"""
    assert run(code) == "False False"


def test_without_numba_a_large_pool_has_the_same_answers() -> None:
    code = """
import sys
if {missing}:
    sys.modules["numba"] = None
from selfinstruct.similarity.index import Index
def task(place):
    return f"s{{place}}", " ".join(f"w{{place * step % 23}}" for step in range(1, 9))
index = Index(large_from=50)
for number in range(200):
    index.add(*task(number))
opened = Index.from_arrays(index.to_arrays(), task, large_from=50)
asked = [f"w{{number}} w{{2 * number % 23}} w{{3 * number % 23}} w5" for number in range(30)]
print(opened.near_duplicates(asked, "0.4"), index.top("w3 w4", 4))
print(sys.modules.get("numba") is None, file=sys.stderr)
"""
    assert run(code.format(missing=True)) == run(code.format(missing=False))
