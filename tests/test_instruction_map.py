"""The map of instructions: which are on it, where they lie, and what their clusters are called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from selfinstruct.report.instruction_map import POINTS, Place, chosen, instruction_map, local_embed

SEA = [f"Write a poem about the sea, the waves and ship number {number}." for number in range(40)]
CODE = [f"Fix the Python function that sorts list number {number}." for number in range(30)]


def places(kind: str, texts: list[str]) -> list[Place]:
    return [Place(kind, row, text) for row, text in enumerate(texts)]


def test_the_package_places_by_meaning_and_asks_nobody(tmp_path: Path) -> None:
    script = (
        "from selfinstruct.report.instruction_map import local_embed; import numpy as np\n"
        "texts = ['A poem about the sea', 'Verses on the ocean', 'Sort numbers', '', '\\ud800']\n"
        "poem, verses, sort, *_ = np.array(local_embed()(texts))\n"
        "near = lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)\n"
        "print(near(poem, verses) - near(poem, sort))"
    )
    nowhere = {"HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(
        command, env={**nowhere, "PYTHONPATH": ":".join(sys.path)}, check=False, capture_output=True, text=True
    )
    assert float(done.stdout or "0") > 0.1, done.stderr + done.stdout
    assert [path.name for path in tmp_path.iterdir()] == []


def test_points_of_like_meaning_are_a_cluster_named_by_its_words() -> None:
    embed = local_embed()
    assert embed is not None
    made = instruction_map(places("task", SEA + CODE), embed)
    assert made == instruction_map(places("task", SEA + CODE), embed)
    clusters = [point[4] for point in made["points"]]
    assert clusters == [0] * len(SEA) + [1] * len(CODE)
    sea, code = made["clusters"]
    assert {*sea.split(", ")} <= {"write", "poem", "about", "sea", "waves", "and", "ship"}
    assert {*code.split(", ")} <= {"fix", "python", "function", "that", "sorts", "list"}
    across = np.array([point[0] for point in made["points"]])
    assert {round(float(across.min()), 3), round(float(across.max()), 3)} == {0.0, 1.0}
    assert abs(across[: len(SEA)].mean() - across[len(SEA) :].mean()) > 0.5


@pytest.mark.parametrize("texts", [[], ["One."], ["The same."] * 5, ["", "", ""]])
def test_few_texts_and_equal_ones_have_a_map_too(texts: list[str]) -> None:
    embed = local_embed()
    assert embed is not None
    made = instruction_map(places("task", texts), embed)
    assert len(made["points"]) == (len(texts) if len(texts) > 2 else 0)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, *_ in made["points"])


def test_a_large_pool_has_a_bounded_number_of_points_that_are_always_the_same() -> None:
    every = [
        *places("seed", [f"Seed {number}" for number in range(2000)]),
        *places("task", [f"Task {number}" for number in range(9000)]),
        *places("rejection", [f"Rejection {number}" for number in range(3000)]),
    ]
    found = chosen(every)
    assert len(found) == POINTS
    assert {kind: sum(one.kind == kind for one in found) for kind in ("seed", "rejection", "task")} == {
        "seed": 1000, "rejection": 1000, "task": 3000,
    }  # fmt: skip
    assert {one.row for one in found if one.kind == "rejection"} == {*range(1000)}
    # Of seeds and tasks the order does not matter, and more tasks change few.
    others = [one for one in every if one.kind != "rejection"]
    assert {*chosen(others[::-1], 4000)} == {*chosen(others, 4000)}
    assert chosen(every[:10]) == every[:10]
