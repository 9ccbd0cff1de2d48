"""The one tree of errors a user may meet. Each carries one clear line and the exit code of the command."""

from __future__ import annotations


class SelfInstructError(Exception):
    """Anything that ends a command with one clear line."""

    exit_code = 2


class ConfigError(SelfInstructError):
    """Wrong use or configuration."""


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
