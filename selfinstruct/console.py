"""What the commands show: plain words and aligned figures, model text always escaped."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from selfinstruct.errors import ConfigError
from selfinstruct.store import reading, training
from selfinstruct.store.events import Kind
from selfinstruct.store.removal import Selection, change

if TYPE_CHECKING:
    from selfinstruct.calibration import Agreement
    from selfinstruct.config import Config
    from selfinstruct.export.files import Options

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
SHOWN = 5
"""Tasks named when many are removed."""


def say(line: str) -> None:
    """One plain line to stderr; nothing in it is read as markup."""
    ERR.print(Text(line))


def show_status(pool: Path, *, as_json: bool) -> None:
    """Show the pool in figures."""
    status = reading.status(pool)
    if as_json:
        print_json(pool, status)
    else:
        show_table(status)


def print_json(pool: Path, status: dict[str, Any]) -> None:
    """The figures as one JSON object, those of diversity among them, which plain `status` does without."""
    from selfinstruct.diversity.figures import diversity  # noqa: PLC0415

    found = diversity(reading.scored_instructions(pool)).to_json()
    OUT.print(json.dumps({**status, "diversity": found}, ensure_ascii=False), markup=False)


Line = tuple[str, object, str]
"""Name, figure and remark."""


def show_table(status: dict[str, Any]) -> None:
    """A pool's status, a line a figure."""
    models = ", ".join(status["models"]) or "none yet"
    OUT.print(Text(f"pool {status['pool']}, recipe {status['recipe'] or 'none yet'}, models: {models}"))
    for name, value, note in (*_asked(status), *_became(status)):
        _line(name, value, note)


def _line(name: str, value: object, note: str = "") -> None:
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    OUT.print(Text(f"{name:<28} {shown:>9}").append(f"   {note}" if note else "", style="dim"))


def _asked(status: dict[str, Any]) -> Iterator[Line]:
    """What was asked, and what that took."""
    gone = status["seeds_removed"]
    yield "seeds", status["seeds"], f"{gone:,} of them removed" if gone else ""
    yield "rounds", status["rounds"], ""
    yield "requests", status["requests"], f"{status['completions']:,} completions, {status['failed']:,} failed"
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
        yield "  tasks pending", status["tasks_pending"], "accepted, waiting for inputs and outputs"
    if status["tasks_without_instances"]:
        yield "  tasks without", status["tasks_without_instances"], "accepted, but no instance passed the filters"
    if status["removed"]:
        yield "  removed", status["removed"], "of these; not exported, not shown to the model"
    if status["waiting"]:
        yield "  waiting", status["waiting"], "read, not yet judged"
    yield "  rejections", sum(status["rejections"].values()), ""
    for reason, count in status["rejections"].items():
        yield f"    {reason}", count, ""
    yield from _judging(status)
    if status["acceptance_rate"] is not None:
        yield "acceptance", f"{status['acceptance_rate']:.0%}", "of judged instructions"
    if (radar := status["radar"]) and radar["alarms"]:
        of = f"rounds {radar['first_round']} to {radar['last_round']}: {', '.join(radar['alarms'])}"
        yield "the model repeats itself", "", f"{of}; docs/diversity.md says what helps"


def _from_cache(status: dict[str, Any]) -> str:
    """The share of prompt tokens that servers had in their cache, where they say."""
    if not status["cached_tokens"]:
        return ""
    return f" ({status['cached_tokens'] / status['prompt_tokens']:.0%} from cache)"


