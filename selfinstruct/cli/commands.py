"""The commands. Thin: each reads its options, calls one function and shows what came of it.

Data goes to stdout, progress and messages to stderr. What a command needs is imported when it runs, so that `--help`
and `status` answer at once. `options.py` says how they come by their options and their help.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from selfinstruct.cli.interruption import HEARD
from selfinstruct.cli.options import (
    WITH_SETTINGS,
    Given,
    PoolArgument,
    PoolOption,
    SettingsFile,
    VersionsFile,
    described,
    pool_and_more,
    this_pool,
    with_settings,
)
from selfinstruct.cli.text import say, short
from selfinstruct.errors import ConfigError, SelfInstructError

PROGRAM = "selfinstruct"
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer has had it under several names."""


class _Commands(typer.core.TyperGroup):
    """Commands of which an unknown one is answered by what was probably meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names."""
        if args and self.get_command(ctx, args[0]) is None:
            from selfinstruct.cli.meant import on_unknown_command

            ctx.fail(on_unknown_command(args[0], [*self.commands]))
        found = super().resolve_command(ctx, args)
        _refuse_empty(found[1], found[2])
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with the whole first line of its help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, str(one.help).partition("\n")[0]) for name, one in self.commands.items()])


def _refuse_empty(command: Any, args: Sequence[str]) -> None:
    """Raises: ConfigError, where an argument is empty, as of a variable that is not set; a path would be the folder."""
    may_be_empty = {option for one in command.params if one.default == "" for option in one.opts}
    for before, value in itertools.pairwise(["", *args]):
        option, is_joined, joined = value.partition("=") if value.startswith("--") else (before, "", value)
        if (not value or (is_joined and not joined)) and option not in may_be_empty:
            where = option if option.startswith("-") else "an argument"
            raise ConfigError(f"{where}: the value is empty; give one or leave it out")


app = typer.Typer(
    cls=_Commands,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Grow instruction data from a handful of seed tasks, with a local model or any API.",
)
seeds_app = typer.Typer(cls=_Commands, no_args_is_help=True, help="Seed files.")
app.add_typer(seeds_app, name="seeds")


def run(arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Run a command line; its exit code. `program` is what it was called by."""
    if {"--install-completion", "--show-completion"} & {*arguments}:
        program = PROGRAM  # a shell completes the arguments of a command of one word
    is_completing = f"_{PROGRAM.upper()}_COMPLETE" in os.environ
    for name, declare in WITH_SETTINGS.items():
        if is_completing or name in arguments:
            declare()
    try:
        code = app([*arguments], prog_name=program, standalone_mode=False)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - `_ended` raises what it does not know
        code = 130 if HEARD.is_set() else _ended(error, program)
    if code == 130 and HEARD.is_set():
        say("interrupted; the same command does the rest")
    return code if isinstance(code, int) else 0


def _ended(error: BaseException, program: str) -> int:
    """The exit code of a command that ended so, which is said in a line; what was not to be expected is raised."""
    match error:
        case SelfInstructError():
            say(f"error: {error}")
            return error.exit_code
        case _UsageError():
            return _wrong_use(error, program)
        case OSError() if error.filename is not None:
            path = short(os.fsdecode(error.filename))
            say(f"error: {path}: this path cannot be used ({error.strerror}); name another one")
            return 2
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case KeyboardInterrupt() | typer.Abort():
            return 130
    raise error


def commands() -> dict[str, Any]:
    """All commands, with all their options."""
    for declare in WITH_SETTINGS.values():
        declare()
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def _wrong_use(error: Any, program: str) -> int:
    """Say in one line what is wrong with a command line."""
    from selfinstruct.cli.meant import on_wrong_use

    options = {name: {one for each in command.params for one in each.opts} for name, command in commands().items()}
    message = error.format_message()
    say(message if message.startswith("Usage: ") else f"error: {on_wrong_use(error, options, program)}")
    return 2


def _show_version(wanted: bool) -> None:
    if wanted:
        from selfinstruct import __version__

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What goes with every command."""


_ENDS = {
    0: "the target is reached",
    1: "what was printed could not be written",
    2: "wrong use",
    3: "a bound of the budget is reached",
    4: "almost nothing new comes",
    5: "no access to a model",
    130: "interrupted",
}


@app.command(**described("--model gpt-4o-mini --more 500 --max-usd 2", _ENDS))
@with_settings()
def generate(
    context: typer.Context,
    *,
    given: Given,
    config: SettingsFile = None,
    preview: Annotated[
        int | None, typer.Option(min=1, help="Show this many new tasks with their rows, and keep nothing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a run would cost, and send nothing.")] = False,
    show_prompts: Annotated[
        bool,
        typer.Option("--show-prompts", help="With --dry-run: the prompts of the next round too."),
    ] = False,
    page: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="[PORT]",
            help="Show the run as a page in the browser of this machine, at this or a free port.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing until the end, except errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the status, the forecast or the preview as JSON.")
    ] = False,
) -> None:
    """Grow a pool: creates it on the first run, goes on with it later."""
    from selfinstruct.cli import generate as terminal
    from selfinstruct.config.loading import load

    if show_prompts and not dry_run:
        raise ConfigError("--show-prompts goes with --dry-run")
    if preview is not None and dry_run:
        raise ConfigError("--preview asks the model, --dry-run asks nobody; give one of them")
    if page is not None and (dry_run or preview is not None):
        raise ConfigError("--page shows a run that grows a pool; leave out --dry-run and --preview, or it")
    loaded = load(config, given, say)
    if preview is not None:
        raise typer.Exit(terminal.preview(loaded, preview, as_json=as_json, quiet=quiet))
    if dry_run:
        terminal.show_forecast(loaded, as_json=as_json, quiet=quiet, show_prompts=show_prompts)
        return
    program = str(context.find_root().info_name)
    raise typer.Exit(terminal.generate(loaded, program, as_json=as_json, quiet=quiet, page_port=page))


