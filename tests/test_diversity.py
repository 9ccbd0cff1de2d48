"""The figures of diversity, against values computed by hand."""

from __future__ import annotations

import bz2
import json
import math
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.diversity.figures import MOST_COMPARED, Diversity, Instructions, Least, diversity
from selfinstruct.diversity.vendi import VENDI_SAMPLE, vendi_sample, vendi_score
from selfinstruct.pool.reader import instructions, snapshot
from selfinstruct.report.page import write_report
from selfinstruct.versions.gate import measure
from tests.builders import ROOT, grow, rows

THREE = ["Write a poem.", "Write a story.", "Name the sea."]


def test_the_figures_of_three_instructions_are_those_computed_by_hand() -> None:
    found = diversity(zip(THREE, [0.5, None, 0.25], strict=True))
    assert found.instructions == found.vendi_sample == 3
    assert found.distinct_1 == 0.7778  # write a poem story name the sea: 7 of 9
    assert found.distinct_2 == 0.8333  # "write a" twice: 5 of 6
    assert found.top_openings_share == 1.0
    assert (found.verb_noun_pairs, found.verb_noun_entropy) == (3, 1.585)  # log2(3)
    assert found.mean_nearest_rouge_l == 0.375
    # Cosines of the first two: 2/3 by words, 1/2 by pairs, so 7/12. Eigenvalues of K/3 are
    # 19 of 36, 5 of 36 and a third: (1 + 7 of 12) by 3, (1 - 7 of 12) by 3, 1 by 3.
    shares = [19 / 36, 5 / 36, 1 / 3]
    assert found.vendi_score == round(math.exp(-sum(p * math.log(p) for p in shares)), 4) == 2.6583
    raw = b"Write a poem.\nWrite a story.\nName the sea."
    assert found.compression_ratio == round(len(raw) / len(bz2.compress(raw)), 4)


def test_openings_are_the_ten_most_frequent_and_pairs_have_their_entropy() -> None:
    many = [f"Write a poem about number {number}." for number in range(8)]
    many += [f"Opening {number} of its own kind." for number in range(12)]
    found = diversity((text, None) for text in many)
    assert found.top_openings_share == (8 + 9) / 20
    pairs = diversity((text, None) for text in [*["Write a poem."] * 2, "Write a story.", "Name a river."])
    assert pairs.verb_noun_entropy == 1.5  # 1/2, 1/4, 1/4
    assert pairs.verb_noun_pairs == 3


def test_the_vendi_score_runs_from_one_to_the_number_of_instructions() -> None:
    same = [("write", "a", "poem")] * 5
    apart = [(f"a{number}", f"b{number}") for number in range(5)]
    assert vendi_score(same) == pytest.approx(1.0)
    assert vendi_score(apart) == pytest.approx(5.0)
    assert vendi_score([*apart, *apart]) == pytest.approx(5.0)
    assert vendi_score([]) is None


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(tuple), min_size=1, max_size=30))
def test_the_vendi_score_is_that_of_the_definition(tokens: list[tuple[str, ...]]) -> None:
    def cosine(one: tuple[str, ...], other: tuple[str, ...], n: int) -> float:
        counts = [
            Counter(tuple(text[place : place + n]) for place in range(len(text) - n + 1)) for text in (one, other)
        ]
        lengths = math.prod(math.sqrt(sum(count**2 for count in each.values())) for each in counts)
        return sum(counts[0][gram] * counts[1][gram] for gram in counts[0]) / lengths if lengths else 0.0

    size = len(tokens)
    kernel = np.eye(size)
    for i in range(size):
        for j in range(i):
            kernel[i, j] = kernel[j, i] = (cosine(tokens[i], tokens[j], 1) + cosine(tokens[i], tokens[j], 2)) / 2
    eigenvalues = np.linalg.eigvalsh(kernel / size)
    entropy = -sum(value * math.log(value) for value in eigenvalues if value > 1e-12)
    assert vendi_score(tokens) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_nothing_has_no_figures() -> None:
    found = diversity([])
    assert (found.instructions, found.verb_noun_pairs, found.vendi_sample) == (0, 0, 0)
    others = {field.name for field in fields(Diversity)} - {"instructions", "verb_noun_pairs", "vendi_sample"}
    assert {getattr(found, name) for name in others} == {None}


@given(st.lists(st.text(max_size=20), max_size=12), st.randoms())
def test_any_texts_have_figures_and_the_order_changes_none_but_compression(
    texts: list[str], generator: random.Random
) -> None:
    one = diversity((text, 0.1) for text in texts).to_json()
    generator.shuffle(texts)
    other = diversity((text, 0.1) for text in texts).to_json()
    for figures_ in (one, other):
        del figures_["compression_ratio"]
    assert one == pytest.approx(other, abs=2e-4)


