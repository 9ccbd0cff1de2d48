"""What an instruction asks for, in two words: the verb of the request and the noun that it is about.

Rules, no model and no download. Wang et al. 2022 (section 3.2) read the root verb and its direct object off a parse;
this reader finds where the request begins, takes its verb, and takes the head of the noun phrase after it. Questions
have no such verb: they stand under their question word, with the noun that is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from selfinstruct.diversity import lexicon
from selfinstruct.similarity.tokens import tokenize

_READ = 600
"""Characters of an instruction that are looked at; a request stands near the front."""
_ASKED = 2000
"""Characters at either end of an instruction in which a request is looked for."""
_TOKEN = re.compile(r"[A-Za-z]+(?:['’\-][A-Za-z]+)*|[.?!;:,()\n\"“”]|[^\s.?!;:,()\"“”]+")
_CODE = re.compile(r"\b\w+_\w+|\b\w+\([^)]*\)|`[^`]*`|\b[a-z]+[A-Z]\w*|\b\w+\.\w+(?=\s|$)")
_MAY_BE_CODE = re.compile(r"[_(`]|[a-z][A-Z]|\.\w")
_MAY_BE_QUOTED = re.compile(r"[\"“”']")
"""Found fast where `_CODE` and `_QUOTED`, which are slow, may find something."""
_QUOTED = re.compile(r"[\"“”][^\"“”]*[\"“”]|(?<!\w)'[^']*'(?!\w)")
_LETTER = re.compile(r"[^\W\d_]")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_POLITE_CJK = re.compile(r"^(?:请你|请您|请|請|麻烦你|麻烦|帮我|帮忙|給|给我|为我|為我)+")
_WISH = re.compile(
    r"\?|\b(?:please|tell me|help me|i (?:need|want|would like)|i'd like|let's|try)\b"
    r"|\byou (?:should|must|have to|need to|are to|will)\b"
    r"|^(?:true or false|yes or no|fact or opinion)\b|^[\w ,]+:",
    re.IGNORECASE,
)
_ENDS = frozenset(".?!;\n")
_BREAKS = frozenset(',:()"“”—–-') | _ENDS


class Reading(NamedTuple):
    """The verb of a request and its noun; a question word and a noun; or the first words. Either may be empty."""

    verb: str
    noun: str


@lru_cache(maxsize=65_536)
def read(instruction: str) -> Reading:
    """What the instruction asks for. English by rules; in other languages the first words."""
    text = instruction[:_READ].replace("’", "'")
    if not is_english(text):
        return _first_words(text)
    return _request(_tokens(text)) or _first_words(text)


def _tokens(text: str) -> list[str]:
    """Words and punctuation, each quotation and each piece of code as one sign."""
    text = _QUOTED.sub(" _ ", text) if _MAY_BE_QUOTED.search(text) else text
    return _TOKEN.findall(_CODE.sub("_", text) if _MAY_BE_CODE.search(text) else text)


def is_english(text: str) -> bool:
    """Is the text likely to be English? By its letters and its most frequent words."""
    letters = [] if text.isascii() else _LETTER.findall(text)
    if sum(letter.isascii() for letter in letters) < 0.8 * len(letters):
        return False
    words = re.findall(r"[a-z]+", text.lower())
    return bool(words) and (_as_verb(words[0]) != "" or not lexicon.ENGLISH.isdisjoint(words))


def _first_words(text: str) -> Reading:
    """The first two words; where words are not separated, the first two characters after a word of politeness."""
    stripped = _POLITE_CJK.sub("", text.strip())
    tokens = tokenize(stripped)
    if tokens and _UNSPACED.match(tokens[0]):
        return Reading("".join(tokens[:2]), "")
    return Reading(*(*tokens[:2], "", "")[:2])


def _request(tokens: Sequence[str]) -> Reading | None:
    """The first request in these tokens: an order or a question at the start of a sentence, else after a comma."""
    starts = [0, *(place + 1 for place, token in enumerate(tokens) if token in _ENDS)]
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        sentence = tokens[start:end]
        found = _clause(sentence)
        if found is None:
            breaks = [place for place, token in enumerate(sentence) if token in {",", ":", "—", "–"}]
            found = next(filter(None, (_clause(sentence[place + 1 :]) for place in breaks)), None)
        if found is not None:
            return found
    return _gerund(tokens)


def _gerund(tokens: Sequence[str]) -> Reading | None:
    """What a title such as "Converting miles to kilometres" asks for; None for any other text."""
    words = [token.lower() for token in tokens]
    stem = words[0].removesuffix("ing") if words and words[0].endswith("ing") else ""
    verb = next(filter(None, map(_as_verb, (stem, stem + "e", stem[:-1]))), "") if stem else ""
    return Reading(verb, _object(tokens, words, 1)) if verb else None


def _clause(tokens: Sequence[str]) -> Reading | None:
    """The request that begins right here, or None."""
    words = [token.lower() for token in tokens]
    place = _after_courtesy(words)
    if place >= len(words):
        return None
    return _asked(tokens, words, place) or _ordered(tokens, words, place)


def _asked(tokens: Sequence[str], words: Sequence[str], place: int) -> Reading | None:
    """The question that begins here, with a question word or an auxiliary."""
    word, following = words[place], _at(words, place + 1)
    if word in lexicon.QUESTIONS:
        return _question(tokens, words, place)
    if word in lexicon.LEADS and following in lexicon.QUESTIONS and "?" in words:
        return _question(tokens, words, place + 1)
    is_order = "?" not in words and (word == "don't" or (word == "do" and following not in lexicon.PRONOUNS))
    return _yes_or_no(tokens, words, place) if word in lexicon.AUXILIARIES and not is_order else None


def _ordered(tokens: Sequence[str], words: Sequence[str], place: int) -> Reading | None:
    """The order that begins here with a verb, an adverb before it perhaps."""
    if words[place].endswith("ly") and _as_verb(_at(words, place + 1)):
        place += 1
    word, following = words[place], _at(words, place + 1)
    if word == "suppose" or following == "not" or (word in lexicon.LEADS and word != "imagine"):
        return None
    verb = _as_verb(word) or _unknown_verb(word, following)
    if not verb or following in {"is", "are", "was", "were", "has", "have"}:
        return None
    return Reading(verb, _object(tokens, words, place + 1))


def _at(words: Sequence[str], place: int) -> str:
    return words[place] if place < len(words) else ""


_COURTESIES = frozenset(
    tuple(line.split())
    for line in (
        "can you", "could you", "would you", "will you", "can we", "could we", "would you mind", "would you be able to",
        "i want you to", "i need you to", "i would like you to", "i'd like you to", "i'd like to", "i would like to",
        "i want to", "i need to", "we need to", "we want to", "i need help to", "i need your help to",
        "you need to", "you have to", "you must", "you should", "you will", "you are to", "you are asked to",
        "you are tasked to", "you will have to", "you will need to", "your task is to", "your job is to",
        "your goal is to", "the task is to", "the goal is to", "in this task you have to", "in this task you need to",
        "in this task you will", "i am asking you to", "help me to", "help me", "help us", "let's", "let us",
        "make sure to", "try to", "go ahead and", "feel free to", "take a moment to", "we would like you to", "i",
        "we",
    )
)  # fmt: skip
"""What may stand before the verb of a request, the longest that fits is passed over."""
_LONGEST = max(map(len, _COURTESIES))
_WANTS = frozenset({"need", "want", "require"})


def _after_courtesy(words: Sequence[str]) -> int:
    """The place of the first word that belongs to the request itself."""
    place = 0
    while place < len(words):
        if words[place] in lexicon.POLITE or not words[place][0].isalpha():
            place += 1
            continue
        ends = range(min(place + _LONGEST, len(words)), place, -1)
        after = next((end for end in ends if tuple(words[place:end]) in _COURTESIES), place)
        following = _at(words, after)
        opens_request = following in lexicon.POLITE or _as_verb(following) or following.endswith("ly")
        if (
            after == place
            or (after == place + 1 and words[place] in {"i", "we"} and following not in _WANTS)
            or (words[place] in lexicon.AUXILIARIES and following and not opens_request)
            or (words[place] == "help" and following and not _as_verb(following))
        ):
            return place
        place = after
    return place


def _as_verb(word: str) -> str:
    """The verb in its American spelling, or nothing for any other word."""
    if word in lexicon.VERBS or word in _WANTS:
        return word
    for ending, other in (("ise", "ize"), ("yse", "yze"), ("our", "or"), ("ogue", "og")):
        if word.endswith(ending) and word.removesuffix(ending) + other in lexicon.VERBS:
            return word.removesuffix(ending) + other
    return ""


def _unknown_verb(word: str, following: str) -> str:
    """A word in front that is no other part of speech, with an article or the like after it."""
    is_other = word in lexicon.NO_VERB or word.endswith(("ing", "ed", "ly", "s")) or not word.isalpha()
    return word if not is_other and following in lexicon.FOLLOWS_UNKNOWN_VERB else ""


def _question(tokens: Sequence[str], words: Sequence[str], place: int) -> Reading:
    word = words[place].removesuffix("'s").replace("whom", "who")
    rest = place + 1
    if rest < len(words) and word == "how" and words[rest] in {"many", "much"}:
        word, rest = f"how {words[rest]}", rest + 1
    elif word == "how" and rest < len(words) and words[rest] in lexicon.MEASURES:
        rest += 1
    while rest < len(words) and words[rest] in lexicon.SUBJECTS:
        rest += 1
    if rest > place + 1 and rest + 1 < len(words) and words[rest - 1] in lexicon.PRONOUNS and _as_verb(words[rest]):
        rest += 1  # "how can I undo my commit"
    is_inverted = words[rest - 1] in lexicon.INVERTING or rest == place + 1
    return Reading(word, _object(tokens, words, rest, has_verb=is_inverted))


def _yes_or_no(tokens: Sequence[str], words: Sequence[str], place: int) -> Reading:
    word = words[place].removesuffix("n't")
    rest = place + 1
    while rest < len(words) and (words[rest] in lexicon.PRONOUNS or words[rest] == "not"):
        rest += 1
    if rest > place + 1 and _at(words, rest) in lexicon.ALL_VERBS:
        rest += 1  # "do you agree with the statement"
    phrase, heads, end = _phrase(tokens, words, rest, has_verb=words[place] in lexicon.INVERTING)
    has_predicate = word in lexicon.BE and rest == place + 1 and _at(words, end) in {"?", "or", ",", ".", ""}
    if has_predicate and sum(heads) > 1 and phrase[-1].islower():
        phrase, heads = phrase[:-1], heads[:-1]  # "is the request valid"
    return Reading({"ca": "can", "wo": "will"}.get(word, word), _head(phrase, heads))


def _object(tokens: Sequence[str], words: Sequence[str], place: int, *, has_verb: bool = False) -> str:
    """The head of the noun phrase that begins here, in the singular; nothing where none does."""
    phrase, heads, _ = _phrase(tokens, words, place, has_verb=has_verb)
    return _head(phrase, heads)


def _phrase(
    tokens: Sequence[str], words: Sequence[str], place: int, *, has_verb: bool
) -> tuple[list[str], list[bool], int]:
    """The words of the noun phrase that begins here, which of them may be its head, and where it ends.

    With `has_verb` the phrase is the subject of a question, and a verb follows it.
    """
    place = _object_start(words, place)
    phrase: list[str] = []
    heads: list[bool] = []
    while place < len(words):
        word, following = words[place], _at(words, place + 1)
        is_row = word in {",", "and", "or"} and bool(phrase) and not any(heads)  # "a short, funny and rhyming poem"
        is_part = word == "of" and not phrase and words[place - 1] in lexicon.COUNTS  # "each of the friends"
        if not is_row and not is_part:
            if _ends_phrase(word, following, phrase, heads) or (
                has_verb and any(heads) and _is_its_verb(word, following)
            ):
                break
            if word[0].isalpha() and word not in lexicon.COUNTS:
                phrase.append(tokens[place])
                heads.append(not _is_adjective(word))
        place += 1
    return phrase, heads, place


def _is_its_verb(word: str, following: str) -> bool:
    """Is this the verb after the subject of a question?"""
    stem = word.removesuffix("es") if word.endswith("sses") else word.removesuffix("s")
    known = word in lexicon.ALL_VERBS or stem in lexicon.ALL_VERBS
    return known and (not following[:1].isalpha() or following in lexicon.FOLLOWS_VERB)


def _object_start(words: Sequence[str], place: int) -> int:
    """Past particles, second verbs, persons addressed and one preposition, to where the object begins."""
    if place + 1 < len(words) and (words[place] in lexicon.PARTICLES or words[place - 1 : place + 1] == ["fill", "in"]):
        place += 1
    if place + 1 < len(words) and words[place] in {"and", "or", "&"} and _as_verb(words[place + 1]):
        place += 2
    elif place + 2 < len(words) and words[place] in {"and", "then"} and words[place + 1] in {"then", "briefly"}:
        place += 3 if _as_verb(words[place + 2]) else 0
    while place + 1 < len(words) and words[place] in {"me", "us"}:
        place += 1
    if place < len(words) and words[place] in lexicon.LINKS and words[place] != "as":
        after = words[place + 1 : place + 3]
        is_infinitive = (
            words[place] == "to" and len(after) == 2 and _as_verb(after[0]) and after[1] in lexicon.DETERMINERS
        )
        place += 0 if is_infinitive else 1
    return place


def _ends_phrase(word: str, following: str, phrase: Sequence[str], heads: Sequence[bool]) -> bool:
    if word in _BREAKS or (word in lexicon.ENDS_ANY_PHRASE and (phrase or word != "that")):
        return True
    if word in lexicon.PREPOSITIONS:
        return bool(phrase) or word not in {"following", "given", "past"}
    return any(heads) and _ends_started_phrase(word, following)


def _ends_started_phrase(word: str, following: str) -> bool:
    """Can this not stand in a noun phrase after a noun?"""
    if word in lexicon.ENDS_STARTED_PHRASE or _is_adverb(word):
        return True
    if word in lexicon.ADJECTIVES:
        return not following[:1].isalpha() or following in lexicon.PREPOSITIONS
    if word in lexicon.PAST:
        return following in lexicon.PREPOSITIONS and following != "of"
    is_participle = (word.endswith(("ing", "ed")) and len(word) > 4) or word == "used"
    return is_participle and (word not in lexicon.GERUND_NOUNS or following in lexicon.OPENS_PHRASE)


def _is_adverb(word: str) -> bool:
    return word.endswith("ly") and len(word) > 4 and word not in lexicon.NOT_ADVERBS


def _is_adjective(word: str) -> bool:
    """Is more likely to describe the noun after it than to be one?"""
    if word in lexicon.NOUNS_LIKE_ADJECTIVES:
        return False
    if word in lexicon.ADJECTIVES or "-" in word:
        return True
    return len(word) > 4 and word.endswith((*lexicon.ADJECTIVE_ENDINGS, "ing", "ed"))


def _head(phrase: Sequence[str], heads: Sequence[bool]) -> str:
    """The last word of a noun phrase, names after a common noun left out: "a Python class Stack" is a class."""
    if not phrase:
        return ""
    last = len(phrase) - 1
    common = [place for place, token in enumerate(phrase) if token[0].islower() and heads[place]]
    if phrase[last][0].isupper() and common:
        last = common[-1]
    if _is_adverb(phrase[last].lower()) or phrase[last] in lexicon.NO_NOUNS:
        return ""
    return _singular(phrase[last].lower().removesuffix("'s").removesuffix("'"))


def _singular(noun: str) -> str:
    if noun in lexicon.IRREGULAR:
        return lexicon.IRREGULAR[noun]
    if noun in lexicon.UNCHANGED or len(noun) < 4 or noun.endswith(("ss", "us", "is")):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("sses", "shes", "ches", "xes")):
        return noun[:-2]
    return noun.removesuffix("s")


def asks(instruction: str) -> bool:
    """Whether an instruction asks for anything: by an order, a question or a title; True where it is not English.

    Of a long one its beginning and its end are looked at.
    """
    text = instruction.replace("’", "'")
    if len(text) > 2 * _ASKED:
        text = f"{text[:_ASKED]}\n{text[-_ASKED:]}"
    if not is_english(text):
        return True
    return bool(_WISH.search(text)) or _request(_tokens(text)) is not None
