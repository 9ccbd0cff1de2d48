"""Pools in other languages, and pools kept to some."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfinstruct import cli
from selfinstruct.errors import ConfigError
from selfinstruct.filters.language import wrong_language
from selfinstruct.novelty.common import mark_common
from selfinstruct.seeds import read_seeds
from tests.builders import ROOT, grow


def test_the_seeds_are_recognised_as_what_they_are() -> None:
    for code in ("en", "zh"):
        rule = wrong_language((code,))
        wrong = [task.instruction for task in read_seeds(ROOT / "seeds" / f"{code}.jsonl") if rule(task.instruction)]
        assert wrong == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Schreibe eine kurze Geschichte über einen alten Leuchtturm am Meer.", "de"),
        ("Écris une courte histoire à propos d'un vieux phare au bord de la mer.", "fr"),
        ("用三句话介绍一座古老的灯塔。", "zh"),
        ("古い灯台について短い物語を書いてください。", "ja"),
        ("오래된 등대에 대한 짧은 이야기를 써 주세요.", "ko"),
        ("Напиши короткую историю о старом маяке у моря.", "ru"),
        ("اكتب قصة قصيرة عن منارة قديمة على البحر.", "ar"),
    ],
)
def test_an_instruction_in_another_language_is_rejected_and_in_its_own_is_not(text: str, code: str) -> None:
    fault = wrong_language(("en",))(text)
    assert fault is not None
    assert fault.reason == "wrong_language"
    assert wrong_language((code,))(text) is None
    assert wrong_language(("en", code))(text) is None


@pytest.mark.parametrize(
    "text",
    [
        'Translate "Wo ist der Bahnhof?" into English.',
        "What does the Latin phrase carpe diem mean?",
        "def f(x): return x * 2 - what does f(4) give?",
        "Solve 3x + 7 = 25.",
    ],
)
def test_an_english_instruction_about_another_language_is_english(text: str) -> None:
    assert wrong_language(("en",))(text) is None


def test_an_unknown_code_is_named() -> None:
    with pytest.raises(ConfigError, match="'xx'"):
        wrong_language(("xx",))


def test_a_pool_kept_to_a_language_rejects_the_rest(tmp_path: Path) -> None:
    outcome = grow(tmp_path / "p", target=5, seeds=ROOT / "seeds" / "en.jsonl", language=["zh"], round_size=1)
    assert outcome.exit_code == 4
    assert cli.run(["explain", str(tmp_path / "p"), "wrong_language"]) == 0


def test_the_common_subsequence_is_marked_in_both_texts() -> None:
    assert mark_common("Name three rivers in Spain.", "Please name two rivers of Spain!") == (
        "‹Name› three ‹rivers› in ‹Spain›.", "Please ‹name› two ‹rivers› of ‹Spain›!",
    )  # fmt: skip
    assert mark_common("把句子翻译成英文。", "把段落翻译成法文。") == (
        "‹把›句子‹翻译成›英‹文›。",
        "‹把›段落‹翻译成›法‹文›。",
    )
    assert mark_common("", "a") == ("", "a")
    assert mark_common("?!", "!") == ("?‹!›", "‹!›")
