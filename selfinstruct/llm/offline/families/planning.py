"""Plans under stated limits: schedules, packing, routes, budgets."""

from __future__ import annotations

import random
from itertools import combinations, pairwise, permutations

from selfinstruct.llm.offline.families.calendar import clock, read_clock
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import EVENTS, NAMES, OBJECTS, PLACES, THINGS, WEEKDAYS, joined, some

_CHORES = (
    "sweeping the yard", "washing the windows", "baking a cake", "setting the table", "calling the suppliers",
    "writing the programme", "ironing the tablecloths", "hanging up the lamps", "buying flowers", "tuning the piano",
    "folding the napkins", "cleaning the oven", "sorting the post", "watering the plants", "packing the books",
    "mending the curtain", "peeling potatoes", "painting the sign", "testing the microphones", "feeding the cats",
    "printing the tickets", "stacking the chairs", "making sandwiches", "checking the bill",
)  # fmt: skip

_TALKS = (
    "budget", "holidays", "new website", "staff rota", "summer fair", "car park", "heating", "library", "canteen",
    "training day", "safety rules", "garden", "newsletter", "bus shuttle", "roof repair", "opening hours",
)  # fmt: skip


def _draw_schedule(rng: random.Random) -> Params:
    talks = some(rng, _TALKS, 3, 5)
    parts = [f"{talk} ({rng.randint(1, 9) * 5} minutes)" for talk in talks]
    chores = [f"{chore} ({rng.randint(1, 12) * 5} minutes)" for chore in some(rng, _CHORES, 3, 5)]
    return {
        "talks": ", ".join(parts), "chores": ", ".join(chores), "start": clock(rng.randrange(8 * 4, 17 * 4) * 15),
        "break": str(rng.choice((5, 10, 15))), "who": rng.choice(NAMES),
    }  # fmt: skip


def _parts(text: str) -> list[tuple[str, int]]:
    out = []
    for part in text.split("), "):
        name, _bracket, length = part.rstrip(")").rpartition(" (")
        minutes, unit = length.split()
        if unit != "minutes":
            raise ValueError(text)
        out.append((name, int(minutes)))
    return out


def _timetable(parts: list[tuple[str, int]], start: int, pause: int) -> str:
    lines = []
    for name, minutes in parts:
        lines.append(f"{clock(start)}-{clock(start + minutes)} {name}")
        start += minutes + pause
    return "\n".join(lines)


def _schedule(p: Params, _: str) -> str:
    return _timetable(_parts(p["talks"]), read_clock(p["start"]), int(p["break"]))


def _chores(p: Params, _: str) -> str:
    return _timetable(_parts(p["chores"]), read_clock(p["start"]), 0)


def _backwards(p: Params, _: str) -> str:
    parts = _parts(p["chores"])
    need = sum(minutes for _, minutes in parts)
    sums = " + ".join(str(minutes) for _, minutes in parts)
    return f"The work takes {sums} = {need} minutes, so it has to begin at {clock(read_clock(p['start']) - need)}."


