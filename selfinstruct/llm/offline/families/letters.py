"""Short texts whose facts are given: notes, invitations, notices, advertisements, verses by rule."""

from __future__ import annotations

import random

from selfinstruct.llm.offline.families.calendar import clock
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import EVENTS, NAMES, PLACES, THINGS, WEEKDAYS, article, capital, joined, some

_GIFTS = (
    "the woollen scarf", "the book about lighthouses", "the box of figs", "the blue teapot", "the garden lantern",
    "the old postcard", "the jar of honey", "the chess set", "the wooden puzzle", "the recipe book",
    "the concert ticket", "the fountain pen",
)  # fmt: skip
_USES = (
    "I have used it every day since", "it has found a place on my desk", "my whole family admires it",
    "it made the week much brighter", "I showed it to all my colleagues", "it was exactly what I had hoped for",
)  # fmt: skip
_REASONS = (
    "a dentist's appointment", "a bad cold", "a broken-down car", "a visit from the plumber", "a family wedding",
    "a delayed train", "a sprained ankle", "a meeting with the school", "a flooded cellar", "an exam",
)  # fmt: skip
_FAULTS = (
    "it is scratched", "one part is missing", "the colour is wrong", "it fell apart after two days", "the box was torn",
    "two screws are missing", "it arrived a week late", "it smells of smoke", "it makes a strange noise",
)  # fmt: skip
_WISHES = ("a replacement", "a refund", "a spare part", "a repair", "a reduced price")
_GOODS = (
    "kettle", "lamp", "rucksack", "alarm clock", "coffee grinder", "tent", "office chair", "toaster", "umbrella",
    "bookcase", "suitcase", "radio",
)  # fmt: skip
_PETS = ("cat", "dog", "goat", "rabbit", "pony", "hamster")
_FURS = ("black", "brown", "cream", "golden", "grey", "spotted", "striped", "white")
_ROOMS = (
    "kitchen",
    "cellar",
    "reading room",
    "gym",
    "car park",
    "lift",
    "swimming pool",
    "canteen",
    "copy room",
    "roof terrace",
)
_COLOURS = tuple(colour for colour in THINGS["colours"] if colour[0] not in "aeiou")
_WORKS = (
    "new tiles",
    "fresh paint",
    "a leaking pipe",
    "the yearly inspection",
    "new lamps",
    "a stocktaking",
    "wet floors",
)


def _draw(rng: random.Random) -> Params:
    who, other = rng.sample(NAMES, 2)
    first, second = rng.sample(WEEKDAYS, 2)
    return {
        "who": who, "other": other, "gift": rng.choice(_GIFTS), "use": rng.choice(_USES), "event": rng.choice(EVENTS),
        "day": first, "later": second, "time": clock(rng.randrange(9 * 4, 21 * 4) * 15), "place": rng.choice(PLACES),
        "reason": rng.choice(_REASONS), "fault": rng.choice(_FAULTS), "wish": rng.choice(_WISHES),
        "what": rng.choice(_GOODS), "bring": joined(some(rng, THINGS["foods"], 2, 3)), "pet": rng.choice(_PETS),
        "fur": rng.choice(_FURS), "colour": rng.choice(_COLOURS), "room": rng.choice(_ROOMS),
        "work": rng.choice(_WORKS), "price": str(rng.randint(5, 160)), "age": str(rng.randint(2, 15)),
        "n": str(rng.randint(3, 60)), "job": rng.choice(THINGS["jobs"]),
    }  # fmt: skip


def _thanks(p: Params, _: str) -> str:
    return (
        f"Dear {p['other']},\nThank you very much for {p['gift']}. I was so pleased with it, and {p['use']}.\n"
        f"With best wishes,\n{p['who']}"
    )


def _invitation(p: Params, _: str) -> str:
    return (
        f"Dear {p['other']},\nWould you like to come to {p['event']} on {p['day']}? We meet at {p['time']} in"
        f" {p['place']}. "
        f"Please bring {p['bring']} if you can.\nI look forward to seeing you,\n{p['who']}"
    )


def _absence(p: Params, _: str) -> str:
    return (
        f"Dear {p['other']},\nI am sorry that I cannot come on {p['day']} because of {p['reason']}. "
        f"I will be back on {p['later']} and will make up for the lost time then.\nKind regards,\n{p['who']}"
    )


def _complaint(p: Params, _: str) -> str:
    return (
        f"Dear Sir or Madam,\nLast {p['day']} I bought {article(p['what'])} from you for {p['price']} euros."
        f" Unfortunately, {p['fault']}. "
        f"I would therefore like to ask for {p['wish']}. Please let me know how to proceed.\nYours"
        f" faithfully,\n{p['who']}"
    )


def _closure(p: Params, _: str) -> str:
    return (
        f"Notice: the {p['room']} is closed on {p['day']} because of {p['work']}. It opens again on {p['later']} at"
        f" {p['time']}. "
        "We apologise for the inconvenience."
    )


