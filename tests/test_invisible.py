"""Characters that nobody sees: they neither make a copy new nor hide a word, and texts are kept as they came."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.checks import instruction_checks
from selfinstruct.checks.instructions import copy_of_demonstration
from selfinstruct.checks.patterns import forbidden_pattern
from selfinstruct.checks.personal_data import find_personal_data, mask
from selfinstruct.checks.screening import fault_of_instruction, screen_instances
from selfinstruct.checks.wording import comparable
from selfinstruct.similarity.common import mark_common
from selfinstruct.similarity.index import Index
from selfinstruct.similarity.tokens import TOKENIZERS, tokenize
from selfinstruct.types import Instance, InstanceCandidate, Task
from tests.builders import settings

UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u180b\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2063\u2066\u2069\u206a\u3164"
    "\ufe00\ufe0f\ufeff\uffa0\ufff9\U000e0001\U000e0041\U000e007f\U000e0100"
)
CHECKS = instruction_checks(settings(blocked_words=("secret", "geheimer Plan", "图片"), personal_data="reject"))


@st.composite
def hidden(draw: st.DrawFn, text: st.SearchStrategy[str]) -> tuple[str, str]:
    """A text, and the same with characters in it that nobody sees."""
    plain = draw(text)
    places = draw(st.lists(st.tuples(st.integers(0, len(plain)), st.sampled_from(UNSEEN)), min_size=1, max_size=9))
    seen = plain
    for place, character in sorted(places, reverse=True):
        seen = seen[:place] + character + seen[place:]
    return plain, seen


ANY = st.text(st.sampled_from("abc Aé5.-中のกีक्षمी한😀"), max_size=40).filter(lambda text: "\u200d" not in text)
FAULTY = st.sampled_from(
    [
        "Describe this secret to me.",
        "Erzähle vom Geheimer  Plan der Stadt.",
        "说说图片里有什么东西。",
        "Design a logo for a fictional bakery.",
        "Explain the difference between these two,",
        "Write a poem about [insert topic].",
        "Write a haiku about rain.\n2. Explain how rain forms.",
        "# Explain why the sky is blue.",
        "Tidy up.",
        "Write to k.adler@gmx.de about the rent.",
        "Explain why the sky is blue.",
    ]
)


@given(hidden(ANY))
def test_they_are_no_part_of_a_token_or_a_label(pair: tuple[str, str]) -> None:
    plain, seen = pair
    assert tokenize(seen) == tokenize(plain)
    assert comparable(seen) == comparable(plain)
    assert copy_of_demonstration(seen, [plain]) is not None
    assert "".join(mark_common(seen, plain)).replace("‹", "").replace("›", "") == seen + plain


@given(hidden(FAULTY))
def test_no_check_of_instructions_is_kept_from_its_hit(pair: tuple[str, str]) -> None:
    plain, seen = (fault_of_instruction(text, CHECKS) for text in pair)
    assert (plain and plain.reason) == (seen and seen.reason)


@pytest.mark.parametrize("character", UNSEEN, ids=lambda one: f"U+{ord(one):04X}")
def test_a_copy_is_near_its_pattern_and_a_word_is_found(character: str) -> None:
    text = "Explain why the evening sky is red."
    index = Index()
    index.add("a", text)
    found = index.near_duplicate(character.join(text), "0.7")
    assert found is not None
    assert found.score == 1.0
    assert forbidden_pattern("secret")(Task("t", "Say it.", None), Instance("", f"The s{character}ecret.")) is not None


def test_the_tokens_of_rouge_score_stay_its_own() -> None:
    assert TOKENIZERS["rouge_score"]("im\u200bage so\u00adft") == ("im", "age", "so", "ft")


@given(hidden(st.just("Ask k.adler@gmx.de or 4539 1488 0343 6467 for it.")))
def test_personal_data_is_masked_whole(pair: tuple[str, str]) -> None:
    plain, seen = pair
    assert [one.kind for one in find_personal_data(seen)] == ["EMAIL", "CARD"]
    (masked,) = mask(seen)
    assert tokenize(masked) == tokenize(mask(plain)[0])


@pytest.mark.parametrize("character", "\u200b\u00ad\ufe0f\u200f")
def test_instances_are_compared_without_them_and_kept_as_they_came(character: str) -> None:
    task = Task("t", "Name the colour of the fruit.", False)
    first, copy = f"A ba{character}nana", "A banana"
    candidates = [InstanceCandidate("r", place, given, "Yellow.") for place, given in enumerate((first, copy))]
    kept, rejected = screen_instances(task, candidates, settings())
    assert [one.input for one in kept] == [first]
    assert [one.reason for one in rejected] == ["duplicate"]
    refusing = [InstanceCandidate("r", 0, copy, f"I'm sor{character}ry, but I can{character}not help with that.")]
    assert [one.reason for one in screen_instances(task, refusing, settings())[1]] == ["refusal"]


def test_persian_and_emoji_are_words_and_signs_as_before() -> None:
    assert tokenize("او می\u200cرود") == ("او", "میرود")
    assert tokenize("👨\u200d👩") == ("👨", "👩")
    assert unicodedata.normalize("NFC", "e\u0301") == tokenize("e\u200b\u0301")[0]
