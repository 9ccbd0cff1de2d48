"""Data in one form turned into another: CSV, JSON, Markdown, key-value lines, HTML; sums over small tables."""

from __future__ import annotations

import csv
import io
import json
import random

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, OBJECTS, PLACES, THINGS, article, joined, listed, of_one_kind, some

Rows = list[list[str]]

_COLUMNS = ("price", "stock", "weight", "orders", "shelf")


def rows_of(text: str) -> Rows:
    """The lines of a CSV table, all of one width; raises ValueError for anything else."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise ValueError(text) from error
    if len(rows) < 2 or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        raise ValueError(text)
    return rows


def _table(rng: random.Random) -> Rows:
    names = rng.choice((OBJECTS, NAMES, PLACES))
    head = {OBJECTS: "item", NAMES: "name", PLACES: "town"}[names]
    columns = rng.sample(
        {"item": _COLUMNS, "name": ("age", "points", "lockers", "hours"), "town": ("rain", "schools", "visitors")}[
            head
        ],
        2,
    )
    return [[head, *columns], *([who, *(str(rng.randint(1, 90)) for _ in columns)] for who in some(rng, names, 3, 5))]


def _csv(rng: random.Random) -> str:
    return "\n".join(",".join(row) for row in _table(rng))


def _value(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _to_json(_: Params, text: str) -> str:
    head, *rows = rows_of(text)
    return json.dumps([dict(zip(head, map(_value, row), strict=True)) for row in rows])


def _to_csv(_: Params, text: str) -> str:
    records = json.loads(text)
    if not isinstance(records, list) or not all(isinstance(r, dict) and r.keys() == records[0].keys() for r in records):
        raise ValueError(text)
    return "\n".join([",".join(records[0]), *(",".join(str(value) for value in record.values()) for record in records)])


def markdown(rows: Rows) -> str:
    """The rows as a Markdown table; the first one is its head."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def _column_sum(p: Params, text: str) -> str:
    _, *rows = rows_of(text)
    numbers = [int(row[int(p["column"]) - 1]) for row in rows]
    return f"{' + '.join(map(str, numbers))} = {sum(numbers)}"


def _top_row(p: Params, text: str) -> str:
    _, *rows = rows_of(text)
    pick = {"highest": max, "lowest": min}[p["end"]]
    return pick(rows, key=lambda row: int(row[1]))[0]


def _sorted_rows(p: Params, text: str) -> str:
    head, *rows = rows_of(text)
    down = {"falling": True, "rising": False}[p["way"]]
    return "\n".join(",".join(row) for row in [head, *sorted(rows, key=lambda row: int(row[1]), reverse=down)])


def _pairs(rng: random.Random) -> Params:
    facts = {
        "name": rng.choice(NAMES), "town": rng.choice(PLACES), "age": str(rng.randint(18, 80)),
        "job": rng.choice(THINGS["jobs"]), "colour": rng.choice(THINGS["colours"]),
        "sport": rng.choice(THINGS["sports"]), "pet": rng.choice(THINGS["animals"]), "room": str(rng.randint(1, 400)),
    }  # fmt: skip
    keys = some(rng, sorted(facts), 4, 6)
    return {"pairs": "; ".join(f"{key}: {facts[key]}" for key in keys)}


def _read_pairs(text: str) -> Rows:
    rows = [[side.strip() for side in pair.split(":")] for pair in text.split(";")]
    if any(len(row) != 2 or not all(row) for row in rows):
        raise ValueError(text)
    return rows


def _draw_table_row(rng: random.Random) -> Params:
    things = some(rng, OBJECTS, 3, 5)
    return {
        "cells": "; ".join(f"{thing} {rng.randint(2, 60)}" for thing in things),
        "what": rng.choice(("stock", "order", "delivery", "sale")),
    }


def _two_columns(p: Params, _: str) -> str:
    rows = [cell.rsplit(" ", 1) for cell in p["cells"].split("; ")]
    return markdown([["Item", "Number"], *rows, ["Total", str(sum(int(row[1]) for row in rows))]])


def _draw_list(rng: random.Random) -> Params:
    kind, items = of_one_kind(rng, 4, 7)
    return {"items": listed(items), "kind": kind}


def _html(p: Params, _: str) -> str:
    return "\n".join(["<ul>", *(f"  <li>{item}</li>" for item in p["items"].split(", ")), "</ul>"])


def _numbered(p: Params, _: str) -> str:
    return "\n".join(f"{i}. {item}" for i, item in enumerate(p["items"].split(", "), 1))


def _nested(rng: random.Random) -> Params:
    kind, items = of_one_kind(rng, 2, 4)
    return {"who": rng.choice(NAMES), "n": str(rng.randint(8, 90)), "items": joined(items), "kind": kind}


def _nested_json(p: Params, _: str) -> str:
    items = p["items"].replace(" and ", ", ").split(", ")
    return json.dumps({"name": p["who"], "age": int(p["n"]), "favourites": items})


