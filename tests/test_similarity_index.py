"""The search for the nearest text against arithmetic on fractions, in its small and its compiled form."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import RougeScorer

from selfinstruct.similarity import large
from selfinstruct.similarity.index import Index, Neighbour, sampled_places
from selfinstruct.similarity.scores import Cutoff, f1_in_floats
from selfinstruct.similarity.small import Small
from selfinstruct.similarity.tokens import TOKENIZERS
from tests.builders import ROOT

SMALL = 10**9
THRESHOLDS = st.sampled_from(["0.7", "0.5", "0.4", "0.3", "0.25", "0.1", "0", "0.8", "0.66666", "1"])
TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join), max_size=14)
TAILS = st.sampled_from([0, 3, 2048])
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=12)

in_both_forms = pytest.mark.parametrize("large_from", [0, SMALL])
by_both_tokenizers = pytest.mark.parametrize("tokenizer", TOKENIZERS)
fixed = settings(derandomize=True, max_examples=60)


@contextmanager
def indexed_beyond(tail: int) -> Iterator[None]:
    """More texts than this become part of the compiled index at the next question."""
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


def near_duplicates(index: Index, texts: Sequence[str], threshold: str) -> list[Neighbour | None]:
    ask = index.prepare(texts, threshold)
    return [ask(place) for place in range(len(texts))]


def ranking(texts: Sequence[str], query: str, tokenize: Callable[[str], tuple[str, ...]]) -> list[tuple[int, int, int]]:
    """(place, common, known length) of all texts, nearest first, earlier first among equals."""

    def common(one: Sequence[str], other: Sequence[str]) -> int:
        row = [0] * (len(other) + 1)
        for a in one:
            above = row[:]
            for place, b in enumerate(other, 1):
                row[place] = above[place - 1] + 1 if a == b else max(above[place], row[place - 1])
        return row[-1]

    asked = tokenize(query)
    pairs = [(place, common(tokenize(text), asked), len(tokenize(text))) for place, text in enumerate(texts)]
    return sorted(pairs, key=lambda pair: (-Fraction(2 * pair[1], max(1, pair[2] + len(asked))), pair[0]))


def above(threshold: str, tokenizer: str, common: int, m: int, n: int) -> bool:
    if tokenizer == "rouge_score":
        return f1_in_floats(common, m, n) > float(threshold)
    return Fraction(2 * common, m + n) > Fraction(threshold)


@by_both_tokenizers
@in_both_forms
@fixed
@given(texts=TEXTS, queries=TEXTS, threshold=THRESHOLDS, tail=TAILS, k=st.integers(1, 20))
def test_the_nearest_are_those_of_brute_force(
    tokenizer: str, large_from: int, texts: list[str], queries: list[str], threshold: str, tail: int, k: int
) -> None:
    with indexed_beyond(tail):
        index = built(texts, tokenizer, large_from)
        found = near_duplicates(index, queries, threshold)
        for query, near in zip(queries, found, strict=True):
            length = len(index.tokenize(query))
            ranked = ranking(texts, query, index.tokenize)
            passing = (place for place, *pair in ranked if pair[0] and above(threshold, tokenizer, *pair, length))
            assert (near and near.id) == next((f"s{place}" for place in passing), None)
            assert index.near_duplicate(query, threshold) == near
            top = index.top(query, k)
            assert [one.id for one in top] == [f"s{place}" for place, *_ in ranked[:k]]
            scores = [2 * common / max(1, known + length) for _, common, known in ranked]
            assert [one.score for one in top] == pytest.approx(scores[:k])
            assert index.nearest(query) == next(iter(top), None)
            assert index.mean_score(query) == (pytest.approx(sum(scores) / len(scores)) if scores else None)


@by_both_tokenizers
@pytest.mark.parametrize("large_from", [0, 5, SMALL])
@fixed
@given(texts=TEXTS, rounds=st.lists(TEXTS, max_size=4), threshold=THRESHOLDS, tail=TAILS)
def test_a_round_screened_in_one_go_has_the_decisions_of_one_by_one(
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


@in_both_forms
@fixed
@given(texts=st.lists(ANYTHING, min_size=1, max_size=6), query=ANYTHING, tail=TAILS)
def test_any_text_is_compared_is_like_itself_and_as_another_is_like_it(
    large_from: int, texts: list[str], query: str, tail: int
) -> None:
    with indexed_beyond(tail):
        index = built([*texts, query], large_from=large_from)
        found = index.near_duplicate(query, "0.7")
        assert (found and found.score) == (1 if index.tokenize(query) else None)
        for text in texts:
            there, back = built([text], large_from=large_from), built([query], large_from=large_from)
            assert there.nearest(query) == back.nearest(text)


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
        assert near_duplicates(compiled, queries, threshold) == near_duplicates(small, queries, threshold)
        for query in queries:
            assert compiled.top(query, 3) == small.top(query, 3)
            assert compiled.nearest(query) == small.nearest(query)


def flat(texts: Sequence[Sequence[int]]) -> tuple[array[int], array[int]]:
    starts = accumulate(map(len, texts), initial=0)
    return array("i", [token for text in texts for token in text]), array("q", starts)


@pytest.mark.parametrize("words", [2, 20, 200, 2000])
def test_the_common_subsequence_of_long_texts_is_that_of_rapidfuzz(words: int) -> None:
    generator = random.Random(words)
    texts = [[generator.randrange(words) for _ in range(generator.randrange(400))] for _ in range(60)]
    texts += [[*text[generator.randrange(len(text) + 1) :], *text[:40]] for text in texts]
    known = large.Large(*flat(texts))
    for query in texts:
        assert known.commons(query).tolist() == [LCSseq.similarity(query, text) for text in texts]


@pytest.mark.parametrize("tail", [0, 20, 2048])
def test_a_search_from_a_position_on_leaves_out_what_lies_before(tail: int) -> None:
    generator = random.Random(tail)
    texts = [[generator.randrange(6) for _ in range(generator.randrange(9))] for _ in range(40)]
    with indexed_beyond(tail):
        small, compiled = Small(*flat(texts)), large.Large(*flat(texts))
        for threshold in ("0.1", "0.5", "0.7"):
            cutoff = Cutoff(threshold, floats=False)
            for first in (0, 1, 15, 39, 40, 50):
                found = small.best(texts, cutoff, first)
                assert compiled.best(texts, cutoff, first) == found
                assert all(match is None or match.place >= first for match in found)


@in_both_forms
@pytest.mark.parametrize("tail", [0, 2048])
def test_the_earliest_of_equals_is_named(large_from: int, tail: int) -> None:
    texts = ["x y z", "a b c d e q", "a b c d e w", "a b c d e", "a b c d e", "d c b a"]
    with indexed_beyond(tail):
        index = built(texts, large_from=large_from)
        assert index.near_duplicate("a b c d e r", "0.7") == Neighbour("s3", 10 / 11)
        assert index.near_duplicate("a b c d e", "0.7") == Neighbour("s3", 1.0)
        assert index.near_duplicate("a b c d e q w", "0.7") == Neighbour("s1", 12 / 13)
        assert [one.id for one in index.top("a b c d e", 4)] == ["s3", "s4", "s1", "s2"]


@pytest.mark.parametrize(
    ("common", "m", "n", "passes"),
    [(7, 7, 13, True), (7, 8, 12, True), (7, 9, 11, True), (7, 10, 10, False), (14, 17, 23, False)],
)
@in_both_forms
@pytest.mark.parametrize("tail", [0, 2048])
def test_at_exactly_seven_tenths_floats_reject_some_and_exact_arithmetic_none(
    common: int, m: int, n: int, passes: bool, large_from: int, tail: int
) -> None:
    shared = [f"c{number}" for number in range(common)]
    one = " ".join(shared + [f"a{number}" for number in range(m - common)])
    other = " ".join(shared + [f"b{number}" for number in range(n - common)])
    assert RougeScorer(["rougeL"]).score(one, other)["rougeL"].fmeasure == f1_in_floats(common, m, n)
    with indexed_beyond(tail):
        assert (built([one], "rouge_score", large_from).near_duplicate(other, "0.7") is not None) is passes
        exactly = built([one], large_from=large_from)
        assert exactly.near_duplicate(other, "0.7") is None
        assert exactly.near_duplicate(other, "0.69") == Neighbour("s0", 0.7)
        # A tie that floats let pass does not hide a later one that they do not.
        ties = built(["k1 k2 k3 a b c d e f g", "a b c d e f g x1"], "rouge_score", large_from)
        twelve = "a b c d e f g y1 y2 y3 y4 y5"  # 7 of (10, 12) is less, 7 of (8, 12) a tie that floats reject
        assert ties.near_duplicate(twelve, "0.7") == Neighbour("s1", f1_in_floats(7, 8, 12))


@in_both_forms
def test_a_text_without_tokens_is_like_nothing_and_never_raises(large_from: int) -> None:
    index = built(["", "  ", "a b"], large_from=large_from)
    assert near_duplicates(index, ["", "a b", "\t"], "0.7") == [None, Neighbour("s2", 1.0), None]
    assert index.near_duplicate(" \n", "0") is None
    assert index.top("", 2) == [Neighbour("s0", 0.0), Neighbour("s1", 0.0)]
    assert (index.nearest(""), index.mean_score("")) == (Neighbour("s0", 0.0), 0.0)
    empty = Index(large_from=large_from)
    assert (empty.near_duplicate("a", "0.7"), empty.nearest("a"), empty.top("a", 3)) == (None, None, [])
    assert (near_duplicates(empty, [], "0.7"), empty.mean_score("a")) == ([], None)


@in_both_forms
def test_asking_leaves_no_trace(large_from: int) -> None:
    index = built(["a b c", "d e f"], large_from=large_from)
    index.near_duplicate("warm up", "0.7")
    before = {name: values.tolist() for name, values in index.to_arrays().items()}
    index.nearest("other 5")
    index.prepare(["unseen one", "unseen two"], "0.5")(1)
    assert {name: values.tolist() for name, values in index.to_arrays().items()} == before


def test_an_addition_is_found_at_once_however_many_came_before() -> None:
    with indexed_beyond(8):
        index = Index(large_from=20)
        for number in range(300):
            text = f"w{number} w{number // 2} w{number // 3} common words here"
            index.add(f"t{number}", text)
            assert index.near_duplicate(text, "0.99") is not None
            assert index.near_duplicate(f"w{number} w{number // 2} w{number // 3}", "0.99") is None
        assert index.nearest("w299 w149 w99 common words here") == Neighbour("t299", 1.0)


def saved(index: Index, folder: Path) -> dict[str, np.ndarray]:
    np.savez(folder / "index.npz", **index.to_arrays())
    with np.load(folder / "index.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize(("large_from", "opened_as"), [(0, 0), (SMALL, SMALL), (0, SMALL), (SMALL, 0)])
@pytest.mark.parametrize("tail", [0, 20, 2048])
@by_both_tokenizers
def test_an_opened_index_answers_as_the_saved_one_and_grows_on(
    tmp_path: Path, large_from: int, opened_as: int, tail: int, tokenizer: str
) -> None:
    ids = [f"t{number:020x}" if number % 3 else f"seed {number}\0\\ü\n" for number in range(60)]
    texts = [f"w{number % 7} w{number % 11} w{number % 5} 你好 ü{number % 3} \ud800" for number in range(58)] + [
        "",
        " ",
    ]
    with indexed_beyond(tail):
        grown = Index(tokenizer, large_from=large_from)
        opened = Index.from_arrays(saved(grown, tmp_path), lambda _: None, tokenizer)
        assert len(opened) == 0
        for place, (name, text) in enumerate(zip(ids, texts, strict=True)):
            if place == 50:
                arrays = saved(grown, tmp_path)
                opened = Index.from_arrays(
                    arrays, lambda place: (ids[place], texts[place]), tokenizer, large_from=opened_as
                )
            assert opened.near_duplicate(text, "0.5") == grown.near_duplicate(text, "0.5")
            opened.add(name, text)
            grown.add(name, text)
        for text in texts:
            assert opened.near_duplicate(text, "0.4") == grown.near_duplicate(text, "0.4")
            assert opened.top(text, 5) == grown.top(text, 5)
        assert len(opened) == len(grown) == 60


def test_arrays_of_another_pool_or_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    texts = [f"alpha{number} beta" for number in range(40)]
    with indexed_beyond(0):
        index = built(texts)
        index.nearest("beta")
        arrays = saved(index, tmp_path)

    def sample(place: int) -> tuple[str, str] | None:
        return f"s{place}", texts[place]

    def refused(said: str, at: Callable[[int], tuple[str, str] | None] = sample, **changes: np.ndarray) -> None:
        with pytest.raises(ValueError, match=said):
            Index.from_arrays({**arrays, **changes}, at, large_from=0)

    assert len(Index.from_arrays(arrays, sample)) == 40
    refused("as task 39 of the pool", lambda place: sample(place) if place < 39 else None)
    refused("as task 0 of the pool", lambda place: (f"other{place}", texts[place]))
    refused("as task 0 of the pool", lambda place: (f"s{place}", "something else"))
    refused("says 40 tasks", starts=arrays["starts"][:-1])
    refused("says 40 tasks", tokens=arrays["tokens"][:-1])
    refused("texts of others", words=np.frombuffer(b'["alpha0"]', np.uint8))
    refused("fit together", static_posts=arrays["static_posts"][:-1])
    refused("fit together", static_order=arrays["static_order"][:-1])
    with pytest.raises(ValueError, match="wanted"):
        Index.from_arrays(arrays, sample, "rouge_score")
    assert (sampled_places(0), sampled_places(1)) == ([], [0])
    assert {0, 99_999} <= set(sampled_places(100_000))


def test_an_opened_index_knows_all_words_though_the_last_texts_use_few(tmp_path: Path) -> None:
    texts = [" ".join(f"w{number}x{word}" for word in range(10)) for number in range(400)] + ["w0x0 w0x1 w0x2"] * 3
    with indexed_beyond(300):
        index = built(texts[:400])
        index.nearest("w0x0")
        for place in range(400, 403):
            index.add(f"s{place}", texts[place])
        opened = Index.from_arrays(saved(index, tmp_path), lambda place: (f"s{place}", texts[place]), large_from=0)
    assert near_duplicates(opened, texts, "0.7") == near_duplicates(index, texts, "0.7")
    assert opened.nearest(texts[399]) == Neighbour("s399", 1.0)


def test_more_words_than_unicode_has_characters_still_compare() -> None:
    texts = Small(*flat([[0x10FFFE, 5, 6, 7], [0x110000, 0x110001, 7], [5, 6, 7]]))
    found = texts.best([[5, 6, 7, 8], [0x110000, 0x110001, -1]], Cutoff("0.5", floats=False))
    assert found == [(2, 3, 3), (1, 2, 3)]
    assert texts.commons([5, 6, 0x110001]).tolist() == [2, 1, 2]


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
print([opened.near_duplicate(text, "0.4") for text in asked], index.top("w3 w4", 4))
assert (sys.modules.get("numba") is None) == {missing}
"""
    assert run(code.format(missing=True)) == run(code.format(missing=False))


@pytest.mark.slow
def test_texts_may_be_added_while_their_search_is_compiled(tmp_path: Path) -> None:
    program = """if True:
        from selfinstruct.similarity.index import Index
        index = Index(large_from=3)
        for place in range(60):
            index.near_duplicate(f"text number {place} of some", "0.7")
            index.add(str(place), f"text number {place} of others")
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.rglob("*.nbc")), "it was compiled"
