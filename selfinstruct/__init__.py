"""Grow instruction data from seed tasks with any language model (Self-Instruct, Wang et al. 2022).

The names below are the interface for Python programs; docs/python.md describes it. Each is imported when it is first
used, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfinstruct import checks, errors, sources, steps
    from selfinstruct.python.functions import check, export_format, source, step
    from selfinstruct.python.growing import agenerate, generate, preview, topics
    from selfinstruct.python.opened import Pool
    from selfinstruct.types import Instance, Task

__version__ = "0.2.0"
__all__ = [
    "Instance", "Pool", "Task", "__version__", "agenerate", "check", "checks", "errors", "export_format", "generate",
    "preview", "source", "sources", "step", "steps", "topics",
]  # fmt: skip
_HOMES = {
    "Instance": "types", "Pool": "python.opened", "Task": "types", "agenerate": "python.growing",
    "check": "python.functions", "checks": "", "errors": "", "export_format": "python.functions",
    "generate": "python.growing", "preview": "python.growing", "source": "python.functions", "sources": "",
    "step": "python.functions", "steps": "", "topics": "python.growing",
}  # fmt: skip
"""The module that each name comes from; empty: it is a module."""


def __getattr__(name: str) -> Any:
    """A public name, when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only programs that import this package need it

    home = _HOMES[name]
    found = getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return __all__
