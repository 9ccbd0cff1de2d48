"""Removing tasks, putting them back and correcting rows; the page on which rows are reviewed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from selfinstruct.cli.text import OUT, counted, say, short
from selfinstruct.errors import ConfigError
from selfinstruct.pool.edits import Kind, Selection, change, correct
from selfinstruct.pool.journal import now

SHOWN = 5
"""Tasks named when many are removed."""


def change_tasks(
    pool: Path, kind: Kind, selection: Selection, reason: str, *, descendants: bool = False, dry_run: bool = False
) -> None:
    """Remove tasks, put them back or take back their corrections, and say which."""
    done = change(pool, kind, selection, reason, now(), descendants=descendants, dry_run=dry_run)
    verb = {"remove": "removed", "restore": "restored", "revert": "put back as first written and without preferences"}[
        kind
    ]
    if done.seeds:
        fits = f"--where takes generated tasks alone, and fits none of these but {counted(done.seeds, 'seed')}"
        OUT.print(Text(f"nothing to be removed: {fits}; name seeds by their ids"))
        return
    if not done.tasks:
        OUT.print(Text(f"nothing to be {verb}: no task is selected, or all of them are so already"))
        return
    kinds = [counted(number, name) for name, number in (
        ("seed", sum(task.origin == "seed" for task in done.tasks)),
        ("descendant", sum(task.is_descendant for task in done.tasks)),
    ) if number]  # fmt: skip
    among = f", {' and '.join(kinds)} among them" if kinds else ""
    start = f"would be {verb}" if done.event is None else f"{verb} by event {done.event}"
    rows = sum(task.row is not None for task in done.tasks)
    what = " and ".join(counted(n, name) for n, name in ((len(done.tasks) - rows, "task"), (rows, "row")) if n)
    OUT.print(Text(f"{what} {start}{among}"))
    for task in done.tasks[:SHOWN]:
        OUT.print(Text(f"  {task.name}  {short(task.instruction, 90)}"))
    if len(done.tasks) > SHOWN:
        OUT.print(Text(f"  and {len(done.tasks) - SHOWN:,} more"))
    if done.event is None:
        say("dry run: nothing was changed")
    else:
        soon = "" if kind == "revert" else "in force for the next round to be planned; "
        say(f"{soon}`export {pool}` writes the training data again")


def edit_row(pool: Path, row: str, texts: Mapping[str, str], reason: str) -> None:
    """Correct texts of a row, and say so."""
    done = correct(pool, row, texts, reason, now())
    if done.event is None:
        OUT.print(Text(f"{done.row} has these texts already"))
        return
    OUT.print(Text(f"{done.row} is corrected by event {done.event}"))
    say(f"`export {pool}` writes the training data again, `restore --edits` takes it back")


def review_rows(
    pool: Path, where: str | None, sample: int | None, port: int, reader: str, *, blind: bool, opens: bool
) -> None:
    """Serve the page on which rows are reviewed, until Ctrl-C; `opens` also opens it where there is a browser."""
    from selfinstruct.pages import shown_in_browser  # noqa: PLC0415
    from selfinstruct.review.page_server import serve  # noqa: PLC0415
    from selfinstruct.review.session import places  # noqa: PLC0415

    rows = places(pool, where, sample)
    if not rows:
        raise ConfigError(f"{pool}: there is no row to review" + (" for which --where holds" if where else ""))
    say(f"{counted(len(rows), 'row')}; open this address in a browser on this machine, Ctrl-C ends")
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:

        def tell(address: str) -> None:
            OUT.print(Text(address))
            if opens:
                stack.enter_context(shown_in_browser(address))

        serve(pool, rows, port, tell, blind=blind, reader=reader.strip())
