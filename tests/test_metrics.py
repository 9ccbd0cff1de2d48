"""A run as Prometheus sees it: scraped over HTTP while it goes on, and shown by the dashboard that comes with it."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import selfinstruct as si
from selfinstruct.cli import commands as cli
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from selfinstruct.runner.metrics import FIGURES, PREFIX
from tests.builders import ROOT, grow, rows
from tests.processes import counted, generate, running
from tests.servers import GatedServer

TARGET = 40
PRICES = "[prices.offline]\ninput = 1\noutput = 2\n"
Scraped = dict[tuple[str, str], float]
"""Values by name and label."""


def scrape(url: str) -> Scraped:
    """What is served there; each metric has one label at most."""
    with urllib.request.urlopen(url) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = response.read().decode()
    families = [*text_string_to_metric_families(text)]
    assert all(family.documentation for family in families)
    return {
        (sample.name.removeprefix(PREFIX), "".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def place_in(lines: list[str]) -> str:
    return next(found[0] for line in lines if (found := re.search(r"http://\S+/metrics", line)))


def figures_of(pool: Path) -> Scraped:
    """What the pool says of a first run that has eight requests in flight."""
    stored, states = status(pool), "SELECT COUNT(*) FROM rounds WHERE state != 'settled'"
    accepted = stored["tasks"] + stored["tasks_pending"] + stored["tasks_without_instances"]
    open_requests = rows(pool, "SELECT COUNT(*) FROM requests WHERE state = 'open'")[0][0]
    return {
        ("requests_sent_total", ""): stored["completions"] + 8, ("requests_repeated_total", ""): 0,
        ("answers_total", ""): stored["completions"],
        ("tokens_total", "prompt"): stored["prompt_tokens"],
        ("tokens_total", "completion"): stored["completion_tokens"],
        ("cost_usd_total", ""): rows(pool, "SELECT SUM(usd_e12) FROM attempts")[0][0] / 1e12,
        ("accepted_tasks_total", ""): accepted, ("done", "tasks"): stored["tasks"], ("goal", "tasks"): TARGET,
        ("tasks_pending", ""): stored["tasks_pending"], ("rounds_open", ""): rows(pool, states)[0][0],
        ("requests_in_flight", ""): 8, ("requests_waiting", ""): open_requests - 8, ("servers", ""): 1,
        **{("rejections_total", reason): count for reason, count in stored["rejections"].items()},
    }  # fmt: skip


def test_a_run_is_scraped_and_its_figures_are_those_of_the_pool(tmp_path: Path) -> None:
    """The run stands still once the model answers nothing more, and is looked at until all before is decided."""
    pool, told = tmp_path / "p", list[str]()
    (tmp_path / "c.toml").write_text(PRICES, encoding="utf-8")
    with GatedServer(let_through=60) as server:
        options = {"base_url": [server.base_url], "model": "offline", "concurrency": 8, "metrics_port": 0}
        grown = threading.Thread(
            target=lambda: grow(pool, tell=told, config=tmp_path / "c.toml", target=TARGET, **options)
        )
        grown.start()
        now, wanted = Scraped(), Scraped({("", ""): 0.0})
        while now != wanted and grown.is_alive():
            grown.join(0.2)
            if server.is_waited_for and counted(pool) == 60:
                now, wanted = scrape(place_in(told)), figures_of(pool)
        server.let_through = 10**6
        grown.join(60)
    assert now == wanted
    assert wanted["cost_usd_total", ""] > 0 < wanted["rounds_open", ""]
    with pytest.raises(OSError, match="refused"):
        scrape(place_in(told))


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of what is served by a command, over HTTP, in the form of OpenMetrics too."""
    pool = tmp_path_factory.mktemp("metrics") / "p"
    with OfflineServer(latency="fixed:0.2") as server:
        command = generate(pool, server.base_url, 3 * TARGET, "--metrics-port", 0)
        with running(command, stderr=-1) as process:
            lines = iter(process.stderr.readline, b"")
            url = place_in([next(line for line in lines if b"/metrics" in line).decode()])
            next(line for line in lines if b"round 0:" in line)
            found = {name for name, _ in scrape(url)}
            asked = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
            with urllib.request.urlopen(asked) as response:
                assert response.read().endswith(b"# EOF\n")
    return found


def test_every_figure_is_served_and_described(names: set[str]) -> None:
    assert names == {figure.name for figure in FIGURES}
    page = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
    described = re.findall(rf"^\| `{PREFIX}(\w+)`(?: by `(\w+)`)? \| (.*) \|$", page, re.MULTILINE)
    assert described == [(figure.name, figure.label, figure.about) for figure in FIGURES]


def test_every_query_of_the_dashboard_names_what_is_served(names: set[str]) -> None:
    dashboard = json.loads((ROOT / "examples/grafana.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    asked = [re.findall(rf"{PREFIX}(\w+)", query) for query in queries]
    assert all(asked)
    assert {name for found in asked for name in found} == names


def test_without_the_library_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--metrics-port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--metrics-port" in line
    assert "pip install 'selfinstruct[metrics]'" in line
    assert not (tmp_path / "p").exists()


def test_a_taken_port_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(si.errors.ConfigError, match=f"^metrics_port: port {port} of 127.0.0.1 cannot be used"):
            si.generate(tmp_path / "p", target=5, metrics_port=port, quiet=True)
    assert not (tmp_path / "p").exists()


def test_a_program_has_it_as_a_keyword(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    si.generate(tmp_path / "p", target=5, metrics_port=0)
    assert place_in(capsys.readouterr().err.splitlines()).startswith("http://127.0.0.1:")