def _judging(status: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
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
    """Some rows, spread over the pool, shortened to be read at a glance."""
    with reading.snapshot(pool) as connection:
        rows = list(training.rows(connection))
    places = sorted({len(rows) * (2 * number + 1) // (2 * wanted) for number in range(wanted)}) if rows else []
    for place in places:
        row = rows[place]
        OUT.print()
        OUT.print(Text("instruction  " + short(row.instruction)))
        if row.instance.input:
            OUT.print(Text("input        " + short(row.instance.input)))
        OUT.print(Text("output       " + short(row.instance.output)))


def plain(text: str) -> str:
    """A text on one line, with nothing in it that a terminal would obey."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def short(text: str, limit: int = 240) -> str:
    """A plain text, cut at the limit."""
    line = plain(text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def show_judge(pool: Path, labels: Path | None, precision: float | None, *, as_json: bool) -> None:
    """What the judge made of a pool; with labels of people how far it agrees with them, and the scores that fit."""
    from selfinstruct.calibration import calibrate, judged  # noqa: PLC0415

    if precision is not None and (labels is None or not 0 < precision <= 1):
        raise ConfigError("--precision goes with --calibrate FILE and lies above 0, up to 1, such as 0.95")
    if labels is None:
        found = judged(pool)
        if as_json:
            OUT.print(json.dumps(found), markup=False)
            return
        for name, value, note in _judging({"agreement": None, "judge": {**found, "scores": 0}}):
            _line(name, value, note)
        for name, scores in found["scores"].items():
            _line(f"scores on {name}", sum(scores.values()), ", ".join(f"{n:,} x {s}" for s, n in scores.items() if n))
        return
    wanted = precision or 0.95
    calibration = calibrate(pool, labels, wanted)
    if as_json:
        OUT.print(json.dumps(calibration.figures()), markup=False)
        return
    unjudged = f"{calibration.unjudged:,} more are of instances without a verdict" if calibration.unjudged else ""
    _line("labels", calibration.labels, unjudged)
    _show_agreement("minimum scores now", calibration.minimums, calibration.agreement)
    for name, one in calibration.by_question.items():
        kappa = "not defined" if one.kappa is None else f"{one.kappa:.3f}"
        _line(f"question {name}", one.total, f"labels that answer it: accuracy {one.accuracy:.3f}, kappa {kappa}")
    reached = f"fitted to a precision of {wanted:g}"
    if not calibration.is_reached:
        reached = f"no scores reach a precision of {wanted:g}; the best there is"
    _show_agreement(reached, calibration.fitted, calibration.fitted_agreement)
    OUT.print(Text("\n[judge]\nenabled = true"))
    for name, least in calibration.fitted.items():
        OUT.print(Text(f"min_{name} = {least}"))


def _show_agreement(title: str, minimums: Mapping[str, int], found: Agreement) -> None:
    OUT.print(Text(f"\n{title}: {', '.join(f'{name} {least}' for name, least in minimums.items())}"))
    figures = found.figures()
    low, high = figures["precision_interval"] or (None, None)
    notes = {
        "accuracy": f"of {found.total:,}; both keep {found.both:,}, neither {found.neither:,}",
        "kappa": "agreement beyond chance (Cohen)",
        "precision": f"of the {found.both + found.judge_only:,} that the judge keeps; 95 % interval {low} to {high}",
        "recall": f"of the {found.both + found.people_only:,} that people keep",
    }
    for name, note in notes.items():
        _line(f"  {name}", "none" if figures[name] is None else f"{figures[name]:.3f}", note)


def show_explanations(pool: Path, wanted: str) -> None:
    """What became of a task or candidate."""
    for place, found in enumerate(reading.explain(pool, wanted)):
        if place:
            OUT.print()
        OUT.print(Text(found.title, style="bold"))
        for label, text in found.lines:
            OUT.print(Text(f"  {label:<18} ").append(Text(text)))


def change_tasks(
    pool: Path, kind: Kind, selection: Selection, reason: str, *, descendants: bool = False, dry_run: bool = False
) -> None:
    """Remove tasks or put them back, and say which."""
    from selfinstruct.journal import now  # noqa: PLC0415

    done = change(pool, kind, selection, reason, now(), descendants=descendants, dry_run=dry_run)
    verb = {"remove": "removed", "restore": "restored"}[kind]
    if not done.tasks:
        OUT.print(Text(f"nothing to be {verb}: no task is selected, or all of them are so already"))
        return
    kinds = [f"{number:,} {name}" for name, number in (
        ("seeds", sum(task.origin == "seed" for task in done.tasks)),
        ("descendants", sum(task.is_descendant for task in done.tasks)),
    ) if number]  # fmt: skip
    among = f", {' and '.join(kinds)} among them" if kinds else ""
    start = f"would be {verb}" if done.event is None else f"{verb} by event {done.event}"
    tasks = "1 task" if len(done.tasks) == 1 else f"{len(done.tasks):,} tasks"
    OUT.print(Text(f"{tasks} {start}{among}"))
    for task in done.tasks[:SHOWN]:
        OUT.print(Text(f"  {task.id}  {short(task.instruction, 90)}"))
    if len(done.tasks) > SHOWN:
        OUT.print(Text(f"  and {len(done.tasks) - SHOWN:,} more"))
    if done.event is None:
        say("dry run: nothing was changed")
    else:
        say(f"in force for the next round to be planned; `export {pool}` writes the training data anew")


def review_rows(pool: Path, where: str | None, sample: int | None, port: int, *, blind: bool) -> None:
    """Serve the page on which rows are reviewed, until Ctrl-C."""
    from selfinstruct.errors import ConfigError  # noqa: PLC0415
    from selfinstruct.review.server import serve  # noqa: PLC0415
    from selfinstruct.store.rows import places  # noqa: PLC0415

    rows = places(pool, where, sample)
    if not rows:
        raise ConfigError(f"{pool}: there is no row to review" + (" for which --where holds" if where else ""))
    say(f"{len(rows):,} rows; open this address in a browser on this machine, Ctrl-C ends")
    with contextlib.suppress(KeyboardInterrupt):
        serve(pool, rows, port, lambda url: OUT.print(Text(url)), blind=blind)


def export_files(
    pool: Path,
    formats: Sequence[str] | None,
    out: Path | None,
    options: Options | None = None,
    push_to_hub: str | None = None,
) -> None:
    """Write training data and say where it is, and what is not in it."""
    from selfinstruct.export.files import LEFT_OUT, export  # noqa: PLC0415
    from selfinstruct.export.hub import pusher  # noqa: PLC0415

    push = pusher(push_to_hub) if push_to_hub is not None else None
    folder = out or pool / "export"
    exported = export(pool, formats or ["alpaca", "messages"], folder, options)
    OUT.print()
    for path in exported.paths:
        OUT.print(Text(f"{exported.counts[path]:,} rows  {path}"))
    for reason, count in exported.left_out.items():
        say(f"{count:,} rows are left out: {reason}")
    for name, reasons in exported.unfit.items():
        for reason, count in reasons.items():
            say(f"{count:,} rows are left out of {name}: {reason}; {LEFT_OUT} names them")
    if exported.chat_template is not None:
        _chat_template(exported.chat_template)
    for name, (wanted, reached) in exported.shares.items():
        say(f"{name}: {reached:.1%} of the rows, wanted {wanted:.1%}")
        if abs(reached - wanted) > wanted / 2:
            say(
                f"warning: {name} is off by more than half; rows that are like each other stand on one side, whatever "
                "its share (docs/export.md)"
            )
    if exported.held_back:
        say(f"{exported.held_back:,} finished tasks wait behind one that is not; they follow with the next run")
    if push is not None:
        OUT.print(Text(f"pushed: {push(folder)}"))


def _chat_template(found: Mapping[str, Any]) -> None:
    from selfinstruct.export.chat_template import FAULTS  # noqa: PLC0415

    tokens = found["tokens"]
    say(
        f"in the chat template: {tokens['mean']:,.1f} tokens a row on average, {tokens['max']:,} at most; the loss "
        f"sees {found['share_of_tokens_learned']:.1%} of them"
    )
    if found["rows_over_limit"]:
        say(f"warning: {found['rows_over_limit']:,} rows have more than {found['limit']:,} tokens; see --max-tokens")
    for fault, count in found["faults"].items():
        say(f"warning: {count:,} rows: {FAULTS[fault]} ({fault}), such as {found['examples'][fault][0]}")


def write_report(
    pool: Path, other: Path | None, out: Path | None, embeddings: tuple[str, str, str] | None = None
) -> None:
    """Write the report of a pool, or of two, and say where it is.

    `embeddings` are the URL of a server, a model of it, and the environment variable with its key.
    """
    from selfinstruct.report import page  # noqa: PLC0415 - brings pandas

    name = "report.html" if other is None else f"report_{other.resolve().name}.html"
    path = out or pool / name
    embed = None
    if embeddings is not None:
        from selfinstruct.llm.embeddings import embed as ask  # noqa: PLC0415 - brings the HTTP client
        from selfinstruct.llm.endpoint import EndpointConfig  # noqa: PLC0415

        url, model, key_name = embeddings
        server = EndpointConfig(url, os.environ.get(key_name, "") or "none", key_name, timeout_s=120.0)
        embed = partial(ask, server, model)
    page.write_report([pool] if other is None else [pool, other], path, embed)
    OUT.print(Text(f"{path}   {path.stat().st_size / 1e6:.1f} MB; open it in a browser"))


def publish_version(pool: Path, config: Config, *, as_json: bool) -> int:
    """Publish what the pool has and say what came of it; 6 if the gate refuses it."""
    from selfinstruct.versions.publishing import as_line, publish  # noqa: PLC0415

    published = publish(pool, config.publish)
    one = published.version
    say(as_line(published))
    if as_json:
        OUT.print(json.dumps(one.manifest, ensure_ascii=False, sort_keys=True), markup=False)
    else:
        OUT.print(Text(str(one.data)))
    return 0 if one.is_published else 6


def train_version(pool: Path, number: int | None, command: str | None) -> int:
    """Run the fine-tuning command for a version and say how it ended; 1 if it failed."""
    from selfinstruct.versions.shelf import version  # noqa: PLC0415
    from selfinstruct.versions.training import as_line, train  # noqa: PLC0415

    one = version(pool, number)
    done = train(pool, one, command)
    say(as_line(one, done))
    OUT.print(Text(str(done.out if done.is_done else done.log)))
    return 0 if done.is_done else 1
