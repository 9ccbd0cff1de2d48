"""Grammar by tables: plurals, verb forms, opposites, formal words, voice, person, negation."""

from __future__ import annotations

import random
import re

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, capital, joined, listed, some


def _table(text: str) -> dict[str, str]:
    """Pairs written `left=right`, with `_` for a space."""
    pairs = (pair.replace("_", " ").split("=") for pair in text.split())
    return {left: right for left, right in pairs}  # noqa: C416 - the pairs are lists


PLURALS = _table(
    """apple=apples baby=babies bench=benches berry=berries box=boxes brush=brushes bus=buses butterfly=butterflies
    child=children church=churches city=cities class=classes country=countries day=days deer=deer diary=diaries
    dish=dishes echo=echoes fairy=fairies family=families fish=fish fly=flies foot=feet fox=foxes glass=glasses
    goose=geese half=halves hero=heroes key=keys kiss=kisses knife=knives lady=ladies leaf=leaves life=lives
    loaf=loaves lunch=lunches man=men match=matches monkey=monkeys mouse=mice ox=oxen party=parties
    peach=peaches penny=pennies piano=pianos potato=potatoes radio=radios scarf=scarves sheep=sheep
    shelf=shelves spy=spies story=stories thief=thieves tomato=tomatoes tooth=teeth toy=toys tray=trays
    valley=valleys watch=watches wife=wives witch=witches wolf=wolves woman=women"""
)

PAST = _table(
    """begin=began break=broke bring=brought build=built buy=bought catch=caught choose=chose come=came dig=dug
    drink=drank drive=drove eat=ate fall=fell feel=felt fight=fought find=found fly=flew forget=forgot
    freeze=froze give=gave grow=grew hear=heard hide=hid hold=held keep=kept know=knew leave=left lend=lent
    lose=lost make=made meet=met pay=paid ride=rode ring=rang rise=rose run=ran say=said see=saw sell=sold
    send=sent shake=shook sing=sang sit=sat sleep=slept speak=spoke spend=spent stand=stood steal=stole
    sweep=swept swim=swam take=took teach=taught tear=tore tell=told think=thought throw=threw wake=woke
    wear=wore win=won write=wrote"""
)

OPPOSITES = _table(
    """above=below absent=present always=never ancient=modern arrive=depart asleep=awake begin=end bitter=sweet
    borrow=lend bright=dim buy=sell clean=dirty cold=hot cruel=kind deep=shallow difficult=easy dry=wet
    early=late empty=full enter=leave expand=shrink expensive=cheap fast=slow first=last forget=remember
    freeze=melt generous=mean guilty=innocent hard=soft heavy=light high=low include=exclude increase=decrease
    inside=outside long=short loose=tight loud=quiet lose=win many=few maximum=minimum narrow=wide near=far
    noisy=silent open=closed polite=rude poor=rich public=private push=pull raise=lower rough=smooth sharp=blunt
    sick=healthy strong=weak success=failure tall=short thick=thin true=false ugly=beautiful victory=defeat
    young=old"""
)

COMPARATIVES = _table(
    """bad=worse big=bigger brave=braver bright=brighter busy=busier calm=calmer cheap=cheaper clean=cleaner
    clever=cleverer cold=colder dark=darker deep=deeper dry=drier early=earlier easy=easier fast=faster
    funny=funnier good=better great=greater happy=happier hard=harder heavy=heavier high=higher hot=hotter
    kind=kinder large=larger late=later lazy=lazier light=lighter long=longer loud=louder near=nearer nice=nicer
    noisy=noisier old=older poor=poorer quick=quicker quiet=quieter rich=richer sad=sadder safe=safer
    sharp=sharper short=shorter simple=simpler slow=slower small=smaller soft=softer strong=stronger tall=taller
    thin=thinner tidy=tidier ugly=uglier warm=warmer weak=weaker wet=wetter wide=wider wise=wiser young=younger"""
)

FORMAL = _table(
    """ask=consult buy=purchase enough=sufficient find_out=ascertain get=obtain give=provide help=assist
    keep=retain look_at=examine need=require sorry_about=apologise_for start=commence tell=inform
    think_about=consider try=attempt want=desire"""
)

CONTRACTIONS = _table(
    """can't=cannot didn't=did_not doesn't=does_not don't=do_not hasn't=has_not I'll=I_will I'm=I_am isn't=is_not
    it'll=it_will shouldn't=should_not they're=they_are wasn't=was_not we'll=we_will we're=we_are
    weren't=were_not won't=will_not wouldn't=would_not you're=you_are"""
)

