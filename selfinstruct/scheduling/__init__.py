"""Prefect flows over the same growth loop; the only code that imports Prefect.

Prefect reads its settings when it is imported, so what keeps it quiet and offline is set here, before that. Whatever
the environment says wins.
"""

from __future__ import annotations

import logging
import os

for _name, _value in {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}.items():
    os.environ.setdefault(_name, _value)

# At its end, a process says how many events it is still sending; Prefect waits for them, and all is well.
for _name in ("EventsWorker", "APILogWorker"):
    logging.getLogger(_name).setLevel(logging.ERROR)

# Prefect logs parameters that are refused with all they hold; the error that it raises then names the field alone.
logging.getLogger("prefect.flows").addFilter(
    lambda record: not str(record.msg).startswith("Parameter validation failed")
)
