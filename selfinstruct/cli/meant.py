"""What somebody meant who named an option or a command that there is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from selfinstruct.cli.text import plain
from selfinstruct.config.habits import ON_KEYS, VALUES, is_secret
from selfinstruct.config.sections import OPTIONS, PLACES
from selfinstruct.errors import nearest, plain_form, unknown

_COMMANDS: Mapping[str, str] = {
    "run": "generate", "grow": "generate", "start": "generate", "resume": "generate", "create": "generate",
    "stats": "status", "info": "status", "show": "status", "list": "status",
    "why": "explain", "delete": "remove", "rm": "remove", "undo": "restore", "undelete": "restore",
    "label": "review", "dump": "export", "save": "export", "convert": "export", "push": "export --push-to-hub",
    "html": "report", "plot": "report", "compare": "report", "version": "--version", "help": "--help",
    "train": "finetune", "tune": "finetune", "sft": "finetune", "release": "publish",
    "check": "seeds check", "validate": "seeds check", "serve": "offline-server", "server": "offline-server",
    "cron": "schedule", "merge": "replay", "rejudge": "replay",
}  # fmt: skip
"""Commands by words that others have for them."""


def on_unknown_command(name: str, known: Sequence[str]) -> str:
    """What to say of a command that there is not."""
    meant = nearest(name, known) or (_COMMANDS.get(plain_form(name)) if "generate" in known else None)
    return f"no such command: {name}; {f'did you mean {meant}?' if meant else unknown(name, known)}"


def on_wrong_use(error: Any, options: Mapping[str, Collection[str]], program: str) -> str:
    """What to say of a command line that typer does not take, given the options of each command."""
    context = error.ctx
    command = context.command.name if context is not None and context.parent is not None else ""
    own = options.get(command) or ({one for each in context.command.params for one in each.opts} if context else set())
    unknown_option = getattr(error, "option_name", None)
    if unknown_option is not None and "possibilities" in vars(error):
        message = f"{unknown_option}: no such option"
        meant = _option_meant(unknown_option, command, own, options)
    else:
        message = _in_words(error)
        meant = ""
    if not meant and "did you mean" not in message:
        meant = f"`{context.command_path if context is not None else program} -h` says how it is used"
    return plain(f"{message}; {meant}".rstrip("; "))


def _in_words(error: Any) -> str:
    message = str(error.format_message()).rstrip(".")
    for said, better in (
        ("Input should be a valid integer, unable to parse string as an integer", "a whole number is wanted"),
        ("Input should be a valid number, unable to parse string as a number", "a number is wanted"),
        ("Input should be", "it should be"),
        ("Value error, ", ""),
    ):
        message = message.replace(said, better)
    return message[:1].lower() + message[1:]


def _option_meant(option: str, command: str, own: Collection[str], options: Mapping[str, Collection[str]]) -> str:
    word = option.lstrip("-")
    if is_secret(word):
        return ON_KEYS
    place = PLACES.meant(word) if len(word) > 1 else None
    if command == "generate" and (word == "max_tokens" or place == "model.max_tokens"):
        return (
            "--max-tokens bounds a whole run; the length of one answer is max_tokens under [model] in a --config file"
        )
    usual = next((one.flag for one in OPTIONS.values() if one.place == place), None)
    name, value = VALUES.get(plain_form(word), (None, ""))
    options_of = [one for one in own if one.startswith("-")]
    meant = f"{OPTIONS[name].flag} {value}" if name else nearest(word, options_of) or (usual if usual in own else None)
    if meant:
        return f"did you mean {meant}?"
    others = [name for name, theirs in options.items() if option in theirs]
    if others:
        return f"it goes with {', '.join(others)}" + ("" if command else f" and comes after it: {others[0]} {option}")
    if place and not usual and "--config" in own:
        return f"it is set in a file for --config: {PLACES.in_words(place)}"
    return ""
