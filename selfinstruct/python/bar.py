"""How a run is seen by a program: as on the command line, or in the output of a notebook's cell."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from selfinstruct.cli.live import LiveView, Log, Viewer, can_redraw, lines
from selfinstruct.cli.text import ERR, duration, harmless, say
from selfinstruct.python.keywords import given, in_keywords
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.watch import Tell

DRAWN_EVERY_S = 0.5
WIDTH = 110
"""Characters of a line in a notebook."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is done with the messages of a run, and with the run itself once it has begun."""

    tell: Tell
    watch: Callable[[Growth], None] = lambda _: None
    ended: Callable[[Outcome], None] = lambda _: None


@contextlib.contextmanager
def shown(*, quiet: bool) -> Iterator[Shown]:
    """Shows a run while the block runs, unless it is to be quiet. Raises: ConfigError."""
    given("quiet", quiet, bool, "True or False")
    started = time.monotonic()

    def last(outcome: Outcome) -> str:
        return f"{in_keywords(outcome.reason)} ({duration(time.monotonic() - started)})"

    def tell(line: str) -> None:
        say(in_keywords(line))

    if quiet:
        yield Shown(lambda _: None)
    elif in_notebook():
        output = _Output()
        viewer = Viewer(
            lambda now, since, first: output.show("\n".join(lines(now, since, first, WIDTH))), DRAWN_EVERY_S
        )

        def watch(growth: Growth) -> None:
            growth.tells_rounds = False
            viewer.begin(growth)

        def ended(outcome: Outcome) -> None:
            viewer.end()
            output.show(harmless(last(outcome)).plain)

        try:
            yield Shown(lambda line: _print(in_keywords(line)), watch, ended)
        finally:
            viewer.end()
    elif can_redraw(ERR):
        with LiveView(ERR) as view:
            yield Shown(tell, view.watch, lambda outcome: say(last(outcome)))
    else:
        with Log() as log:
            yield Shown(lambda line: log.tell(in_keywords(line)), log.watch, lambda outcome: log.tell(last(outcome)))


def in_notebook() -> bool:
    """Whether this program is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - only where it is there already

    return hasattr(get_ipython(), "kernel")


def _print(line: str) -> None:
    print(harmless(line).plain)  # a notebook shows what comes to stderr as an error


class _Output:
    """A piece of a cell's output that is replaced again and again; plain text, so that nothing in it is obeyed."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Put this text in the place of the last one."""
        from IPython import display  # noqa: PLC0415 - there is a kernel

        data = {"text/plain": text}
        if self._handle is None:
            self._handle = display.display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)
