"""Small programming tasks: functions for a stated purpose, what a few lines print, SQL, spreadsheet formulas."""

from __future__ import annotations

import random
import re

from selfinstruct.llm.offline.families.text import any_word
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, items_of, joined, listed, mixed, some

_FUNCTIONS = {
    "returns the sum of the numbers in a list that are divisible by {k}": (
        "sum_divisible", "numbers", "return sum(n for n in numbers if n % {k} == 0)"),
    "counts how many words of a sentence have more than {k} letters": (
        "count_long_words", "sentence", "return sum(len(word) > {k} for word in sentence.split())"),
    "returns the items of a list whose index can be divided by {k}": (
        "every_kth", "items", "return items[::{k}]"),
    "repeats a string {k} times with a hyphen in between": (
        "repeat", "text", 'return "-".join([text] * {k})'),
    "rounds a price down to a multiple of {k}": (
        "round_down", "price", "return price - price % {k}"),
    "tells whether a string is at least {k} characters long": (
        "is_long_enough", "text", "return len(text) >= {k}"),
    "splits a list into pieces of {k} items, the last of which may be shorter": (
        "pieces", "items", "return [items[i : i + {k}] for i in range(0, len(items), {k})]"),
    "returns the {k} largest numbers of a list, largest first": (
        "largest", "numbers", "return sorted(numbers, reverse=True)[:{k}]"),
    "moves the last {k} characters of a string to its front": (
        "rotate", "text", "return text[-{k}:] + text[:-{k}]"),
    "adds {k} to every number in a list and leaves the list itself unchanged": (
        "add_to_all", "numbers", "return [n + {k} for n in numbers]"),
    "shortens a text to {k} characters and puts three dots behind it if anything was cut": (
        "shorten", "text", 'return text if len(text) <= {k} else text[:{k}] + "..."'),
    "raises each number of a list to the power of {k}": (
        "powers", "numbers", "return [n**{k} for n in numbers]"),
    "checks whether a number lies within {k} of another number": (
        "is_close", "first, second", "return abs(first - second) <= {k}"),
    "drops all words with fewer than {k} letters from a list of words": (
        "drop_short", "words", "return [word for word in words if len(word) >= {k}]"),
    "pads a whole number with zeros on the left to {k} digits": (
        "pad", "number", "return str(number).zfill({k})"),
    "counts the numbers in a list that are greater than {k}": (
        "count_greater", "numbers", "return sum(n > {k} for n in numbers)"),
    "turns minutes into a pair of whole hours and remaining minutes after adding {k} minutes": (
        "hours_and_minutes", "minutes", "return divmod(minutes + {k}, 60)"),
    "returns the distinct words of a text that occur {k} times or more, sorted": (
        "frequent", "text",
        "words = text.split()\n    return sorted(word for word in set(words) if words.count(word) >= {k})"),
}  # fmt: skip


def _draw_function(rng: random.Random) -> Params:
    k = str(rng.randint(2, 9))
    what = rng.choice(sorted(_FUNCTIONS))
    name = _FUNCTIONS[what][0] + rng.choice(("", "", f"_{k}"))
    return {"what": what.format(k=k), "name": name, "who": rng.choice(NAMES)}


def function_for(p: Params) -> tuple[str, str, str, int]:
    """The name, the parameters, the body and the constant of the function that is asked for."""
    found = re.search(r"\d+", p["what"])
    if not found:
        raise ValueError(p["what"])
    name, parameters, body = _FUNCTIONS[p["what"].replace(found[0], "{k}", 1)]
    return p.get("name", name), parameters, body.format(k=found[0]), int(found[0])


def _function(p: Params, _: str) -> str:
    name, parameters, body, _k = function_for(p)
    return f"def {name}({parameters}):\n    {body}"


def _draw_loop(rng: random.Random) -> Params:
    a, b, c = rng.randint(0, 9), rng.randint(2, 6), rng.randint(2, 9)
    return {"start": str(a), "n": str(b), "step": str(c), "name": any_word(rng).replace("-", "_")}


def _loop(p: Params, _: str) -> str:
    start, n, step = int(p["start"]), int(p["n"]), int(p["step"])
    if n > 100:
        raise ValueError(n)
    return str(start + sum(i * step for i in range(n)))


def _draw_slice(rng: random.Random) -> Params:
    items = mixed(rng, 5, 7)
    a = rng.randint(0, 2)
    return {"items": listed([f'"{item}"' for item in items]), "a": str(a), "b": str(rng.randint(a + 1, 5))}


def _slice(p: Params, _: str) -> str:
    items = [item.strip('"') for item in items_of(p["items"])]
    return str(items[int(p["a"]) : int(p["b"])])


_TABLES = {
    "books": ("title", "author", "price", "pages", "shelf"),
    "members": ("name", "town", "age", "joined", "fee"),
    "orders": ("customer", "product", "amount", "price", "day"),
    "plants": ("species", "height", "colour", "bed", "age"),
    "trains": ("number", "origin", "destination", "delay", "seats"),
    "players": ("name", "team", "goals", "age", "position"),
}
_COUNTABLE = {"price", "pages", "age", "fee", "amount", "height", "delay", "seats", "goals"}