@app.command(**described('"bicycle repair" --count 60'))
@with_settings(
    "model", "base_url", "backend", "language", "concurrency", "max_usd", "max_tokens", "max_requests",
    language="Write in this language.  [default: that of the description]",
)  # fmt: skip
def topics(
    about: Annotated[str, typer.Argument(help="What the subjects are of, in words.", metavar="DESCRIPTION")],
    *,
    given: Given,
    count: Annotated[int, typer.Option(help="How many subjects.")] = 40,
    config: SettingsFile = None,
) -> None:
    """Let a model list the subjects of a field, one a line, for `[draw]` or `recipe.topics`."""
    from selfinstruct.cli.topics import show_topics
    from selfinstruct.config.loading import load

    show_topics(about, count, load(config, given, say))


@app.command(**described("old --pool new --rouge-threshold 0.6"))
@with_settings(
    "seeds", "skip_faulty_seeds", "recipe", "rouge_threshold", "exclude",
    seeds="Other seeds: a file, or `en` or `zh` for those of the package.  [default: those of the sources]",
    recipe="Another recipe that can read their answers, such as `original`.  [default: that of the sources]",
)  # fmt: skip
def replay(
    sources: Annotated[list[Path], typer.Argument(help="Pools, or folders of the original code.", metavar="SOURCE")],
    pool: Annotated[Path, typer.Option(help="The new pool's folder.")],
    *,
    given: Given,
    config: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the new pool's status as JSON.")] = False,
) -> None:
    """Decide on recorded answers again under other settings, in a new pool: no model, no cost.

    Seeds and recipe stay those of the sources. All else is as for `generate`: these options, the file, the defaults.
    """
    from selfinstruct.cli.status import show_status
    from selfinstruct.config.loading import load
    from selfinstruct.pool.recorded import OF_ORIGINALS
    from selfinstruct.runner.replay import can_read
    from selfinstruct.runner.replay import replay as replay_sources

    loaded = load(config, {"pool": pool, **given}, say)
    if given["recipe"] is None and not can_read(loaded.recipe.name, sources):
        loaded = load(config, {"pool": pool, **given, "recipe": OF_ORIGINALS[0]})
    replay_sources(sources, loaded, say)
    show_status(pool, as_json=as_json)


