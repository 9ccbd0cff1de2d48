"""Work on words and sentences: counting, changing, coding."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import (
    NAMES,
    THINGS,
    WHEN,
    clause,
    joined,
    listed,
    mixed,
    plural_s,
    sentence,
    split_words,
)

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NATO_WORDS = split_words(
    """Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo
    Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"""
)
_MORSE_SIGNS = split_words(
    """.- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."""
)
_NATO = dict(zip(_LETTERS, _NATO_WORDS, strict=True))
_MORSE = dict(zip(_LETTERS, _MORSE_SIGNS, strict=True))


def words_of(text: str) -> list[str]:
    """The words of a text without its punctuation."""
    return re.findall(r"[A-Za-z']+", text)


def shift(text: str, by: int) -> str:
    """Each letter moved along the alphabet, going round at z."""
    out = []
    for letter in text:
        base = ord("a") if letter.islower() else ord("A")
        out.append(chr((ord(letter) - base + by) % 26 + base) if letter.isascii() and letter.isalpha() else letter)
    return "".join(out)


def any_word(rng: random.Random) -> str:
    """A single plain word."""
    return rng.choice(THINGS[rng.choice(sorted(THINGS))])


def _reverse_words(text: str) -> str:
    return " ".join(reversed(words_of(text)))


def _initials(text: str) -> str:
    return "".join(word[0].upper() for word in words_of(text))


def _snake(text: str) -> str:
    return "_".join(words_of(text)).lower()


def _camel(text: str) -> str:
    first, *rest = words_of(text)
    return first.lower() + "".join(word.capitalize() for word in rest)


_CHANGES: dict[str, Callable[[str], str]] = {
    "in capital letters": str.upper,
    "in lower case throughout": str.lower,
    "with a capital at the start of every word": lambda t: " ".join(word[:1].upper() + word[1:] for word in t.split()),
    "with its words in reverse order and no punctuation": _reverse_words,
    "without any vowels": lambda t: re.sub("[aeiouAEIOU]", "", t),
    "with every space replaced by an underscore": lambda t: t.replace(" ", "_"),
    "with the words joined by hyphens, in lower case and without punctuation": lambda t: "-".join(words_of(t)).lower(),
    "with every letter e replaced by the digit 3": lambda t: t.replace("e", "3").replace("E", "3"),
    "without its first and its last word, and with no punctuation": lambda t: " ".join(words_of(t)[1:-1]),
    "backwards, letter by letter": lambda t: t[::-1],
}

_MEASURES: dict[str, Callable[[str], int]] = {
    "words": lambda t: len(words_of(t)),
    "vowels": lambda t: sum(letter in "aeiou" for letter in t.lower()),
    "letters": lambda t: sum(letter.isalpha() for letter in t),
    "words longer than four letters": lambda t: sum(len(word) > 4 for word in words_of(t)),
    "capital letters": lambda t: sum(letter.isupper() for letter in t),
}


def _draw_change(rng: random.Random) -> Params:
    return {"how": rng.choice(sorted(_CHANGES)), "who": rng.choice(NAMES), "text": clause(rng)}


def _draw_measure(rng: random.Random) -> Params:
    return {"what": rng.choice(sorted(_MEASURES)), "text": clause(rng), "who": rng.choice(NAMES)}


def _letter_count(p: Params, _: str) -> str:
    return f"The letter {p['letter']} occurs {plural_s(p['text'].lower().count(p['letter']), 'time')}."


def _draw_letter(rng: random.Random) -> Params:
    text = clause(rng)
    return {"text": text, "letter": rng.choice([c for c in text.lower() if c.isalpha()])}


def _draw_word(rng: random.Random) -> Params:
    return {
        "word": any_word(rng),
        "n": str(rng.randint(1, 9)),
        "who": rng.choice(NAMES),
        "way": rng.choice(("forward", "back")),
    }


def _caesar(p: Params, _: str) -> str:
    return shift(p["text"], int(p["n"]) * (1 if p["way"] == "forward" else -1))


def _draw_caesar(rng: random.Random) -> Params:
    return {"text": " ".join(mixed(rng, 3, 5)), "n": str(rng.randint(1, 9)), "way": rng.choice(("forward", "back"))}


def _draw_replace(rng: random.Random) -> Params:
    kind = rng.choice(("tools", "clothes", "kitchen things", "instruments", "things for the office"))
    old, new = rng.sample(THINGS[kind], 2)
    verb = rng.choice(("carried", "cleaned", "found", "lost", "repaired", "sold", "hid", "borrowed", "wrapped up"))
    colour = rng.choice(THINGS["colours"])
    return {
        "text": f"{rng.choice(NAMES)} {verb} the {old} {rng.choice(WHEN)}",
        "old": old,
        "new": new,
        "colour": colour,
    }


def _replace(p: Params, _: str) -> str:
    if p["old"] not in words_of(p["text"]):
        raise ValueError(p["old"])
    return re.sub(rf"\b{re.escape(p['old'])}\b", lambda _match: p["new"], p["text"]) + "."


def _insert(p: Params, _: str) -> str:
    words = p["text"].split()
    at = words.index(p["old"])
    return " ".join([*words[:at], p["colour"], *words[at:]]) + "."


def _draw_acronym(rng: random.Random) -> Params:
    adjectives = (
        "Annual", "Central", "Eastern", "General", "Great", "Independent", "Joint", "Local", "National", "New", "Open",
        "Regional", "Royal", "Small", "United", "Western",
    )  # fmt: skip
    middles = (
        "Bicycle", "Book", "Bridge", "Cheese", "Dance", "Energy", "Garden", "Harbour", "Kite", "Lace", "Mountain",
        "Owl", "Pottery", "Quilt", "River", "Theatre", "Tractor", "Violin", "Water", "Yoga",
    )  # fmt: skip
    ends = (
        "Association", "Board", "Club", "Council", "Exchange", "Forum", "Group", "Institute", "League", "Network",
        "Office", "School", "Trust", "Union",
    )  # fmt: skip
    return {"text": " ".join((rng.choice(adjectives), *rng.sample(middles, rng.randint(1, 3)), rng.choice(ends)))}


def _every_nth(p: Params, _: str) -> str:
    return listed([word[int(p["n"]) - 1] for word in p["words"].split(", ") if len(word) >= int(p["n"])])


def _longest(p: Params, text: str) -> str:
    words = words_of(text)
    size = max(map(len, words))
    return joined(list(dict.fromkeys(word for word in words if len(word) == size)))


def _palindrome(_: Params, text: str) -> str:
    letters = [c for c in text.lower() if c.isalpha()]
    if not letters:
        raise ValueError(text)
    return "Yes" if letters == letters[::-1] else "No"


_PALINDROMES = (
    "level", "radar", "kayak", "noon", "civic", "rotor", "madam", "refer", "deed", "tenet", "stats", "solos", "redder",
    "Never odd or even", "Was it a cat I saw", "No lemon, no melon", "Step on no pets",
)  # fmt: skip


def _anagram(p: Params, text: str) -> str:
    first, second = text.split(" / ")
    return "Anagrams" if sorted(first.lower()) == sorted(second.lower()) else "Not anagrams"


def _anagram_input(_: Params, rng: random.Random) -> str:
    word = any_word(rng)
    letters = list(word)
    rng.shuffle(letters)
    if rng.random() < 0.5:
        letters[rng.randrange(len(letters))] = rng.choice("aeiourstln")
    return f"{word} / {''.join(letters)}"


FAMILIES = (
    Family(
        "change_text",
        wordings(
            "[Write|Copy out] the [sentence|line] {how:manner}.",
            "Give back the text you receive, but {how:manner}.",
            "For {who:word}'s puzzle page, print the sentence {how:manner}.",
        ),
        _draw_change,
        lambda p, text: _CHANGES[p["how"]](text),
        lambda _, rng: clause(rng),
    ),
    Family(
        "change_text_given",
        wordings(
            '[Write|Repeat] "{text}" {how:manner}.',
            'What does "{text}" look like when it is written {how:manner}?',
        ),
        _draw_change,
        lambda p, _: _CHANGES[p["how"]](p["text"]),
        weight=2,
    ),
    Family(
        "measure_text",
        wordings(
            "Count the {what} in the [sentence|text] and answer with the number.",
            "How many {what} does the given sentence have?",
        ),
        _draw_measure,
        lambda p, text: str(_MEASURES[p["what"]](text)),
        lambda _, rng: sentence(rng),
    ),
    Family(
        "measure_text_given",
        wordings(
            'How many {what} are there in "{text}"?',
            '{who:word} counts the {what} of this sentence: "{text}" What is the right number?',
        ),
        _draw_measure,
        lambda p, _: str(_MEASURES[p["what"]](p["text"])),
        weight=2,
    ),
    Family(
        "count_letter",
        wordings(
            'How often does the letter {letter:word} occur in "{text}"?',
            'Count the letter {letter:word}, large or small, in the words "{text}".',
        ),
        _draw_letter,
        _letter_count,
        weight=2,
    ),
    Family(
        "nato",
        wordings(
            'Spell the word "{word:word}" with the NATO alphabet[, as for a bad telephone line|].',
            "A radio operator must spell {word:word} letter by letter in the NATO alphabet. What does she say?",
        ),
        _draw_word,
        lambda p, _: " ".join(_NATO[letter] for letter in p["word"]),
    ),
    Family(
        "morse",
        wordings(
            'Write "{word:word}" in Morse code with a space between letters.',
            "[Which Morse signs|What dots and dashes] make up the word {word:word}?",
        ),
        _draw_word,
        lambda p, _: " ".join(_MORSE[letter] for letter in p["word"]),
    ),
    Family(
        "caesar",
        wordings(
            'Encode "{text}" by moving every letter {n:int} [places|steps] {way:word} in the alphabet.',
            'In a secret note each letter is shifted {n:int} places {way:word}. What becomes of "{text}"?',
        ),
        _draw_caesar,
        _caesar,
        weight=1.5,
    ),
    Family(
        "caesar_inputs",
        wordings(
            "A message was written with each letter moved {n:int} places forward in the alphabet. Decode it.",
            "Undo a shift of {n:int} letters: every letter goes back {n} places, with z before a.",
        ),
        _draw_caesar,
        lambda p, text: shift(text, -int(p["n"])),
        lambda p, rng: shift(clause(rng).lower(), int(p["n"])),
    ),
    Family(
        "replace_word",
        wordings(
            'In "{text}", replace the word {old} by {new:word}.',
            'Change one word: put {new:word} in place of {old} in "{text}".',
        ),
        _draw_replace,
        _replace,
        weight=2,
    ),
    Family(
        "insert_word",
        wordings('Put the word {colour:word} directly before {old} in "{text}".'),
        _draw_replace,
        _insert,
    ),
    Family(
        "acronym",
        wordings(
            "What is the abbreviation made of the first letters of {text}?",
            "[Form|Build] the initials of the name {text}, in capitals without dots.",
        ),
        _draw_acronym,
        lambda p, _: _initials(p["text"]),
        weight=1.5,
    ),
    Family(
        "name_in_code",
        wordings(
            'Turn the phrase "{text}" into a variable name in {style:word} case.',
            'How would one write "{text}" as a single {style:word} case name in a program?',
        ),
        lambda rng: {"text": " ".join(mixed(rng, 3, 4)), "style": rng.choice(("snake", "camel"))},
        lambda p, _: {"snake": _snake, "camel": _camel}[p["style"]](p["text"]),
    ),
    Family(
        "nth_letters",
        wordings(
            "Take letter number {n:int} of each of these words, leaving out words that are too short: {words}",
            "Write down letter {n:int} of every word in the row {words}, passing over shorter words.",
        ),
        lambda rng: {"words": listed(mixed(rng, 4, 7)), "n": str(rng.randint(1, 4))},
        _every_nth,
        weight=1.5,
    ),
    Family(
        "longest_word",
        wordings(
            "[Find|Name] the longest word of the sentence; if several are equally long, name them all.",
            "Which word of the text has the most letters? Give every one in case of a tie.",
        ),
        lambda _: {},
        _longest,
        lambda _, rng: sentence(rng),
    ),
    Family(
        "palindrome",
        wordings(
            "Does the text read the same backwards when case, spaces and punctuation are ignored? Answer Yes or No.",
            "Say Yes if the input is a palindrome and No if it is not, looking at the letters only.",
        ),
        lambda _: {},
        _palindrome,
        lambda _, rng: rng.choice((*_PALINDROMES, any_word(rng), clause(rng))),
        lambda _: ("Yes", "No"),
    ),
    Family(
        "anagram",
        wordings(
            "Two words stand on either side of a stroke. Label them Anagrams if they use the same letters, else Not"
            " anagrams.",
            "Are the two words made of exactly the same letters? Answer with Anagrams or with Not anagrams.",
        ),
        lambda _: {},
        _anagram,
        _anagram_input,
        lambda _: ("Anagrams", "Not anagrams"),
    ),
)
