"""Pages of the documents as programs: their blocks of code, run in order in a folder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_ELSEWHERE = ("pip install ", "python finetune_trl.py ")
"""How lines begin that need what a test does not have: a package index, a GPU."""


class Block(NamedTuple):
    """A block of code of a page; one with a title is the file of that name."""

    language: str
    title: str
    code: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text("utf-8"))]


def run_cells(cells: Iterable[str], folder: Path) -> None:
    """Run cells as a notebook in a folder; the first error is raised."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=100, resources={"metadata": {"path": str(folder)}}).execute()


def run_page(found: Iterable[Block], folder: Path, environment: Mapping[str, str]) -> None:
    """Do in a folder what a page says: write its files, run its commands, and its Python as cells of one notebook."""
    for language, group in groupby(found, key=lambda block: block.language):
        some = [*group]
        if language == "python":
            run_cells((block.code for block in some), folder)
        for block in some:
            if block.title:
                (folder / block.title).write_text(block.code, encoding="utf-8")
            elif language == "sh":
                lines = [line for line in block.code.splitlines() if not line.startswith(_ELSEWHERE)]
                command = ["bash", "-ec", "\n".join(lines)]
                done = subprocess.run(
                    command, cwd=folder, env=dict(environment), check=False, capture_output=True, text=True
                )
                assert done.returncode == 0, block.code + done.stdout + done.stderr
