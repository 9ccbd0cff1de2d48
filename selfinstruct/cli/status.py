"""A pool in figures, some of its rows, and what became of a task or candidate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from selfinstruct.cli.text import OUT, harmless, line, paragraph, short, show_json
from selfinstruct.diversity.diagnosis import REPEATS, diagnosis, is_repeating
from selfinstruct.diversity.figures import diversity
from selfinstruct.diversity.reasons import meaning
from selfinstruct.errors import PoolError
from selfinstruct.pool import reader
from selfinstruct.pool.explain import explain
from selfinstruct.pool.records import Row
from selfinstruct.pool.yields import READ

MOST_LACKING = 10
"""Quotas of which it is said what they lack."""
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
    return {**status, "diversity": diversity(reader.instructions(pool).pairs()).to_json()}


def show_table(status: dict[str, Any]) -> None:
    """A pool's status, a line a figure."""
    models = ", ".join(status["models"]) or "none yet"
    paragraph(f"pool {status['pool']}, recipe {status['recipe'] or 'none yet'}, models: {models}")
    for name, value, note in (*_asked(status), *_became(status)):
        line(name, value, note)


def _asked(status: dict[str, Any]) -> Iterator[Line]:
    """What was asked, and what that took."""
    gone = status["seeds_removed"]
    yield "seeds", status["seeds"], f"{gone:,} of them removed" if gone else ""
    yield "rounds", status["rounds"], ""
    open_ = f", {status['requests_open']:,} planned and not answered" if status["requests_open"] else ""
    yield "requests", status["requests"], f"{status['completions']:,} completions, {status['failed']:,} failed{open_}"
    if found := status["passages"]:
        often = f"any of them {found['fewest']:,} to {found['most'] or 0:,} times"
        yield "passages", found["of"], f"{found['asked_about']:,} asked about, {often}"
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
    if status["removed_rows"]:
        yield "  rows removed alone", status["removed_rows"], "not exported; other rows of their tasks are"
    if status["corrected"]:
        yield "  corrected", status["corrected"], "rows; exported as people corrected them"
    if status["waiting"]:
        yield "  waiting", status["waiting"], "read, not decided yet; no loss: the next run begins with them"
    yield "  rejections", sum(status["rejections"].values()), ""
    for reason, count in status["rejections"].items():
        yield f"    {reason}", count, meaning(reason)
    yield from yield_lines(status)
    yield from judging_lines(status)
    if talks := status["conversations"]:
        ended = ", ".join(f"{reason} {count:,}" for reason, count in talks["ended"].items())
        yield "conversations", talks["rows"], f"rows with {talks['turns']:,} further turns; ended: {ended}"
    yield from _source_lines(status)
    yield from _quota_lines(status)
    if status["acceptance_rate"] is not None:
        yield "novel, well-formed", f"{status['acceptance_rate']:.0%}", "of instructions decided; answers are not in it"
    if found := little(status):
        yield found[0], "", found[1]


def _source_lines(status: dict[str, Any]) -> Iterator[Line]:
    """What each source brought, where there are several."""
    for one in status["sources"]:
        said = [f"{one['tasks']:,} tasks with {one['rows']:,} rows", f"{one['candidates']:,} candidates"]
        said += [f"mean ROUGE-L to the nearest {one['mean_nearest']:.2f}"] if one["mean_nearest"] is not None else []
        score = one["mean_output_score"]
        said += [] if score is None else [f"judge's mean score of outputs {score:.1f}"]
        said += [f"{one['tokens'] / one['rows']:,.0f} tokens a row"] if one["rows"] and one["tokens"] else []
        said += [f"{one['usd'] / one['rows']:.5f} USD a row"] if one["rows"] and one["usd"] else []
        yield f"source {one['name']}", one["requests"], f"requests: {', '.join(said)}"


