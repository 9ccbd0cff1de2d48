"""The user's fine-tuning command, which runs once for each published version."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfinstruct.errors import ConfigError, PoolError, unknown
from selfinstruct.models.vllm import supervisor
from selfinstruct.pool.whole_files import sync
from selfinstruct.versions.shelf import Version, check_files, locked

FOLDER = "finetune"
"""In the folder of a version, not listed in its manifest: the record, logs and output of the command."""
RECORD = "record.json"
LOOK_S = 0.5
GRACE_S = 10.0
"""The time that a stopped command has to end by itself."""
_LOST = {"note": "the record of the attempts before this one could not be read"}


@dataclass(frozen=True, slots=True)
class Training:
    """How a command ended. `exit_code` is None if it was stopped; `is_new` is False if it had been done before."""

    exit_code: int | None
    log: Path
    out: Path
    attempt: int
    is_new: bool = True
    lost_record: bool = False
    """The record could not be read, so the command may have been done before."""

    @property
    def is_done(self) -> bool:
        """Did the command end with exit code 0?"""
        return self.exit_code == 0


def train(pool: Path, one: Version, command: str | None, stopped: Callable[[], bool] = lambda: False) -> Training:
    """Run the command for a version, unless it was done before; a failed or killed attempt is tried again.

    Raises:
        ConfigError: the command cannot be used.
        PoolError: a file of the version has changed, or the attempt cannot be written down.
        PoolInUse: the command is running for this version.
    """
    if command is None:
        raise ConfigError("no command to run; give --command, or finetune.command in a config file")
    folder = one.folder / FOLDER
    words = filled(command, pool, one)
    if shutil.which(words[0]) is None:
        raise ConfigError(f"finetune.command: {words[0]!r} cannot be run (no such program, or it is not executable)")
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder / ".lock", f"the fine-tuning of version {one.number} is under way") as lock:
            return _attempt(one, folder, words, lock, stopped)
    except OSError as error:
        raise PoolError(f"{folder}: the attempt cannot be written down ({error})") from error


def _attempt(one: Version, folder: Path, words: list[str], lock: int, stopped: Callable[[], bool]) -> Training:
    attempts = _attempts(folder)
    if attempts and attempts[-1].get("exit_code") == 0:
        number = len(attempts)
        return Training(0, _log(folder, number), folder / "out", number, is_new=False)
    check_files(one)
    lost = attempts[-1:] == [_LOST]
    attempts.append({"command": words, "started_at": _now()})
    _write(folder, attempts)
    number = len(attempts)
    exit_code = None
    try:
        exit_code = _run(words, _log(folder, number), lock, stopped)
    finally:
        attempts[-1] |= {"ended_at": _now(), "exit_code": exit_code}
        _write(folder, attempts)
    return Training(exit_code, _log(folder, number), folder / "out", number, lost_record=lost)


def as_line(one: Version, done: Training) -> str:
    """The outcome in one line for people."""
    if not done.is_new:
        return f"version {one.number} was fine-tuned on before"
    lost = f"; {RECORD} could not be read, so it may have been done before" if done.lost_record else ""
    if done.is_done:
        return f"the fine-tuning on version {one.number} is done{lost}"
    how = "was stopped" if done.exit_code is None else f"ended with exit code {done.exit_code}"
    return f"the fine-tuning on version {one.number} {how}; {done.log} says why, the same command tries again{lost}"


def was_tried(one: Version) -> bool:
    """Was the command ever started for this version?"""
    return (one.folder / FOLDER / RECORD).exists()


def filled(command: str, pool: Path, one: Version) -> list[str]:
    """The words of the command with the version's places filled in; no shell reads them.

    Raises:
        ConfigError: the command has an open quote, an unknown place, or no word at all.
    """
    folder = one.folder.absolute()
    places = {
        "data": folder / "data", "out": folder / FOLDER / "out", "version": folder, "number": one.number,
        "pool": pool.absolute(),
    }  # fmt: skip
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"finetune.command: {error}: {command!r}") from error
    if not words:
        raise ConfigError("finetune.command is empty; give a program and its arguments")
    for name in re.findall(r"\{(\w+)\}", command):
        if name not in places:
            known = [f"{{{place}}}" for place in places]
            raise ConfigError(f"finetune.command: unknown place {{{name}}}; {unknown(name, known)}")
    return [re.sub(r"\{(\w+)\}", lambda found: str(places[found[1]]), word) for word in words]


def _run(words: list[str], log: Path, lock: int, stopped: Callable[[], bool]) -> int | None:
    """The exit code of a command; None if it was stopped.

    The supervisor ends the command and its children when this process ends in any way; until then it holds the lock.
    """
    with log.open("wb") as output:
        process = supervisor.start(words, stdout=output, stderr=output, pass_fds=(lock,))
    try:
        while not stopped():
            try:
                return process.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                continue
        return None
    finally:
        supervisor.end(process, GRACE_S)


def _log(folder: Path, number: int) -> Path:
    return folder / f"attempt-{number}.log"


def _attempts(folder: Path) -> list[dict[str, Any]]:
    """The attempts so far; a record that cannot be read counts as one attempt that was not done."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        return [_LOST]
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else [_LOST]


def _write(folder: Path, attempts: list[dict[str, Any]]) -> None:
    new = folder / f".{RECORD}"
    new.write_text(json.dumps(attempts, indent=2) + "\n", encoding="utf-8")
    sync(new)
    new.replace(folder / RECORD)
    sync(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
