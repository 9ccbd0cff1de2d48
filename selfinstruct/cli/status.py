"""A pool in figures, some of its rows, and what became of a task or candidate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from selfinstruct.cli.text import OUT, harmless, line, short, show_json
from selfinstruct.diversity.diagnosis import REPEATS, diagnosis, is_repeating
from selfinstruct.diversity.figures import diversity
from selfinstruct.pool import reader
from selfinstruct.pool.explain import explain
from selfinstruct.pool.yields import READ

Line = tuple[str, object, str]
"""Name, figure and remark."""


def show_status(pool: Path, *, as_json: bool) -> None:
    """Show the pool in figures."""
    status = reader.status(pool)
    if as_json:
        show_json(all_figures(pool, status))
    else:
        show_table(status)


def all_figures(pool: Path, status: dict[str, Any]) -> dict[str, Any]:
    """A pool's status with the figures of diversity, which plain `status` does without."""
    return {**status, "diversity": diversity(reader.scored_instructions(pool)).to_json()}


def show_table(status: dict[str, Any]) -> None:
    """A pool's status, a line a figure."""
    models = ", ".join(status["models"]) or "none yet"
    OUT.print(harmless(f"pool {status['pool']}, recipe {status['recipe'] or 'none yet'}, models: {models}"))
    for name, value, note in (*_asked(status), *_became(status)):
        line(name, value, note)


def _asked(status: dict[str, Any]) -> Iterator[Line]:
    """What was asked, and what that took."""
    gone = status["seeds_removed"]
    yield "seeds", status["seeds"], f"{gone:,} of them removed" if gone else ""
    yield "rounds", status["rounds"], ""
    open_ = f", {status['requests_open']:,} planned and not answered" if status["requests_open"] else ""
    yield "requests", status["requests"], f"{status['completions']:,} completions, {status['failed']:,} failed{open_}"
    if status["prompts_shortened"]:
        yield "  shortened", status["prompts_shortened"], "with fewer demonstrations, to fit what the model takes"
    prompt, completion = status["prompt_tokens"], status["completion_tokens"]
    yield "tokens", prompt + completion, f"{prompt:,} of prompts{_from_cache(status)}, {completion:,} of completions"
    last = status["last_run"] or {}
    if last.get("tokens_per_second"):
        yield "  a second", round(last["tokens_per_second"]), "written in the last run"
    if status["server_restarts"]:
        yield "server restarts", status["server_restarts"], f"{last['server_restarts']:,} in the last run; see vllm.log"
    if status["usd"]:
        each = f", {status['usd'] / status['tasks']:.5f} a task" if status["tasks"] else ""
        yield "cost", f"{status['usd']:.4f}", f"USD{each}"
    for used in status["usage"]:
        cached = f", {used['cached_tokens']:,} from cache" if used["cached_tokens"] else ""
        cost = f", {used['usd']:.4f} USD" if used["usd"] else ""
        tokens = f"{used['prompt_tokens']:,} + {used['completion_tokens']:,} tokens"
        yield f"  {used['stage']}", used["requests"], f"{used['model']}: {tokens}{cached}{cost}"


def _became(status: dict[str, Any]) -> Iterator[Line]:
    """What became of the candidates."""
    yield "candidates", status["candidates"], ""
    note = f"{status['classification_tasks']:,} classification"
    if status["tasks_pending"]:
        note += f"; {status['tasks_pending']:,} more on their way"
    yield "  accepted tasks", status["tasks"], note
    yield "  their instances", status["instances"], ""
    if status["tasks_pending"]:
        yield "  tasks pending", status["tasks_pending"], "accepted; the next run asks for their inputs and outputs"
    if status["tasks_without_instances"]:
        yield "  tasks without", status["tasks_without_instances"], "accepted, but no instance passed the filters"
    if status["removed"]:
        yield "  removed", status["removed"], "of these; not exported, not shown to the model"
    if status["waiting"]:
        yield "  waiting", status["waiting"], "read, not decided yet; no loss: the next run begins with them"
    yield "  rejections", sum(status["rejections"].values()), ""
    for reason, count in status["rejections"].items():
        yield f"    {reason}", count, ""
    yield from yield_lines(status)
    yield from judging_lines(status)
    if status["acceptance_rate"] is not None:
        yield "novel, well-formed", f"{status['acceptance_rate']:.0%}", "of instructions decided; answers are not in it"
    if (monitor := status["monitor"]) and monitor["warnings"]:
        of = f"rounds {monitor['first_round']} to {monitor['last_round']}: {', '.join(monitor['warnings'])}"
        if monitor["warnings"] == ["acceptance"] and not is_repeating(status["rejections"]):
            yield "little is accepted", "", f"{of}; {diagnosis(status['rejections'])}"
        else:
            yield REPEATS, "", f"{of}; docs/diversity.md says what helps"


def _from_cache(status: dict[str, Any]) -> str:
    """The share of prompt tokens that servers had in their cache, where they say."""
    if not status["cached_tokens"]:
        return ""
    return f" ({status['cached_tokens'] / status['prompt_tokens']:.0%} from cache)"


def yield_lines(status: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """What each stage saw and left, in order of price; without test sets and the judge where none is on."""
    for kind, stages in status["yield"].items():
        for stage, counts in stages.items():
            seen, left = counts["seen"], counts["left"]
            if seen and (left < seen or stage not in {"decontamination", "judge"}):
                name = f"{kind} read" if stage == READ else f"  {stage}"
                yield name, seen, f"{left:,} left, {left / seen:.0%}"


def judging_lines(status: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """What agreement and the judge left over, as (name, figure, note)."""
    if agreement := status["agreement"]:
        agreed = 1 - agreement["no_agreement"] / agreement["asked"]
        yield "asked several times", agreement["asked"], f"outputs by agreement; {agreed:.0%} agreed enough"
    if judge := status["judge"]:
        yield "judged instances", judge["judged"], f"{judge['passed'] / judge['judged']:.0%} passed at once"
        for name, count in judge.items():
            if count and name not in {"judged", "saved"}:
                yield f"  {name}", count, f"{judge['saved']:,} of them saved" if name == "revised" else ""


def show_samples(pool: Path, wanted: int = 3) -> None:
    """Some rows, spread over the pool, shortened to be read at a glance, with the judge's scores where it has one."""
    with reader.snapshot(pool) as opened:
        rows = opened.some_rows(wanted)
    for row in rows:
        OUT.print()
        OUT.print(Text("instruction  " + short(row.instruction)))
        if row.instance.input:
            OUT.print(Text("input        " + short(row.instance.input)))
        OUT.print(Text("output       " + short(row.instance.output)))
        if (said := row.verdict) and said.valid is not None:
            OUT.print(Text(f"judge        task {said.valid}, input {said.input}, output {said.output}, of 5"))


def show_explanations(pool: Path, wanted: str) -> None:
    """What became of a task or candidate."""
    wanted = wanted.encode("utf-8", "replace").decode()  # an argument may be any bytes
    for place, found in enumerate(explain(pool, wanted)):
        if place:
            OUT.print()
        OUT.print(harmless(found.title, "bold"))
        for label, text in found.lines:
            OUT.print(harmless(f"  {label:<18} {text}"))
