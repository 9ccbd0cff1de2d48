"""Texts as tokens: those of `rouge_score` on ASCII, and words, characters or graphemes in every other script."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize as reference

from selfinstruct.similarity.index import Index
from selfinstruct.similarity.tokens import tokenize, tokenize_as_rouge_score

ASCII = st.text(st.characters(max_codepoint=127), max_size=60)
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates too

fixed = settings(derandomize=True, max_examples=200)


@fixed
@given(ASCII.filter(lambda text: any(character.isalnum() for character in text)))
def test_ascii_text_gives_the_tokens_of_rouge_score(text: str) -> None:
    assert list(tokenize(text)) == reference(text, None)


@fixed
@given(ANYTHING)
def test_the_reference_tokenizer_is_rouge_scores_on_any_text(text: str) -> None:
    assert list(tokenize_as_rouge_score(text)) == reference(text, None)


@fixed
@given(ANYTHING)
def test_only_white_space_has_no_tokens_and_no_token_holds_white_space(text: str) -> None:
    tokens = tokenize(text)
    assert bool(tokens) == bool(text.strip())
    assert all(token and not any(character.isspace() for character in token) for token in tokens)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop!", ["don", "t", "stop"]),
        ("naïve Straße", ["naïve", "strasse"]),
        ("今天天气", ["今", "天", "天", "气"]),
        ("用Python写", ["用", "python", "写"]),
        ("コーヒー", ["コ", "ー", "ヒ", "ー"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ＡＢＣ ①", ["abc", "1"]),
        ("1️⃣ first", ["1", "first"]),
        ("漢\ufe00字", ["漢", "字"]),
        ("?!", ["?", "!"]),
        ("🎉 🎈", ["🎉", "🎈"]),
        ("\u0301", ["\u0301"]),
        (" \n\t\u3000", []),
        ("", []),
    ],
)
def test_tokens_follow_the_script(text: str, tokens: list[str]) -> None:
    assert list(tokenize(text)) == tokens


def test_a_precomposed_letter_equals_its_parts() -> None:
    assert tokenize("café ก็") == tokenize("cafe\u0301 ก็")


@pytest.mark.parametrize(("one", "other"), [("❤️", "☀️"), ("🎉", "🎈"), ("***", "---")])
def test_different_symbols_are_not_the_same_text(one: str, other: str) -> None:
    assert tokenize(one) != tokenize(other)


LANGUAGES = {
    "Chinese": (
        "请把下面这段新闻概括成三句话。",
        "请把下面这段新闻概括成两句话。",
        "为初学者设计一份一周的跑步计划。",
    ),
    "Japanese": (
        "次の文章を小学生にもわかるように書き直してください。",
        "次の文章を中学生にもわかるように書き直してください。",
        "冷蔵庫にある材料で作れる夕食を三つ提案する。",
    ),
    "Korean": (
        "다음 문단을 읽고 핵심 내용을 세 문장으로 요약해 주세요",
        "다음 문단을 읽고 핵심 내용을 두 문장으로 요약해 주세요",
        "초보자를 위한 주말 등산 계획을 세워 보세요",
    ),
    "Thai": (
        "เขียนจดหมายขอบคุณถึงครูของคุณ",
        "เขียนจดหมายขอบคุณถึงเพื่อนของคุณ",
        "อธิบายวิธีทำต้มยำกุ้งทีละขั้นตอน",
    ),
    "Arabic": (
        "اكتب رسالة قصيرة تشكر فيها معلمك على مساعدته لك هذا العام",
        "اكتب رسالة قصيرة تشكر فيها صديقك على مساعدته لك هذا العام",
        "ما هي عواصم الدول التالية؟",
    ),
    "Hebrew": (
        "כתוב מכתב תודה קצר למורה שעזר לך השנה בלימודים",
        "כתוב מכתב תודה קצר לחבר שעזר לך השנה בלימודים",
        "מהן ערי הבירה של המדינות הבאות?",
    ),
    "Hindi": (
        "नीचे दिए गए अनुच्छेद को पढ़कर तीन वाक्यों में सारांश लिखिए",
        "नीचे दिए गए अनुच्छेद को पढ़कर दो वाक्यों में सारांश लिखिए",
        "अपने शहर के किसी पुराने बाज़ार का वर्णन करें",
    ),
    "Russian": (
        "Напишите короткое письмо с благодарностью вашему первому учителю",
        "Напишите короткое письмо с благодарностью вашему старому учителю",
        "Какие из этих животных умеют летать?",
    ),
    "Greek": (
        "Γράψε ένα σύντομο γράμμα για να ευχαριστήσεις τον δάσκαλό σου",
        "Γράψε ένα σύντομο γράμμα για να ευχαριστήσεις τον γείτονά σου",
        "Ποια από αυτά τα ζώα πετούν;",
    ),
    "French": (
        "Résume le texte suivant en trois phrases très simples",
        "Résume le texte suivant en deux phrases très simples",
        "Où peut-on voir des étoiles à l'œil nu près de chez soi ?",
    ),
    "Vietnamese": (
        "Hãy viết một bức thư ngắn để cảm ơn thầy giáo của bạn",
        "Hãy viết một bức thư ngắn để cảm ơn bác sĩ của bạn",
        "Kể tên các tỉnh giáp biển ở miền Trung",
    ),
    "Turkish": (
        "Aşağıdaki İstanbul haberini üç kısa cümleyle özetle ve başlık öner",
        "Aşağıdaki İstanbul haberini iki kısa cümleyle özetle ve başlık öner",
        "Yağmurlu bir günde çocuklarla ne yapılabilir?",
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("large_from", [0, 1000])
def test_in_each_language_a_repeat_scores_1_a_change_is_near_and_another_text_is_not(
    language: str, large_from: int
) -> None:
    text, changed, different = LANGUAGES[language]
    index = Index(large_from=large_from)
    index.add("known", text)
    same, near, far = index.nearest(text), index.nearest(changed), index.nearest(different)
    assert same is not None
    assert near is not None
    assert far is not None
    assert same.score == 1
    assert 0.7 < near.score < 1
    assert far.score < 0.4
    found = [index.near_duplicate(one, "0.7") for one in (text, changed, different)]
    assert found == [same, near, None]
