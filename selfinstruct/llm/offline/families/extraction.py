"""Finding things in a text: numbers, names, dates, amounts, the answer to a question about it."""

from __future__ import annotations

import random
import re

from selfinstruct.llm.offline.families.calendar import any_day, clock, said
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import EVENTS, MONTHS, NAMES, OBJECTS, PLACES, capital, joined, sentence

_DATE = re.compile(rf"\b\d{{1,2}} (?:{'|'.join(MONTHS)}) \d{{4}}\b")


def _order(rng: random.Random) -> str:
    who, other = rng.sample(NAMES, 2)
    a, b = rng.sample(OBJECTS, 2)
    n, m, day, place = rng.randint(2, 60), rng.randint(2, 60), said(any_day(rng)), rng.choice(PLACES)
    return rng.choice(
        (
            f"On {day} {who} ordered {n} {a} and {m} {b} from {place}.",
            f"{who} sent {n} {a} to {other} in {place} and kept {m} for the shop.",
            f"Of the {n + m} {a} that {who} brought, {m} were broken, so {other} paid only {n * 2} euros.",
            f"The {b} cost {n} euros and the {a} {m} euros, {who} wrote on {day}.",
        )
    )


def _numbers(_: Params, text: str) -> str:
    plain = _DATE.sub("", text)
    return joined(re.findall(r"\b\d+\b", plain)) or "There are none."


def _names(_: Params, text: str) -> str:
    return joined([w for w in re.findall(r"[A-Z][a-z]+", text) if w in NAMES]) or "No person is named."


def _towns(_: Params, text: str) -> str:
    return joined([w for w in re.findall(r"[A-Z][a-z]+", text) if w in PLACES]) or "No town is named."


def _dates(_: Params, text: str) -> str:
    return joined(_DATE.findall(text)) or "There is no date."


def _draw_notice(rng: random.Random) -> Params:
    day = any_day(rng)
    facts = {
        "event": rng.choice(EVENTS), "date": said(day), "time": clock(rng.randrange(8 * 4, 21 * 4) * 15),
        "place": rng.choice(PLACES), "who": rng.choice(NAMES), "fee": str(rng.randint(2, 30)),
    }  # fmt: skip
    question = rng.choice(sorted(_QUESTIONS))
    return facts | {"Event": capital(facts["event"]), "question": question}


_QUESTIONS = {
    "When does it begin?": "It begins at {time} on {date}.",
    "Where does it take place?": "It takes place in {place}.",
    "Who is in charge?": "{who} is in charge.",
    "What does it cost?": "It costs {fee} euros.",
}

_NOTICE = (
    "{Event} begins at {time:time} on {date} in {place:word}. {who:word} is in charge and the fee is {fee:int} euros."
)


def _question(p: Params, _: str) -> str:
    return _QUESTIONS[p["question"]].format(**p)


def _fields(p: Params, _: str) -> str:
    return (
        "\n".join(
            f"{name}: {p[key]}"
            for name, key in (
                ("Event", "Event"),
                ("Date", "date"),
                ("Time", "time"),
                ("Place", "place"),
                ("Contact", "who"),
                ("Fee", "fee"),
            )
        )
        + " euros"
    )


def _questions_input(_: Params, rng: random.Random) -> str:
    return " ".join(sentence(rng) for _ in range(3))


def _nth_sentence(p: Params, text: str) -> str:
    sentences: list[str] = re.findall(r"[^.]+\.", text)
    if len(sentences) < 2:
        raise ValueError(text)
    return sentences[{"first": 0, "second": 1, "last": -1}[p["nth"]]].strip()


FAMILIES = (
    Family(
        "extract_numbers",
        wordings(
            "List the numbers in the sentence in the order in which they come, leaving out dates.",
            "Which quantities and prices are mentioned? Give the bare numbers and ignore any date.",
        ),
        lambda _: {},
        _numbers,
        lambda _, rng: _order(rng),
    ),
    Family(
        "extract_names",
        wordings(
            "[Find|Name] the people who are mentioned in the note.",
            "Pick the first names of persons out of the sentence, in order of appearance.",
        ),
        lambda _: {},
        _names,
        lambda _, rng: _order(rng),
    ),
    Family(
        "extract_towns",
        wordings(
            "Which town does the text name?",
            "Read the order and write down the place it mentions; say so if there is no town.",
        ),
        lambda _: {},
        _towns,
        lambda _, rng: _order(rng),
    ),
    Family(
        "extract_date",
        wordings(
            "Extract the full date from the message, or say that there is no date.",
            "On what date did this happen? Copy the date exactly.",
        ),
        lambda _: {},
        _dates,
        lambda _, rng: _order(rng),
    ),
    Family(
        "notice_question",
        wordings(
            f"Read this notice and answer the question. {_NOTICE} {{question}}",
            f"{_NOTICE} {{question}} [Reply|Answer] in one sentence.",
        ),
        _draw_notice,
        _question,
        weight=2,
    ),
    Family(
        "notice_fields",
        wordings(
            f"Turn the announcement into lines named Event, Date, Time, Place, Contact and Fee. {_NOTICE}",
            f"{_NOTICE} Put the event, date, time, place, contact and fee on separate labelled lines.",
        ),
        _draw_notice,
        _fields,
        weight=1.5,
    ),
    Family(
        "nth_sentence",
        wordings(
            "Copy only the {nth:word} sentence of the paragraph.",
            "Shorten the text by keeping nothing but its {nth:word} sentence.",
        ),
        lambda rng: {"nth": rng.choice(("first", "second", "last"))},
        _nth_sentence,
        _questions_input,
    ),
)
