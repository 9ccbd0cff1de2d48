"""Promises that no linter checks: the wheel works alone, the README's commands run, files stay readable."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from selfinstruct.pool.reader import snapshot
from tests.builders import ROOT, book_says, grow

README = (ROOT / "README.md").read_text("utf-8")


def test_the_answers_of_the_demo_are_right(tmp_path: Path) -> None:
    grow(tmp_path / "pool", target=100)
    with snapshot(tmp_path / "pool") as pool:
        verdicts = [book_says(row.instruction, row.input, row.output) for row in pool.rows()]
    judged = [verdict for verdict in verdicts if verdict is not None]
    assert len(judged) > 75
    assert judged.count(False) <= len(judged) / 50


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_works_alone_in_an_empty_environment(tmp_path: Path) -> None:
    """Built, installed with its pinned dependencies, and run from an empty folder."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SELFINSTRUCT"))}
    found = subprocess.run(
        [python, "-m", "selfinstruct", "generate", "--target", "20", "--json"], cwd=empty, env=environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    status = json.loads(found.stdout)
    assert (status["seeds"], status["tasks"]) == (175, 20)
    assert "WARNING" not in found.stderr
    assert (empty / "outputs" / "pool" / "pool.db").exists()
    subprocess.run([python, "-m", "selfinstruct", "report", "outputs/pool"], cwd=empty, env=environment, check=True)
    assert (empty / "outputs" / "pool" / "report.html").read_text("utf-8").startswith("<!doctype html>")
    shutil.rmtree(tmp_path / "env")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_extra_vllm_resolves_without_the_constraints(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("vLLM is for Linux")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", f"{ROOT}[vllm]"]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr[-2000:]


def readme_commands() -> list[str]:
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", README, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(("python -m selfinstruct", "make "))]


def test_the_readme_opens_with_its_two_commands_and_shows_every_command_once() -> None:
    commands = readme_commands()
    assert [line.split("#")[0].strip() for line in commands[:2]] == ["make generate", "make test"]
    for name in (
        "generate", "replay", "status", "report", "explain", "export", "seeds check", "offline-server", "schedule",
        "publish", "finetune",
    ):  # fmt: skip
        assert any(f"selfinstruct {name}" in line for line in commands), name


def test_nothing_committed_names_a_place_of_this_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    for name in tracked:
        path = ROOT / name
        if (
            path.is_file()
            and path.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ""}
            and name != "tests/test_project.py"
        ):
            text = path.read_text("utf-8")
            assert not re.search(r"/root/|/home/\w+/|/work/", text), name
