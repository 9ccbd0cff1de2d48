"""An export to train on, and the same rows by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SPLIT = ("--split", "train=0.8,test=0.2")


def selfinstruct(*arguments: str | Path) -> str:
    """What a command of the project prints; it runs in the project's own environment."""
    python = os.environ.get("SELFINSTRUCT_PYTHON", sys.executable)
    found = subprocess.run(
        [python, "-m", "selfinstruct", *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def grown(folder: Path, config: str, quirk: str, target: int) -> Path:
    """A pool that the built-in model grew with this quirk."""
    (folder / "c.toml").write_text(config, encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from tests.builders import grow\n"
        "from selfinstruct.models.offline.server import OfflineServer\n"
        "with OfflineServer(quirk=sys.argv[3]) as server:\n"
        "    grow(Path(sys.argv[1]), config=Path(sys.argv[2]), target=int(sys.argv[4]), base_url=[server.base_url],"
        " model='offline')"
    )
    python = os.environ.get("SELFINSTRUCT_PYTHON", sys.executable)
    arguments = [python, "-c", code, folder / "pool", folder / "c.toml", quirk, str(target)]
    found = subprocess.run(arguments, cwd=ROOT, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return folder / "pool"


def exported_forms(pool: Path, out: Path, *more: str) -> Path:
    """All forms of a pool in a folder."""
    selfinstruct("export", pool, "--format", "all", "--out", out, *more)
    return out


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[Any]:
    """The values of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