@app.command(**described("outputs/host1 outputs/host2 --pool outputs/all"))
def merge(
    pools: Annotated[list[Path], typer.Argument(help="Pools of the same seeds, in this order.", metavar="POOL")],
    pool: Annotated[Path, typer.Option(help="The pool that they are merged into; made if missing.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print that pool's status as JSON.")] = False,
) -> None:
    """Take the finished tasks of other pools into one, as far as they are new there: no model, no cost.

    Run it again when the pools have grown: what was merged before stays as it is.
    """
    from selfinstruct.cli.status import show_status
    from selfinstruct.runner.merge import merge as merge_pools

    merge_pools(pools, pool, say)
    show_status(pool, as_json=as_json)


@app.command(**described("outputs/mine"))
def status(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show a pool in figures: tasks, rates, tokens, and what was rejected for which reason."""
    from selfinstruct.cli.status import show_status

    show_status(this_pool(pool, pool_option), as_json=as_json)


@app.command(**described("outputs/mine --calibrate labels.jsonl"))
def judge(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Labels of people (JSON Lines) to compare the judge with.", metavar="FILE")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="Share of what the judge keeps that people keep, to be fitted to.  [default: 0.95]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what the judge made of a pool, or compare it with labels of people and fit its minimum scores."""
    from selfinstruct.cli.judge import show_judge

    show_judge(this_pool(pool, pool_option), calibrate, precision, as_json=as_json)


@app.command(**described("outputs/mine near_duplicate"))
def explain(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    what: Annotated[
        str | None, typer.Argument(help="A task id, a request id, a reason, or a piece of a text.", metavar="X")
    ] = None,
) -> None:
    """Tell where a task came from, or why a candidate was rejected and what it resembled."""
    from selfinstruct.cli.status import show_explanations

    folder, about = pool_and_more(pool, pool_option, what)
    if len(about) != 1:
        raise ConfigError(
            "name the pool and X, one thing to explain: a task id, a request id, a reason, or a piece of a text"
        )
    show_explanations(folder, about[0])


IdsArgument = Annotated[
    list[str] | None, typer.Argument(help="Tasks by id, or its beginning; or rows as TASK/INSTANCE.", metavar="ID")
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        help="An SQL condition over the columns of tasks, such as \"instruction LIKE '%poem%'\".", metavar="EXPR"
    ),
]
TryOption = Annotated[bool, typer.Option("--dry-run", help="Say which tasks it would be, and change nothing.")]


@app.command(**described('outputs/mine --where "round = 17" --reason poor'))
def remove(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    ids: IdsArgument = None,
    where: WhereOption = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept, and `explain` tells it.")] = "",
    descendants: Annotated[
        bool, typer.Option("--descendants", help="With all tasks that these were shown for, over all generations.")
    ] = False,
    dry_run: TryOption = False,
) -> None:
    """Leave tasks out of exports and of what the model is shown; `restore` puts them back. Nothing is deleted."""
    from selfinstruct.cli.curation import change_tasks
    from selfinstruct.pool.edits import selected

    folder, chosen = pool_and_more(pool, pool_option, *(ids or ()))
    selection = selected("remove", chosen, reason, where=where)
    change_tasks(folder, "remove", selection, reason, descendants=descendants, dry_run=dry_run)


@app.command(**described("outputs/mine t1ec7750514c7/0 --output Nine."))
def edit(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    row: Annotated[str | None, typer.Argument(help="TASK/INSTANCE, or a task with one row.", metavar="ROW")] = None,
    instruction: Annotated[str | None, typer.Option(help="Of the task, so of all its rows.")] = None,
    input: Annotated[str | None, typer.Option(help="The input instead.")] = None,  # noqa: A002 - its name everywhere
    output: Annotated[str | None, typer.Option(help="The answer instead.")] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Without an input.")] = False,
    reason: Annotated[str, typer.Option(help="Why, if there is something to say.")] = "",
) -> None:
    """Correct texts of a row; exports have it so. `restore --edits` takes it back."""
    from selfinstruct.cli.curation import edit_row

    folder, rows = pool_and_more(pool, pool_option, row)
    if len(rows) != 1:
        raise ConfigError("name the pool and one row, as TASK/INSTANCE")
    if no_input and input is not None:
        raise ConfigError("give one of --input and --no-input")
    given = {"instruction": instruction, "input": "" if no_input else input, "output": output}
    edit_row(folder, rows[0], {name: text for name, text in given.items() if text is not None}, reason)


