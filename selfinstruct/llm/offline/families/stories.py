"""Word problems: small scenes with numbers, each with the steps that solve it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import BOXES, NAMES, OBJECTS, PLACES

STYLES = ("", "", "", "", " Show your working.", " Give only the number.", " Give just the number.")

RANGES = {"a": (3, 40), "b": (3, 12), "c": (2, 30), "d": (2, 9)}
"""From where the numbers of a story are drawn unless the story says otherwise."""


@dataclass(frozen=True, slots=True)
class Story:
    """A word problem as data: a step is `name = left operation right` over the story's numbers; the last one is r."""

    text: str
    steps: tuple[str, ...]
    reply: str
    ranges: tuple[tuple[str, int, int], ...] = ()


def work(story: Story, params: Params) -> tuple[list[str], int]:
    """The equations of a story with its numbers put in, and the result; raises ValueError where one is not whole."""
    known = {name: int(value) for name, value in params.items() if value.lstrip("-").isdigit()}
    lines: list[str] = []
    for step in story.steps:
        name, right = step.split(" = ")
        left_name, operation, right_name = right.split()
        left, value = (known[word] if word in known else int(word) for word in (left_name, right_name))
        known[name] = _apply(left, operation, value)
        sign = {"*": "x", "/": "/"}.get(operation, operation)
        lines.append(f"{left} {sign} {value} = {known[name]}")
    return lines, known["r"]


def _apply(left: int, operation: str, right: int) -> int:
    if operation == "+":
        return left + right
    if operation == "-":
        result = left - right
    elif operation == "*":
        return left * right
    else:
        result, rest = divmod(left, right)
        if rest:
            raise ValueError(f"{left} / {right}")
    if result < 0:
        raise ValueError(f"{left} {operation} {right}")
    return result


def _family(index: int, story: Story) -> Family:
    ranges = {**RANGES, **{name: (low, high) for name, low, high in story.ranges}}
    words = [step.split() for step in story.steps]
    divisions = [(left, right) for _name, _is, left, sign, right in words if sign == "/" and left in ranges]

    def draw(rng: random.Random) -> Params:
        who, other, third = rng.sample(NAMES, 3)
        things, more = rng.sample(OBJECTS, 2)
        words = {"who": who, "other": other, "third": third, "things": things, "more": more}
        words |= {"boxes": rng.choice(BOXES), "place": rng.choice(PLACES), "style": rng.choice(STYLES)}
        for _ in range(200):
            drawn = {name: rng.randint(low, high) for name, (low, high) in ranges.items()}
            for dividend, divisor in divisions:
                drawn[dividend] -= drawn[dividend] % (drawn[divisor] if divisor in drawn else int(divisor))
            numbers = {name: str(number) for name, number in drawn.items()}
            try:
                _, result = work(story, numbers)
            except ValueError:
                continue
            if 2 <= result <= 5000:
                return words | numbers
        raise AssertionError(story.text)

    def compute(params: Params, _: str) -> str:
        lines, result = work(story, params)
        style = params.get("style", "")
        if "number" in style:
            return str(result)
        reply = story.reply.format(**params, r=result)
        return "\n".join([*lines, reply]) if "working" in style else f"{', '.join(lines)}. {reply}"

    return Family(f"story_{index}", wordings(story.text + "{style:style}"), draw, compute, weight=0.4)


