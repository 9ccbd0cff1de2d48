"""What `generate` shows in a terminal or a log while it grows a pool."""

from __future__ import annotations

import gc
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from selfinstruct.cli.status import show_rows
from selfinstruct.cli.summary import show_summary
from selfinstruct.cli.text import ERR, OUT, harmless, say, show_json
from selfinstruct.config.roles import DEFAULT_CONCURRENCY
from selfinstruct.config.sections import Config
from selfinstruct.models.prices import in_dollars
from selfinstruct.pool.opening import check_place
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.stopping import Stopping
from selfinstruct.runner.watch import Tell

if TYPE_CHECKING:
    from selfinstruct.cli.live_page import LivePage


def generate(config: Config, program: str, *, as_json: bool, quiet: bool = False, page_port: int | None = None) -> int:
    """Grow a pool in this process, with its summary at the end; the exit code. `program` is what it was called by.

    Meanwhile a terminal shows the run as it stands, anything else gets a line for each round; `quiet` says nothing.
    With a port for it a page shows the run too.
    """
    started = time.monotonic()
    outcome = _grown(config, quiet=quiet, page_port=page_port)
    if outcome.exit_code == 5:
        say(f"error: {outcome.reason}")
    show_summary(config.pool, outcome, time.monotonic() - started, program, as_json=as_json)
    return outcome.exit_code


def preview(config: Config, tasks: int, *, as_json: bool, quiet: bool) -> int:
    """Show some tasks as these settings bring them, with their rows, and keep nothing; the exit code."""
    from selfinstruct.runner.preview import previewed  # noqa: PLC0415 - as in `_grown`

    with previewed(config, tasks, lambda found: _grown(found, quiet=quiet)) as (pool, outcome):
        rows = [*pool.rows()]
    if as_json:
        show_json([
            {
                "instruction": one.instruction, "input": one.input, "output": one.output,
                **({"turns": [asdict(turn) for turn in one.turns]} if one.turns else {}),
            }
            for one in rows
        ])  # fmt: skip
    else:
        show_rows(rows)
    said = "" if outcome.exit_code == 0 else f"{outcome.reason}; "
    tell = _hush if quiet and not said else say
    tell(f"\n{said}nothing is kept; the same command without --preview grows a pool")
    return outcome.exit_code


def _grown(config: Config, *, quiet: bool, page_port: int | None = None) -> Outcome:
    """How a run ended that a person could watch and interrupt."""
    from selfinstruct.cli.live import LiveView, Log, can_redraw  # noqa: PLC0415
    from selfinstruct.runner.run import run  # noqa: PLC0415 - brings the HTTP client, which takes a second to import

    with LiveView(ERR) if can_redraw(ERR) and not quiet else Log() as view, _page(config, page_port, view.tell) as page:

        def watch(growth: Growth) -> None:
            gc.freeze()  # what is imported stays; no collection need look through it
            if not quiet:
                view.watch(growth)
            if page is not None:
                page.watch(growth)

        stopping = Stopping(view.tell, watch)
        tell = _hush if quiet else view.tell
        outcome = stopping.run(lambda begun: run(config, tell, started=begun), (signal.SIGINT, signal.SIGTERM))
        if page is not None:
            page.ended(outcome)
        return outcome


def _page(config: Config, port: int | None, tell: Tell) -> AbstractContextManager[LivePage | None]:
    """The page of a run, if a port for it is given."""
    if port is None:
        return nullcontext()
    from selfinstruct.cli.live_page import LivePage  # noqa: PLC0415 - brings a server

    return LivePage(config.pool, port, tell)


def _hush(line: str) -> None:
    """Say nothing."""


def show_forecast(config: Config, *, as_json: bool, quiet: bool, show_prompts: bool) -> None:
    """What a run would send: requests, tokens, cost and time, then the prompts of its first round if asked for."""
    from selfinstruct.runner.forecast import forecast  # noqa: PLC0415 - as in `generate`

    check_place(config.pool)
    found = forecast(config, _hush if quiet else say)
    prompts = found.first_round if show_prompts else ()
    stages = [
        {
            "stage": stage.name,
            "model": stage.model,
            "requests": round(stage.requests),
            "prompt_tokens": round(stage.prompt_tokens),
            "completion_tokens": round(stage.completion_tokens),
            "usd": None if stage.picodollars is None else float(in_dollars(int(stage.picodollars))),
        }
        for stage in found.stages
    ]
    if as_json:
        figures = {
            found.goal.unit: found.done,
            "target" if found.goal.unit == "tasks" else "target_rows": found.goal.number,
            "basis": found.basis,
            "stages": stages,
            "usd": None if found.usd is None else float(found.usd),
            "seconds": None if found.batches else round(found.seconds),
            "batches": found.batches,
        }
        asked = [
            {"model": one.model, "messages": [{"role": each.role, "content": each.content} for each in one.messages]}
            for one in prompts
        ]
        show_json({**figures, "first_round": asked} if show_prompts else figures)
        return
    OUT.print(Text(f"from {found.done:,} to {found.goal}, expected ({found.basis}):"))
    for one in stages:
        cost = "" if one["usd"] is None else f"   {one['usd']:.4f} USD"
        OUT.print(
            harmless(
                f"  {one['stage']:<10} {one['requests']:>9,} requests {one['prompt_tokens']:>13,} prompt tokens "
                f"{one['completion_tokens']:>13,} completion tokens   {one['model']}{cost}"
            )
        )
    total = "no price is known for every model" if found.usd is None else f"{found.usd:.2f} USD"
    pace = f"{found.seconds / 60:,.1f} minutes at {config.concurrency or DEFAULT_CONCURRENCY} requests at once"
    if found.batches:
        pace = f"about {found.batches} batches one after the other, each within a day"
    OUT.print(Text(f"  in all: {total}, {pace}"))
    bounds = config.budget
    for name, most, expected in (
        ("--max-usd", bounds.max_usd, found.usd),
        ("--max-tokens", bounds.max_tokens, sum(one.prompt_tokens + one.completion_tokens for one in found.stages)),
        ("--max-requests", bounds.max_requests, sum(one.requests for one in found.stages)),
        ("--max-minutes", bounds.max_minutes, None if found.batches else found.seconds / 60),
    ):
        if most is not None and expected is not None and expected > most:
            OUT.print(Text(f"  {name} {most} would end it before that"))
    for request in prompts:
        OUT.print(harmless(f"\n--- propose request {request.index + 1} of {len(prompts)} to {request.model}"))
        for message in request.messages:
            OUT.print(harmless(f"[{message.role}]\n{message.content}"))
