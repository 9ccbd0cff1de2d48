"""The one tree of errors a user may meet. Each carries one clear line and the exit code of the command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SelfInstructError(Exception):
    """Anything that ends a command with one clear line."""

    exit_code = 2


class ConfigError(SelfInstructError):
    """Wrong use or configuration."""


class OwnCodeError(ConfigError):
    """Code of the user's own that does not do what is wanted of it."""


class SeedError(SelfInstructError):
    """A seed file that cannot be used; the text names file, line, what was found and what is wanted."""


class PoolError(SelfInstructError):
    """A pool that cannot be opened, read or grown as asked."""


class PoolInUse(PoolError):  # noqa: N818 - what it says is the fault
    """A pool that another run is growing at this moment."""


class BudgetError(SelfInstructError):
    """A run that may spend no more."""

    exit_code = 3


class AccessError(SelfInstructError):
    """The model cannot be reached, refuses the key, is unknown, or the server refuses the configuration."""

    exit_code = 5


class Halted(Exception):  # noqa: N818 - it is what happened, not a fault
    """No further request is sent in this run; what is under way goes on."""


def plain_form(word: str) -> str:
    """A word without case, dashes, underscores and dots, by which spellings of one word are alike."""
    return "".join(character for character in word.casefold() if character.isalnum())


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant: spelled otherwise, misspelled, or cut short."""
    forms = {plain_form(one): one for one in reversed([*known])}
    form = plain_form(word)
    found = [form] if form in forms else difflib.get_close_matches(form, forms, 1, cutoff=0.75)
    if not found and len(form) >= 3:
        found = [one for one in forms if one.startswith(form)]
    return forms[found[0]] if len(found) == 1 else None


def option_name(name: str) -> str:
    """An option as it is written on the command line; `python/keywords.py` makes a keyword of it again."""
    return f"--{name.replace('_', '-')}"


def unknown(what: str, known: Iterable[str], shown: str = "") -> str:
    """Words for an unknown word: the known one that was probably meant, or all of them."""
    known = [*known]
    meant = nearest(what, known)
    return f"did you mean {meant}?" if meant else f"known: {shown or ', '.join(known)}"
