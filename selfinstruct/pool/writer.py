"""One thread that writes to a database and commits in groups, so that nobody waits for the disk alone."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Statement = tuple[str, Sequence[Any]]
Notify = Callable[[list[Any], Exception | None], None]
"""Told after each commit: the tokens of the transactions in it, and the error if they were rolled back."""

GROUP_S = 0.002
"""How long a commit waits for company. The design allows 20 ms."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection for writing: WAL, full durability, no implicit transactions."""
    # absolute, since SQLite may take a name that begins with "file:" for a URI
    connection = sqlite3.connect(path.absolute(), isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


class Writer:
    """Transactions handed in from any thread, written in the order they came.

    A transaction is a list of statements and a token. Once it is durable, `notify` gets the token. After an error
    nothing more is written: later transactions are refused with the same error, so that order is never broken.
    """

    def __init__(self, path: Path, notify: Notify) -> None:
        self._path = path
        self._notify = notify
        # no SimpleQueue: CPython's may wait for ever where a time-out is over before its wait begins
        self._queue: queue.Queue[tuple[Sequence[Statement], Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="pool-writer", daemon=True)
        self._thread.start()

    def submit(self, statements: Sequence[Statement], token: Any) -> None:
        """Hand in one transaction; returns at once."""
        self._queue.put((statements, token))

    def close(self) -> None:
        """Write what was handed in, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        error: Exception | None = None
        connection: sqlite3.Connection | None = None
        try:
            connection = connect(self._path)
        except sqlite3.Error as fault:
            error = fault
        open_ = True
        while open_:
            group, open_ = self._next_group()
            if group and connection is not None and error is None:
                error = _commit(connection, [statements for statements, _ in group])
            if group:
                self._notify([token for _, token in group], error)
        if connection is not None:
            connection.close()

    def _next_group(self) -> tuple[list[tuple[Sequence[Statement], Any]], bool]:
        group = []
        item = self._queue.get()
        until = time.monotonic() + GROUP_S
        while item is not None:
            group.append(item)
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return group, True
        return group, False


def _commit(connection: sqlite3.Connection, transactions: list[Sequence[Statement]]) -> Exception | None:
    """Write all in one transaction; the error if none of it was written."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statements in transactions:
            for sql, values in statements:
                connection.execute(sql, values)
        connection.execute("COMMIT")
    except (sqlite3.Error, OverflowError, TypeError, ValueError) as error:  # also of values that no database holds
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return error
    return None
