"""Sources of the user's own: what they are given, what they ask, whose turn it is, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import selfinstruct as si
from selfinstruct.algorithm import plan_round
from selfinstruct.cli import commands as cli
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.explain import explain
from selfinstruct.sources import turn
from tests.builders import assert_it_adds_up, changed, exported, grow, rows, settings, task

FROM_TICKETS = """
from pathlib import Path


def from_tickets(number, generator, demonstrations):
    tickets = Path({tickets!r}).read_text().splitlines()
    shown = generator.choice(demonstrations).instruction
    return f"Ticket {{number}}: {{tickets[number % len(tickets)]}}. Write 6 new tasks unlike this one: {{shown}}"
"""
WORDS = (
    "SELECT round, position, messages, demonstrations FROM questions WHERE source_name = 'from_tickets' ORDER BY 1, 2"
)
SEEDS = [task(f"Explain in plain words how thing number {number} works.", number) for number in range(20)]


def written(folder: Path, text: str) -> Path:
    path = folder / "own.py"
    path.write_text(text, encoding="utf-8")
    return path


def config(folder: Path, *sources: object, more: str = "") -> Path:
    path = folder / "c.toml"
    path.write_text(f"recipe.sources = {json.dumps([*map(str, sources)])}\n{more}", encoding="utf-8")
    return path


def test_each_line_of_a_file_is_asked_about_in_turn_and_tasks_name_their_source(tmp_path: Path) -> None:
    tickets = tmp_path / "tickets.txt"
    tickets.write_text("".join(f"the {name} is broken\n" for name in ("door", "lamp", "lift")))
    own = written(tmp_path, FROM_TICKETS.format(tickets=str(tickets)))
    chosen = config(tmp_path, "default", f"{own}:from_tickets", "demonstrations")
    pools = {name: tmp_path / name for name in "pq"}
    with OfflineServer() as server:
        options = {"base_url": [server.base_url], "model": "offline", "config": chosen}
        command = ["generate", str(pools["p"]), "--config", str(chosen), "--base-url", server.base_url]
        assert cli.run([*command, "--model", "offline", "--target", "30", "--quiet", "--concurrency", "3"]) == 0
        assert grow(pools["q"], target=12, **options).exit_code == 0
        assert max(server.seen.values()) == 2, "one question of each pool, in the same words"
        tickets.write_text("what changes later changes nothing that is planned\n")
        assert grow(pools["q"], target=30, **options, max_requests=1).exit_code == 3
    assert_it_adds_up(pools["p"])
    asked = rows(pools["p"], WORDS)
    assert [(number, place) for number, place, *_ in asked][:4] == [(0, 1), (0, 4), (0, 7), (1, 2)]
    texts = [json.loads(messages)[0][1] for _, _, messages, _ in asked]
    assert [text.partition(".")[0] for text in texts[:4]] == [
        f"Ticket {number}: the {name} is broken" for number, name in enumerate(("door", "lamp", "lift", "door"))
    ]
    for *_, shown, ids in zip(texts, (json.loads(one[3]) for one in asked), strict=True):
        assert len(ids) == 1, shown
    found = si.Pool(pools["p"]).tasks()
    assert set(found.source.dropna()) == {"demonstrations", "from_tickets"}
    assert found.source.isna().sum() == (found.origin == "seed").sum()
    one = found[found.source == "from_tickets"].iloc[0]
    assert ("source", "from_tickets") in explain(pools["p"], one.id)[0].lines
    assert len(one.parents) == 1
    assert cli.run(["replay", str(pools["p"]), "--pool", str(tmp_path / "r")]) == 0
    assert exported(tmp_path / "r") == exported(pools["p"])
    assert rows(tmp_path / "r", WORDS) == asked


def test_a_function_of_a_program_is_a_source_of_messages(tmp_path: Path) -> None:
    @si.source
    def in_two_turns(number, generator, demonstrations):  # type: ignore[no-untyped-def]
        return [
            {"role": "system", "content": "You write tasks."},
            {"role": "user", "content": f"Write 6 new tasks, the {number}. time."},
        ]

    pool = si.generate(tmp_path / "p", sources=[in_two_turns, *si.sources.default], target=10, quiet=True)
    assert {"in_two_turns", "demonstrations"} == set(pool.tasks().source.dropna())
    with pytest.raises(si.errors.ConfigError, match="the list is empty; wanted is one at least"):
        si.generate(tmp_path / "q", sources=[], quiet=True)


def test_the_turns_follow_from_the_number_of_the_request_alone() -> None:
    found = [turn(("a", "b", "a"), request) for request in range(7)]
    assert [(one.source, one.number) for one in found] == [
        ("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1), ("a", 3), ("a", 4),
    ]  # fmt: skip


def test_a_source_leaves_the_requests_of_the_others_as_they_are(tmp_path: Path) -> None:
    own = written(tmp_path, "def plain(number, generator, demonstrations):\n    return 'Write 6 new tasks.'\n")
    code = own.read_text()
    alone = plan_round(3, settings(), SEEDS, SEEDS[:5])
    mixed = changed(settings(), own_code={"0": code}, sources=("demonstrations", "own:0:plain"))
    both = plan_round(3, mixed, SEEDS, SEEDS[:5])
    assert [one.id for one in both[::2]] == [one.id for one in alone[::2]]
    assert [one.source_name for one in both] == ["demonstrations", "plain"] * 4
    assert (both[1].messages[0].content, both[1].schema) == ("Write 6 new tasks.", alone[1].schema)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "async def mine(a, b, c):\n    return 'a'\n",
            "recipe.sources: {own}:mine is async; wanted is a plain function",
        ),
        ("def mine(a):\n    return 'a'\n", "mine has other parameters; wanted is a plain function of (number,"),
        ("def mine(a, b, c):\n    return open('nowhere')\n", "source mine raised FileNotFoundError: "),
        ("def mine(a, b, c):\n    return 3\n", "source mine gave 3; wanted is a text, or a list of messages"),
        ("def mine(a, b, c):\n    return []\n", "source mine gave []; wanted is a text"),
        ("def mine(a, b, c):\n    return ' \\n'\n", "source mine gave ' \\n'; wanted is a text"),
        ("def mine(a, b, c):\n    return [{'role': 'user', 'content': ''}]\n", "'content': ''}}]; wanted is a text"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    own = written(tmp_path, text)
    command: list[Any] = ["generate", tmp_path / "p", "--config", config(tmp_path, f"{own}:mine"), "--target", 3]
    assert cli.run([*map(str, command)]) == 2
    assert said.format(own=own) in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "p" / "pool.db").exists()