def _lost(p: Params, _: str) -> str:
    return (
        f"Lost: {article(p['fur'])} {p['pet']}, {p['age']} years old, last seen in {p['place']} on {p['day']}. "
        f"If you find it, please tell {p['who']}. There is a reward of {p['price']} euros."
    )


def _advert(p: Params, _: str) -> str:
    return (
        f"For sale: {article(p['what'])} in {p['colour']}, {p['age']} years old and in good order. Price {p['price']}"
        f" euros. "
        f"To be collected in {p['place']}; ask for {p['who']}."
    )


def _reminder(p: Params, _: str) -> str:
    return (
        f"Hello {p['other']}, just a reminder: {p['event']} is on {p['day']} at {p['time']} in {p['place']}. "
        f"See you there! {p['who']}"
    )


def _report(p: Params, _: str) -> str:
    return (
        f"{capital(p['event'])} took place in {p['place']} on {p['day']}. {p['n']} people came, and {p['who']},"
        f" {article(p['job'])}, "
        f"opened it at {p['time']}. Afterwards there was {p['bring']} for everyone."
    )


FAMILIES = (
    Family(
        "thanks",
        wordings(
            "Write a short thank-you note from {who:word} to {other:word} for {gift}, saying that {use}.",
            "{other:word} gave {who:word} {gift}. [Draft|Compose] a few grateful lines and mention that {use}.",
        ),
        _draw,
        _thanks,
        weight=1.5,
    ),
    Family(
        "invitation",
        wordings(
            "Invite {other:word} to {event} on {day:word} at {time:time} in {place:word} in the name of {who:word};"
            " guests bring {bring}.",
            "[Compose|Write] a friendly invitation. To: {other:word}. From: {who:word}. Occasion: {event}. When:"
            " {day:word}, {time:time}."
            " Where: {place:word}. To bring: {bring}.",
        ),
        _draw,
        _invitation,
        weight=1.5,
    ),
    Family(
        "absence",
        wordings(
            "{who:word} must miss work on {day:word} because of {reason} and returns on {later:word}. Write the"
            " message to {other:word}.",
            "Please excuse {who:word} to {other:word} for {day:word}; the cause is {reason}, and {later:word} is the"
            " day of return. A short"
            " polite letter will do.",
        ),
        _draw,
        _absence,
        weight=1.5,
    ),
    Family(
        "complaint",
        wordings(
            "Write a polite complaint by {who:word} about a faulty {what} bought last {day:word} for {price:int}"
            " euros: {fault}, and"
            " {wish} is wanted.",
            "{who:word} paid {price:int} euros for a new {what} last {day:word}, but {fault}. Ask the shop in a"
            " letter for {wish}.",
        ),
        _draw,
        _complaint,
        weight=1.5,
    ),
    Family(
        "closure",
        wordings(
            "Put up a notice: the {room} stays shut on {day:word} due to {work} and reopens on {later:word} at"
            " {time:time}.",
            "Tell the residents in three sentences that the {room} cannot be used on {day:word} ({work}) and opens"
            " again on {later:word}"
            " at {time:time}.",
        ),
        _draw,
        _closure,
        weight=1.2,
    ),
    Family(
        "lost_pet",
        wordings(
            "Write a lost-pet notice for {who:word}'s {fur:word} {pet:word}, aged {age:int}, missing in"
            " {place:word} since {day:word},"
            " with a reward of {price:int} euros.",
        ),
        _draw,
        _lost,
        weight=0.8,
    ),
    Family(
        "advert",
        wordings(
            "Write a small ad: {who:word} in {place:word} sells a {colour:word} {what} that is {age:int} years old"
            " for {price:int} euros.",
            "Make a classified advertisement out of these facts: {what}, {colour:word}, {age:int} years, {price:int}"
            " euros,"
            " {place:word}, contact {who:word}.",
        ),
        _draw,
        _advert,
        weight=1.2,
    ),
    Family(
        "reminder",
        wordings(
            "Write a text message to {other:word} from {who:word} as a reminder of {event} on {day:word} at {time:time}"
            " in {place:word}.",
            "{who:word} fears that {other:word} will forget {event} ({day:word}, {time:time}, {place:word}). Write a"
            " brief reminder.",
        ),
        _draw,
        _reminder,
        weight=1.2,
    ),
    Family(
        "event_report",
        wordings(
            "Report for the local paper on {event} in {place:word} on {day:word}: {n:int} visitors, opened at"
            " {time:time} by the"
            " {job:word} {who:word}, {bring} afterwards.",
            "Write three sentences about {event}. It was held in {place:word} on {day:word}, {n:int} people attended,"
            " {who:word} the"
            " {job:word} opened it at {time:time}, and there was {bring}.",
        ),
        _draw,
        _report,
        weight=1.2,
    ),
)
