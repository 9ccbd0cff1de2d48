"""Publishing and fine-tuning as flows: a real Prefect server, a real process worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.versions.shelf import shelf, versions
from tests.builders import grow
from tests.prefect.serving import Prefect, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(1800), pytest.mark.filterwarnings("default")]

TRAIN = """
import os, pathlib, sys, time
data, out, note = map(pathlib.Path, sys.argv[1:4])
with note.open("a") as file:
    file.write(f"{data} {os.environ['TRAINING_KEY'].startswith('hf-MARKED')}\\n")
print(os.environ["TRAINING_KEY"])
if (mode := note.with_suffix(".mode").read_text()) == "hang":
    time.sleep(1000)
out.mkdir(exist_ok=True)
sys.exit(mode == "fail")
"""


class Trained:
    """A pool with a fine-tuning command that notes each time it is run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.pool, self.note, self.mode = folder / "pool", folder / "note", folder / "note.mode"
        self.file = folder / "settings.toml"
        script = folder / "train.py"
        script.write_text(TRAIN)
        words = [sys.executable, str(script), "{data}", "{out}", str(self.note)]
        self.write(command=" ".join(words))
        self.mode.write_text("good")
        self.note.touch()
        grow(self.pool, target=40)

    def write(self, command: str = "", **bounds: Any) -> None:
        self.command = command or self.command
        lines = [f"{name} = {value}" for name, value in bounds.items()]
        text = "\n".join(["[publish]", *lines, "[finetune]", f"command = {json.dumps(self.command)}", ""])
        self.file.write_text(text, encoding="utf-8")

    @property
    def times(self) -> list[str]:
        return self.note.read_text().splitlines()

    @property
    def latest(self) -> str:
        return str((shelf(self.pool) / "latest").readlink())


def test_publish_trains_once_a_version_and_the_gate_keeps_a_worse_one_back(prefect: Prefect, pools: Path) -> None:
    made = Trained(pools / "published")
    config = {"pool": str(made.pool), "file": str(made.file)}
    deployment = prefect.deploy("publish-weekly", config)

    first = prefect.ended(prefect.start(deployment))
    assert first["name"] == "Completed", first
    assert "version 1 is published: 40 tasks" in first["message"]
    assert "the fine-tuning on version 1 is done" in first["message"]
    assert (made.latest, made.times) == ("1", [f"{made.pool}/versions/1/data True"])

    again = prefect.ended(prefect.start(deployment))
    assert (again["name"], len(made.times), len(versions(made.pool))) == ("Unchanged", 1, 1)

    grow(made.pool, more=30)
    made.write(max_mean_nearest_rouge_l=versions(made.pool)[0].manifest["figures"]["mean_nearest_rouge_l"] / 2)
    worse = prefect.ended(prefect.start(deployment))
    assert worse["name"] == "Rejected"
    assert "mean_nearest_rouge_l" in worse["message"]
    assert (made.latest, len(made.times), versions(made.pool)[1].state) == ("1", 1, "rejected")

    made.write()  # the bound is given up, and the command fails
    made.mode.write_text("fail")
    third = prefect.ended(prefect.start(deployment))
    assert third["name"] == "Completed"
    assert "the fine-tuning on version 3 ended with exit code 1" in third["message"]
    assert (made.latest, len(made.times)) == ("3", 2)
    assert prefect.ended(prefect.start(deployment))["name"] == "Unchanged"
    assert len(made.times) == 2  # it is not tried again by itself

    made.mode.write_text("good")
    training = prefect.deploy("finetune", {**config, "version": 3})
    assert prefect.ended(prefect.start(training))["message"] == "the fine-tuning on version 3 is done"
    assert prefect.ended(prefect.start(training))["message"] == "version 3 was fine-tuned on before"
    assert made.times[1:] == [f"{made.pool}/versions/3/data True"] * 2


def test_fine_tuning_runs_on_another_deployment_and_a_cancelled_one_ends_its_command(
    prefect: Prefect, pools: Path
) -> None:
    made = Trained(pools / "elsewhere")
    made.mode.write_text("hang")
    config = {"pool": str(made.pool), "file": str(made.file)}
    training = prefect.deploy("finetune", config)
    deployment = prefect.deploy("publish-weekly", {**config, "deployment": "finetune/finetune"})
    state = prefect.ended(prefect.start(deployment))
    assert "of finetune/finetune" in state["message"]
    run = wait_for("the fine-tuning", lambda: prefect.runs(training)[-1:] if made.times else None, 180)[0]["id"]
    prefect.run("flow-run", "cancel", run)
    assert prefect.ended(run)["name"] == "Cancelled"
    record = json.loads((shelf(made.pool) / "1/finetune/record.json").read_text())
    assert record[-1]["exit_code"] is None
    made.mode.write_text("good")
    assert prefect.ended(prefect.start(training))["message"] == "the fine-tuning on version 1 is done"


def test_fine_tuning_that_waits_for_a_worker_is_not_started_once_more(prefect: Prefect, pools: Path) -> None:
    made = Trained(pools / "waiting")
    config = {"pool": str(made.pool), "file": str(made.file)}
    prefect.run("work-pool", "create", "nobody", "--type", "process")
    training = prefect.deploy("finetune", config, called="waiting", work_pool="nobody")
    deployment = prefect.deploy("publish-weekly", {**config, "deployment": "finetune/waiting"})
    names = [prefect.ended(prefect.start(deployment))["name"] for _ in range(2)]
    assert (names, len(prefect.all_runs(training)), made.times) == (["Completed", "Unchanged"], 1, [])


def test_what_cannot_be_published_or_trained_on_is_one_clear_line(prefect: Prefect, pools: Path) -> None:
    made = Trained(pools / "bad")
    no_deployment = {"pool": str(made.pool), "file": str(made.file), "deployment": "finetune/none"}
    publish = prefect.deploy("publish-weekly", no_deployment)
    training = prefect.deploy("finetune", {"pool": str(made.pool), "file": str(made.file), "version": 9})
    body = {"state": {"type": "SCHEDULED"}, "parameters": {"config": {"pool": str(pools / "none")}}}
    runs = [
        (prefect.start(publish), "Prefect has no deployment 'finetune/none'"),
        (prefect.start(training), "no version 9; there are: "),
    ]
    for run, wanted in runs:
        state = prefect.ended(run)
        assert state["type"] == "FAILED"
        assert wanted in state["message"]
    run = prefect.ask(f"/deployments/{publish}/create_flow_run", body)["id"]
    assert "no such pool" in prefect.ended(run)["message"]
    lines = prefect.told(run, "no such pool")
    assert not any("Traceback" in line for line in lines), lines
