"""A condition in SQL that a user wrote, made safe: it reads tasks, what was drawn for them, instances, nothing else."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from selfinstruct.errors import ConfigError
from selfinstruct.pool.opening import open_for_reading

TIME_LIMIT_S = 60.0
TABLES = ("tasks", "instances", "drawn")
FUNCTIONS = frozenset({
    "abs", "avg", "char", "coalesce", "concat", "concat_ws", "count", "date", "datetime", "format", "glob",
    "group_concat", "hex", "ifnull", "iif", "instr", "json", "json_array_length", "json_each", "json_extract",
    "json_type", "json_valid", "julianday", "length", "like", "lower", "ltrim", "max", "min", "nullif",
    "octet_length", "printf", "quote", "replace", "round", "rtrim", "sign", "soundex", "strftime",
    "string_agg", "substr", "substring", "sum", "time", "total", "trim", "typeof", "unicode", "unixepoch",
    "upper", "->", "->>",
})  # fmt: skip
"""What a condition may call: nothing that touches a file or loads code. `json_each` is a table."""
_LONGEST = 50_000_000
"""Bytes that a value may grow to within a condition."""
_LOOK_AFTER = 10_000
"""Steps of SQLite's machine between two looks at the clock."""


def matching(folder: Path, condition: str, among: str, limit_s: float = TIME_LIMIT_S) -> list[str]:
    """Ids of the tasks for which the condition holds, in the order of the pool. `among` is a condition of our own.

    Raises:
        ConfigError: the condition is no SQL expression over tasks, wants more than it may, or takes too long.
        PoolError: there is no pool.
    """
    denied: list[str] = []
    with contextlib.closing(open_for_reading(folder)) as connection:
        names = [row["name"] for row in connection.execute("PRAGMA table_info(tasks)")]
        connection.execute("PRAGMA temp_store = MEMORY")
        drawn = _show_drawn(connection, names)
        condition = _quoted(condition, drawn)
        columns = ", ".join((*names, *drawn))
        wanted = (
            "wanted: an SQL condition such as \"instruction LIKE '%poem%' AND round > 3\" over the columns of tasks "
            f"({columns})"
        )
        if not condition.strip():
            raise ConfigError(f"--where: the condition is empty; {wanted}")
        _guard(connection, among, limit_s, denied)
        of = "SELECT tasks.id FROM tasks LEFT JOIN temp.drawn ON drawn.of_task = tasks.id WHERE"
        alone = f"{of} {condition}\n"
        bracketed = f"{of} (\n{condition}\n) AND tasks.id IN (SELECT id FROM temp.among) ORDER BY tasks.position"
        try:
            # Only what stands by itself as well as in brackets is one expression: nothing in it can close a bracket.
            connection.execute("EXPLAIN " + alone)
            return [row[0] for row in connection.execute(bracketed)]
        except UnicodeEncodeError:
            raise ConfigError("--where: the condition is not UTF-8 text") from None
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise ConfigError(f"--where: the condition takes longer than {limit_s:g} s; ask for less") from None
            said = f"may not use {denied[0]}" if denied else " ".join(str(error).split())
            raise ConfigError(f"--where: {said}; {wanted}") from None


def _show_drawn(connection: sqlite3.Connection, columns: Sequence[str]) -> list[str]:
    """What was drawn for tasks as columns of a table `drawn`; names that tasks have themselves are left out."""
    found = connection.execute("SELECT DISTINCT key FROM tasks, json_each(drawn) WHERE drawn != '' ORDER BY key")
    taken = {one.lower(): one for one in (*columns, "of_task")}
    names = [row[0] for row in found if taken.setdefault(row[0].lower(), row[0]) is row[0]]
    value = "(SELECT value FROM json_each(drawn) WHERE key = '{}')"
    values = "".join(f""", {value.format(one.replace("'", "''"))} AS "{one.replace('"', '""')}\"""" for one in names)
    connection.execute(f"CREATE TEMP TABLE drawn AS SELECT id AS of_task{values} FROM tasks WHERE drawn != ''")
    return names


def _quoted(condition: str, drawn: Sequence[str]) -> str:
    """A condition such as `document = guide.md`, with the quotation marks that SQL wants; any other as it is."""
    found = re.fullmatch(r"\s*(?:drawn\.)?(\w+)\s*==?\s*([^\s'\"()][^'\"()<>=]*)", condition)
    return f"drawn.{found[1]} = '{found[2].strip()}'" if found and found[1] in drawn else condition


def _guard(connection: sqlite3.Connection, among: str, limit_s: float, denied: list[str]) -> None:
    """Let this connection do nothing but what a condition may; what it wanted besides is added to `denied`."""
    connection.execute(f"CREATE TEMP TABLE among AS SELECT id FROM tasks WHERE {among}")
    connection.execute("SELECT 1 FROM json_each('[]')")  # makes that table known while everything is still allowed
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
    until = time.monotonic() + limit_s
    connection.set_authorizer(lambda *what: _allowed(denied, *what))
    connection.set_progress_handler(lambda: int(time.monotonic() > until), _LOOK_AFTER)


def _allowed(denied: list[str], action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Reading of tasks and instances, harmless functions, and nothing else."""
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ:
        if first in {*TABLES, "among", "json_each"}:
            return sqlite3.SQLITE_OK
        denied.append(f"the table {first}")
    elif action == sqlite3.SQLITE_FUNCTION:
        if second in FUNCTIONS:
            return sqlite3.SQLITE_OK
        denied.append(f"the function {second}")
    else:
        denied.append("anything but an expression")
    return sqlite3.SQLITE_DENY
