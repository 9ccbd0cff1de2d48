"""A run as it is seen from outside: its figures in the form of Prometheus, at a port, while it goes on.

They are read by the event loop that grows the pool, between two of its steps, so that all are of one moment.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfinstruct.config.sections import Config
from selfinstruct.errors import ConfigError
from selfinstruct.models.prices import in_dollars
from selfinstruct.runner.pump import Growth

if TYPE_CHECKING:
    from aiohttp import web
    from prometheus_client import Metric

PREFIX = "selfinstruct_"


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is counted, or that has a level."""

    name: str
    """After `PREFIX`; what ends in _total only grows."""
    about: str
    of: Callable[[Growth], float | Mapping[str, float]]
    label: str = ""
    """What the values of a mapping are by."""


def _sum(name: str) -> Callable[[Growth], float]:
    return lambda growth: sum(getattr(one, name) for one in growth.progress())


FIGURES = (
    Figure("requests_sent_total", "requests sent by this run, repeated ones included", lambda growth: growth.sent),
    Figure("requests_repeated_total", "of these, requests that had been sent before", _sum("again")),
    Figure("answers_total", "answers that this run has stored", lambda growth: growth.journal.completions),
    Figure(
        "tokens_total", "tokens of these answers and of their prompts",
        lambda growth: {"prompt": growth.journal.read_tokens, "completion": growth.journal.written_tokens}, "kind",
    ),
    Figure(
        "cost_usd_total", "US dollars spent by this run, as far as prices are known",
        lambda growth: float(in_dollars(growth.journal.picodollars)),
    ),
    Figure("accepted_tasks_total", "tasks accepted into the pool by all runs", lambda growth: len(growth.generated)),
    Figure("rejections_total", "what this run has rejected", lambda growth: growth.rejected, "reason"),
    Figure("done", "tasks, or rows, finished in the pool", lambda growth: {growth.goal.unit: growth.done}, "unit"),
    Figure("goal", "how many of them are wanted", lambda growth: {growth.goal.unit: growth.goal.number}, "unit"),
    Figure("tasks_pending", "accepted tasks that have no rows yet", lambda growth: growth.pending),
    Figure("requests_in_flight", "requests under way", _sum("in_flight")),
    Figure("requests_waiting", "requests that wait to be sent", _sum("waiting")),
    Figure("rounds_open", "rounds that are planned and not settled: the lag", lambda growth: len(growth.rounds)),
    Figure("servers", "servers that answer, counted for each group of stages", _sum("servers")),
)  # fmt: skip


@contextlib.asynccontextmanager
async def served(config: Config, growths: Sequence[Growth], tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Serve the figures of a run while the block runs, if that is wanted. `growths` holds the run once it has begun.

    Raises:
        ConfigError: the library is missing, or the port cannot be used.
    """
    if config.metrics_port is None:
        yield
        return
    try:
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "--metrics-port needs the package prometheus-client: pip install 'selfinstruct[metrics]'"
        ) from None
    from aiohttp import web  # noqa: PLC0415 - takes long to import

    async def show(request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(_Figures(growths)), headers={"Content-Type": kind})

    app = web.Application()
    app.add_routes([web.get("/metrics", show)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, config.metrics_host, config.metrics_port).start()
        except OSError as error:
            place = f"port {config.metrics_port} of {config.metrics_host}"
            raise ConfigError(
                f"--metrics-port: {place} cannot be used ({error.strerror}); 0 takes a free one"
            ) from None
        host, port, *_ = runner.addresses[0]
        tell(f"figures of this run for Prometheus: http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
        yield
    finally:
        await runner.cleanup()


class _Figures:
    """What Prometheus' library asks for figures."""

    def __init__(self, growths: Sequence[Growth]) -> None:
        self._growths = growths

    def collect(self) -> Iterator[Metric]:
        """Those of the run, in the order of `FIGURES`."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

        for figure in FIGURES if self._growths else ():
            family = CounterMetricFamily if figure.name.endswith("_total") else GaugeMetricFamily
            metric = family(PREFIX + figure.name, figure.about, labels=[figure.label] if figure.label else [])
            for labels, value in _values(figure.of(self._growths[0])):
                metric.add_metric(labels, value)
            yield metric


def _values(found: float | Mapping[str, float]) -> Iterable[tuple[list[str], float]]:
    """Values with the labels of each."""
    return [([name], value) for name, value in found.items()] if isinstance(found, Mapping) else [([], found)]
