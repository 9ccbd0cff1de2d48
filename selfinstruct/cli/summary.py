"""The end of a run, for a person: did it go well, what came of it, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfinstruct.cli.outputs import show_export, write_export
from selfinstruct.cli.status import all_figures, little, show_samples, show_table
from selfinstruct.cli.text import OUT, duration, harmless, say, show_json
from selfinstruct.pool import reader
from selfinstruct.pool.opening import is_pool
from selfinstruct.runner.pump import Outcome

MOST_LOST = 0.2
"""Share of finished tasks without an instance from which on a run did not go well."""
_REAL_MODELS = """
The built-in offline model only shows how it works. With a real model:
  an API       export OPENAI_API_KEY=...
               PROGRAM generate outputs/mine --model gpt-4o-mini
  a local GPU  pip install vllm
               PROGRAM generate outputs/mine \\
                 --backend vllm --model Qwen/Qwen3-8B
  Ollama       PROGRAM generate outputs/mine \\
                 --base-url http://localhost:11434/v1 --model qwen3:8b
"""


def show_summary(pool: Path, outcome: Outcome, seconds: float, program: str, *, as_json: bool) -> None:
    """Write the export, and show how the run ended and what the pool holds now."""
    if not is_pool(pool):  # it ended before there was one
        if outcome.exit_code != 5:
            say(outcome.reason)
        return
    status = reader.status(pool)
    try:
        exported = write_export(pool) if status["tasks"] else None
    finally:
        if not as_json:
            say(f"\n{verdict(outcome, seconds, status, program)}", wraps=True)
    if as_json:
        show_json(all_figures(pool, status))
        return
    show_table(status)
    if exported is not None:
        show_samples(pool)
        show_export(exported)
    if outcome.exit_code == 0 and is_demo(status):
        OUT.print(harmless(_REAL_MODELS.replace("PROGRAM", program)))


def verdict(outcome: Outcome, seconds: float, status: dict[str, Any], program: str) -> str:
    """Whether a run went well, and what to do next."""
    said, pool = f"{outcome.reason} ({duration(seconds)})", status["pool"]
    if outcome.exit_code == 3:
        then = "" if (status["last_run"] or {}).get("tokens_per_second") else "raise that bound, then "
        return f"The run went as far as its bounds allow: {said}. Next: {then}the same command goes on."
    if outcome.exit_code == 130:
        return f"The run was {said}, and nothing is lost. Next: the same command goes on."
    if outcome.exit_code != 0:
        return f"The run did not go well: {said}. Next: mend that, then the same command goes on."
    if not (doubt := _doubt(status)):
        then = "the same with a real model, as below" if is_demo(status) else f"`{program} review {pool}`, to read rows"
        return f"The run went well: {said}. Next: {then}."
    most = next(iter(status["rejections"]), None)
    shows = f" Next: `{program} explain {pool} {most}` shows such texts." if most else ""
    return f"The run reached its goal, not without trouble: {said}; {doubt}.{shows}"


def is_demo(status: dict[str, Any]) -> bool:
    """Whether only the built-in model has answered."""
    return status["models"] in ([], ["offline"])


def _doubt(status: dict[str, Any]) -> str:
    """What is not well although the goal is reached; else empty."""
    if found := little(status):
        return ": ".join(found)
    lost, finished = status["tasks_without_instances"], status["tasks"] + status["tasks_without_instances"]
    return f"{lost:,} of {finished:,} accepted tasks got no row" if lost > MOST_LOST * finished else ""