def _sentence_from_pairs(_: Params, text: str) -> str:
    facts = {key: value for key, value in _read_pairs(text)}  # noqa: C416 - rows are lists, and a dict call would hide it
    return f"{facts['name']} is {article(facts['job'])} from {facts['town']} and {facts['age']} years old."


def _four_facts(_: Params, rng: random.Random) -> str:
    facts = [
        ("name", rng.choice(NAMES)), ("town", rng.choice(PLACES)), ("age", str(rng.randint(18, 80))),
        ("job", rng.choice(THINGS["jobs"])),
    ]  # fmt: skip
    rng.shuffle(facts)
    return "; ".join(f"{key}: {value}" for key, value in facts)


FAMILIES = (
    Family(
        "csv_to_json",
        wordings(
            "[Convert|Turn] the CSV table into a JSON list with one object a row; write numbers as numbers.",
            "Our web shop imports JSON. Make a JSON array of objects out of this comma-separated table.",
        ),
        lambda _: {},
        _to_json,
        lambda _, rng: _csv(rng),
    ),
    Family(
        "json_to_csv",
        wordings(
            "Write the JSON list of objects as CSV with a header line.",
            "A spreadsheet should open these JSON records. [Produce|Give me] comma-separated lines with the keys on"
            " top.",
        ),
        lambda _: {},
        _to_csv,
        lambda _, rng: _to_json({}, _csv(rng)),
    ),
    Family(
        "csv_to_markdown",
        wordings(
            "[Format|Show] the comma-separated lines as a Markdown table.",
            "For the readme I need this CSV as a table in Markdown with a header row.",
        ),
        lambda _: {},
        lambda _, text: markdown(rows_of(text)),
        lambda _, rng: _csv(rng),
    ),
    Family(
        "column_sum",
        wordings(
            "Add up column {column:int} of the CSV table, whose first line holds the headings, and show the sum.",
            "The input is a small table with commas. What do the numbers in column {column:int} come to?",
        ),
        lambda rng: {"column": rng.choice(("2", "3"))},
        _column_sum,
        lambda _, rng: _csv(rng),
    ),
    Family(
        "top_row",
        wordings(
            "Which row of the table has the {end:word} number in its second column? Answer with the first cell of"
            " that row.",
            "Look at the second column of the CSV lines and name the entry with the {end:word} value.",
        ),
        lambda rng: {"end": rng.choice(("highest", "lowest"))},
        _top_row,
        lambda _, rng: _csv(rng),
    ),
    Family(
        "sort_rows",
        wordings(
            "Sort the lines of the table by the second column in {way:word} order and keep the header on top.",
            "Reorder this CSV so that the numbers in its second column are {way:word}; do not move the headings.",
        ),
        lambda rng: {"way": rng.choice(("rising", "falling"))},
        _sorted_rows,
        lambda _, rng: _csv(rng),
    ),
    Family(
        "pairs_to_table",
        wordings(
            "Make a two-column Markdown table with the headings Field and Value from {pairs}",
            "Set out this record as a Markdown table, one field a row under Field and Value: {pairs}",
        ),
        _pairs,
        lambda p, _: markdown([["Field", "Value"], *_read_pairs(p["pairs"])]),
        weight=1.5,
    ),
    Family(
        "pairs_to_json",
        wordings(
            "Express the following record as one JSON object with numbers as numbers: {pairs}",
            "Which JSON object holds these fields? {pairs}",
        ),
        _pairs,
        lambda p, _: json.dumps({key: _value(value) for key, value in _read_pairs(p["pairs"])}),
        weight=1.5,
    ),
    Family(
        "stock_table",
        wordings(
            "Set up today's {what:word} as a Markdown table with the columns Item and Number and a last row Total:"
            " {cells}",
            "Turn the {what:word} list {cells} into a Markdown table (Item, Number) that ends with the total.",
        ),
        _draw_table_row,
        _two_columns,
        weight=1.5,
    ),
    Family(
        "html_list",
        wordings(
            "[Write|Code] an unordered HTML list of these {kind}: {items}",
            "What is the HTML for a bulleted list that contains {items}?",
        ),
        _draw_list,
        _html,
        weight=1.2,
    ),
    Family(
        "numbered_list",
        wordings(
            "Number the {kind} {items} from 1 upwards, one a line.",
            "Write {items} as a numbered list.",
        ),
        _draw_list,
        _numbered,
        weight=1.2,
    ),
    Family(
        "person_to_json",
        wordings(
            "{who:word} is {n:int} years old and is fond of {items}. Put this into a JSON object with the keys name,"
            " age and"
            " favourites.",
            "Store in JSON, under name, age and favourites: {who:word}, {n:int}, who likes {items}.",
        ),
        _nested,
        _nested_json,
        weight=1.5,
    ),
    Family(
        "pairs_to_sentence",
        wordings(
            "Write one sentence that gives the name, the job, the town and the age from the record.",
            "[Use|Take] the four fields (name, job, town, age) and say them in a single plain sentence.",
        ),
        lambda _: {},
        _sentence_from_pairs,
        _four_facts,
    ),
)
