"""What is made of a pool: training data, the report, versions and what is trained on them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from selfinstruct.cli.text import OUT, counted, say, show_json
from selfinstruct.errors import ConfigError

if TYPE_CHECKING:
    from selfinstruct.config.sections import Config
    from selfinstruct.exports.writing import Exported, Options
    from selfinstruct.report.page import ShownPool


def export_files(
    pool: Path,
    formats: Sequence[str] | None,
    out: Path | None,
    options: Options | None = None,
    push_to_hub: str | None = None,
) -> None:
    """Write training data and say where it is, and what is not in it."""
    from selfinstruct.hub import pusher  # noqa: PLC0415

    push = pusher(push_to_hub) if push_to_hub is not None else None
    folder = out or pool / "export"
    show_export(write_export(pool, formats, folder, options))
    if push is not None:
        OUT.print(Text(f"pushed: {push(folder)}"))


def write_export(
    pool: Path, formats: Sequence[str] | None = None, out: Path | None = None, options: Options | None = None
) -> Exported:
    """Write training data: `alpaca` and `messages` to the folder `export` of the pool, unless told otherwise."""
    from selfinstruct.exports.writing import export  # noqa: PLC0415

    return export(pool, formats or ["alpaca", "messages"], out or pool / "export", options)


def show_export(exported: Exported) -> None:
    """Say where training data is, and what is not in it."""
    from selfinstruct.exports.more_forms import NOTHING  # noqa: PLC0415
    from selfinstruct.exports.writing import LEFT_OUT  # noqa: PLC0415

    OUT.print()
    for path in exported.paths:
        OUT.print(Text(f"{counted(exported.counts[path], 'row')}  {path}"))
    for reason, count in exported.left_out.items():
        say(f"{counted(count, 'row is', 'rows are')} left out: {reason}")
    for name, reasons in exported.unfit.items():
        for reason, count in reasons.items():
            where = "" if reason in NOTHING else f"; {LEFT_OUT} names them"
            say(f"{counted(count, 'row is', 'rows are')} left out of {name}: {reason}{where}")
    for name, rules in exported.by_rule.items():
        say(f"{name}: {', '.join(f'{count:,} by {rule}' for rule, count in rules.items())}")
    if exported.chat_template is not None:
        _chat_template(exported.chat_template)
    for name, (wanted, reached) in exported.shares.items():
        say(f"{name}: {reached:.1%} of the rows, wanted {wanted:.1%}")
        if abs(reached - wanted) > wanted / 2:
            say(
                f"warning: {name} is off by more than half; rows that are like each other stand on one side, whatever "
                "its share (docs/export.md)"
            )
    if exported.open_tasks:
        are = counted(exported.open_tasks, "task is", "tasks are")
        say(f"{are} still open, to be finished by the next run and exported then")
        if exported.shares:
            say("warning: a row that comes after an open task, and is like it, may change sides then (docs/export.md)")


def _chat_template(found: Mapping[str, Any]) -> None:
    from selfinstruct.exports.chat_template import FAULTS  # noqa: PLC0415

    tokens = found["tokens"]
    say(
        f"in the chat template: {tokens['mean']:,.1f} tokens a row on average, {tokens['max']:,} at most; the loss "
        f"sees {found['share_of_tokens_learned']:.1%} of them"
    )
    if over := found["rows_over_limit"]:
        say(f"warning: {counted(over, 'row has', 'rows have')} more than {found['limit']:,} tokens; see --max-tokens")
    for fault, count in found["faults"].items():
        say(f"warning: {counted(count, 'row')}: {FAULTS[fault]} ({fault}), such as {found['examples'][fault][0]}")


def write_report(
    pool: Path, other: Path | None, out: Path | None, embeddings: tuple[str, str, str] | None = None
) -> None:
    """Write the report of a pool, or of two, and say where it is. Either may be a version of a pool: its folder.

    `embeddings` are the URL of a server, a model of it, and the environment variable with its key.
    """
    from selfinstruct.report import page  # noqa: PLC0415 - brings pandas

    shown = [_source(pool)] if other is None else [_source(pool), _source(other)]
    path = out or shown[0].pool / f"{'_'.join(['report', *_told(shown)])}.html"
    embed = None
    if embeddings is not None:
        from selfinstruct.config.roles import base_url, key_in  # noqa: PLC0415 - brings the recipes
        from selfinstruct.models.embeddings import embed as ask  # noqa: PLC0415 - brings the HTTP client
        from selfinstruct.models.endpoint import EndpointConfig  # noqa: PLC0415

        url, model, key_name = embeddings
        key = key_in(key_name) or "none"
        server = EndpointConfig(base_url(url, "--embeddings-url"), key, key_name, timeout_s=120.0)
        embed = partial(ask, server, model)
    page.write_report(shown, path, embed)
    OUT.print(Text(f"{path}   {path.stat().st_size / 1e6:.1f} MB; open it in a browser"))


def _source(folder: Path) -> ShownPool:
    """What a report shows of this folder, which is a pool or a version of one."""
    from selfinstruct.pool.records import Position  # noqa: PLC0415
    from selfinstruct.report.page import ShownPool  # noqa: PLC0415
    from selfinstruct.versions.shelf import version_in  # noqa: PLC0415

    one = version_in(folder)
    if one is None:
        return ShownPool(folder, people=_people(folder))
    return ShownPool(one.folder.parents[1], Position(**one.manifest["position"]), one.number)


def _people(pool: Path) -> Mapping[str, Any] | None:
    """How far people agree with the judge by what they labelled in `review`; None: too few labels, or none."""
    from selfinstruct.cli.judge import PRECISION  # noqa: PLC0415
    from selfinstruct.pool.reader import snapshot  # noqa: PLC0415
    from selfinstruct.pool.yields import of_judge  # noqa: PLC0415
    from selfinstruct.review.calibration import calibrate  # noqa: PLC0415
    from selfinstruct.review.labels import LABELS  # noqa: PLC0415

    if not (pool / LABELS).exists():
        return None
    with snapshot(pool) as reader:
        if of_judge(reader) is None:
            return None
    try:
        return calibrate(pool, pool / LABELS, PRECISION).figures()
    except ConfigError as error:
        say(f"the report has no agreement of people with the judge: {error}")
        return None


def _told(sources: Sequence[ShownPool]) -> Iterator[str]:
    """What tells the name of a report's file from that of the first pool as it is."""
    for place, one in enumerate(sources):
        if place:
            yield one.pool.resolve().name
        if one.version is not None:
            yield f"version-{one.version}"


def publish_version(pool: Path, config: Config, *, as_json: bool) -> int:
    """Publish what the pool has and say what came of it; 6 if the gate refuses it."""
    from selfinstruct.versions.publishing import as_line, publish  # noqa: PLC0415

    published = publish(pool, config.publish)
    one = published.version
    say(as_line(published))
    say(f"its report: {one.report}")
    if as_json:
        show_json(one.manifest)
    else:
        OUT.print(Text(str(one.data)))
    return 0 if one.is_published else 6


def train_version(pool: Path, number: int | None, command: str | None) -> int:
    """Run the fine-tuning command for a version and say how it ended; 1 if it failed."""
    from selfinstruct.versions.fine_tuning import as_line, train  # noqa: PLC0415
    from selfinstruct.versions.shelf import version  # noqa: PLC0415

    one = version(pool, number)
    with _interrupted_by_signals():
        done = train(pool, one, command)
    say(as_line(one, done))
    OUT.print(Text(str(done.out if done.is_done else done.log)))
    return 0 if done.is_done else 1


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and a terminal that is closed end the work as Ctrl-C does; what `nohup` ignores stays ignored."""
    taken = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for one in taken:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)
