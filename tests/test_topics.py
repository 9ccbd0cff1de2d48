"""A list of subjects is grown by a model out of a description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import selfinstruct as si
from selfinstruct.cli import commands as cli
from selfinstruct.models.offline.server import OfflineServer
from tests.builders import rows
from tests.servers import ScriptedServer, completion, says

FIELDS = ["Wounds: fresh and old", "1. Wounds: fresh and old", "coughs", "", "  burns\n and scalds "]


def listed(place: int, body: dict[str, Any]) -> web.Response:
    """The same five fields for the whole, and for a field as many subjects as are asked for, each once again."""
    asked = body["messages"][-1]["content"]
    field = re.search(r"only at this part of it: (.*)", asked)
    number = int(re.search(r"Name (\d+) parts", asked)[1])  # type: ignore[index]
    subjects = [f"question {one // 2} on {field[1]}" for one in range(number)] if field else FIELDS
    return completion(json.dumps({"subjects": subjects}))


def test_the_parts_of_a_field_are_listed_in_turn_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(says(listed)) as server:
        arguments = ["topics", "what a pharmacy is asked", "--count", "9", "--base-url", server.base_url]
        assert cli.run([*arguments, "--model", "m"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:4] == [
        "Wounds: fresh and old: question 0 on Wounds: fresh and old", "coughs: question 0 on coughs",
        "burns and scalds: question 0 on burns and scalds",
        "Wounds: fresh and old: question 1 on Wounds: fresh and old",
    ]  # fmt: skip
    assert len(set(out.splitlines())) == len(out.splitlines()) == 9
    assert not err
    others = [body["messages"][-1]["content"] for body in server.bodies if "these parts" in str(body).lower()]
    assert any("These parts are dealt with already: Wounds: fresh and old; coughs" in one for one in others)


def test_few_subjects_take_one_request_and_too_few_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(says(listed)) as server:
        assert cli.run(["topics", "a pharmacy", "--count", "6", "--base-url", server.base_url, "--model", "m"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["Wounds: fresh and old", "coughs", "burns and scalds"]
    assert "3 subjects instead of 6" in err
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([" "], "the description is empty; say what"),
        (["birds", "--count", "0"], "--count: wanted is a number of subjects from 1 to 2,000, found 0"),
        (["birds", "--max-requests", "1"], "max-requests"),
    ],
)
def test_what_cannot_be_listed_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["topics", *arguments]) in {2, 3}
    out, err = capsys.readouterr()
    assert said in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
    assert not out


def test_a_model_that_writes_no_list_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(says(lambda *_: None)) as server:
        assert cli.run(["topics", "birds", "--base-url", server.base_url, "--model", "m"]) == 2
    assert "the model wrote no list; its answer was 'fine'" in capsys.readouterr().err


def test_a_list_is_drawn_from_and_kept_with_the_pool(tmp_path: Path) -> None:
    with OfflineServer() as server:
        topics = si.topics("what a market sells", 20, model="offline", base_url=server.base_url)
        assert len(topics) == len(set(topics)) == 20
        pool = si.generate(tmp_path / "p", target=12, draw={"subject": topics}, model="offline",
                           base_url=server.base_url, quiet=True)  # fmt: skip
    assert {one["subject"] for one in pool.rows().drawn if "subject" in one} <= set(topics)
    ((stored,),) = rows(tmp_path / "p", "SELECT settings FROM configurations")
    assert set(json.loads(stored)["draw"]["subject"]) == set(topics)


def test_keywords_of_a_pool_are_refused() -> None:
    with pytest.raises(si.errors.ConfigError, match="topics: there is no target, since nothing is kept"):
        si.topics("birds", target=5)
    with pytest.raises(si.errors.ConfigError, match="about: 5 given, wanted a description"):
        si.topics(5)  # type: ignore[arg-type]