@app.command(**described("outputs/mine --all"))
def restore(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    ids: IdsArgument = None,
    where: WhereOption = None,
    event: Annotated[int | None, typer.Option(help="Those that this event removed, or corrected.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are removed, or corrected.")] = False,
    edits: Annotated[bool, typer.Option("--edits", help="Take back corrections instead.")] = False,
    reason: Annotated[str, typer.Option(help="Why, if there is something to say.")] = "",
    dry_run: TryOption = False,
) -> None:
    """Put removed tasks back; with `--edits`, take back corrections."""
    from selfinstruct.cli.curation import change_tasks
    from selfinstruct.pool.edits import selected

    folder, chosen = pool_and_more(pool, pool_option, *(ids or ()))
    kind: Literal["revert", "restore"] = "revert" if edits else "restore"
    selection = selected(kind, chosen, reason, where=where, event=event, everything=everything)
    change_tasks(folder, kind, selection, reason, dry_run=dry_run)


@app.command(**described("outputs/mine --sample 50"))
def review(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    where: WhereOption = None,
    sample: Annotated[int | None, typer.Option(help="So many rows, as if drawn at random.", min=1)] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Show what the judge and others said of a row only once you labelled it.")
    ] = False,
    reader: Annotated[str, typer.Option("--as", help="Your name, where several people label.", metavar="NAME")] = "",
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address; open no browser.")] = False,
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """Read rows one by one in a browser, and keep, remove, edit or compare them by keyboard, until Ctrl-C."""
    from selfinstruct.cli.curation import review_rows

    review_rows(this_pool(pool, pool_option), where, sample, port, reader, blind=blind, opens=not no_open)


def _formats() -> list[str]:
    from selfinstruct.exports.row_files import KNOWN
    from selfinstruct.exports.writing import ALL

    return [*KNOWN, ALL]


@app.command(**described("outputs/mine --format messages --out data"))
@with_settings("exclude")
def export(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=_formats,
            help="alpaca|sharegpt|messages|prompt-completion|prompt-completion-plain|self-instruct|gemini-tuning|mlx|parquet"
            "|csv|all, or preference|preference-plain|kto|kto-plain|grpo|reasoning, or a function of yours as "
            "FILE.py:NAME; repeatable.  [default: alpaca and messages]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder that becomes the export.  [default: POOL/export]")
    ] = None,
    origin: Annotated[
        Literal["generated", "seed"], typer.Option(help="Rows of generated tasks, or of seeds.")
    ] = "generated",
    include_seeds: Annotated[
        bool, typer.Option("--include-seeds", help="The seeds too, before the generated tasks.")
    ] = False,
    one_instance: Annotated[bool, typer.Option("--one-instance", help="At most one row of each task.")] = False,
    min_chars: Annotated[
        int | None, typer.Option(help="Leave out rows of fewer characters: instruction, input and output together.")
    ] = None,
    max_chars: Annotated[int | None, typer.Option(help="Leave out rows of more characters.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Leave out rows of more tokens in the chat template of --tokenizer.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="So many rows, as unlike each other as can be had.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Sides without likeness between them, such as train=0.95,test=0.05.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Check the rows in the chat template of this tokenizer: a folder, or its name.")
    ] = None,
    *,
    given: Given,
    system: Annotated[str, typer.Option(help="A system text for the forms that have a place for one.")] = "",
    mixed_prompts: Annotated[
        bool, typer.Option("--mixed-prompts", help="Prompts of self-instruct in many wordings instead of one.")
    ] = False,
    csv_safe: Annotated[
        bool, typer.Option("--csv-safe", help="Put ' before cells of csv that a spreadsheet would run as a formula.")
    ] = False,
    all_answers: Annotated[
        int, typer.Option(help="Up to so many right answers to a question, each on a line of its own.")
    ] = 1,
    pairs_per_row: Annotated[int, typer.Option(help="Up to so many pairs of preference from a row.")] = 1,
    min_margin: Annotated[
        float,
        typer.Option(help="By how much an output must have scored higher than an answer that it is preferred to."),
    ] = 1.0,
    rejected_at: Annotated[
        float, typer.Option(help="Of answers with scores, reject one so many standard deviations below the mean.")
    ] = 2.0,
    reasoning: Annotated[
        Literal["field", "think"],
        typer.Option(help="Reasoning in a field of its own, or between tags before the answer."),
    ] = "field",
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            help="Then push the export to this dataset repository, OWNER/NAME; the token comes from HF_TOKEN."
        ),
    ] = None,
) -> None:
    """Write a pool as training data."""
    from selfinstruct.cli.outputs import export_files
    from selfinstruct.exports.writing import options_of

    options = options_of(
        origin=origin, include_seeds=include_seeds, one_instance=one_instance, min_chars=min_chars,
        max_chars=max_chars, max_tokens=max_tokens, limit=limit, split=split, tokenizer=tokenizer,
        exclude=given["exclude"] or (), system=system, mixed_prompts=mixed_prompts, csv_safe=csv_safe,
        all_answers=all_answers, pairs_per_row=pairs_per_row, min_margin=min_margin, rejected_at=rejected_at,
        reasoning=reasoning,
    )  # fmt: skip
    export_files(this_pool(pool, pool_option), formats, out, options, push_to_hub)