def _draw_pack(rng: random.Random) -> Params:
    things = some(rng, sorted({*THINGS["kitchen things"], *THINGS["clothes"], *THINGS["instruments"]}), 4, 5)
    weights = [rng.randint(1, 9) for _ in things]
    return {
        "items": ", ".join(f"{thing} {weight} kg" for thing, weight in zip(things, weights, strict=True)),
        "limit": str(max(*weights, sum(weights) // 2)), "who": rng.choice(NAMES),
        "bag": rng.choice(("rucksack", "trunk", "sledge", "bicycle trailer", "rowing boat", "suitcase")),
    }  # fmt: skip


def _weights(text: str, unit: str) -> list[tuple[str, int]]:
    out = []
    for part in text.split(", "):
        name, number, found = part.rsplit(" ", 2)
        if found != unit:
            raise ValueError(text)
        out.append((name, int(number)))
    if len(out) > 8:
        raise ValueError(text)
    return out


def _pack(p: Params, _: str) -> str:
    items, limit = _weights(p["items"], "kg"), int(p["limit"])
    best: tuple[tuple[str, int], ...] = ()
    for size in range(1, len(items) + 1):
        for chosen in combinations(items, size):
            if sum(w for _, w in best) < sum(w for _, w in chosen) <= limit:
                best = chosen
    if not best:
        return "Nothing on the list is light enough."
    return f"{joined([name for name, _ in best]).capitalize()}, which weigh {sum(w for _, w in best)} kg together."


def _draw_budget(rng: random.Random) -> Params:
    things = some(rng, sorted({*THINGS["foods"], *THINGS["things for the office"]}), 4, 6)
    prices = rng.sample(range(2, 25), len(things))
    return {
        "items": ", ".join(f"{thing} {price} euros" for thing, price in zip(things, prices, strict=True)),
        "limit": str(sum(sorted(prices)[: rng.randint(2, 3)]) + rng.randint(0, 3)), "who": rng.choice(NAMES),
    }  # fmt: skip


def _budget(p: Params, _: str) -> str:
    rest, bought = int(p["limit"]), []
    for name, price in sorted(_weights(p["items"], "euros"), key=lambda item: item[1]):
        if price <= rest:
            bought.append(name)
            rest -= price
    if not bought:
        return "The money is not enough for any of them."
    return f"{joined(bought).capitalize()}: that is {len(bought)} in all, with {rest} euros left over."


def _draw_route(rng: random.Random) -> Params:
    start, end, first, second = rng.sample(PLACES, 4)
    times = [rng.randint(5, 59) for _ in range(5)]
    legs = [(start, first), (start, second), (first, second), (first, end), (second, end)]
    ways = [f"{a} to {b} {minutes} minutes" for (a, b), minutes in zip(legs, times, strict=True)]
    return {"start": start, "end": end, "ways": ", ".join(ways), "who": rng.choice(NAMES)}


def _route(p: Params, _: str) -> str:
    ways: dict[tuple[str, str], int] = {}
    for way in p["ways"].split(", "):
        a, _to, b, length, _unit = way.split()
        ways[a, b] = ways[b, a] = int(length)
    stops = sorted({stop for way in ways for stop in way} - {p["start"], p["end"]})
    if len(stops) > 4:
        raise ValueError(p["ways"])
    found = []
    for size in range(len(stops) + 1):
        for between in permutations(stops, size):
            path = (p["start"], *between, p["end"])
            legs = list(pairwise(path))
            if all(leg in ways for leg in legs):
                found.append((sum(ways[leg] for leg in legs), path))
    minutes, path = min(found)
    return f"{' - '.join(path)}, which takes {minutes} minutes."


def _draw_meeting(rng: random.Random) -> Params:
    people = rng.sample(NAMES, 3)
    start = rng.randint(10, 14)
    free = []
    for who in people:
        a, b = start - rng.randint(0, 2), start + rng.randint(1, 4)
        free.append(f"{who} from {clock(a * 60)} to {clock(b * 60)}")
    return {"free": joined(free), "event": rng.choice(EVENTS)}


def _meeting(p: Params, _: str) -> str:
    spans = []
    for part in p["free"].replace(" and ", ", ").split(", "):
        _who, _from, opens, _to, closes = part.split()
        spans.append((read_clock(opens), read_clock(closes)))
    start, end = max(a for a, _ in spans), min(b for _, b in spans)
    if start >= end:
        return "There is no time at which all of them are free."
    return f"All of them are free from {clock(start)} to {clock(end)}."


def _draw_rota(rng: random.Random) -> Params:
    names = some(rng, NAMES, 3, 4)
    days = rng.randint(5, 7)
    return {"names": joined(names), "days": str(days), "job": rng.choice(_CHORES), "what": rng.choice(OBJECTS)}


def _rota(p: Params, _: str) -> str:
    names = p["names"].replace(" and ", ", ").split(", ")
    days = WEEKDAYS[: int(p["days"])]
    if int(p["days"]) > 7:
        raise ValueError(p["days"])
    return "\n".join(f"{day}: {names[i % len(names)]}" for i, day in enumerate(days))


FAMILIES = (
    Family(
        "schedule",
        wordings(
            "A meeting begins at {start:time} and deals with these points in order: {talks}. Leave {break:int}"
            " minutes between two points"
            " and write the timetable.",
            "Make an agenda with times, starting at {start:time} with pauses of {break:int} minutes, for {talks}",
        ),
        _draw_schedule,
        _schedule,
        weight=2,
    ),
    Family(
        "chores",
        wordings(
            "From {start:time} on, {who:word} does one job after another without a break: {chores}. When does each"
            " begin and end?",
            "Plan the jobs {chores} one after the other from {start:time}.",
        ),
        _draw_schedule,
        _chores,
        weight=2,
    ),
    Family(
        "plan_backwards",
        wordings(
            "Guests arrive at {start:time}. By then {who:word} must be done with {chores}. What is the latest time to"
            " begin?",
            "Everything has to be ready at {start:time}: {chores}. When must a single person start?",
        ),
        _draw_schedule,
        _backwards,
        weight=1.5,
    ),
    Family(
        "pack",
        wordings(
            "A {bag} may carry {limit:int} kg. Choose from {items} so that the load is as heavy as allowed.",
            "{who:word} fills a {bag} with at most {limit:int} kg and wants to get as close to that as possible. The"
            " things are {items}."
            " What should go in?",
        ),
        _draw_pack,
        _pack,
        weight=2,
    ),
    Family(
        "budget",
        wordings(
            "With {limit:int} euros, how many different items can {who:word} buy at most, and which: {items}?",
            "Buy as many different things as possible for {limit:int} euros out of this offer: {items}",
        ),
        _draw_budget,
        _budget,
        weight=2,
    ),
    Family(
        "route",
        wordings(
            "Find the quickest way from {start:word} to {end:word}. The roads, usable both ways, are {ways}.",
            "{who:word} drives from {start:word} to {end:word}. Times in both directions: {ways}. Which route is the"
            " fastest?",
        ),
        _draw_route,
        _route,
        weight=2,
    ),
    Family(
        "common_time",
        wordings(
            "When can all three talk about {event} if they are free as follows: {free}?",
            "Find the time that suits everybody: {free}.",
        ),
        _draw_meeting,
        _meeting,
        weight=1.5,
    ),
    Family(
        "rota",
        wordings(
            "{names} take turns at {job}, one person a day in this order from Monday. Write the rota for {days:int}"
            " days.",
            "Write a rota for {days:int} days beginning on Monday in which {names} do the task of {job} in turn.",
        ),
        _draw_rota,
        _rota,
        weight=1.5,
    ),
)
