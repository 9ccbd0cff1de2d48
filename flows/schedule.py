"""Serving a schedule from this machine, with no work pool and no worker."""

from __future__ import annotations

import asyncio
import sys

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from flows.artifacts import label
from flows.grow import GrowConfig, grow
from selfinstruct.errors import AccessError, ConfigError


def schedule(config: GrowConfig, cron: str, timezone: str) -> None:
    """Serve the flow on a cron schedule until Ctrl-C. A run that is due while another works is left out.

    Raises:
        ConfigError: the cron expression or the time zone is none.
        AccessError: PREFECT_API_URL names a server that does not answer.
    """
    times = _times(cron, timezone)
    asyncio.run(_check_server())
    paths = {name: path.resolve() for name in ("pool", "seeds", "file") if (path := getattr(config, name))}
    config = config.model_copy(update=paths)  # its runs may start in another folder
    shown = config.model_dump_json(exclude_defaults=True)
    name = label(config.pool)
    print(f"serving grow/{name} at {cron!r} ({timezone}): {shown}", file=sys.stderr)
    grow.serve(
        name=name,
        schedules=[times],
        parameters={"config": config.model_dump(mode="json", exclude_defaults=True)},
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        print_starting_message=False,
    )


def _times(cron: str, timezone: str) -> CronSchedule:
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("timezone",):
            raise ConfigError(f"--timezone: {timezone!r} is no time zone, such as Europe/Zurich") from error
        raise ConfigError(
            f"--cron: {cron!r} is no cron expression, such as '0 2 * * *' for two o'clock each night"
        ) from error


async def _check_server() -> None:
    """Make sure that the Prefect server answers, if one is named; without one, Prefect starts its own.

    Raises:
        AccessError: it does not.
    """
    url = PREFECT_API_URL.value()
    if not url:
        return
    async with get_client() as client:
        error = await client.api_healthcheck()
    if error is not None:
        reason = str(error) or type(error).__name__
        raise AccessError(
            f"no Prefect server answers at {url} ({reason}); start one by `prefect server start`, "
            "or mend PREFECT_API_URL"
        )