@app.command(**described("outputs/mine"))
def report(
    pool: PoolArgument = None,
    pool_option: PoolOption = None,
    other: Annotated[
        Path | None, typer.Argument(help="Another pool or version, to compare with.", metavar="OTHER")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write.  [default: POOL/report.html, or POOL/report_OTHER.html]")
    ] = None,
    embeddings_url: Annotated[
        str | None,
        typer.Option(help="A server with embeddings, for the map and a Vendi score by meaning; see docs/report.md."),
    ] = None,
    embeddings_model: Annotated[str | None, typer.Option(help="The model there.")] = None,
    embeddings_key_env: Annotated[str, typer.Option(help="The variable with its key.")] = "OPENAI_API_KEY",
) -> None:
    """Show a pool or a version in figures, or two side by side, in one HTML file for any browser."""
    from selfinstruct.cli.outputs import write_report

    if embeddings_url is not None and not embeddings_url.startswith(("http://", "https://")):
        raise ConfigError(f"--embeddings-url: {embeddings_url!r} is no http:// or https:// URL")
    if (embeddings_url is None) != (embeddings_model is None):
        raise ConfigError("--embeddings-url and --embeddings-model: give both or neither")
    server = (embeddings_url, embeddings_model, embeddings_key_env) if embeddings_url and embeddings_model else None
    folder, others = pool_and_more(pool, pool_option, other)
    if len(others) > 1:
        raise ConfigError(f"a report compares two: {folder} and {others[0]}, or {folder} and {others[1]}")
    write_report(folder, Path(others[0]) if others else None, out, server)


@app.command(**described("outputs/mine --config mine.toml", {6: "the gate refuses the version"}))
@with_settings("pool")
def publish(
    *,
    given: Given,
    config: VersionsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the version's manifest as JSON.")] = False,
) -> None:
    """Make a version of the training data, if the gate lets it pass; `latest` names the last good one."""
    from selfinstruct.cli.outputs import publish_version
    from selfinstruct.config.loading import load

    loaded = load(config, given, say)
    raise typer.Exit(publish_version(loaded.pool, loaded, as_json=as_json))


@app.command(**described('--command "python train.py {data} {out}"', {1: "the command failed"}))
@with_settings("pool")
def finetune(
    *,
    given: Given,
    version: Annotated[int | None, typer.Option(help="Which version.  [default: the last published]")] = None,
    command: Annotated[
        str | None,
        typer.Option(help="What to run; {data}, {out}, {version}, {number} and {pool} are filled in."),
    ] = None,
    config: VersionsFile = None,
) -> None:
    """Run a fine-tuning command for a published version, unless it was done before."""
    from selfinstruct.cli.outputs import train_version
    from selfinstruct.config.loading import load

    loaded = load(config, given, say)
    raise typer.Exit(train_version(loaded.pool, version, command or loaded.finetune.command))


@seeds_app.command("check", **described("my_seeds.jsonl --write-good good.jsonl", {2: "there are errors"}))
def seeds_check(
    path: Annotated[Path, typer.Argument(help="JSONL, JSON, CSV or Parquet.", metavar="FILE")],
    write_good: Annotated[
        Path | None, typer.Option(help="Write the rows without faults to this file, as JSON Lines.", metavar="FILE")
    ] = None,
) -> None:
    """Say whether a seed file is good: faults with line and remedy, near-duplicates, figures."""
    from selfinstruct.cli.seeds import show_seed_check

    raise typer.Exit(show_seed_check(path, write_good))


