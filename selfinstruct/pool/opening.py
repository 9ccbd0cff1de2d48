"""A pool on disk: made, opened for reading or growth, locked."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.errors import PoolError, PoolInUse
from selfinstruct.pool import statements
from selfinstruct.pool.contents import (
    Contents,
    Past,
    Removed,
    last_goal,
    load_contents,
    load_past,
    load_tasks,
    read_done,
    read_removed,
)
from selfinstruct.pool.packed import with_packing
from selfinstruct.pool.records import Done, StoredGoal
from selfinstruct.pool.schema import SCHEMA_VERSION, TABLES
from selfinstruct.pool.statements import Statement
from selfinstruct.types import Task, digest

AT_ONCE = 5_000
"""Statements after which `write_in_turn` makes durable what it has."""
SCHEDULE_FOLDER, SITES_FOLDER = "prefect", "sites"
"""In a pool's folder: what the Prefect server of its schedule keeps, and the pools of its sites."""


def seeds_digest(seeds: Sequence[Task]) -> str:
    """What tells one set of seeds from another: instructions, kinds, conversations and system texts, in order."""
    rows = (
        [[one.input, one.output, *([turn.user, turn.assistant] for turn in one.turns)] for one in seed.instances]
        for seed in seeds
    )
    return digest([
        [seed.instruction, seed.is_classification, own, *filter(None, [seed.system])]
        for seed, own in zip(seeds, rows, strict=True)
    ])  # fmt: skip


