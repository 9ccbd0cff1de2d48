"""Serving a schedule from this machine, with no work pool and no worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.runs.forecast import forecast
from selfinstruct.scheduling.artifacts import label
from selfinstruct.scheduling.grow import GrowConfig, configuration, grow
from selfinstruct.scheduling.server import serve_beside_own_server
from selfinstruct.seeds import seed_file
from selfinstruct.terminal.words import say


def schedule(options: Mapping[str, Any], cron: str, timezone: str) -> int:
    """Serve the flow with these parameters on a cron schedule until Ctrl-C or SIGTERM; the exit code.

    Each pool has a deployment of its own. A run that is due while another one grows the pool finds it locked, and is
    left out.

    Raises:
        ConfigError: a parameter, the cron expression or the time zone is wrong, or no model is named.
        ConfigError, SeedError, PoolError, AccessError: a run would be refused before it asks anything.
        AccessError: PREFECT_API_URL names a server that does not answer, or none is named and it cannot be started.
    """
    config = _parameters(options)
    times = _times(cron, timezone)
    settings = configuration(config)
    if settings.model_name:
        forecast(settings)  # what the first run would refuse is told now, not at night
    files = {"pool": config.pool, "seeds": config.seeds and seed_file(config.seeds), "file": config.file}
    paths = {name: path.resolve() for name, path in files.items() if path}
    config = config.model_copy(update=paths)  # its runs may start in another folder
    url = PREFECT_API_URL.value()
    if not url:
        return serve_beside_own_server(config.pool)
    asyncio.run(_check_server(url))
    name = label(config.pool)
    say(f"serving grow/{name} at {cron!r} ({timezone}): {config.model_dump_json(exclude_unset=True)}")
    runner = _Runner(name=name)
    runner.add_flow(
        grow, name=name, schedules=[times], parameters={"config": config.model_dump(mode="json", exclude_unset=True)}
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(runner.until_ended())
    return 0


class _Runner(Runner):
    """Prefect's own ends at once at a SIGTERM, and leaves runs to themselves; this one ends as at Ctrl-C."""

    async def until_ended(self) -> None:
        """Serve until a SIGTERM."""
        self._serving = asyncio.ensure_future(self.start())
        self._here = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Let what is running stop in good order, then end. Prefect would wait for it."""
        # Some versions then report with a traceback that they cannot end what has ended.
        logging.getLogger("prefect.runner.process_manager").setLevel(logging.CRITICAL)
        for run in multiprocessing.active_children():
            run.terminate()
        self._here.call_soon_threadsafe(self._serving.cancel)


def _parameters(options: Mapping[str, Any]) -> GrowConfig:
    """The parameters of a run from options of the command line (None: not given)."""
    try:
        return GrowConfig.model_validate({name: value for name, value in options.items() if value not in (None, [])})
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        option = str(fault["loc"][0]).replace("_", "-") if fault["loc"] else ""
        words = fault["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--{'config' if option == 'file' else option}: {words}" if option else words) from error


def _times(cron: str, timezone: str) -> CronSchedule:
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("timezone",):
            raise ConfigError(f"--timezone: {timezone!r} is no time zone, such as Europe/Zurich") from error
        raise ConfigError(
            f"--cron: {cron!r} is no cron expression, such as '0 2 * * *' for two o'clock each night"
        ) from error


async def _check_server(url: str) -> None:
    """Make sure that the Prefect server which is named answers.

    Raises:
        AccessError: it does not.
    """
    async with get_client() as client:
        error = await client.api_healthcheck()
    if error is not None:
        reason = str(error) or type(error).__name__
        raise AccessError(
            f"no Prefect server answers at {url} ({reason}); start one by `prefect server start`, "
            "or mend PREFECT_API_URL"
        )
