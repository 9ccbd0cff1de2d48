"""The Vendi score by embeddings, from a server that gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.cli import commands as cli
from selfinstruct.diversity.vendi import vendi_of_embeddings, vendi_sample
from selfinstruct.errors import AccessError
from selfinstruct.models.embeddings import embed
from selfinstruct.models.endpoint import EndpointConfig
from tests.builders import grow, rows
from tests.servers import ScriptedServer, error


def vector(text: str) -> list[float]:
    """Where a text of so many letters points: one of three directions."""
    return [float(len(text) % 3 == place) for place in range(3)]


async def answer(place: int, path: str, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
    """Embeddings in an order of the server's own, after one failure."""
    del request
    assert path == "embeddings"
    if place == 1:
        return error(503, "busy")
    data = [{"index": number, "embedding": vector(text)} for number, text in enumerate(body["input"])]
    return web.json_response({"data": data[::-1], "model": body["model"]})


@pytest.mark.parametrize(
    ("vectors", "wanted"),
    [
        ([], None),
        ([[2.0, 0.0]], 1.0),
        ([[1.0, 0.0], [0.5, 0.0], [9.0, 0.0]], 1.0),
        ([[1.0, 0.0], [0.0, 3.0]], 2.0),
        ([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], round(3 / 2 ** (2 / 3), 4)),  # eigenvalues 2/3 and 1/3
    ],
)
def test_the_score_is_that_reckoned_by_hand(vectors: Sequence[Sequence[float]], wanted: float | None) -> None:
    assert vendi_of_embeddings(vectors) == wanted


def test_all_texts_are_embedded_in_order_over_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["x" * number for number in range(1, 151)]
    with ScriptedServer(answer) as server:
        assert embed(EndpointConfig(server.base_url, "a-key"), "m", texts) == [vector(text) for text in texts]
        assert [len(body["input"]) for body in server.bodies] == [64, 64, 64, 22]
        assert {body["model"] for body in server.bodies} == {"m"}
        assert set(server.keys) == {"Bearer a-key"}


async def refuse(*_: object) -> web.StreamResponse:
    return error(400, "no such model; your key is a-very-long-key")


async def scant(place: int, path: str, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
    del place, path, body, request
    return web.json_response({"data": [{"index": 0, "embedding": [1.0]}]})


async def other(*_: object) -> web.StreamResponse:
    return web.Response(text="<html>hello</html>")


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [(refuse, "HTTP 400: no such model"), (scant, "1 embeddings for 2"), (other, "no embeddings")],
)
def test_a_server_that_gives_none_is_one_clear_line(behaviour: Any, said: str) -> None:
    with ScriptedServer(behaviour) as server, pytest.raises(AccessError, match=said) as caught:
        embed(EndpointConfig(server.base_url, "a-very-long-key"), "m", ["one", "two"])
    assert "a-very-long-key" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_report_shows_the_score_of_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grow(tmp_path / "p", target=10)
    texts = [
        text for (text,) in rows(tmp_path / "p", "SELECT instruction FROM tasks WHERE round >= 0 AND state = 'done'")
    ]
    wanted = vendi_of_embeddings([vector(text) for text in vendi_sample(texts)])
    assert wanted is not None
    assert not math.isclose(wanted, 3.0)
    with ScriptedServer(answer) as server:
        arguments = ["report", str(tmp_path / "p"), "--embeddings-url", server.base_url, "--embeddings-model", "m"]
        assert cli.run(arguments) == 0
    page = (tmp_path / "p" / "report.html").read_text(encoding="utf-8")
    assert f'"vendi_score_embeddings":{wanted}' in page
    assert cli.run(["report", str(tmp_path / "p")]) == 0
    assert '"vendi_score_embeddings":' not in (tmp_path / "p" / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--embeddings-url", "http://localhost:1/v1"], "give both or neither"),
        (["--embeddings-url", "localhost:1", "--embeddings-model", "m"], "no http:// or https:// URL"),
    ],
)
def test_bad_options_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.run(["report", str(tmp_path / "p"), *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_failed_request_leaves_the_old_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow(tmp_path / "p", target=5)
    (tmp_path / "p" / "report.html").write_text("old")
    with ScriptedServer(refuse) as server:
        arguments = ["report", str(tmp_path / "p"), "--embeddings-url", server.base_url, "--embeddings-model", "m"]
        assert cli.run(arguments) == 5
    assert "no such model" in capsys.readouterr().err
    assert (tmp_path / "p" / "report.html").read_text() == "old"