def connect(path: Path) -> sqlite3.Connection:
    """A connection for writing: WAL, full durability, no implicit transactions."""
    # absolute, since SQLite may take a name that begins with "file:" for a URI
    opened = sqlite3.connect(path.absolute(), isolation_level=None, check_same_thread=False, timeout=30)
    connection = with_packing(opened)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def is_pool(folder: Path) -> bool:
    """Does this folder hold a pool?"""
    path = folder / "pool.db"
    if _is_empty(path):
        return False
    with contextlib.closing(_reader(path)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


def _is_empty(path: Path) -> bool:
    return not path.is_file() or path.stat().st_size == 0


def _reader(path: Path) -> sqlite3.Connection:
    """A read-only connection to a database that is there, with rows by name.

    Raises:
        PoolError: it is no database, or a run left it open in a folder that cannot be written.
    """
    address = path.absolute().as_uri() + "?mode=ro"
    try:
        return _opened(address)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
            raise PoolError(f"{path}: this is not a readable pool database ({error})") from error
        if path.with_name(path.name + "-wal").exists():
            raise PoolError(
                f"{path.parent}: a run has this pool open or was killed, and reading it then takes a folder that can "
                "be written; make it writable, or copy it"
            ) from error
    try:
        return _opened(f"{address}&immutable=1")  # nobody writes, so that no file beside it is needed
    except sqlite3.DatabaseError as error:
        raise PoolError(f"{path}: the database cannot be read ({error})") from error


def trouble(path: Path, error: sqlite3.DatabaseError) -> PoolError:
    """What is wrong with a database that was opened, in a line."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_DAMAGE:
        return PoolError(f"{path}: the database cannot be used ({error}); nothing of it is lost")
    found = []
    with contextlib.closing(_reader(path)) as connection:
        for table in ("tasks", "instances", "completions", "requests", "rejections"):
            count = 0
            with contextlib.suppress(sqlite3.DatabaseError):
                for _ in connection.execute(f"SELECT * FROM {table}"):
                    count += 1
            found.append(f"{count:,} {table}")
    return PoolError(f"{path}: the database is damaged ({error}); still readable: {', '.join(found)}")


_NO_DAMAGE = {
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PERM
}  # fmt: skip
"""Codes of errors that say nothing of what is in a database."""


def _opened(address: str) -> sqlite3.Connection:
    connection = with_packing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=30))
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    """The pool's own facts: schema_version, seed, seeds, offline; empty in a database with nothing in it yet.

    Raises:
        PoolError: this is the database of some other program, or a pool of another version.
    """
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        return {}
    # as bytes, since a name may be no UTF-8
    path = os.fsdecode(connection.execute("SELECT CAST(file AS BLOB) FROM pragma_database_list").fetchone()[0])
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    except sqlite3.OperationalError:
        meta = {}
    if not str(meta.get("schema_version")).isdigit():
        raise PoolError(f"{path}: this database is no pool (no version of a schema in it); name another folder")
    version = int(meta["schema_version"])
    if version > SCHEMA_VERSION:
        raise PoolError(
            f"{path}: made by a later version (schema {version}, this one knows {SCHEMA_VERSION}); upgrade selfinstruct"
        )
    if version < SCHEMA_VERSION:
        raise PoolError(
            f"{path}: made by an earlier development version (schema {version}, this one writes {SCHEMA_VERSION}), "
            "which cannot be read any more; grow a new pool, or use the version that made it"
        )
    return meta


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """A read-only connection with rows by name; works while a run is going.

    Raises:
        PoolError: there is no pool here, another version made it, or it cannot be read.
    """
    if not folder.exists():
        raise PoolError(f"{folder}: no such pool; `generate --pool {folder}` makes one")
    path = _database_in(folder)
    if not _is_empty(path):
        connection = _reader(path)
        try:
            if read_meta(connection):
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
    what = "its pool.db is empty" if path.exists() else "no pool.db in it"
    raise PoolError(f"{folder}: this folder holds no pool ({what})")


def _database_in(folder: Path) -> Path:
    """Where a pool has its database, or will have it. Raises: PoolError, where something else is in its place."""
    path = folder / "pool.db"
    if folder.exists() and not folder.is_dir():
        meant = f"name {folder.parent}" if folder.name.startswith("pool.") else "a file of seeds is named by --seeds"
        raise PoolError(f"{folder}: this is a file; a pool is a folder: {meant}")
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise PoolError(f"{path}: this is {what}, and a pool has its database there; name another folder")
    return path


def check_place(folder: Path) -> None:
    """Raises: PoolError, where this folder is neither a pool nor a place for a new one."""
    path = _database_in(folder)
    if not _is_empty(path):
        with contextlib.closing(_reader(path)) as connection:
            read_meta(connection)
    elif folder.is_dir() and not path.exists() and _holds_something(folder):
        raise PoolError(f"{folder}: this folder holds other things and no pool; name a new or empty folder")


def _holds_something(folder: Path) -> bool:
    ours = {"pool.lock", "vllm.log", SCHEDULE_FOLDER, SITES_FOLDER, ".gitkeep", ".DS_Store"}
    return any(entry.name not in ours for entry in folder.iterdir())


class Writer:
    """A pool opened for growth. Only one process has it at a time; the kernel frees the lock whatever happens."""

    def __init__(self, folder: Path, lock: int, made: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.path = folder / "pool.db"
        self._lock = lock
        self._made = made
        """What there was not before this pool was opened, the innermost first."""

    @property
    def meta(self) -> dict[str, str]:
        """The pool's own facts; empty in a pool just being made."""
        with self.connect() as connection:
            return read_meta(connection)

    @classmethod
    def open(cls, folder: Path) -> Writer:
        """The pool in this folder, locked; an empty or missing folder becomes the place of a new one.

        Raises:
            PoolError: the folder is something else or cannot be written.
            PoolInUse: another run is growing the pool.
        """
        check_place(folder)
        database, lock_file = folder / "pool.db", folder / "pool.lock"
        files = [database, *(Path(f"{database}{ending}") for ending in ("-wal", "-shm")), lock_file]
        made = [path for path in (*files, folder, *folder.parents) if not path.exists()]
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise PoolError(f"{folder}: a pool cannot be written here ({error.strerror})") from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                raise PoolInUse(f"{folder}: {_holder(folder)}; one run at a time grows a pool") from error
            if lock_file.exists() and os.path.samestat(os.fstat(lock), lock_file.stat()):
                return cls(folder, lock, made)
            os.close(lock)  # whoever had it has just cleared it away, since no pool came of it

    def close(self) -> None:
        """Give the pool free for others; where none came of it, nothing that opening it made is left."""
        try:
            if self.path in self._made and self.is_new:
                self._leave_nothing()
        finally:
            os.close(self._lock)

    def forget(self) -> None:
        """Take back a pool that was created since it was opened, in which nothing was answered and no batch is out."""
        if self.path in self._made and not self.is_new:
            with self.connect() as connection:
                out = "SELECT 1 FROM attempts WHERE usd_e12 IS NULL AND run IN (SELECT id FROM runs WHERE by_batches)"
                kept = connection.execute(f"SELECT EXISTS (SELECT 1 FROM completions) OR EXISTS ({out})").fetchone()[0]
            if not kept:
                self._leave_nothing()

    def _leave_nothing(self) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):  # a folder that somebody put something into stays
                path.rmdir() if path.is_dir() else path.unlink()

    @property
    def is_new(self) -> bool:
        """True until `create` was called once."""
        return not is_pool(self.folder)

    def create(self, seeds: Sequence[Task], seed: int, *, offline: bool, more: Iterable[Statement] = ()) -> None:
        """Make the database with its seeds and whatever `more` adds, whole or not at all."""
        meta = {
            "schema_version": str(SCHEMA_VERSION), "seed": str(seed), "seeds": seeds_digest(seeds),
            "offline": json.dumps(offline),
        }  # fmt: skip
        # one by one, since `executescript` would end the transaction
        tables = [(statement, ()) for statement in TABLES.split(";\n") if statement.strip()]
        facts = [("INSERT INTO meta VALUES (?, ?)", fact) for fact in meta.items()]
        added = [one for position, task in enumerate(seeds) for one in statements.add_seed(position, task)]
        self._write([*tables, *facts, *added, *more])

    def _write(self, more: Iterable[Statement]) -> None:
        """Write all of these or none, while no run is going on."""
        with self.connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for sql, values in more:
                connection.execute(sql, values)
            connection.execute("COMMIT")

    def write_in_turn(self, groups: Iterable[Sequence[Statement]]) -> None:
        """Write group after group, each whole or not at all, many of them at once."""
        with self.connect() as connection:
            connection.execute("PRAGMA cache_size = -262144")  # a quarter of a GB, for indexes that are met at random
            waiting = 0
            for group in groups:
                if group and not waiting:
                    connection.execute("BEGIN IMMEDIATE")
                for sql, values in group:
                    connection.execute(sql, values)
                waiting += len(group)
                if waiting > AT_ONCE:
                    connection.execute("COMMIT")
                    waiting = 0
            if waiting:
                connection.execute("COMMIT")

    def start_run(self, started_at: str, goal: StoredGoal, job: str | None = None, *, by_batches: bool = False) -> int:
        """Note that a run begins, what it is to reach and which job it belongs to; its number."""
        row = {
            "started_at": started_at, "host": socket.gethostname(), "pid": os.getpid(),
            "goal": goal.tasks, "more": goal.more, "goal_rows": goal.rows, "job": job,
            "by_batches": int(by_batches),
        }  # fmt: skip
        with self.connect() as connection:
            return int(connection.execute(*statements.insert("runs", row)).lastrowid or 0)

    def end_run(self, run: int, ended_at: str, exit_code: int, outcome: str) -> None:
        """Note how a run ended."""
        self._write([statements.end_run(run, ended_at, exit_code, outcome)])

    def last_goal(self) -> StoredGoal:
        """That of the last run; nothing before the first."""
        with self.connect() as connection:
            return last_goal(connection)

    def goal_of(self, job: str) -> StoredGoal | None:
        """That which the first run of a job was given; None before it."""
        sql = "SELECT goal, more, goal_rows FROM runs WHERE job = ? ORDER BY id LIMIT 1"
        with self.connect() as connection:
            row = connection.execute(sql, (job,)).fetchone()
        return StoredGoal(*row) if row else None

    def done(self) -> Done:
        """What is finished of it."""
        with self.connect() as connection:
            return read_done(connection)

    def used_by(self, job: str) -> tuple[int, int, int]:
        """Requests, tokens and picodollars of all runs of a job so far; lost ones at their reserve."""
        sql = (
            "SELECT COUNT(*), COALESCE(SUM(COALESCE(tokens, reserved_tokens)), 0), "
            "COALESCE(SUM(COALESCE(usd_e12, reserved_usd_e12)), 0) FROM attempts "
            "WHERE run IN (SELECT id FROM runs WHERE job = ?)"
        )
        with self.connect() as connection:
            requests, tokens, picodollars = connection.execute(sql, (job,)).fetchone()
        return requests, tokens, picodollars

    def attempts(self) -> tuple[int, int, dict[str, int]]:
        """(highest id, picodollars of all, lost ones with their reserve) of the attempts so far, and those in batches.

        The last are the reserves of open requests that a run by batches left without a word, by request.
        """
        sql = "SELECT COALESCE(MAX(id), 0), COALESCE(SUM(COALESCE(usd_e12, reserved_usd_e12)), 0) FROM attempts"
        out = (
            "SELECT r.id, SUM(reserved_usd_e12) FROM attempts JOIN requests r ON r.number = request "
            "WHERE usd_e12 IS NULL AND r.state = 'open' AND run IN (SELECT id FROM runs WHERE by_batches) GROUP BY 1"
        )
        with self.connect() as connection:
            highest, picodollars = connection.execute(sql).fetchone()
            return highest, picodollars, dict(map(tuple, connection.execute(out)))

    def open_since(self) -> str | None:
        """When the earliest run began that planned a round with an open request; None where none is open."""
        sql = (
            "SELECT MIN(runs.started_at) FROM requests q JOIN rounds r ON r.number = q.round "
            "JOIN runs ON runs.id = r.run WHERE q.state = 'open'"
        )
        with self.connect() as connection:
            found = connection.execute(sql).fetchone()[0]
        return None if found is None else str(found)

    def capabilities(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What is known of endpoints, by (URL, model)."""
        with self.connect() as connection:
            rows = connection.execute("SELECT url, model, capabilities FROM endpoints").fetchall()
        return {(row["url"], row["model"]): json.loads(row["capabilities"]) for row in rows}

    def tasks(self, ids: Iterable[str]) -> dict[str, Task]:
        """These tasks and seeds by id, without their instances."""
        with self.connect() as connection:
            return load_tasks(connection, ids)

    def removed(self, known: Removed) -> Removed:
        """The tasks that are removed now; `known` if nothing has happened since that was read."""
        with self.connect() as connection:
            connection.execute("BEGIN")
            return read_removed(connection, known)

    def load(self) -> Contents:
        """What growth needs to know, read once at its start."""
        with self.connect() as connection:
            connection.execute("BEGIN")
            contents = load_contents(connection)
        for opened in contents.rounds:
            if not opened.requests:
                raise PoolError(f"{self.path}: round {opened.number} has no requests; `replay` saves what is there")
        return contents

    def past(self, until: int) -> Past:
        """What the monitor has seen, in detail from the last window on that ends by this round."""
        with self.connect() as connection:
            connection.execute("BEGIN")
            return load_past(connection, until)

    @contextlib.contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A connection for writing, with rows by name; trouble with the database is one clear line."""
        try:
            with contextlib.closing(connect(self.path)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except sqlite3.DatabaseError as error:
            raise trouble(self.path, error) from error


def is_held(folder: Path) -> bool:
    """Is a run growing the pool in this folder?"""
    try:
        lock = os.open(folder / "pool.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _holder(folder: Path) -> str:
    try:
        with contextlib.closing(open_for_reading(folder)) as connection:
            row = connection.execute("SELECT pid, host, started_at FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    except (PoolError, sqlite3.Error):
        row = None
    if row is None:
        return "another run is growing this pool"
    return f"another run is growing this pool (process {row['pid']} on {row['host']}, since {row['started_at']})"
