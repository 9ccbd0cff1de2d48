"""Run last: what Prefect has kept of all these runs holds none of the keys."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from tests.builders import ROOT
from tests.prefect.conftest import MODEL_KEY, TRAINING_KEY
from tests.prefect.serving import Prefect

pytestmark = [pytest.mark.worker, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]


def test_server_and_worker_tried_to_reach_nobody_and_runs_logged_no_traceback(prefect: Prefect) -> None:
    for name in ("server.log", "worker.log"):
        text = (prefect.home / name).read_text()
        assert "telemetry" not in text.lower(), name
        assert "amplitude" not in text.lower(), name
        assert not re.search(rf'File "{re.escape(str(ROOT))}/(?:selfinstruct|flows)/', text), name


def test_no_key_stands_in_prefects_database_logs_or_files(prefect: Prefect, pools: Path) -> None:
    with sqlite3.connect(prefect.database, timeout=60) as connection:
        assert connection.execute("SELECT COUNT(*) FROM log").fetchone()[0] > 10
        assert connection.execute("SELECT COUNT(*) FROM artifact").fetchone()[0] > 5
        assert connection.execute("SELECT COUNT(*) FROM task_run").fetchone()[0] > 20
    connection.close()
    for key in (MODEL_KEY.encode(), TRAINING_KEY.encode()):
        for path in prefect.home.rglob("*"):
            if path.is_file():
                assert key not in path.read_bytes(), path
    for path in pools.rglob("*"):
        if path.is_file() and path.suffix in {".db", ".json", ".md", ".jsonl", ".yaml"}:
            text = path.read_bytes()
            assert MODEL_KEY.encode() not in text, path
            assert TRAINING_KEY.encode() not in text, path
