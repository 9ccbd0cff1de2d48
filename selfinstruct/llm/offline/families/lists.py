"""Lists that stand in the instruction: sorting, choosing, counting, editing, comparing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from selfinstruct.llm.offline.families.sums import integers
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, PLACES, THINGS, items_of, joined, listed, mixed, of_one_kind, some

_ORDERS: dict[str, Callable[[list[str]], list[str]]] = {
    "alphabetically": sorted,
    "in reverse alphabetical order": lambda w: sorted(w, reverse=True),
    "by length with the shortest first": lambda w: sorted(w, key=len),
    "by length with the longest first": lambda w: sorted(w, key=len, reverse=True),
    "by their last letter from a to z": lambda w: sorted(w, key=lambda word: word[-1]),
    "by their second letter from a to z": lambda w: sorted(w, key=lambda word: word[1]),
}

_TESTS: dict[str, Callable[[str, str], bool]] = {
    "that begin with the letter": lambda word, letter: word.startswith(letter),
    "that end in the letter": lambda word, letter: word.endswith(letter),
    "that contain the letter": lambda word, letter: letter in word,
    "without the letter": lambda word, letter: letter not in word,
    "with two or more of the letter": lambda word, letter: word.count(letter) > 1,
}


def _draw_sort(rng: random.Random) -> Params:
    kind, items = of_one_kind(rng, 5, 9)
    if rng.random() < 0.4:
        kind, items = "things", mixed(rng, 5, 9)
    return {"kind": kind, "items": listed(items), "order": rng.choice(sorted(_ORDERS)), "who": rng.choice(NAMES)}


def _sort(p: Params, _: str) -> str:
    return listed(_ORDERS[p["order"]](items_of(p["items"])))


def _draw_numbers(rng: random.Random) -> Params:
    numbers = [rng.randint(1, 999) for _ in range(rng.randint(5, 9))]
    order = rng.choice(("smallest to largest", "largest to smallest"))
    what = rng.choice(("locker keys", "hymns", "race bibs", "hotel rooms", "bus lines", "raffle tickets", "parcels"))
    return {"numbers": listed([str(n) for n in numbers]), "order": order, "what": what}


def _sort_numbers(p: Params, _: str) -> str:
    down = {"smallest to largest": False, "largest to smallest": True}[p["order"]]
    return listed([str(n) for n in sorted(integers(p["numbers"]), reverse=down)])


def _draw_choose(rng: random.Random) -> Params:
    items = mixed(rng, 6, 10)
    letter = rng.choice(rng.choice(items))
    return {"items": listed(items), "test": rng.choice(sorted(_TESTS)), "letter": letter, "n": str(rng.randint(4, 7))}


def _choose(p: Params, _: str) -> str:
    kept = [word for word in items_of(p["items"]) if _TESTS[p["test"]](word, p["letter"])]
    return listed(kept) if kept else "None of the words fits."


def _longer(p: Params, _: str) -> str:
    kept = [word for word in items_of(p["items"]) if len(word) > int(p["n"])]
    return listed(kept) if kept else "None of the words is that long."


def _draw_repeats(rng: random.Random) -> Params:
    base = mixed(rng, 4, 6)
    items = base + [rng.choice(base) for _ in range(rng.randint(2, 5))]
    rng.shuffle(items)
    return {"items": listed(items), "who": rng.choice(NAMES)}


def _unique(p: Params, _: str) -> str:
    return listed(list(dict.fromkeys(items_of(p["items"]))))


def _tally(p: Params, _: str) -> str:
    return "\n".join(f"{word}: {count}" for word, count in Counter(items_of(p["items"])).items())


def _commonest(p: Params, _: str) -> str:
    counts = Counter(items_of(p["items"]))
    most = max(counts.values())
    top = [word for word, count in counts.items() if count == most]
    times = {1: "once", 2: "twice"}.get(most, f"{most} times")
    return f"{joined(top)} ({times})" if len(top) == 1 else f"{joined(top)} ({times} each)"


_GOODS = ("clothes", "flowers", "foods", "fruits", "kitchen things", "things for the office", "tools", "vegetables")


def _draw_two(rng: random.Random) -> Params:
    pool = some(rng, THINGS[rng.choice(_GOODS)], 8, 9)
    who, other = rng.sample(NAMES, 2)
    cut, back = rng.randint(4, 6), rng.randint(2, 4)
    second = pool[back:]
    rng.shuffle(second)
    return {"first": joined(pool[:cut]), "second": joined(second), "who": who, "other": other}


def _two(p: Params) -> tuple[list[str], list[str]]:
    first, second = (items_of(p[name].replace(" and ", ", ")) for name in ("first", "second"))
    return first, second


def _common(p: Params, _: str) -> str:
    first, second = _two(p)
    return joined([item for item in first if item in second]) or "They have nothing in common."


def _only_first(p: Params, _: str) -> str:
    first, second = _two(p)
    return joined([item for item in first if item not in second]) or "Nothing."


def _union(p: Params, _: str) -> str:
    first, second = _two(p)
    return listed(sorted({*first, *second}))


_EDITS: dict[str, Callable[[list[str]], list[str]]] = {
    "swap the first and the last item": lambda w: [w[-1], *w[1:-1], w[0]],
    "move the last item to the front": lambda w: [w[-1], *w[:-1]],
    "move the first item to the end": lambda w: [*w[1:], w[0]],
    "remove the third item": lambda w: [*w[:2], *w[3:]],
    "remove every second item, starting with the second": lambda w: w[::2],
    "turn the order round": lambda w: w[::-1],
    "write each item in capitals": lambda w: [item.upper() for item in w],
    "double the first item": lambda w: [w[0], *w],
    "keep the first three items only": lambda w: w[:3],
}


def _draw_edit(rng: random.Random) -> Params:
    first, second = rng.sample(sorted(_EDITS), 2)
    return {"items": listed(mixed(rng, 5, 8)), "first": first, "second": second, "who": rng.choice(NAMES)}


def _edit(p: Params, _: str) -> str:
    items = items_of(p["items"])
    if len(items) < 4:
        raise ValueError(p["items"])
    items = _EDITS[p["first"]](items)
    return listed(_EDITS[p["second"]](items) if "second" in p else items)


_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")


def _draw_queue(rng: random.Random) -> Params:
    end = rng.choice(("front", "back"))
    where = rng.choice(("the ticket office", "the ice-cream van", "the post office", "the ski lift", "the bakery door"))
    return {"names": joined(some(rng, NAMES, 6, 9)), "nth": rng.choice(_PLACES), "end": end, "where": where}


def _queue(p: Params, _: str) -> str:
    names = items_of(p["names"].replace(" and ", ", "))
    index = _PLACES.index(p["nth"])
    return names[index if p["end"] == "front" else -1 - index]


def _draw_groups(rng: random.Random) -> Params:
    kinds = rng.sample(sorted(THINGS), 2)
    first = some(rng, THINGS[kinds[0]], 3, 5)
    second = some(rng, [word for word in THINGS[kinds[1]] if word not in THINGS[kinds[0]]], 3, 5)
    items = first + second
    rng.shuffle(items)
    return {"items": listed(items), "one": kinds[0], "two": kinds[1]}


def _groups(p: Params, _: str) -> str:
    items = items_of(p["items"])
    one = [item for item in items if item in THINGS[p["one"]]]
    two = [item for item in items if item not in one]
    if not all(item in THINGS[p["two"]] for item in two):
        raise ValueError(p["items"])
    return f"{p['one'].capitalize()}: {listed(one)}\n{p['two'].capitalize()}: {listed(two)}"


def _draw_odd_one(rng: random.Random) -> Params:
    kinds = rng.sample(sorted(THINGS), 2)
    items = some(rng, THINGS[kinds[0]], 4, 6)
    other = rng.choice(
        [word for word in THINGS[kinds[1]] if not any(word in THINGS[k] for k in THINGS if k != kinds[1])]
    )
    items.insert(rng.randint(0, len(items)), other)
    return {"items": listed(items), "who": rng.choice(NAMES)}


def _odd_one(p: Params, _: str) -> str:
    items = items_of(p["items"])
    for kind, words in THINGS.items():
        strange = [item for item in items if item not in words]
        if len(strange) == 1 and len(items) > 3:
            return f"{strange[0].capitalize()}, because all the others are names of {kind}."
    raise ValueError(p["items"])


def _by_letter(p: Params, _: str) -> str:
    groups: dict[str, list[str]] = {}
    for item in sorted(items_of(p["items"])):
        groups.setdefault(item[0].upper(), []).append(item)
    return "\n".join(f"{letter}: {listed(words)}" for letter, words in groups.items())


def _pairs(p: Params, _: str) -> str:
    first, second = _two(p)
    if len(first) != len(second):
        raise ValueError(p["first"])
    return "\n".join(f"{a} - {b}" for a, b in zip(first, second, strict=True))


def _draw_pairs(rng: random.Random) -> Params:
    n = rng.randint(3, 5)
    return {
        "first": joined(rng.sample(NAMES, n)),
        "second": joined(rng.sample(PLACES, n)),
        "what": rng.choice(
            (
                "a speaker and a town",
                "a guide and a starting point",
                "a coach and a venue",
                "a driver and a destination",
            )
        ),
    }


FAMILIES = (
    Family(
        "sort_words",
        wordings(
            "[Sort|Arrange|Order] these names of {kind} {order:order}: {items}",
            "{who:word} wrote down {items}. [Put|Bring] the list into order, {order:order}.",
            "Here are some {kind}: {items}. [List|Write] them again {order:order}.",
            "[Please sort|Rearrange] {items} {order:order}.",
        ),
        _draw_sort,
        _sort,
        weight=3,
    ),
    Family(
        "sort_numbers",
        wordings(
            "Put the numbers of the {what} in order from {order}: {numbers:ints}",
            "Arrange {numbers:ints} from {order}.",
        ),
        _draw_numbers,
        _sort_numbers,
    ),
    Family(
        "choose_words",
        wordings(
            "[Pick|Choose] the words {test} {letter:word} from this list: {items}",
            "Which words {test} {letter:word} are among {items}?",
            "From {items}, copy only those {test} {letter:word}.",
        ),
        _draw_choose,
        _choose,
        weight=3,
    ),
    Family(
        "longer_words",
        wordings(
            "Which of these words have more than {n:int} letters: {items}?",
            "Cross out every word of {n:int} letters or fewer and write what is left: {items}",
        ),
        _draw_choose,
        _longer,
        weight=1.5,
    ),
    Family(
        "unique",
        wordings(
            "Remove the repeated words and keep the first of each: {items}",
            "{who:word}'s shopping list says {items}. Write it again with every item only once.",
        ),
        _draw_repeats,
        _unique,
        weight=1.5,
    ),
    Family(
        "tally",
        wordings(
            "Count how often each word comes and give one line a word: {items}",
            "In a vote the answers were {items}. [Tally|Count] them.",
        ),
        _draw_repeats,
        _tally,
        weight=1.5,
    ),
    Family(
        "commonest",
        wordings(
            "Which word occurs most often in {items}? Name all of them if several tie.",
            "{who:word} noted what the visitors ordered: {items}. What was ordered most, and how often?",
        ),
        _draw_repeats,
        _commonest,
        weight=1.5,
    ),
    Family(
        "in_common",
        wordings(
            "{who:word} likes {first}; {other:word} likes {second}. What do they both like?",
            "One box holds {first}, the other {second}. [Name|List] what is in both boxes.",
        ),
        _draw_two,
        _common,
        weight=1.5,
    ),
    Family(
        "only_first",
        wordings(
            "Shop A offers {first}. Shop B offers {second}. Which of these can only be had in shop A?",
            "{who:word} has already packed {second}. The packing list reads {first}. What is still missing?",
        ),
        _draw_two,
        _only_first,
        weight=1.5,
    ),
    Family(
        "union",
        wordings(
            "Merge the lists {first} as well as {second} into one alphabetical list without repeats.",
            "{who:word} brings {first} while {other:word} brings {second}. What is there altogether, in alphabetical"
            " order?",
        ),
        _draw_two,
        _union,
        weight=1.5,
    ),
    Family(
        "edit_list",
        wordings(
            "Take the list {items}. First {first:deed}, then {second:deed}.",
            "[Given|Starting from] {items}: {first:deed} and after that {second:deed}. Show the final list.",
        ),
        _draw_edit,
        _edit,
        weight=2.5,
    ),
    Family(
        "edit_list_once",
        wordings(
            "In the list {items}, {first:deed}.", "{who:word} dictates: {items}. Now {first:deed} and read the result."
        ),
        _draw_edit,
        lambda p, text: _edit({"items": p["items"], "first": p["first"]}, text),
    ),
    Family(
        "queue",
        wordings(
            "At {where}, {names} stand in line in this order. Who is {nth:word} from the {end:word}?",
            "The queue for {where} is {names}. Name the person who is {nth:word} counted from the {end:word}.",
        ),
        _draw_queue,
        _queue,
        weight=1.5,
    ),
    Family(
        "two_groups",
        wordings(
            "Divide the following into {one} and {two}: {items}",
            "A crate holds a jumble of {one} and {two}. Make two lists of {items}.",
        ),
        _draw_groups,
        _groups,
        weight=1.5,
    ),
    Family(
        "odd_one_out",
        wordings(
            "Which is the odd one out, and why: {items}?",
            "{who:word} says that one word does not belong with the others: {items}. Find it and give the reason.",
        ),
        _draw_odd_one,
        _odd_one,
        weight=1.5,
    ),
    Family(
        "by_first_letter",
        wordings(
            "Make a small index of {items}: one line for each first letter, with the words in alphabetical order.",
            "Group these words by their first letter, letters in order: {items}",
        ),
        _draw_sort,
        _by_letter,
        weight=1.5,
    ),
    Family(
        "pair_up",
        wordings(
            "Each pair is {what}. Match {first} with {second} in the order given, one pair a line.",
            "Match up the two lists one to one and write a line for every pair: {first}; {second}",
        ),
        _draw_pairs,
        _pairs,
    ),
)
