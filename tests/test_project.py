"""Promises that no linter checks: the wheel works alone, the README's commands run, files stay readable."""

from __future__ import annotations

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
        rows = [(row.instruction, row.input, row.output) for row in pool.rows()]
    verdicts = [book_says(*row) for row in rows]
    judged = [verdict for verdict in verdicts if verdict is not None]
    assert len(judged) > 75
    assert judged.count(False) <= len(judged) / 50
    lines = README.partition("| instruction | input | output |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(lines) > 2
    assert {tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines} <= {*rows}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_works_alone_and_its_index_shows_it(tmp_path: Path) -> None:
    """Built, checked as an index checks it, installed with its pinned dependencies, and run from an empty folder."""
    dist = tmp_path / "dist"
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    check = [sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()]
    subprocess.run(check, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SELFINSTRUCT"))}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    ran = []
    for command in ["python -m selfinstruct generate --pool outputs/demo --target 200", *readme_commands()]:
        if any(word in command for word in ELSEWHERE):
            continue
        line = re.sub(r"OPENAI_API_KEY=\S+ | --model \S+| --max-usd \S+", "", command).replace("1000", "20")
        done = subprocess.run(line, shell=True, cwd=empty, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, line + done.stderr
        assert "WARNING" not in done.stderr
        ran.append(line.split()[3])
    assert {"generate", "status", "report", "explain", "replay", "export"} <= {*ran}
    assert (empty / "outputs" / "demo" / "report.html").read_text("utf-8").startswith("<!doctype html>")
    shutil.rmtree(tmp_path / "env")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_extra_vllm_resolves_without_the_constraints(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("vLLM is for Linux")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--extra", "vllm", str(ROOT / "pyproject.toml")]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr[-2000:]
    assert "\nvllm==" in found.stdout


ELSEWHERE = ("make ", "vllm", "--base-url", "my_seeds", "mine.toml", " review ", " schedule ", "offline-server")
"""Words of the README's commands that want a server, a file of the user's, or somebody who ends them."""


def readme_commands() -> list[str]:
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", README, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"(?:[A-Z_]+=\S+ )?python -m selfinstruct|make ", line)]


def test_the_readme_opens_with_its_two_commands_and_shows_every_command_once() -> None:
    commands = readme_commands()
    assert [line.split("#")[0].strip() for line in commands[:2]] == ["make generate", "make test"]
    for name in (
        "generate", "replay", "status", "report", "explain", "export", "seeds check", "offline-server", "schedule",
        "publish", "finetune", "merge",
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