def test_the_sample_is_the_same_whatever_the_order() -> None:
    texts = [f"instruction {number}" for number in range(100)]
    sample = vendi_sample(texts, 10)
    assert len(set(sample)) == 10
    random.Random(1).shuffle(texts)
    assert vendi_sample(texts, 10) == sample


@pytest.mark.slow
def test_fifty_thousand_instructions_take_seconds() -> None:
    words = [f"word{number}" for number in range(3000)]
    generator = random.Random(5)
    texts = [f"Write a {' '.join(generator.choices(words, k=10))}." for _ in range(50_000)]
    started = time.process_time()
    assert diversity((text, None) for text in texts).vendi_sample == VENDI_SAMPLE
    assert time.process_time() - started < 40


def test_status_as_json_has_the_figures_and_plain_status_does_without_numpy(tmp_path: Path) -> None:
    pool = tmp_path / "a:star:pool"
    grow(pool, target=20)
    shown = [sys.executable, "-m", "selfinstruct", "status", str(pool), "--json"]
    told = json.loads(subprocess.run(shown, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert told["pool"] == str(pool)
    found = told["diversity"]
    assert found.keys() == {field.name for field in fields(Diversity)}
    assert found["instructions"] >= 20
    assert 0 < found["mean_nearest_rouge_l"] < 0.7
    code = (
        "import sys; from selfinstruct.cli.commands import run; "
        f"run(['status', {str(pool)!r}]); print('numpy' in sys.modules)"
    )
    plain = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert plain.splitlines()[-1] == "False"


def test_the_document_names_every_figure_once() -> None:
    text = (ROOT / "docs" / "diversity.md").read_text(encoding="utf-8")
    table = text.partition("## The figures")[2].partition("Details")[0]
    named = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert named == [field.name for field in fields(Diversity)]


def test_where_scores_end_with_the_first_tasks_those_of_the_sample_count_throughout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfinstruct.algorithm.FULL", 200)
    grow(tmp_path / "pool", target=120)
    stored = rows(
        tmp_path / "pool",
        "SELECT id, nearest_score FROM tasks WHERE origin = 'generated' AND state = 'done' ORDER BY position",
    )
    known = [score for _, score in stored if score is not None]
    sampled = [score for identity, score in stored if identity.startswith("t0")]
    assert 25 < len(known) < len(stored)
    assert None not in sampled
    pairs = instructions(tmp_path / "pool").pairs()
    assert [score for _, score in pairs if score is not None] == sampled
    mean = "SELECT ROUND(AVG(nearest_score), 4) FROM tasks WHERE state = 'done' AND id LIKE 't0%'"
    ((of_finished,),) = rows(tmp_path / "pool", mean)
    assert diversity(pairs).mean_nearest_rouge_l == of_finished
    with snapshot(tmp_path / "pool") as connection:
        assert measure(connection)[0]["mean_nearest_rouge_l"] == of_finished
    write_report([tmp_path / "pool"], tmp_path / "r.html")
    found = json.loads(re.findall(r'id="figures">([^<]*)<', (tmp_path / "r.html").read_text("utf-8"))[0])[0]
    assert (found["is_sampled"], found["unscored"]) == (True, len(stored) - len(known))


@pytest.mark.parametrize(
    ("rows", "counted"),
    [
        ([("t1", 0.1), ("t2", 0.2), ("t03", 0.3)], [0.1, 0.2, 0.3]),
        ([("s1", None), ("t1", None), ("t2", 0.2), ("t03", 0.3)], [None, None, 0.2, 0.3]),
        ([("t1", 0.1), ("t02", 0.2), ("t3", None), ("t04", 0.4)], [None, 0.2, None, 0.4]),
    ],
    ids=["all have one", "the first has none to have", "later ones have none"],
)
def test_scores_count_evenly(rows: list[tuple[str, float | None]], counted: list[float | None]) -> None:
    found = Instructions()
    for identity, score in rows:
        found.add(identity, "", score)
    assert [score for _, score in found.pairs()] == counted
    assert (found.tasks, found.unscored) == (len(rows), sum(score is None for _, score in rows))


@given(st.lists(st.text("abc", max_size=3), unique=True), st.integers(1, 6))
def test_the_items_with_the_least_keys_are_kept_in_their_order(keys: list[str], most: int) -> None:
    found = Least[int](most)
    for place, key in enumerate(keys):
        found.add(key, place)
    assert found.items() == [place for place, key in enumerate(keys) if key in sorted(keys)[:most]]


def test_of_very_many_instructions_the_figures_are_of_a_sample() -> None:
    found = Instructions()
    for number in range(2 * MOST_COMPARED + 5):
        found.add(f"t{number:05}"[::-1], f"Name river {number}.", 0.5)
    assert found.tasks == 2 * MOST_COMPARED + 5
    assert diversity(found.pairs()).instructions == MOST_COMPARED