STORIES = (
    Story(
        "{who} [packs|fills|has] {a:int} {boxes} with {b:int} {things} in each and [sells|gives away] {c:int} of the"
        " {things}. How many {things} are left?",
        ("p = a * b", "r = p - c"),
        "{r} {things} are left.",
    ),
    Story(
        "There are {a:int} {things} on a table at the [fair|market|bazaar] in {place}. {who} puts {b:int} more"
        " beside them and {other} [takes|buys] {c:int}. How many lie there now?",
        ("p = a + b", "r = p - c"),
        "Now {r} {things} lie there.",
    ),
    Story(
        "A coach [travels|goes|drives] from {place} with {a:int} passengers. At the first stop {b:int} get off and"
        " {c:int} get on; at the next, {d:int} get off. How many passengers [remain|are on board after that]?",
        ("p = a - b", "q = p + c", "r = q - d"),
        "There are {r} passengers on board.",
        (("a", 25, 60),),
    ),
    Story(
        "{who} reads {a:int} pages of a novel every [evening|day|morning]. The novel has {b:int} pages and {who} has"
        " been reading for {d:int} days. How many pages are still unread?",
        ("p = a * d", "r = b - p"),
        "{r} pages are still unread.",
        (("b", 120, 480), ("a", 8, 35)),
    ),
    Story(
        "[A theatre|A cinema|A concert hall] in {place} has {a:int} rows of {b:int} seats. On [Friday|Sunday|Tuesday]"
        " night {c:int} seats stayed empty. How many people came?",
        ("p = a * b", "r = p - c"),
        "{r} people came.",
        (("a", 8, 30), ("b", 12, 30)),
    ),
    Story(
        "{who} wants to share {a:int} {things} fairly among {b:int} [children|friends|guests]. How many does each"
        " one get?",
        ("r = a / b",),
        "Each one gets {r} {things}.",
        (("a", 12, 96),),
    ),
    Story(
        "Every [week|month] {who} saves {a:int} euros towards a [bicycle|tent|camera|guitar] that costs {b:int}"
        " euros. After {c:int} [weeks|months], how much is still missing?",
        ("p = a * c", "r = b - p"),
        "{r} euros are still missing.",
        (("b", 150, 600), ("c", 3, 9)),
    ),
    Story(
        "A gardener in {place} plants {a:int} rows of [tulips|cabbages|leeks|beans], {b:int} in a row, and"
        " [snails eat|frost kills|rabbits eat] {c:int} of the plants. What number survives?",
        ("p = a * b", "r = p - c"),
        "{r} plants survive.",
    ),
    Story(
        "{who} is {a:int} years old and {other} is {b:int} years older than {who}. What will {other}'s age be in"
        " {c:int} years?",
        ("p = a + b", "r = p + c"),
        "{other} will be {r} years old.",
    ),
    Story(
        "A ticket for the [ferry|cable car|steam train] costs {a:int} euros for adults and {d:int} euros for children."
        " What does a group of {b:int} adults and {c:int} children [pay|have to pay] altogether?",
        ("p = a * b", "q = d * c", "r = p + q"),
        "The group pays {r} euros.",
        (("a", 10, 30),),
    ),
    Story(
        "[In a warehouse|In a storeroom] {a:int} {boxes} of {things} arrive on Monday and twice as many on Tuesday. If"
        " {b:int} of them go out on Wednesday, how many {boxes} [stay|are in stock]?",
        ("p = a * 2", "q = a + p", "r = q - b"),
        "{r} {boxes} are in stock.",
    ),
    Story(
        "{who} earns {a:int} euros an hour and works {b:int} hours a day, {d:int} days a week. [What is the weekly"
        " pay|How much is that per week]?",
        ("p = a * b", "r = p * d"),
        "The weekly pay is {r} euros.",
        (("b", 3, 9), ("d", 2, 6), ("a", 11, 35)),
    ),
    Story(
        "A water tank holds {a:int} litres. A pump takes out {b:int} litres each minute. How many minutes does it take"
        " to [empty|drain] the full tank?",
        ("r = a / b",),
        "It takes {r} minutes.",
        (("a", 60, 900), ("b", 4, 30)),
    ),
    Story(
        "{who}, {other} and {third} collected {a:int}, {b:int} and {c:int} {things} for the [bazaar|school"
        " fair|raffle]."
        " How many did the three of them [collect|bring together] in all?",
        ("p = a + b", "r = p + c"),
        "Together they collected {r} {things}.",
    ),
    Story(
        "A [hotel|hostel|guest house] near {place} charges {a:int} euros a night plus a single cleaning fee of {b:int}"
        " euros. What is the bill for {d:int} nights?",
        ("p = a * d", "r = p + b"),
        "The bill is {r} euros.",
        (("a", 35, 140), ("b", 10, 60)),
    ),
    Story(
        "{who} cuts a [rope|ribbon|plank|cable] of {a:int} centimetres into pieces of {b:int} centimetres. How many"
        " pieces does that make?",
        ("r = a / b",),
        "It makes {r} pieces.",
        (("a", 60, 480), ("b", 4, 40)),
    ),
    Story(
        "At a school in {place} there are {a:int} classes with {b:int} pupils each. {c:int} pupils are ill today. How"
        " many are [present|at school]?",
        ("p = a * b", "r = p - c"),
        "{r} pupils are present.",
        (("b", 18, 30), ("a", 4, 16)),
    ),
    Story(
        "A farmer has {a:int} hens and each lays {b:int} eggs a week. The eggs are sold in cartons of {d:int}. How many"
        " full cartons does one week give if no egg is left over?",
        ("p = a * b", "r = p / d"),
        "One week gives {r} full cartons.",
        (("b", 3, 7), ("d", 6, 12)),
    ),
    Story(
        "{who} runs {a:int} kilometres on each of {b:int} days and walks {c:int} kilometres on one more day. What"
        " distance does {who} cover?",
        ("p = a * b", "r = p + c"),
        "{who} covers {r} kilometres.",
        (("a", 3, 15), ("b", 2, 6), ("c", 2, 12)),
    ),
    Story(
        "The library of {place} owned {a:int} audiobooks. It bought {b:int} new ones, {c:int} were lost and {d:int}"
        " were given to another library. How large is the collection now?",
        ("p = a + b", "q = p - c", "r = q - d"),
        "The collection now has {r} audiobooks.",
        (("a", 150, 900), ("b", 20, 90)),
    ),
    Story(
        "One lap of the park is {a:int} metres. How many metres has {who} gone after {b:int} laps and a walk home of"
        " {c:int} metres?",
        ("p = a * b", "r = p + c"),
        "{who} has gone {r} metres.",
        (("a", 300, 800), ("c", 100, 900), ("b", 2, 6)),
    ),
    Story(
        "{who} and {other} together have {a:int} {things}. {who} has {b:int}. How many more than {who} does"
        " {other} have?",
        ("p = a - b", "r = p - b"),
        "{other} has {r} more {things} than {who}.",
    ),
    Story(
        "A baker makes {a:int} trays of rolls, {b:int} on a tray, and packs them into bags of {d:int}. How many bags"
        " are"
        " [needed|filled]?",
        ("p = a * b", "r = p / d"),
        "{r} bags are needed.",
    ),
    Story(
        "A parking garage has {a:int} floors with {b:int} spaces on each. When {c:int} cars are inside, how many spaces"
        " are [free|still open]?",
        ("p = a * b", "r = p - c"),
        "{r} spaces are free.",
        (("a", 2, 7), ("b", 30, 80), ("c", 10, 90)),
    ),
    Story(
        "For a [wedding|birthday party|village feast] {who} orders {a:int} tables for {b:int} people and {d:int} tables"
        " for {c:int} people. For how many guests is there room?",
        ("p = a * b", "q = d * c", "r = p + q"),
        "There is room for {r} guests.",
        (("c", 2, 10), ("a", 3, 15)),
    ),
    Story(
        "The temperature in {place} was {a:int} degrees at noon. It rose by {d:int} degrees in the afternoon and then"
        " fell by {b:int}. What did the thermometer show in the evening?",
        ("p = a + d", "r = p - b"),
        "The thermometer showed {r} degrees.",
        (("a", 8, 30), ("d", 1, 6)),
    ),
    Story(
        "{who} has {a:int} [coins|stamps|postcards|shells] and finds {b:int} more; {other} has three times as many as"
        " {who} has then. How many does {other} own?",
        ("p = a + b", "r = p * 3"),
        "{other} owns {r}.",
    ),
    Story(
        "A printer needs {d:int} seconds for a page. How many seconds are needed for {a:int} copies of a booklet with"
        " {b:int} pages?",
        ("p = a * b", "r = p * d"),
        "{r} seconds are needed.",
    ),
    Story(
        "{who} buys {b:int} {things} at {d:int} euros each and {c:int} {more} at {a:int} euros each, then pays with a"
        " 500 euro note. What is the change in euros?",
        ("p = b * d", "q = c * a", "s = p + q", "r = 500 - s"),
        "The change is {r} euros.",
        (("a", 2, 20), ("c", 2, 12)),
    ),
    Story(
        "A tram leaves the depot every {b:int} minutes. How many minutes lie between the first tram and tram number"
        " {a:int}?",
        ("p = a - 1", "r = p * b"),
        "{r} minutes lie between them.",
    ),
    Story(
        "In a [quiz|spelling contest|riddle competition] every right answer brings {b:int} points and every wrong one"
        " costs {d:int}. {who} had {a:int} right and {c:int} wrong. What was the final score?",
        ("p = a * b", "q = c * d", "r = p - q"),
        "The final score was {r} points.",
        (("c", 1, 8),),
    ),
    Story(
        "A carpenter needs {b:int} screws for one [chair|shelf|cupboard|bench]. She owns {a:int} screws and must make"
        " {d:int} pieces. How many screws will remain?",
        ("p = b * d", "r = a - p"),
        "{r} screws will remain.",
        (("a", 40, 200),),
    ),
    Story(
        "Two [buses|trains|ships] carried {a:int} and {b:int} people to {place}. If {c:int} of these people went on to"
        " the coast, how many stayed in the town?",
        ("p = a + b", "r = p - c"),
        "{r} people stayed in the town.",
        (("a", 30, 200), ("b", 30, 200), ("c", 10, 150)),
    ),
    Story(
        "The price of a [jacket|kettle|lamp|suitcase] was {a:int} euros. It went up by {b:int} euros in spring and down"
        " by {c:int} euros in autumn. What does it cost now?",
        ("p = a + b", "r = p - c"),
        "It costs {r} euros now.",
        (("a", 30, 120),),
    ),
    Story(
        "{who} types {a:int} words a minute. How many minutes will a report of {b:int} words take, without"
        " [breaks|pauses]?",
        ("r = b / a",),
        "It will take {r} minutes.",
        (("a", 30, 80), ("b", 300, 2400)),
    ),
    Story(
        "Half of the {a:int} {things} in a {place} shop window are [red|blue|yellow]. {who} buys {d:int} of those. How"
        " many {things} of that colour remain?",
        ("p = a / 2", "r = p - d"),
        "{r} of them remain.",
        (("a", 24, 90),),
    ),
    Story(
        "A [choir|brass band|dance group] of {a:int} members travels in cars that take {d:int} people each. How many"
        " cars are needed if every car is full?",
        ("r = a / d",),
        "{r} cars are needed.",
        (("a", 12, 90), ("d", 3, 7)),
    ),
    Story(
        "A bucket weighs {b:int} kilograms when it is empty and each litre of water adds one kilogram. What do {d:int}"
        " buckets with {c:int} litres in each weigh together, in kilograms?",
        ("p = b + c", "r = p * d"),
        "Together they weigh {r} kilograms.",
        (("b", 1, 4), ("c", 5, 20)),
    ),
    Story(
        "A hiker needs {a:int} minutes for the way up and {b:int} minutes less for the way down, with a rest of {c:int}"
        " minutes on top. How long is the whole trip in minutes?",
        ("p = a - b", "q = a + p", "r = q + c"),
        "The whole trip takes {r} minutes.",
        (("a", 60, 240), ("b", 10, 50), ("c", 10, 45)),
    ),
    Story(
        "{who} divides a field of {a:int} square metres into {b:int} equal beds and sows {d:int} of them with carrots."
        " How"
        " many square metres are left for other crops?",
        ("p = a / b", "q = p * d", "r = a - q"),
        "{r} square metres are left.",
        (("a", 40, 300), ("b", 5, 12), ("d", 2, 4)),
    ),
)

FAMILIES = tuple(_family(index, story) for index, story in enumerate(STORIES))