def _draw_sql(rng: random.Random) -> Params:
    table = rng.choice(sorted(_TABLES))
    columns = some(rng, _TABLES[table], 2, 3)
    number = rng.choice([column for column in _TABLES[table] if column in _COUNTABLE])
    order = rng.choice(_TABLES[table])
    return {
        "table": table, "columns": joined(columns), "number": number, "more": rng.choice(("greater", "less")),
        "n": str(rng.randint(5, 300)), "order": order, "way": rng.choice(("ascending", "descending")),
    }  # fmt: skip


def _sql(p: Params, _: str) -> str:
    sign = {"greater": ">", "less": "<"}[p["more"]]
    way = {"ascending": "", "descending": " DESC"}[p["way"]]
    columns = p["columns"].replace(" and ", ", ")
    # Text for the reader; nothing here speaks to a database.
    return f"SELECT {columns} FROM {p['table']} WHERE {p['number']} {sign} {p['n']} ORDER BY {p['order']}{way};"  # noqa: S608


_FORMULAS = {
    "sum": "SUM",
    "average": "AVERAGE",
    "largest value": "MAX",
    "smallest value": "MIN",
    "count of numbers": "COUNT",
}


def _draw_cells(rng: random.Random) -> Params:
    low = rng.randint(1, 9)
    return {
        "what": rng.choice(sorted(_FORMULAS)), "column": rng.choice("ABCDEFGH"), "low": str(low),
        "high": str(low + rng.randint(4, 60)), "n": str(rng.randint(2, 50)),
    }  # fmt: skip


def _formula(p: Params, _: str) -> str:
    return f"={_FORMULAS[p['what']]}({p['column']}{p['low']}:{p['column']}{p['high']})"


def _count_if(p: Params, _: str) -> str:
    return f'=COUNTIF({p["column"]}{p["low"]}:{p["column"]}{p["high"]},">{p["n"]}")'


_EXPRESSIONS = (
    "len(x)", "x.upper()", "x[::-1]", "x[0]", "x[-1]", "x.count('a')", "x.title()", "x[1:4]", "sorted(x)[0]",
    "x.replace('e', 'i')",
)  # fmt: skip


def _evaluate(p: Params, text: str) -> str:
    x = text
    table = {
        "len(x)": str(len(x)), "x.upper()": x.upper(), "x[::-1]": x[::-1], "x[0]": x[0], "x[-1]": x[-1],
        "x.count('a')": str(x.count("a")), "x.title()": x.title(), "x[1:4]": x[1:4], "sorted(x)[0]": min(x),
        "x.replace('e', 'i')": x.replace("e", "i"),
    }  # fmt: skip
    return table[p["code"]]


FAMILIES = (
    Family(
        "write_function",
        wordings(
            "Write a Python function {name} that {what}.",
            "In Python, define {name} so that it {what}.",
            "{who:word} needs a short Python function called {name} which {what}. Write it.",
        ),
        _draw_function,
        _function,
        weight=3,
    ),
    Family(
        "loop_value",
        wordings(
            "A Python program sets {name:word} = {start:int} and then runs 'for i in range({n:int}): {name} += i *"
            " {step:int}'. What is"
            " {name} at the end?",
            "What value has {name:word} after {name} = {start:int}; for i in range({n:int}): {name} += i * {step:int}?",
        ),
        _draw_loop,
        _loop,
    ),
    Family(
        "slice_value",
        wordings(
            "A Python tuple is ({items}). Which list do its elements from index {a:int} up to but not including"
            " {b:int} make?",
            "Let words be a Python list holding {items}. What does the slice from index {a:int} up to, but without,"
            " index {b:int} hold?",
        ),
        _draw_slice,
        _slice,
        weight=1.5,
    ),
    Family(
        "sql_query",
        wordings(
            "Write an SQL query for the table {table:word} that selects {columns} where {number:word} is {more:word}"
            " than {n:int},"
            " ordered by {order:word}, {way:word}.",
            "From the database table {table:word} we want {columns} of all rows whose {number:word} is {more:word}"
            " than {n:int}. Sort by"
            " {order:word} {way:word}. Give the SQL.",
        ),
        _draw_sql,
        _sql,
        weight=2,
    ),
    Family(
        "cell_formula",
        wordings(
            "Which spreadsheet formula gives the {what} of the cells {column:word}{low:int} to {column}{high:int}?",
            "I keep my expenses in column {column:word}, rows {low:int} to {high:int}. What formula shows their"
            " {what}?",
        ),
        _draw_cells,
        _formula,
    ),
    Family(
        "count_if",
        wordings(
            "What spreadsheet formula counts the cells from {column:word}{low:int} to {column}{high:int} with a value"
            " above {n:int}?",
        ),
        _draw_cells,
        _count_if,
        weight=0.6,
    ),
    Family(
        "string_expression",
        wordings(
            "Let x be the given string. What is the value of the Python expression {code}?",
            "Evaluate {code} in Python, where x holds the word that you receive.",
        ),
        lambda rng: {"code": rng.choice(_EXPRESSIONS)},
        _evaluate,
        lambda _, rng: any_word(rng),
    ),
)
