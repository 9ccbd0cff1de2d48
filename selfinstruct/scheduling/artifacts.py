"""What Prefect's pages show of a run: its progress, a table of its rounds, texts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from selfinstruct.diversity.reasons import meaning
from selfinstruct.errors import SelfInstructError
from selfinstruct.pool.opening import is_pool
from selfinstruct.pool.reader import snapshot, status
from selfinstruct.pool.records import RoundFigures, Row
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.versions.publishing import plain
from selfinstruct.versions.shelf import REPORT

UPDATE_S = 30.0
"""The shortest time between two updates of the progress: each makes two events, which Prefect keeps for a week."""
MOST_ROUNDS = 200
"""The most rounds in the table; of more, the newest."""
SAMPLES = 5
"""The rows that a summary shows."""
LONGEST_REASON = 2000
"""The characters of a line that says how a run ended."""
BAR = 12
"""The length of the longest bar of a chart."""
ENDS: Mapping[int, tuple[str, str]] = {
    0: ("It went well", ""),
    1: ("The command failed", "its log says why; mend that, then start `finetune` for this version again"),
    2: ("Wrong settings, or files that cannot be used", "mend what this line names, then start a run again"),
    3: ("A bound of the budget is reached", "nothing is lost; the next run goes on, further with a higher bound"),
    4: ("Almost nothing new comes any more", "see what is rejected; other seeds, another model or a smaller goal help"),
    5: ("No model could be asked", "see to its server, `base_url`, `model` and key (`secrets`); then retry this run"),
    6: ("The gate refused this version", "see its report; mend the rows, or loosen the bound in `[publish]`"),
    130: ("The run was stopped", "nothing is lost; the next run goes on"),
}
"""What an exit code means, and what to do then."""
_ABOUT = {
    "summary": "How the last run ended, what to do next, what it brought and some rows.",
    "version": "How the last publishing ended, what to do next, and what changed in the version.",
    "finetune": "How the last fine-tuning ended, and what to do next.",
}


def label(pool: Path) -> str:
    """A pool's name for Prefect: that of its folder in plain letters, and six digits that follow from its path.

    A server may know two pools whose folders have the same name.
    """
    path = pool.resolve()
    name = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-") or "pool"
    return f"{name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:6]}"


def key(pool: Path, what: str) -> str:
    """The key of an artifact of a pool, in lower-case letters, digits and dashes."""
    return f"{label(pool)}-{what}"


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Log what Prefect cannot show and go on: its pages are no part of the work."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - any fault of Prefect, its server or the network
        get_run_logger().warning("Prefect does not show the %s: %s", what, str(error) or type(error).__name__)


@contextlib.asynccontextmanager
async def progress(pool: Path) -> AsyncIterator[Callable[[Growth], None]]:
    """A function that shows, for a growth, how many of the tasks of this run are done, until the end of the block."""
    followers: list[asyncio.Task[None]] = []
    over = asyncio.Event()
    try:
        yield lambda growth: followers.append(asyncio.create_task(_follow(pool, growth, over)))
    finally:
        over.set()
        await asyncio.gather(*followers)


async def _follow(pool: Path, growth: Growth, over: asyncio.Event) -> None:
    begun = growth.done
    title = f"{pool}: from {begun:,} to {growth.goal}"
    artifact: UUID | None = None
    shown = -1
    while True:
        is_last = over.is_set()
        with _harmless("progress"):
            done = growth.done
            share = min(100.0, 100.0 * (done - begun) / max(1, growth.goal.number - begun))
            if artifact is None:
                artifact = await acreate_progress_artifact(share, key(pool, "progress"), title)
            elif done != shown:
                await aupdate_progress_artifact(artifact, share)
            shown = done
        if is_last:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UPDATE_S):
                await over.wait()


async def show_rounds(pool: Path, rounds: Sequence[RoundFigures]) -> None:
    """Show a table with a row for each round of the run."""
    table = []
    for one in rounds[-MOST_ROUNDS:]:
        reasons = one.rejected["instruction"]
        rejected = sum(reasons.values())
        whole = one.accepted + rejected
        table.append(
            {
                "round": one.number,
                "accepted": one.accepted,
                "rejected": rejected,
                "acceptance": f"{one.accepted / whole:.0%}" if whole else "",
                "bar": bar(one.accepted, whole),
                "mostly rejected": ", ".join(f"{reason} {count:,}" for reason, count in list(reasons.items())[:3]),
                "state": one.state,
            }
        )
    note = f"{pool}: the rounds of this run" + (f", the last {MOST_ROUNDS}" if len(rounds) > MOST_ROUNDS else "")
    with _harmless("rounds"):
        await acreate_table_artifact(table, key(pool, "rounds"), note)


def status_of(pool: Path) -> dict[str, Any]:
    """The status that a summary begins from; empty where there is no pool yet."""
    return status(pool) if is_pool(pool) else {}


async def show_summary(pool: Path, outcome: Outcome, models: str, before: Mapping[str, Any]) -> None:
    """Show how a run ended and what to do next, then figures since the status before it, reasons, some rows, files."""
    review = f"read rows: `python -m selfinstruct review {shlex.quote(str(pool))}`"
    lines = ended(outcome.exit_code, outcome.reason, review)
    with contextlib.suppress(SelfInstructError):  # then there is no more to be told than how it ended
        if is_pool(pool):
            with snapshot(pool) as reader:
                after, rows = reader.status(str(pool)), reader.some_rows(SAMPLES)
            lines += _figures(pool, models, before, after, rows)
    await show_text(pool, "summary", "\n".join([f"# {plain(pool.name)}", "", *lines]))


def ended(exit_code: int, reason: str, at_best: str = "") -> list[str]:
    """How something ended, and what to do then, as lines of Markdown; `at_best` is what to do where it went well."""
    meaning_of, mending = ENDS.get(exit_code, ("It failed", "the log of this run says more"))
    code = f" (exit code {exit_code})" if exit_code else ""
    lines = [f"**{meaning_of}{code}:** {plain(reason, LONGEST_REASON)}", ""]
    return [*lines, f"**What to do now:** {mending or at_best}", ""] if mending or at_best else lines


def _figures(
    pool: Path, models: str, before: Mapping[str, Any], after: Mapping[str, Any], rows: Sequence[Row]
) -> list[str]:
    def gain(name: str) -> int:
        return int(after[name]) - int(before.get(name, 0))

    reasons = {
        reason: count - before.get("rejections", {}).get(reason, 0) for reason, count in after["rejections"].items()
    }
    reasons = dict(sorted(((one, count) for one, count in reasons.items() if count), key=lambda item: -item[1]))
    usd = after["usd"] - before.get("usd", 0.0)
    files = [pool / "pool.db", pool / "export", pool / "versions" / "latest", pool / "versions" / "latest" / REPORT]
    return [
        f"Answered by {plain(models)}." if models else "Nothing was asked of a model.",
        "",
        "| | this run | in all |",
        "|---|---:|---:|",
        *(
            f"| {label} | {gain(name):,} | {after[name]:,} |"
            for label, name in (
                ("tasks accepted, with instances", "tasks"),
                ("their instances", "instances"),
                ("tasks left without an instance", "tasks_without_instances"),
                ("rounds", "rounds"),
                ("requests", "requests"),
                ("prompt tokens", "prompt_tokens"),
                ("completion tokens", "completion_tokens"),
            )
        ),
        f"| cost in USD | {usd:.4f} | {after['usd']:.4f} |" if after["usd"] else "| cost in USD | no price known | |",
        f"| rejections | {sum(reasons.values()):,} | {sum(after['rejections'].values()):,} |",
        "",
        *_chart(reasons),
        *_samples(rows),
        "Files:",
        "",
        *(f"- {link(path)}" for path in files if path.exists()),
        "",
        "What to look at next:",
        "",
        *(f"- `python -m selfinstruct {command}`: {why}" for command, why in _next(pool, reasons)),
    ]


def _chart(reasons: Mapping[str, int]) -> list[str]:
    """The rejections of a run by reason, with bars; most first."""
    if not reasons:
        return []
    most = max(reasons.values())
    head = ["Rejected in this run:", "", "| | | what is wrong | reason |", "|---|---:|---|---|"]
    return [
        *head,
        *(
            f"| {bar(count, most)} | {count:,} | {plain(meaning(reason))} | {plain(reason)} |"
            for reason, count in reasons.items()
        ),
        "",
    ]


def bar(part: float, whole: float) -> str:
    """A bar of a chart, in characters."""
    return "█" * max(round(BAR * part / whole), int(part > 0)) if whole else ""


async def show_text(pool: Path, what: str, text: str) -> None:
    """Show a text in Markdown."""
    with _harmless(what):
        await acreate_markdown_artifact(text, key(pool, what), _ABOUT.get(what))


def _samples(rows: Sequence[Row]) -> list[str]:
    """Rows as a table, shortened."""
    if not rows:
        return []
    head = ["Some rows:", "", "| instruction | input | output |", "|---|---|---|"]
    texts = ((row.instruction, row.instance.input, row.instance.output) for row in rows)
    return [*head, *(f"| {' | '.join(plain(text) for text in each)} |" for each in texts), ""]


def _next(pool: Path, reasons: Mapping[str, int]) -> list[tuple[str, str]]:
    """The commands to look at next, each with its use; `reasons` are the rejections of the run, most first."""
    name = shlex.quote(str(pool))
    most = next(iter(reasons), None)
    explain = [(f"explain {name} {most}", "what was rejected most, with what it resembles")] if most else []
    return [
        *explain, (f"review {name}", "rows one by one, to keep or remove"),
        (f"report {name}", "how varied the pool is, in figures"), (f"status {name}", "the pool now"),
    ]  # fmt: skip


def link(path: Path) -> str:
    """A link to a file on this machine."""
    return f"[{plain(str(path))}]({path.absolute().as_uri()})"