def _quota_lines(status: dict[str, Any]) -> Iterator[Line]:
    """How many quotas are met, and what the others lack."""
    quotas = status["quotas"]
    if not quotas:
        return
    lacking = [one for one in quotas if one["accepted"] < one["wanted"]]
    gone = sum(one["removed"] for one in quotas)
    without = sum(one["accepted"] - one["tasks"] for one in quotas) - gone
    note = [f"of {len(quotas):,} met, with {quotas[0]['wanted']:,} accepted tasks each"]
    note += [f"{without:,} of these have no row"] if without else []
    note += [f"{gone:,} of these were removed, and count"] if gone else []
    yield "quotas", len(quotas) - len(lacking), "; ".join(note)
    for one in sorted(lacking, key=lambda one: int(one["accepted"]))[:MOST_LACKING]:
        yield "  lacks", one["wanted"] - one["accepted"], ", ".join(f"{k}: {v}" for k, v in one["drawn"].items())
    if len(lacking) > MOST_LACKING:
        yield "  lacking", len(lacking) - MOST_LACKING, "more combinations; all of them are in status --json"


def little(status: dict[str, Any]) -> tuple[str, str] | None:
    """What the monitor warns of in the newest rounds, and what helps; None: of nothing."""
    monitor = status["monitor"]
    if not (monitor and monitor["warnings"]):
        return None
    of = f"rounds {monitor['first_round']} to {monitor['last_round']}: {', '.join(monitor['warnings'])}"
    if monitor["warnings"] == ["acceptance"] and not is_repeating(status["rejections"]):
        return "little is accepted", f"{of}; {diagnosis(status['rejections'])}"
    return REPEATS, f"{of}; docs/diversity.md says what helps"


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
            if seen and (left < seen or stage not in {"decontamination", "judge", "steps"}):
                name = f"{kind} read" if stage == READ else f"  {stage}"
                yield name, seen, f"{left:,} left, {left / seen:.0%}"


def judging_lines(status: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """What several answers and the judge left over, as (name, figure, note)."""
    if agreement := status["agreement"]:
        agreed = 1 - agreement["no_agreement"] / agreement["asked"]
        yield "asked several times", agreement["asked"], f"outputs by agreement; {agreed:.0%} agreed enough"
    if status["samples"]:
        yield "other answers", status["samples"], "kept beside outputs, for preference data"
    if judge := status["judge"]:
        yield "judged instances", judge["judged"], f"{judge['passed'] / judge['judged']:.0%} passed at once"
        for name, count in judge.items():
            if count and name not in {"judged", "saved"}:
                yield f"  {name}", count, f"{judge['saved']:,} of them saved" if name == "revised" else ""


def show_samples(pool: Path, wanted: int = 3) -> None:
    """Some rows, spread over the pool, shortened to be read at a glance."""
    with reader.snapshot(pool) as opened:
        show_rows(opened.some_rows(wanted))


def show_rows(rows: Iterable[Row]) -> None:
    """Rows, shortened to be read at a glance, with the judge's scores where it has one."""
    for row in rows:
        OUT.print()
        paragraph(short(row.instruction), "instruction  ")
        if row.instance.input:
            paragraph(short(row.instance.input), "input        ")
        paragraph(short(row.instance.output), "output       ")
        for turn in row.turns:
            paragraph(short(turn.user), "user         ")
            paragraph(short(turn.assistant), "assistant    ")
        if (said := row.verdict) and said.valid is not None:
            paragraph(f"task {said.valid}, input {said.input}, output {said.output}, of 5", "judge        ")


def show_explanations(pool: Path, wanted: str) -> None:
    """What became of a task or candidate."""
    wanted = wanted.encode("utf-8", "replace").decode()  # an argument may be any bytes
    explanations = explain(pool, wanted)
    if not explanations:
        raise PoolError(f"{pool}: no task, candidate, rejection or event is {wanted!r}, and none contains it")
    for place, found in enumerate(explanations):
        if place:
            OUT.print()
        OUT.print(harmless(found.title, "bold"))
        for label, text in found.lines:
            OUT.print(harmless(f"  {label:<18} {text}"))