_ACTIONS = (
    ("opens", "is opened", "the gate"), ("paints", "is painted", "the fence"), ("cleans", "is cleaned", "the kitchen"),
    ("repairs", "is repaired", "the roof"), ("prepares", "is prepared", "the soup"),
    ("carries", "is carried", "the trunk"), ("washes", "is washed", "the blue shirt"),
    ("writes", "is written", "the report"), ("sells", "is sold", "the old boat"),
    ("builds", "is built", "the stone wall"), ("plants", "is planted", "the hedge"), ("reads", "is read", "the letter"),
    ("locks", "is locked", "the front door"), ("bakes", "is baked", "the bread"),
    ("checks", "is checked", "the ticket"), ("waters", "is watered", "the lawn"),
    ("translates", "is translated", "the poem"), ("feeds", "is fed", "the horse"),
)  # fmt: skip
_ACTORS = (
    "the cook", "the gardener", "the mechanic", "my aunt", "the caretaker", "the tailor", "a volunteer",
    "the new clerk", "the mayor", "our neighbour", "the carpenter", "the guard",
)  # fmt: skip
_OFTEN = (
    "every morning", "on Mondays", "after lunch", "once a year", "before the guests arrive", "with great care",
    "during the holidays", "at noon",
)  # fmt: skip

_PASSIVE = {active: passive for active, passive, _ in _ACTIONS}


def _passive(text: str) -> str:
    for active, passive in _PASSIVE.items():
        found = re.fullmatch(rf"(.+) {active} (the [a-z ]+?)(| (?:{'|'.join(_OFTEN)}))\.", text)
        if found:
            actor = found[1] if found[1] in NAMES else found[1][0].lower() + found[1][1:]
            return f"{capital(found[2])} {passive} by {actor}{found[3]}."
    raise ValueError(text)


def _active(rng: random.Random) -> str:
    active, _, thing = rng.choice(_ACTIONS)
    actor = rng.choice(NAMES) if rng.random() < 0.4 else capital(rng.choice(_ACTORS))
    often = f" {rng.choice(_OFTEN)}" if rng.random() < 0.6 else ""
    return f"{actor} {active} {thing}{often}."


_BASE = {
    "opens": "open", "paints": "paint", "cleans": "clean", "repairs": "repair", "prepares": "prepare",
    "carries": "carry", "washes": "wash", "writes": "write", "sells": "sell", "builds": "build", "plants": "plant",
    "reads": "read", "locks": "lock", "bakes": "bake", "checks": "check", "waters": "water", "translates": "translate",
    "feeds": "feed",
}  # fmt: skip


def _verb_of(text: str) -> tuple[str, str, str]:
    """What stands before the verb, the verb and what follows it."""
    for word in text.split():
        if word in _BASE:
            before, after = text.split(f" {word} ", 1)
            return before, word, after
    raise ValueError(text)


def _negative(text: str) -> str:
    before, verb, after = _verb_of(text)
    return f"{before} does not {_BASE[verb]} {after}"


def _yes_no_question(text: str) -> str:
    before, verb, after = _verb_of(text)
    actor = before if before in NAMES else before[0].lower() + before[1:]
    return f"Does {actor} {_BASE[verb]} {after.rstrip('.')}?"


def _future(text: str) -> str:
    before, verb, after = _verb_of(text)
    return f"{before} will {_BASE[verb]} {after}"


_TURNS = {
    "from the active into the passive voice": _passive,
    "into the negative": _negative,
    "into a question that can be answered with yes or no": _yes_no_question,
    "into the future tense with will": _future,
}

_INFORMAL_LINES = (
    "We need your answer today.", "Please help us with the forms.", "I want to buy two tickets.", "We start on Friday.",
    "I will try to get the book.", "They did not give a reason.", "Please keep the receipt.", "There is enough room.",
    "Please find out the date.", "Please tell the office.", "Could you look at the roof?", "We want to start early.",
    "You should ask the manager.", "Please give us your address.", "Do not buy more than we need.",
)  # fmt: skip


def _formal(_: Params, text: str) -> str:
    changed = text
    for plain, formal in FORMAL.items():
        changed = re.sub(rf"\b{plain}\b", formal, changed)
    if changed == text:
        raise ValueError(text)
    return changed


_SHORT_LINES = (
    "I'm sure they're at home.", "We don't know why it isn't open.", "You're late and we can't wait.",
    "She didn't say it wasn't hers.", "It'll rain, so we won't sail.", "He doesn't eat what he hasn't cooked.",
    "They weren't there and I wouldn't ask.", "We'll see if you're right.", "You shouldn't run if it isn't safe.",
    "I'll call when we're ready.", "I'm afraid it won't fit.", "We're glad you didn't leave.",
    "It isn't far, but I can't walk.", "They don't think we'll win.",
)  # fmt: skip


def _full_forms(_: Params, text: str) -> str:
    changed = text
    for short, full in CONTRACTIONS.items():
        changed = re.sub(rf"\b{short}\b", full, changed)
        changed = re.sub(rf"\b{capital(short)}\b", capital(full), changed)
    if changed == text:
        raise ValueError(text)
    return changed


_TABLES = {"plural": PLURALS, "past tense": PAST, "opposite": OPPOSITES, "comparative": COMPARATIVES}


def _each(p: Params, _: str) -> str:
    table = _TABLES[p["form"]]
    return listed([table[word] for word in p["words"].split(", ")])


