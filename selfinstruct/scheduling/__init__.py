"""The Prefect flows; the only code that imports Prefect.

Prefect reads its settings when it is imported, so the settings that keep it quiet and offline are made here, before
that. Those of the environment win.
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

# At its end a process would log the number of events still to send; Prefect waits for them anyway.
for _name in ("EventsWorker", "APILogWorker"):
    logging.getLogger(_name).setLevel(logging.ERROR)

# Prefect would log refused parameters with their values; the error that it raises names only the field.
logging.getLogger("prefect.flows").addFilter(
    lambda record: not str(record.msg).startswith("Parameter validation failed")
)