@app.command("offline-server", **described("--latency fixed:0.5 --fault 429=5%"))
def offline_server(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.", min=0, max=65535)] = 8765,
    style: Annotated[
        Literal["tasks", "words"], typer.Option(help="Tasks, or words: plain text without end.")
    ] = "tasks",
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answer from these tasks, in any form of seeds, not from the built-in book."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Requests worked on at once; others wait.  [default: any]")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="Seconds a request: fixed:S, uniform:FROM,TO or lognormal:MEAN,SIGMA.")
    ] = None,
    fault: Annotated[
        str | None, typer.Option(help="Faults of transport, such as 429=5%:2,500=1%,hang=1%,cut=1%,html=1%,drop=1%.")
    ] = None,
    outage: Annotated[
        str | None, typer.Option(help="START:LENGTH in seconds: only 503s; with :refuse no connection at all.")
    ] = None,
    rate_limit: Annotated[
        int | None, typer.Option(min=1, help="Requests let in within any minute; others get a 429.")
    ] = None,
    token_limit: Annotated[
        int | None, typer.Option(min=1, help="Tokens let in within any minute; others get a 429.")
    ] = None,
    quirk: Annotated[
        str | None,
        typer.Option(
            "--quirk",
            "--quirks",
            help="How often the model errs, by kind, such as badjson=3%,dup=20% (docs/offline-server.md); what is "
            "not named does not happen; `none`: it makes no mistakes. Without it: its own rare ones.",
        ),
    ] = None,
    batches: Annotated[
        str | None, typer.Option(help="How batches go: seconds=60,expired=5%,failed=1%,twice=1%,slow=2.")
    ] = None,
    echo_key: Annotated[bool, typer.Option("--echo-key", help="Repeat the Authorization header in errors.")] = False,
    api_key_env: Annotated[str | None, typer.Option(help="Variable with the key that requests must bring.")] = None,
) -> None:
    """Serve the built-in model as an OpenAI-compatible server, until Ctrl-C, with load and faults on request."""
    from selfinstruct.config.roles import key_in
    from selfinstruct.models.offline.server import OfflineServer, serve

    key = None if api_key_env is None else key_in(api_key_env)
    if api_key_env is not None and not key:
        raise ConfigError(f"--api-key-env: the environment variable {api_key_env} is not set")
    server = OfflineServer(
        port=port, style=style, tasks=tasks, api_key=key, slots=slots, latency=latency, rate_limit=rate_limit,
        token_limit=token_limit, outage=outage, fault=fault, quirk=quirk, echo_key=echo_key,
        batches=batches,
    )  # fmt: skip
    try:
        serve(server, lambda url: say(f"the offline model is served at {url}; what it counts: {url[:-3]}/stats"))
    except OSError as error:
        raise ConfigError(f"--port: {port} cannot be used ({error.strerror or error}); 0 takes a free one") from error


@app.command(**described('--cron "0 2 * * *" --more 200 --model qwen3'))
@with_settings("pool", "seeds", "more", "target", "target_rows", "backend", "base_url", "model", "max_usd")
def schedule(
    cron: Annotated[str, typer.Option(help="When, such as '0 2 * * *' for two o'clock each night.")],
    *,
    given: Given,
    config: SettingsFile = None,
    timezone: Annotated[str, typer.Option(help="Of the cron expression, such as Europe/Zurich.")] = "UTC",
) -> None:
    """Grow a pool by a Prefect schedule, until Ctrl-C; the model has to be named, here or in the config file."""
    from selfinstruct.config.loading import load
    from selfinstruct.config.sections import OPTIONS

    found = load(config, given, say)
    if not found.amounts:
        raise ConfigError("give one of --more, --target and --target-rows, here or in the config file")
    from selfinstruct.scheduling.schedule import schedule as serve

    wanted = {"pool", *found.amounts, *(name for name, value in given.items() if value)}
    parameters = {name: OPTIONS[name].of(found) for name in wanted}
    raise typer.Exit(serve({"file": config, **parameters}, cron, timezone))