def _draw_each(rng: random.Random) -> Params:
    form = rng.choice(sorted(_TABLES))
    return {"form": form, "words": listed(some(rng, sorted(_TABLES[form]), 4, 7)), "who": rng.choice(NAMES)}


_SINGULARS = {plural: word for word, plural in PLURALS.items()}


def _draw_cloze(rng: random.Random) -> Params:
    verbs = rng.sample(sorted(PAST), 3)
    return {"one": verbs[0], "two": verbs[1], "three": verbs[2], "who": rng.choice(NAMES)}


def _cloze(p: Params, _: str) -> str:
    forms = [PAST[p[name]] for name in ("one", "two", "three")]
    return f"The forms are {joined(forms)}."


def _same_number(_: Params, text: str) -> str:
    if text in PLURALS and PLURALS[text] != text:
        return "Singular"
    if text in _SINGULARS and _SINGULARS[text] != text:
        return "Plural"
    raise ValueError(text)


_ONE_TENSE = tuple(word for word in (*PAST, *PAST.values()) if word not in ("felt", "found", "saw"))
"""Forms that belong to one tense; to felt, to found and to saw are verbs as well."""


def _tense(_: Params, text: str) -> str:
    if text not in _ONE_TENSE:
        raise ValueError(text)
    return "Present" if text in PAST else "Past"


_REGULAR_PLURALS = sorted(word for word, plural in PLURALS.items() if plural != word)

FAMILIES = (
    Family(
        "word_forms",
        wordings(
            "[Give|Write] the {form} of each of these words: {words}",
            "For a grammar test, what is the {form} of {words}? Keep the order.",
            "{who:word} is learning English and asks for the {form} of {words}.",
        ),
        _draw_each,
        _each,
        weight=2.5,
    ),
    Family(
        "word_form",
        wordings(
            "[Write|Say] the {form} of the given word.",
            "A learner gives you one word. Reply with its {form} and nothing else.",
        ),
        lambda rng: {"form": rng.choice(sorted(_TABLES))},
        lambda p, text: _TABLES[p["form"]][text],
        lambda p, rng: rng.choice(sorted(_TABLES[p["form"]])),
    ),
    Family(
        "singular",
        wordings("What is the singular of the noun?", "The noun is in the plural. [Put it|Set it] in the singular."),
        lambda _: {},
        lambda _, text: _SINGULARS[text],
        lambda _, rng: PLURALS[rng.choice(_REGULAR_PLURALS)],
        weight=0.5,
    ),
    Family(
        "turn_sentence",
        wordings(
            "[Turn|Change] the sentence {turn}.",
            "In this exercise every sentence is to be put {turn}. Do it for the one below.",
        ),
        lambda rng: {"turn": rng.choice(sorted(_TURNS))},
        lambda p, text: _TURNS[p["turn"]](text),
        lambda _, rng: _active(rng),
    ),
    Family(
        "turn_sentence_given",
        wordings(
            '[Turn|Put] "{text}" {turn}.',
            'How does "{text}" read when it is put {turn}?',
        ),
        lambda rng: {"turn": rng.choice(sorted(_TURNS)), "text": _active(rng)},
        lambda p, _: _TURNS[p["turn"]](p["text"]),
        weight=2,
    ),
    Family(
        "past_forms",
        wordings(
            "Which past tense forms belong to the verbs {one:word}, {two:word} and {three:word}?",
            "{who:word} mixes up the past tense of {one:word}, {two:word} and {three:word}. Give the right forms.",
        ),
        _draw_cloze,
        _cloze,
    ),
    Family(
        "formal_words",
        wordings(
            "Replace everyday words by formal ones (buy becomes purchase, help becomes assist, and so on).",
            "Make the line sound more formal by exchanging its plain verbs and adjectives, and change nothing else.",
        ),
        lambda _: {},
        _formal,
        lambda _, rng: rng.choice(_INFORMAL_LINES),
    ),
    Family(
        "full_forms",
        wordings(
            "Write out the contractions in full, so that don't becomes do not.",
            "Our style guide forbids short forms such as isn't or we'll. Rewrite the sentence accordingly.",
        ),
        lambda _: {},
        _full_forms,
        lambda _, rng: rng.choice(_SHORT_LINES),
    ),
    Family(
        "singular_or_plural",
        wordings(
            "Is the noun Singular or Plural?",
            "[Tag|Mark] each noun with its grammatical number, either Singular or Plural.",
        ),
        lambda _: {},
        _same_number,
        lambda _, rng: rng.choice((*_REGULAR_PLURALS, *(PLURALS[word] for word in _REGULAR_PLURALS))),
        lambda _: ("Singular", "Plural"),
    ),
    Family(
        "present_or_past",
        wordings(
            "Is the verb form Present or Past?",
            "State whether an English verb is given in the Present or in the Past.",
        ),
        lambda _: {},
        _tense,
        lambda _, rng: rng.choice(_ONE_TENSE),
        lambda _: ("Present", "Past"),
    ),
)
