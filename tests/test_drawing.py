"""What requests draw out of lists, and quotas of what is drawn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from tests.builders import assert_it_adds_up, exported, grow, rows

PEOPLE = ("a night nurse", "a beekeeper", "a court clerk", "a tram driver", "a new father")
LEVELS = ("easy", "usual", "hard", "very hard")


def config(folder: Path, text: str) -> Path:
    path = folder / "draw.toml"
    path.write_text(text, encoding="utf-8")
    return path


def grid(folder: Path, tasks: int, more: str = "") -> Path:
    lists = f"[draw]\npersona = {json.dumps(PEOPLE)}\nlevel = {json.dumps(LEVELS)}\n"
    return config(folder, f'{more}\n{lists}[quotas]\nover = ["persona", "level"]\neach = {tasks}\n')


def accepted(pool: Path) -> Counter[tuple[str, ...]]:
    """Accepted tasks by what was drawn for them."""
    found = rows(pool, "SELECT drawn FROM tasks WHERE origin = 'generated' AND drawn != ''")
    return Counter((json.loads(drawn)["persona"], json.loads(drawn)["level"]) for (drawn,) in found)


def test_each_request_draws_a_value_of_each_list_by_weight_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "forms.txt").write_text("# forms\na question\n\nan order\n", encoding="utf-8")
    chosen = config(
        tmp_path,
        f'[draw]\nlevel = {{ easy = 1, hard = 9 }}\nform = "{tmp_path}/forms.txt"\npersona = ["a nurse", "a cook"]\n',
    )
    grow(tmp_path / "p", target=120, config=chosen)
    found = rows(tmp_path / "p", "SELECT drawn, messages FROM questions WHERE stage = 'propose'")
    drawn = [json.loads(one) for one, _ in found]
    assert {"level", "form", "persona"} == set().union(*drawn)
    assert {one["form"] for one in drawn} == {"a question", "an order"}
    assert sum(one["level"] == "hard" for one in drawn) > 0.7 * len(drawn)
    for one, (_, messages) in zip(drawn, found, strict=True):
        assert f"level: {one['level']}" in messages
        assert one["persona"] in messages
    of_tasks = rows(
        tmp_path / "p",
        "SELECT COUNT(*) FROM tasks t JOIN requests q ON q.id = t.request_id WHERE t.drawn IS NOT q.drawn",
    )
    assert of_tasks == [(0,)]


def test_a_list_that_changes_later_changes_nothing_that_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "people.txt"
    path.write_text("a nurse\n", encoding="utf-8")
    chosen = config(tmp_path, f'[draw]\npersona = "{path}"\n')
    grow(tmp_path / "p", target=20, config=chosen, max_requests=4)
    path.write_text("a cook\n", encoding="utf-8")
    grow(tmp_path / "p", target=60, config=chosen)
    of_rounds = rows(tmp_path / "p", "SELECT DISTINCT round, drawn FROM requests WHERE stage = 'propose' ORDER BY 1")
    found = [json.loads(drawn)["persona"] for _, drawn in of_rounds]
    assert (found[0], found[-1]) == ("a nurse", "a cook")
    assert len(found) == len({number for number, _ in of_rounds})


@pytest.mark.timeout(600)
def test_quotas_of_a_grid_are_met_to_the_task_and_the_same_however_it_is_run(
    tmp_path: Path, record_property: Any
) -> None:
    chosen = grid(tmp_path, 4)
    pools = {name: tmp_path / name for name in ("at once", "one by one", "in steps", "without")}
    with OfflineServer() as server:
        model = {"base_url": [server.base_url], "model": "offline"}
        assert grow(pools["at once"], target=80, config=chosen, concurrency=64, **model).exit_code == 0
        assert grow(pools["one by one"], target=80, config=chosen, concurrency=1, **model).exit_code == 0
        for target in (7, 50, 80):
            grow(pools["in steps"], target=target, config=chosen, **model)
        tasks = status(pools["at once"])["tasks"]
        grow(pools["without"], target=tasks, **model)
    assert exported(pools["at once"]) == exported(pools["one by one"]) == exported(pools["in steps"])
    assert accepted(pools["at once"]) == {(person, level): 4 for person in PEOPLE for level in LEVELS}
    now = assert_it_adds_up(pools["at once"])
    assert all(one["accepted"] == one["wanted"] == 4 for one in now["quotas"])
    took = (
        "SELECT COUNT(*), SUM(c.completion_tokens) FROM requests r JOIN completions c ON c.request_id = r.id "
        "WHERE r.stage = 'propose'"
    )
    asked, written = zip(*(rows(pools[name], took)[0] for name in ("at once", "without")), strict=True)
    record_property("propose requests with and without quotas", asked)
    assert asked[0] <= 2.5 * asked[1]
    assert written[0] <= 1.5 * written[1]


def test_what_quotas_lack_at_the_end_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = grid(tmp_path, 3)
    assert cli.run(["generate", str(tmp_path / "p"), "--config", str(chosen), "--target", "25"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    counts = accepted(tmp_path / "p")
    met = sum(count == 3 for count in counts.values())
    assert f"quotas {met} of 20 met" in said
    assert "lacks" in said
    shown = status(tmp_path / "p")["quotas"]
    assert {tuple(one["drawn"].values()): one["accepted"] for one in shown if one["accepted"]} == counts


def test_quotas_that_are_met_end_a_run_before_its_target(tmp_path: Path) -> None:
    chosen = grid(tmp_path, 1)
    outcome = grow(tmp_path / "p", target=500, config=chosen)
    assert outcome.exit_code == 0
    assert "the quotas are met" in outcome.reason
    assert sum(accepted(tmp_path / "p").values()) == 20
    before = exported(tmp_path / "p")
    assert grow(tmp_path / "p", target=500, config=chosen).exit_code == 0
    assert exported(tmp_path / "p") == before


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[draw]\nround = ["a"]', "draw.round: this is the name of something else"),
        ('[draw]\n"my list" = ["a"]', "wanted is a name of letters"),
        ('[draw]\np = ["a", "b"]\n[quotas]\nover = ["p", "p"]', "'p' stands there twice"),
        ("[quotas]\neach = 3", "[quotas] does nothing without a list"),
        ("[judge]\nrevise = true", "[judge] does nothing unless the judge is switched on"),
        ("[agreement]\nmin_share = 0.8", "[agreement] does nothing with one answer"),
        ('[model]\nbackend = "offline"\nbase_url = "http://localhost:1/v1"', "model.backend is offline, the built-in"),
        ('[evolve]\nways = ["deeper"]', "[evolve] does nothing"),
        ("[draw]\np = [1, 2]", "draw.p: wants texts that are not empty"),
        ('recipe.sources = ["documents"]\n[documents]\npath = ""', "is empty; name a folder or a file"),
        ('[quotas]\nover = ["persona"]', "there is no list 'persona' in [draw]"),
        ("[draw]\npersona = []", "draw.persona: the list has no value"),
        ("[draw]\npersona = { nurse = 0 }", "draw.persona"),
        ('[draw]\npersona = "no-such.txt"', "no-such.txt"),
        ("[draw]\npersona = 5", "draw.persona"),
        ('[draw]\nparent = ["a"]', "draw.parent: this is the name of something else"),
        ('[[recipe.sources]]\nname = "evolve"\nweight = 0', "a weight is a whole number from 1 to 100"),
        ("[[recipe.sources]]\nweight = 2", "wants names, or tables"),
        ('recipe.sources = ["evolve"]\nrecipe.name = "paper"', "evolve: the recipe paper asks base models"),
        ('[evolve]\nways = ["sideways"]', "there is no way 'sideways'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_clear_line(
    text: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = config(tmp_path, text)
    assert cli.run(["generate", str(tmp_path / "p"), "--config", str(chosen)]) == 2
    said = capsys.readouterr().err
    assert wanted in " ".join(said.split())
    assert "Traceback" not in said
    assert not (tmp_path / "p").exists()


def test_weights_are_turns_of_sources(tmp_path: Path) -> None:
    entries = (
        '[[recipe.sources]]\nname = "demonstrations"\nweight = 50\n[[recipe.sources]]\nname = "evolve"\nweight = 25\n'
    )
    grow(tmp_path / "p", target=60, config=config(tmp_path, entries))
    of_round = "SELECT source_name FROM requests WHERE stage = 'propose' AND round < 2 AND position < 8 ORDER BY number"
    named = [name for (name,) in rows(tmp_path / "p", of_round)]
    assert named[:6] == ["demonstrations", "demonstrations", "evolve"] * 2
    assert len(named) == 16
    shown = {one["name"]: one for one in status(tmp_path / "p")["sources"]}
    assert sum(one["tasks"] for one in shown.values()) == status(tmp_path / "p")["tasks"]
    assert sum(one["rows"] for one in shown.values()) == status(tmp_path / "p")["instances"]
