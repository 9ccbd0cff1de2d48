"""What `generate` shows in a terminal or a log while it grows a pool, and how it minds Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from selfinstruct.cli.outputs import show_export, write_export
from selfinstruct.cli.status import all_figures, show_samples, show_table
from selfinstruct.cli.text import ERR, OUT, harmless, say, show_json
from selfinstruct.config.roles import DEFAULT_CONCURRENCY
from selfinstruct.config.sections import Config
from selfinstruct.models.prices import in_dollars
from selfinstruct.pool import reader
from selfinstruct.pool.opening import check_place, is_pool
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.stopping import INTERRUPTED, Start, Stopping

PATIENCE_S = 2.0
"""How long a run that is to end may be held up by what cannot be awaited."""
REAL_MODELS = """\
The built-in offline model only shows how it works; real data needs a real model:
  an API        export OPENAI_API_KEY=...
                python -m selfinstruct generate --pool outputs/mine --model gpt-4o-mini
  a local GPU   pip install vllm
                python -m selfinstruct generate --pool outputs/mine --backend vllm --model Qwen/Qwen3-8B
  Ollama        python -m selfinstruct generate --pool outputs/mine --base-url http://localhost:11434/v1 \\
                --model qwen3:8b
"""


def generate(config: Config, *, as_json: bool, quiet: bool = False) -> int:
    """Grow a pool in this process, with its summary at the end; the exit code.

    Meanwhile a terminal shows the run as it stands, anything else gets a line for each round; `quiet` says nothing.
    """
    from selfinstruct.cli.live import LiveView, can_redraw  # noqa: PLC0415
    from selfinstruct.runner.run import run  # noqa: PLC0415 - brings the HTTP client, which takes a second to import

    started = time.monotonic()
    with LiveView(ERR) if can_redraw(ERR) and not quiet else contextlib.nullcontext() as view:

        def grow(begun: Callable[[Growth], None]) -> Coroutine[Any, Any, Outcome]:
            def begin(growth: Growth) -> None:
                begun(growth)
                if view is not None:
                    view.watch(growth)

            return run(config, _hush if quiet else say, started=begin)

        try:
            outcome = asyncio.run(_interruptible(grow))
        except KeyboardInterrupt:  # in what held up the loop
            outcome = INTERRUPTED
    if outcome.exit_code == 5:
        say(f"error: {outcome.reason}")
    _summary(config.pool, outcome, time.monotonic() - started, as_json=as_json)
    return outcome.exit_code


def _hush(line: str) -> None:
    """Say nothing."""


async def _interruptible(start: Start) -> Outcome:
    """Run, minding Ctrl-C and SIGTERM."""
    stopping = Stopping(say)
    with _heard(asyncio.get_running_loop(), stopping.interrupt):
        return await stopping.run(start)


@contextlib.contextmanager
def _heard(loop: asyncio.AbstractEventLoop, interrupt: Callable[[], None]) -> Iterator[None]:
    """Within, SIGINT and SIGTERM are told to the loop, and end by KeyboardInterrupt what keeps it from hearing them.

    That may be a validator of the user's that never ends. A timer of the kernel wakes this thread, since no other gets
    its turn while a pattern is matched.
    """
    unheard: list[bool] = []

    def tell(*_: object) -> None:
        loop.call_soon_threadsafe(interrupt)
        if not unheard:
            ask()
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S)

    def ask(*_: object) -> None:
        if unheard:
            raise KeyboardInterrupt
        unheard.append(True)
        loop.call_soon_threadsafe(unheard.clear)

    handlers = {signal.SIGINT: tell, signal.SIGTERM: tell, signal.SIGALRM: ask}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _summary(pool: Path, outcome: Outcome, seconds: float, *, as_json: bool) -> None:
    if not is_pool(pool):  # it ended before there was one
        if outcome.exit_code != 5:
            say(outcome.reason)
        return
    status = reader.status(pool)
    try:
        exported = write_export(pool) if status["tasks"] else None
    finally:
        if not as_json:
            say(f"\n{outcome.reason} ({seconds:.1f} s)")
    if as_json:
        show_json(all_figures(pool, status))
        return
    show_table(status)
    if exported is not None:
        show_samples(pool)
        show_export(exported)
    if status["models"] in ([], ["offline"]):
        OUT.print(Text("\n" + REAL_MODELS))


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
            "tasks": found.done,
            "target": found.goal,
            "basis": found.basis,
            "stages": stages,
            "usd": None if found.usd is None else float(found.usd),
            "seconds": round(found.seconds),
        }
        asked = [
            {"model": one.model, "messages": [{"role": each.role, "content": each.content} for each in one.messages]}
            for one in prompts
        ]
        show_json({**figures, "first_round": asked} if show_prompts else figures)
        return
    OUT.print(Text(f"from {found.done:,} to {found.goal:,} tasks, expected ({found.basis}):"))
    for one in stages:
        cost = "" if one["usd"] is None else f"   {one['usd']:.4f} USD"
        OUT.print(
            harmless(
                f"  {one['stage']:<10} {one['requests']:>9,} requests {one['prompt_tokens']:>13,} prompt tokens "
                f"{one['completion_tokens']:>13,} completion tokens   {one['model']}{cost}"
            )
        )
    total = "no price is known for every model" if found.usd is None else f"{found.usd:.2f} USD"
    at_once = config.concurrency or DEFAULT_CONCURRENCY
    OUT.print(Text(f"  in all: {total}, {found.seconds / 60:,.1f} minutes at {at_once} requests at once"))
    for request in prompts:
        OUT.print(harmless(f"\n--- propose request {request.index + 1} of {len(prompts)} to {request.model}"))
        for message in request.messages:
            OUT.print(harmless(f"[{message.role}]\n{message.content}"))
