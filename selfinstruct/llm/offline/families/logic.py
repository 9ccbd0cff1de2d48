"""Small puzzles whose answer follows from what is stated; each is solved by trying every case."""

from __future__ import annotations

import random
from itertools import pairwise, permutations

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, THINGS, joined

_MADE_UP = (
    "blickets", "dorps", "feps", "glims", "jorns", "kivs", "mips", "narks", "plims", "quogs", "rilks", "snids", "tarns",
    "ulks", "vints", "wugs", "yoffs", "zants",
)  # fmt: skip

_SCALES = {
    "taller": "tallest", "older": "oldest", "faster": "fastest", "stronger": "strongest", "younger": "youngest",
    "heavier": "heaviest", "richer": "richest", "louder": "loudest",
}  # fmt: skip


def _draw_scale(rng: random.Random) -> Params:
    people = rng.sample(NAMES, rng.randint(3, 5))
    word = rng.choice(sorted(_SCALES))
    facts = [f"{a} is {word} than {b}" for a, b in pairwise(people)]
    rng.shuffle(facts)
    return {"facts": "; ".join(facts), "word": word, "most": _SCALES[word]}


def _ranking(facts: str) -> list[str]:
    pairs = []
    for fact in facts.split("; "):
        who, _is, _word, _than, other = fact.split()
        pairs.append((who, other))
    people = list(dict.fromkeys(name for pair in pairs for name in pair))
    if len(people) > 6:
        raise ValueError(facts)
    fits = [order for order in permutations(people) if all(order.index(a) < order.index(b) for a, b in pairs)]
    if len(fits) != 1:
        raise ValueError(facts)
    return list(fits[0])


def _most(p: Params, _: str) -> str:
    order = _ranking(p["facts"])
    return f"{order[0]} is the {p['most']}. The order is {', '.join(order)}."


def _rank(p: Params, _: str) -> str:
    return ", ".join(_ranking(p["facts"]))


def _draw_all(rng: random.Random) -> Params:
    a, b, c = rng.sample(_MADE_UP, 3)
    return {"a": a, "b": b, "c": c, "who": rng.choice(NAMES)}


_FORMS = {
    # Premises over the sets a, b, c; the conclusion; whether it follows.
    "All {a} are {b}. All {b} are {c}. Are all {a} {c}?": True,
    "All {a} are {b}. All {c} are {b}. Are all {a} {c}?": False,
    "No {a} are {b}. All {c} are {a}. Is it certain that no {c} are {b}?": True,
    "Some {a} are {b}. All {b} are {c}. Is it certain that some {a} are {c}?": True,
    "Some {a} are {b}. Some {b} are {c}. Is it certain that some {a} are {c}?": False,
    "All {a} are {b}. No {c} are {b}. Is it certain that no {a} are {c}?": True,
    "All {a} are {b}. Some {c} are not {b}. Is it certain that some {c} are not {a}?": True,
    "All {a} are {b}. Some {c} are {b}. Is it certain that some {c} are {a}?": False,
}


def _syllogism(holds: bool) -> str:
    return "Yes" if holds else "No"


def _draw_if(rng: random.Random) -> Params:
    return {
        "cause": rng.choice(
            ("the lamp is red", "it snows", "the bell rings", "the tide is high", "the door is open", "the dog barks")
        ),
        "effect": rng.choice(
            (
                "the bridge is closed",
                "the school stays empty",
                "the ferry waits",
                "the guard comes",
                "the cat hides",
                "tea is served",
            )
        ),
    }


def _modus(p: Params, _: str) -> str:
    if (p["fact"], p["goal"]) == (p["cause"], p["effect"]):
        return "Yes"
    if (p["fact"], p["goal"]) == (p["effect"], p["cause"]):
        return "Unknown"
    raise ValueError(p["fact"])


def _draw_modus(rng: random.Random) -> Params:
    p = _draw_if(rng)
    fact, goal = rng.sample((p["cause"], p["effect"]), 2)
    return p | {"fact": fact, "goal": goal}


def _draw_owners(rng: random.Random) -> Params:
    people = rng.sample(NAMES, 3)
    things = rng.sample(THINGS[rng.choice(("animals", "instruments", "vehicles", "fruits"))], 3)
    owner = dict(zip(people, rng.sample(things, 3), strict=True))
    first, second, _ = people
    wrong = rng.choice([thing for thing in things if thing != owner[second] and thing != owner[first]])
    return {
        "people": joined(people), "things": joined([f"the {thing}" for thing in things]), "first": first,
        "second": second, "has": owner[first], "not": wrong,
    }  # fmt: skip


