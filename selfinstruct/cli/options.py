"""How commands get their options, and how their `--help` lists them: in groups, with an example and exit codes.

Options that are settings are those of `config.sections`; their meaning and bounds stand there.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer
import typer.core

from selfinstruct.config import DEFAULT_POOL, LIMITS
from selfinstruct.errors import ConfigError

if TYPE_CHECKING:
    from selfinstruct.config.sections import Option

Given = Mapping[str, Any]
"""The settings that a command line gives, by the names of their options; None: not given."""
Command = TypeVar("Command", bound=Callable[..., None])
WITH_SETTINGS: dict[str, Callable[[], None]] = {}
"""What gives commands their options that are settings, by the command; `--help` of the whole does without."""

POOL, MODEL, WANTED, OUTPUT = "Pool", "Model", "What is asked for", "Output"
GROUPS = (POOL, MODEL, WANTED, LIMITS, OUTPUT)
_GROUP_OF: Mapping[str, str] = {
    name: group
    for group, names in {
        POOL: "pool pool_option sources other path",
        MODEL: "style tasks quirk api_key_env echo_key tokenizer embeddings_url embeddings_model embeddings_key_env",
        WANTED: "what about count ids row instruction input output no_input "
        "where event everything descendants reason sample blind calibrate precision origin "
        "include_seeds one_instance min_chars max_chars max_tokens limit split config version command cron timezone",
        LIMITS: "preview dry_run show_prompts slots latency fault outage rate_limit token_limit",
    }.items()
    for name in names.split()
}
"""Where `--help` lists the options that are no settings; any other belongs to the output."""
_VALUES = {"int": "N", "float": "X", "path": "PATH", "str": "TEXT"}
"""What stands for a value, by the first word of Typer's name for its type."""


class Grouped(typer.core.TyperCommand):
    """A command whose `--help` lists its options in groups, in plain text as all help is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What the command line gives; `--page` alone, where there is such an option, takes a free port."""
        if any(one.name == "page" for one in self.params):
            after = [*args[1:], ""]
            args = ["--page=0" if one == "--page" and not after[n].isdecimal() else one for n, one in enumerate(args)]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write each group that has an option."""
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                group = getattr(param, "rich_help_panel", None) or _GROUP_OF.get(str(param.name), OUTPUT)
                groups[group].append((_spelled(param, record[0]), record[1]))
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write what follows the options, with the command as it was called."""
        formatter.write("\n" + str(self.epilog).replace("COMMAND", ctx.command_path))


def _spelled(param: Any, shown: str) -> str:
    """An option or argument with what stands for its value: its choices, or a word for its type."""
    names, has_type, kind = shown.rstrip(">").partition(" <")
    if not has_type or param.param_type_name == "argument":
        return names
    return f"{names} {kind if '|' in kind else _VALUES.get(kind.split()[0], 'TEXT')}"


def described(example: str, codes: Mapping[int, str] | None = None) -> dict[str, Any]:
    """How a command is registered to show itself: in groups, then an example, then the exit codes that it names.

    The example is what follows the command's name.
    """
    lines = ["Example:", *(f"  COMMAND {one}" for one in example.splitlines())]
    if codes:
        lines += ["", "Exit codes:", *(f"  {code:<4} {meaning}" for code, meaning in codes.items())]
    return {"cls": Grouped, "epilog": "\n".join(lines) + "\n"}


PoolArgument = Annotated[
    Path | None, typer.Argument(help=f"The pool's folder.  [default: {DEFAULT_POOL}]", metavar="POOL")
]
PoolOption = Annotated[Path | None, typer.Option("--pool", help="The same by an option.", metavar="POOL")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="A TOML file with these settings, and those that have no option here."
    ),
]
VersionsFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A TOML file; its keys pool, [publish] and [finetune] are used."),
]


def _one_pool(pool: Path | None, named: Path | None) -> Path | None:
    """The pool, given as POOL or by --pool.

    Raises:
        ConfigError: both are given and differ.
    """
    if pool is not None and named is not None and Path(os.path.normpath(pool)) != Path(os.path.normpath(named)):
        raise ConfigError(f"POOL is {pool} and --pool is {named}; name one of them")
    return pool or named


def this_pool(pool: Path | None, named: Path | None) -> Path:
    """The pool of a command that reads no configuration."""
    return _one_pool(pool, named) or Path(os.environ.get("SELFINSTRUCT_POOL") or DEFAULT_POOL)


def pool_and_more(pool: Path | None, named: Path | None, *more: str | Path | None) -> tuple[Path, list[str]]:
    """The pool and the arguments after it. With --pool, POOL is the first of those, unless it is the pool again."""
    after = [str(one) for one in more if one is not None]
    if pool is None or named is None or Path(os.path.normpath(pool)) == Path(os.path.normpath(named)):
        return this_pool(pool, named), after
    return named, [str(pool), *after]


def _parameters(option: Option, about: str | None) -> Iterator[inspect.Parameter]:
    """An option as Typer wants it declared; what its value may be is checked where all settings are.

    `about` stands in the place of its own help text.
    """
    if option.name == "pool":
        yield inspect.Parameter("pool", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PoolArgument)
        yield inspect.Parameter("pool_option", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PoolOption)
        return
    annotation = option.field.annotation
    is_path = Path in {annotation, *get_args(annotation)}
    choices = [one for one in option.shown.split("|") if one.islower()]
    info = typer.Option(
        option.flag,
        metavar=None if annotation is bool else option.shown,
        autocompletion=(lambda: choices) if len(choices) > 1 else None,
        help=about or option.help,
        rich_help_panel=option.group,
    )
    kind: Any = bool if annotation is bool else Path if is_path else str
    kind = list[kind] if option.is_list else kind
    yield inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def with_settings(*names: str, **about: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings, or for all, and what they are set to as `given`.

    `about` has help texts for settings that mean something else here, or have another default. The options are
    declared when the command is used: reading the settings takes longer than `--help` may.
    """

    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            own = {name: values.pop(name) for name in parameters if name in values}
            if "pool_option" in values:
                values["pool"] = _one_pool(values.pop("pool"), values.pop("pool_option"))
            command(given=values, **own)

        def show(more: Sequence[inspect.Parameter]) -> None:
            shown = [each for one in parameters.values() for each in (more if one.name == "given" else [one])]
            called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
            called.__annotations__ = {one.name: one.annotation for one in shown}

        def declare() -> None:
            from selfinstruct.config.sections import OPTIONS

            wanted = names or list(OPTIONS)
            show([one for name in wanted for one in _parameters(OPTIONS[name], about.get(name))])

        parameters = inspect.signature(command, eval_str=True).parameters
        show(())
        WITH_SETTINGS[command.__name__] = declare
        return called  # type: ignore[return-value]

    return decorated
