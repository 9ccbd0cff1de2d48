"""The saved novelty index: opened instead of rebuilt, and never trusted over the database."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from selfinstruct.algorithm import Screening
from selfinstruct.pool.saved_index import load_index, save_index
from selfinstruct.similarity.index import Index

WORDS = [f"w{number}" for number in range(60)]


def texts(count: int, seed: int = 1) -> list[tuple[str, str]]:
    generator = random.Random(seed)
    return [(f"t{number:020x}", " ".join(generator.choices(WORDS, k=9))) for number in range(count)]


def known(of: list[tuple[str, str]]) -> Screening:
    return Screening("unicode", lambda start: of[start:])


@pytest.fixture
def saved(tmp_path: Path) -> list[tuple[str, str]]:
    pool = texts(2000)
    save_index(tmp_path, known(pool).index, saved_from=1)
    return pool


def at(pool: list[tuple[str, str]], place: int) -> tuple[str, str] | None:
    return pool[place] if place < len(pool) else None


def test_a_saved_index_answers_as_a_rebuilt_one_and_later_tasks_are_added(
    tmp_path: Path, saved: list[tuple[str, str]]
) -> None:
    grown = saved + [(f"u{one[1:]}", text) for one, text in texts(300, seed=2)]
    opened = load_index(tmp_path, "unicode", lambda place: at(grown, place))
    assert opened is not None
    assert len(opened) == 2000
    screening = Screening("unicode", lambda start: grown[start:], opened)
    rebuilt = known(grown).index
    assert len(screening.index) == len(rebuilt) == 2300
    for _, text in texts(60, seed=3):
        assert screening.index.near_duplicate(text, "0.5") == rebuilt.near_duplicate(text, "0.5")


def test_a_file_of_another_pool_tokenizer_or_that_is_torn_is_not_used(
    tmp_path: Path, saved: list[tuple[str, str]]
) -> None:
    other = texts(2000, seed=9)
    assert load_index(tmp_path, "unicode", lambda place: at(other, place)) is None
    assert load_index(tmp_path, "unicode", lambda place: at(saved[:1500], place)) is None
    assert load_index(tmp_path, "rouge_score", lambda place: at(saved, place)) is None
    path = tmp_path / "novelty.npz"
    whole = path.read_bytes()
    for torn in (whole[: len(whole) // 2], whole[:-10], b"", b"nonsense", whole[:5000] + b"xxxx" + whole[5004:]):
        path.write_bytes(torn)
        assert load_index(tmp_path, "unicode", lambda place: at(saved, place)) is None
    path.unlink()
    assert load_index(tmp_path, "unicode", lambda place: at(saved, place)) is None


def test_a_small_pool_writes_no_file(tmp_path: Path) -> None:
    save_index(tmp_path, Index())
    assert list(tmp_path.iterdir()) == []