def _owners(p: Params, _: str) -> str:
    people = p["people"].replace(" and ", ", ").split(", ")
    things = p["things"].replace("the ", "").replace(" and ", ", ").split(", ")
    if len(things) > 6:
        raise ValueError(p["things"])
    fits = [
        owner
        for order in permutations(things)
        for owner in [dict(zip(people, order, strict=True))]
        if owner[p["first"]] == p["has"] and owner[p["second"]] != p["not"]
    ]
    if len(fits) != 1:
        raise ValueError(p["people"])
    return joined([f"{who} has the {thing}" for who, thing in fits[0].items()]) + "."


def _draw_seats(rng: random.Random) -> Params:
    order = rng.sample(NAMES, 4)
    left, right = order[1], order[2]
    return {
        "names": joined(sorted(order)),
        "end": order[0],
        "left": left,
        "right": right,
        "where": rng.choice(("a bench", "the front row of a bus", "a sofa", "a garden wall", "the judges' table")),
    }


def _seats(p: Params, _: str) -> str:
    names = p["names"].replace(" and ", ", ").split(", ")
    if len(names) > 6:
        raise ValueError(p["names"])
    fits = [
        order
        for order in permutations(names)
        if order[0] == p["end"]
        and order.index(p["right"]) == order.index(p["left"]) + 1
        and order[-1] not in (p["left"], p["right"])
    ]
    if len(fits) != 1:
        raise ValueError(p["names"])
    return f"From left to right: {', '.join(fits[0])}."


def _draw_parity(rng: random.Random) -> Params:
    return {"n": str(rng.randint(2, 40)), "state": rng.choice(("on", "off"))}


def _switch(p: Params, _: str) -> str:
    n = int(p["n"])
    other = {"on": "off", "off": "on"}[p["state"]]
    end = p["state"] if n % 2 == 0 else other
    return f"It is {end}, because {n} is {'even' if n % 2 == 0 else 'odd'} and two presses cancel each other."


def _forms() -> tuple[Family, ...]:
    out = []
    for index, (form, holds) in enumerate(_FORMS.items()):
        lead = ("", "Suppose this is true. ", "{who:word} claims: ")[index % 3]
        text = lead + form.replace("{a}", "{a:word}").replace("{b}", "{b:word}", 1).replace("{c}", "{c:word}", 1)
        out.append(
            Family(
                f"syllogism_{index}",
                wordings(text + " Answer Yes or No.", "Think it through. " + text + " Say Yes or No."),
                _draw_all,
                lambda _p, _t, holds=holds: _syllogism(holds),  # type: ignore[misc]
                None,
                lambda _: ("Yes", "No"),
                weight=0.5,
            )
        )
    return tuple(out)


FAMILIES = (
    *_forms(),
    Family(
        "who_is_most",
        wordings(
            "{facts}. Who is the {most:word}? Give the whole order as well.",
            "We know the following: {facts}. Name the {most:word} person and the order.",
        ),
        _draw_scale,
        _most,
        weight=1.5,
    ),
    Family(
        "rank_people",
        wordings(
            "From these facts, list all persons, beginning with the {most:word}: {facts}",
            "Bring everybody into line, the {most:word} in front: {facts}",
        ),
        _draw_scale,
        _rank,
        weight=1.5,
    ),
    Family(
        "if_then",
        wordings(
            "Whenever {cause}, {effect}. Now {fact}. Is it certain that {goal}? Say Yes or Unknown.",
            "A house rule: if {cause}, then {effect}. Today {fact}. Can we be sure that {goal}? Answer Yes or Unknown.",
        ),
        _draw_modus,
        _modus,
        None,
        lambda _: ("Yes", "Unknown"),
        weight=0.7,
    ),
    Family(
        "who_owns",
        wordings(
            "{people} have {things}, one each. {first:word} has the {has:word}. {second:word} does not have the"
            " {not:word}. Who has"
            " what?",
            "Each of {people} owns one of {things}. The {has:word} is {first:word}'s and the {not:word} is not"
            " {second:word}'s. Find"
            " the owners.",
        ),
        _draw_owners,
        _owners,
        weight=1.5,
    ),
    Family(
        "seats",
        wordings(
            "{names} sit on {where}. {end:word} is at the far left, {left:word} is directly left of {right:word}, and"
            " {right:word} is"
            " not at the right end. What is the order?",
        ),
        _draw_seats,
        _seats,
    ),
    Family(
        "switch",
        wordings(
            "A [radio|fan|heater|desk lamp] is {state:word} and someone presses its switch {n:int} times. Is it on or"
            " off afterwards, and"
            " why?",
        ),
        _draw_parity,
        _switch,
        weight=0.5,
    ),
)
