"""The page of `review` as a server: who is let in, what a row says, and what a decision leaves behind."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from selfinstruct import pages
from selfinstruct.cli import commands as cli
from selfinstruct.exports.writing import export
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import snapshot
from selfinstruct.pool.records import StoredSample
from selfinstruct.review import listing
from selfinstruct.review.doubt import Lengths, doubt
from selfinstruct.review.labels import Labels, RowPlace, Said
from selfinstruct.review.session import places
from selfinstruct.types import Instance, JudgeVerdict
from tests.builders import ROOT, exported, grow, rows
from tests.pools import large_pool
from tests.reviewing import client_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("made") / "pool"
    grow(pool, target=25)
    return pool


@pytest.fixture
def pool(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "pool"))


@pytest.fixture
def client(pool: Path) -> Iterator[httpx.Client]:
    with client_of(pool) as opened:
        yield opened


def decide(client: httpx.Client, row: dict[str, Any], decision: str, **more: Any) -> httpx.Response:
    said = {"task_id": row["task_id"], "instance": row["instance"], "decision": decision, **more}
    return client.post("/api/decisions", json=said)


def labels(pool: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (pool / "labels.jsonl").read_text("utf-8").splitlines()]


# --- who is let in --------------------------------------------------------------------------------------------------


def test_only_whoever_has_the_token_and_asks_from_the_page_gets_anything(client: httpx.Client, pool: Path) -> None:
    token, base = client.headers["X-Token"], str(client.base_url)
    port = urlsplit(base).port
    row = client.get("/api/rows/0").json()
    said = {"task_id": row["task_id"], "instance": 0, "decision": "remove"}
    refused = [
        client.get("/"),
        client.get("/?token=wrong"),
        client.get("/api/rows/0", headers={"X-Token": ""}),
        client.get("/api/rows/0", headers={"X-Token": token[:-1]}),
        client.get("/api/rows/0", headers={"X-Token": "é".encode("latin-1")}),
        client.get("/api/list?show=all", headers={"X-Token": "x"}),
        client.get("/api/about", headers={"X-Token": "x"}),
        client.get("/api/rows/0", headers={"Host": "evil.example"}),
        client.get(f"/?token={token}", headers={"Host": f"evil.example:{port}"}),
        client.get("/api/rows/0", headers={"Origin": "http://evil.example"}),
        client.get("/api/rows/0", headers={"Origin": f"http://127.0.0.1:{port + 1}"}),
        client.get("/api/rows/0", headers={"Origin": "null"}),
        client.post("/api/decisions", json=said, headers={"X-Token": "x"}),
        client.post("/api/decisions", json=said, headers={"Origin": "http://evil.example"}),
        client.post(f"/api/decisions?token={token}", json=said, headers={"X-Token": ""}),
        client.post("/api/edits", json={**said, "output": "x"}, headers={"X-Token": "x"}),
        client.post("/api/rankings", json={**said, "sample": 0, "is_better": True}, headers={"X-Token": "x"}),
        client.post("/api/undo", headers={"X-Token": "x"}),
    ]
    del client.headers["Origin"]
    refused.append(client.post("/api/decisions", json=said))
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    for answer in refused:
        assert row["instruction"] not in answer.text
        assert token not in answer.text
    assert rows(pool, "SELECT COUNT(*) FROM events") == [(0,)]
    assert not (pool / "labels.jsonl").exists()
    assert client.get("/api/rows/0").status_code == 200  # a GET may come without an origin


def test_every_answer_has_the_policy_that_lets_the_script_and_style_of_the_page_run_alone(client: httpx.Client) -> None:
    token = client.headers["X-Token"]
    page = client.get(f"/?token={token}").text
    (script,), (style,) = (re.findall(f"<{name}>(.*?)</{name}>", page, re.DOTALL) for name in ("script", "style"))
    run, used = (base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (script, style))
    wanted = f"default-src 'none'; script-src 'sha256-{run}'; style-src 'sha256-{used}'; base-uri 'none'; "
    for path in (f"/?token={token}", "/", "/api/rows/0", "/api/rows/99999", "/nothing"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith(wanted), path
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert page.count("<script") == page.count("<style") == 1
    assert " style=" not in page
    assert not re.search(r"<[^>]* on\w+=", page.replace(script, ""))
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert way not in script


@pytest.mark.parametrize("path", ["/assets/review.js", "/../pages.py", "/docs", "/openapi.json", "/redoc"])
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"task_id": "t", "instance": 0, "decision": "drop"},
        {"task_id": "t", "instance": "x", "decision": "keep"},
        {"task_id": "t", "instance": 0, "decision": "keep", "more": 1},
    ],
)
def test_a_decision_in_another_form_is_refused(client: httpx.Client, said: dict[str, Any], pool: Path) -> None:
    assert client.post("/api/decisions", json=said).status_code == 422
    assert not (pool / "labels.jsonl").exists()


def asked(client: httpx.Client, head: str, body: bytes = b"", token: str | None = None) -> bytes:
    """The whole answer to a request whose body may never end: the connection stays open after what is given."""
    address = urlsplit(str(client.base_url))
    token = client.headers["X-Token"] if token is None else token
    more = f"Host: {address.netloc}\r\nOrigin: {client.base_url}\r\nX-Token: {token}\r\n{head}".replace("/\r", "\r")
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as opened:
        opened.sendall(f"POST /api/decisions HTTP/1.1\r\n{more}\r\n".encode())
        with contextlib.suppress(ConnectionError):  # the server may close before it has all
            opened.sendall(body)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := opened.recv(65536):
                answer += chunk
        return answer


CHUNK = b"4000\r\n" + b" " * 0x4000 + b"\r\n"


@pytest.mark.parametrize(
    ("head", "body", "token", "status"),
    [
        ("Content-Length: 1000000000\r\n", b"{", "wrong", 403),
        ("Transfer-Encoding: chunked\r\n", CHUNK, "wrong", 403),
        ("Content-Length: 20\r\nExpect: 100-continue\r\n", b"", "wrong", 403),
        ("Content-Length: 1000000000\r\n", b"{", None, 413),
        (f"Content-Length: {'9' * 18}\r\n", b"{", None, 413),
        ("Transfer-Encoding: chunked\r\n", CHUNK * (pages.LONGEST_BODY // 0x4000 + 1), None, 413),
        (f"X-More: {'a' * 200_000}\r\n", b"", None, 400),
    ],
)
def test_a_request_that_may_not_come_or_never_ends_is_refused_before_it_is_all_there(
    client: httpx.Client, pool: Path, head: str, body: bytes, token: str | None, status: int
) -> None:
    assert asked(client, head, body, token).startswith(f"HTTP/1.1 {status} ".encode())
    assert not (pool / "labels.jsonl").exists()


def test_a_body_that_does_not_come_is_not_awaited_for_ever(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "BODY_S", 0.2)
    assert asked(client, "Content-Length: 20\r\n", b"{").startswith(b"HTTP/1.1 408 ")
    assert client.get("/api/rows/0").status_code == 200


def test_a_body_that_comes_in_pieces_is_read(client: httpx.Client, pool: Path) -> None:
    row = client.get("/api/rows/0").json()
    said = json.dumps({"task_id": row["task_id"], "instance": 0, "decision": "keep"}).encode()
    answer = client.post(
        "/api/decisions", content=iter([said[:9], said[9:]]), headers={"Content-Type": "application/json"}
    )
    assert answer.json() == {"noted": True}
    assert len(labels(pool)) == 1


# --- what a row says ------------------------------------------------------------------------------------------------


def test_a_row_comes_with_its_lineage_and_its_nearest_neighbour(client: httpx.Client, pool: Path) -> None:
    found = [client.get(f"/api/rows/{index}").json() for index in range(len(places(pool)))]
    wanted = rows(
        pool,
        "SELECT t.id, i.position, t.instruction, i.input, i.output, t.parents, t.nearest_task, t.nearest_score "
        "FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.origin = 'generated' "
        "ORDER BY t.position, i.position",
    )
    assert len(found) == len(wanted) > 25
    for row, (task, instance, instruction, given, output, parents, nearest, score) in zip(found, wanted, strict=True):
        assert (row["task_id"], row["instance"], row["instruction"]) == (task, instance, instruction)
        assert (row["input"], row["output"]) == (given, output)
        assert [one["id"] for one in row["shown"]] == json.loads(parents)
        assert (row["nearest"]["id"], row["nearest"]["score"]) == (nearest, round(score, 4))
        assert row["nearest"]["marked"].replace("‹", "").replace("›", "") == row["nearest"]["instruction"]
        assert (row["removed"], row["label"], row["marked"], row["verdict"]) == (None, None, False, None)
    assert client.get(f"/api/rows/{len(found)}").status_code == 404
    assert client.get("/api/rows/-1").status_code == 404


def test_a_row_is_shown_though_a_task_that_was_shown_for_it_is_not_in_the_pool(
    client: httpx.Client, pool: Path
) -> None:
    with contextlib.closing(sqlite3.connect(pool / "pool.db")) as connection:  # as a replay may leave it
        connection.execute("UPDATE tasks SET parents = json_insert(parents, '$[#]', 'gone')")
        connection.commit()
    assert len(client.get("/api/rows/0").json()["shown"]) == 8


def test_a_verdict_is_shown_and_to_a_blind_reader_only_after_the_label(pool: Path) -> None:
    with contextlib.closing(sqlite3.connect(pool / "pool.db")) as connection:
        connection.execute(
            "INSERT INTO verdicts SELECT i.source, i.request_id, i.request_position, i.task_id, 'r', 'passed', "
            "5, 'clear', 4, 'fits', 3, 'so so' FROM instances i JOIN tasks t ON t.id = i.task_id "
            "WHERE t.origin = 'generated'"
        )
        connection.commit()
    for blind, before in ((False, 3), (True, None)):
        with client_of(pool, blind=blind) as client:
            row = client.get("/api/rows/1").json()
            assert (row["verdict"] and row["verdict"]["output_score"]) == before
            if blind:
                assert decide(client, row, "keep").status_code == 200
                assert client.get("/api/rows/1").json()["verdict"]["output_reason"] == "so so"


# --- what a decision leaves behind ----------------------------------------------------------------------------------


def test_removing_and_keeping_are_events_and_labels_that_the_judge_can_read(client: httpx.Client, pool: Path) -> None:
    before = exported(pool)
    row = client.get("/api/rows/3").json()
    assert decide(client, row, "remove", reason="wrong sum", question="output").status_code == 200
    assert rows(pool, "SELECT kind, reason FROM events") == [("remove", "wrong sum")]
    assert rows(pool, "SELECT task_id, position FROM removed_rows") == [(row["task_id"], row["instance"])]
    again = client.get("/api/rows/3").json()
    assert (again["label"], again["removed"], again["labelled"]) == ("remove", "wrong sum", 1)
    assert exported(pool) != before
    assert decide(client, row, "keep").status_code == 200
    assert rows(pool, "SELECT kind FROM events") == [("remove",), ("restore",)]
    assert exported(pool) == before
    other = client.get("/api/rows/5").json()
    assert decide(client, other, "keep").status_code == 200
    assert rows(pool, "SELECT COUNT(*) FROM events") == [(2,)]  # it was not removed
    about, about_other = (
        {"task_id": one["task_id"], "instance": one["instance"], "request_id": request, "request_position": position}
        for one in (row, other)
        for request, position in rows(
            pool,
            "SELECT request_id, request_position FROM instances "
            f"WHERE task_id = '{one['task_id']}' AND position = {one['instance']}",
        )
    )
    assert labels(pool) == [
        {**about, "label": "remove", "question": "output"},
        {**about, "label": "keep"},
        {**about_other, "label": "keep"},
    ]


def several_rows(client: httpx.Client, pool: Path) -> list[dict[str, Any]]:
    """Two rows of one task."""
    shown = [client.get(f"/api/rows/{index}").json() for index in range(len(places(pool)))]
    return list(next(pair for pair in pairwise(shown) if pair[0]["task_id"] == pair[1]["task_id"]))


def in_export(pool: Path) -> set[tuple[str, int]]:
    with snapshot(pool) as opened:
        return {(row.task_id, row.number) for row in opened.rows()}


def test_a_row_goes_without_its_siblings_and_whatever_is_kept_is_exported(client: httpx.Client, pool: Path) -> None:
    before = exported(pool)
    first, second = several_rows(client, pool)
    decide(client, first, "remove")
    task = first["task_id"]
    assert (task, 0) not in in_export(pool)
    assert (task, 1) in in_export(pool)
    assert rows(pool, "SELECT * FROM removed") == []
    decide(client, first, "remove_task", question="valid")
    assert not {place for place in in_export(pool) if place[0] == task}
    decide(client, second, "keep")
    assert client.get(f"/api/rows/{second['index']}").json()["removed"] is None
    assert {place for place in in_export(pool) if place[0] == task} == {(task, 1)}
    decide(client, first, "keep")
    assert cli.run(["restore", str(pool), "--all"]) == 0
    assert exported(pool) == before


def test_everything_that_is_done_can_be_undone_step_by_step(client: httpx.Client, pool: Path) -> None:
    first, second = several_rows(client, pool)
    steps = [
        lambda: decide(client, first, "remove", reason="bad", question="output"),
        lambda: decide(client, second, "keep"),
        lambda: client.post("/api/edits", json={**about(second), "output": "Written by hand.", "input": "New."}),
        lambda: client.post("/api/edits", json={**about(second), "output": "Written again."}),
        lambda: decide(client, second, "mark"),
        lambda: decide(client, second, "remove_task", question="valid"),
        lambda: decide(client, first, "keep"),
    ]

    def state() -> tuple[Any, ...]:
        shown = [client.get(f"/api/rows/{one['index']}").json() for one in (first, second)]
        return exported(pool), [{**row, "undo": 0} for row in shown]

    before = []
    for step in steps:
        before.append(state())
        assert step().status_code == 200
    assert len({str(one) for one in before}) == len(steps)
    for one in reversed(before):
        assert client.post("/api/undo").json()["index"] in {first["index"], second["index"]}
        assert state() == one
    assert client.post("/api/undo").json() == {"index": None}
    assert [one["label"] for one in labels(pool)][-2:] == [None, None]
    assert Labels(pool).of(RowPlace(first["task_id"], 0)) is None


def about(row: dict[str, Any]) -> dict[str, Any]:
    return {"task_id": row["task_id"], "instance": row["instance"]}


def test_a_row_edited_exported_published_and_restored_is_byte_for_byte_as_before(
    client: httpx.Client, pool: Path
) -> None:
    def everything(name: str) -> dict[str, bytes]:
        out = pool.parent / name
        export(pool, ["all", "preference", "kto"], out)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    before = everything("before")
    row = client.get("/api/rows/4").json()
    edit = {**about(row), "output": "Written by a person.", "reason": "it was wrong"}
    assert client.post("/api/edits", json=edit).json() == {"noted": True}
    assert rows(pool, "SELECT kind, reason FROM events") == [("correct", "it was wrong")]
    shown = client.get("/api/rows/4").json()
    assert (shown["output"], shown["was"]) == ("Written by a person.", {"output": row["output"]})
    edited = everything("edited")
    table = list(csv.DictReader(edited["dataset.csv"].decode().splitlines(keepends=True)))
    written = next(one for one in table if (one["task_id"], one["instance"]) == (row["task_id"], str(row["instance"])))
    assert (written["output"], written["is_edited"], written["output_model"]) == ("Written by a person.", "True", "")
    assert sum(one["is_edited"] == "True" for one in table) == 1
    assert json.loads(edited["manifest.json"])["figures"]["rows_edited"] == 1
    assert "texts that people wrote" in edited["README.md"].decode()
    (pair,) = [json.loads(line) for line in edited["preference.jsonl"].decode().splitlines()]
    assert (pair["rejected"][0]["content"], pair["rule"]) == (row["output"], "correction")
    assert cli.run(["publish", str(pool)]) == 0
    published = {path: path.read_bytes() for path in (pool / "versions").rglob("*.jsonl")}
    assert any(b"Written by a person." in text for text in published.values())
    assert cli.run(["restore", str(pool), "--all", "--edits"]) == 0
    assert everything("after") == before
    assert {path: path.read_bytes() for path in published} == published
    assert client.get("/api/rows/4").json() == {**row, "undo": 1}


def test_an_edit_that_cannot_be_made_is_told_and_changes_nothing(client: httpx.Client, pool: Path) -> None:
    row = client.get("/api/rows/4").json()
    decide(client, row, "remove")
    for texts, said in (({"output": "x"}, "removed"), ({"output": " "}, "empty"), ({}, "nothing to correct")):
        answer = client.post("/api/edits", json={**about(row), **texts})
        assert answer.status_code == 409
        assert said in answer.json()["detail"]
    assert client.post("/api/edits", json={"task_id": "t", "instance": 0, "output": "x"}).status_code == 404
    assert client.post("/api/edits", json={**about(row), "instruction": "x"}).status_code == 422
    assert rows(pool, "SELECT COUNT(*) FROM corrections") == [(0,)]
    assert client.post("/api/undo").json()["index"] == 4  # only the removal was done
    assert client.post("/api/undo").json()["index"] is None


# --- which rows, in which order -------------------------------------------------------------------------------------


def listed(client: httpx.Client, **wanted: Any) -> list[int]:
    answer = client.get("/api/list", params=wanted)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def test_marks_are_kept_and_rows_are_found_by_what_was_said_of_them(client: httpx.Client, pool: Path) -> None:
    shown = [client.get(f"/api/rows/{index}").json() for index in range(6)]
    decide(client, shown[0], "keep")
    decide(client, shown[4], "mark")
    decide(client, shown[5], "mark")
    decide(client, shown[5], "unmark")
    every = list(range(len(places(pool))))
    assert listed(client) == listed(client, show="all") == every
    assert listed(client, show="unlabelled") == every[1:]
    assert listed(client, show="marked") == [4]
    assert listed(client, show="removed") == []
    decide(client, shown[2], "remove", reason="Wrong SUM")
    assert listed(client, show="removed") == listed(client, reason="wrong sum") == [2]
    client.post("/api/edits", json={**about(shown[3]), "output": "A person wrote Zebra."})
    assert listed(client, show="edited") == listed(client, text="zebra") == [3]
    piece = shown[1]["instruction"][3:40]
    assert {1} <= set(listed(client, text=piece.upper())) < {*every}
    assert listed(client, text=piece, show="marked") == []
    assert client.get("/api/rows/4").json()["marked"] is True
    assert Labels(pool).is_marked(RowPlace(shown[4]["task_id"], shown[4]["instance"]))
    assert not Labels(pool).is_marked(RowPlace(shown[5]["task_id"], shown[5]["instance"]))
    assert client.get("/api/list", params={"order": "random"}).status_code == 422


def test_a_long_session_finds_what_others_changed_meanwhile(
    client: httpx.Client, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listed(client, text="zebra") == []
    for few in (1000, 0):  # read one by one, and all of them again
        monkeypatch.setattr(listing, "FEW", few)
        rows_of = [client.get(f"/api/rows/{index}").json() for index in (3, 5)]
        names = [f"{row['task_id']}/{row['instance']}" for row in rows_of]
        for name in names:
            assert cli.run(["edit", str(pool), name, "--output", f"A Zebra, {few}."]) == 0
        assert listed(client, text=f"zebra, {few}.") == listed(client, show="edited") == [3, 5]
        assert cli.run(["restore", str(pool), names[0].partition("/")[0], "--edits"]) == 0
        assert listed(client, text=f"zebra, {few}.") == [5]
        assert cli.run(["remove", str(pool), names[1], "--reason", "no Zebra"]) == 0
        assert listed(client, reason="no zebra") == [5]
        assert cli.run(["restore", str(pool), "--all"]) == cli.run(["restore", str(pool), "--all", "--edits"]) == 0
        assert listed(client, reason="no zebra") == listed(client, text="zebra") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_among_fifty_thousand_tasks_rows_are_found_at_once(tmp_path: Path) -> None:
    pool = large_pool(tmp_path / "large", 50_000)
    with client_of(pool) as client:
        assert listed(client, text="no such words") == []  # reads all rows, as `review` does in the background
        took = {}
        asked = [{"text": "the"}, {"text": "zz"}, {"show": "unlabelled"}, {"score": 2}, {"reason": "x"}]
        for wanted in [*asked, {"order": "doubt"}, {"order": "doubt", "text": "a"}]:
            begun = time.process_time()
            listed(client, **wanted)
            client.get("/api/rows/25000")
            took[str(wanted)] = time.process_time() - begun
    assert max(took.values()) < 0.4, took  # of the processor; 0.2 on a machine that does nothing else


def judge(pool: Path, scores: dict[int, int]) -> None:
    """Let the judge give 5 to all outputs but these, by the index of their row."""
    with contextlib.closing(sqlite3.connect(pool / "pool.db")) as connection:
        connection.execute(
            "INSERT INTO verdicts SELECT i.source, i.request_id, i.request_position, i.task_id, 'r', 'passed', "
            "5, 'clear', 5, 'fits', 5, 'Sound.' FROM instances i JOIN tasks t ON t.id = i.task_id "
            "WHERE t.origin = 'generated'"
        )
        for index, score in scores.items():
            place = places(pool)[index]
            connection.execute(
                "UPDATE verdicts SET output_score = ?, output_reason = 'Off by one.' FROM instances i "
                "WHERE (i.task_id, i.position) = (?, ?) AND i.request_id = verdicts.request_id "
                "AND i.request_position = verdicts.request_position",
                (score, *place),
            )
        connection.commit()


def test_the_most_doubtful_rows_come_first_with_the_reason(pool: Path) -> None:
    judge(pool, {3: 2, 7: 1, 9: 4})
    with client_of(pool) as client:
        assert listed(client, score=2) == [3, 7]
        assert listed(client, score=4, reason="off by ONE") == [3, 7, 9]
        shown = [client.get(f"/api/rows/{index}").json() for index in range(10, 30)]
        long = next(row for row in shown if not row["is_classification"])
        client.post("/api/edits", json={**about(long), "output": "word " * 9000})
        answer = client.get("/api/list", params={"order": "doubt"}).json()
        assert answer["rows"][:2] == [7, 3]
        assert answer["rows"].index(long["index"]) < answer["rows"].index(9)
        why = dict(zip(answer["rows"], answer["why"], strict=True))
        assert why[7] == "the judge's lowest score is 1 of 5"
        assert "much longer than most: 45,000 characters" in why[long["index"]]
        assert sorted(answer["rows"]) == list(range(len(places(pool))))
    with client_of(pool, blind=True) as client:
        assert listed(client, score=2) == listed(client, reason="off by") == []
        assert "judge" not in str(client.get("/api/list", params={"order": "doubt"}).json()["why"])


def test_doubt_counts_the_judge_other_answers_and_lengths(pool: Path) -> None:
    with snapshot(pool) as opened:
        every = list(opened.rows())
    lengths = Lengths.of(every)
    plain = next(row for row in every if not row.is_classification and 200 < len(row.output) < 400)
    said = [("agreement", False), ("agreement", True), ("strong", False), ("weak", False), ("sample", None)]
    votes = [StoredSample("x", step, is_right, None, None) for step, is_right in said]
    disputed = doubt(plain._replace(samples=tuple(votes)), lengths, with_verdict=True)
    assert (disputed.points, disputed.why) == (2 / 3, ("2 of 3 other answers disagree",))
    assert doubt(plain, lengths, with_verdict=True).points == 0
    short, label = (plain._replace(instance=Instance("", text)) for text in ("Well, it is hard to say.", "7"))
    assert "shorter than most" in str(doubt(short, lengths, with_verdict=True).why)
    assert doubt(label, lengths, with_verdict=True).points == 0, "a short definite answer says nothing by its length"
    unread = plain._replace(verdict=JudgeVerdict("r", 0, 0, "t", "j", "judge_unreadable"))
    assert doubt(unread, lengths, with_verdict=True).why == ("the judge could not be read",)
    assert doubt(unread, lengths, with_verdict=False).points == 0


# --- several readers ------------------------------------------------------------------------------------------------


def test_each_reader_has_labels_and_marks_of_his_own(pool: Path) -> None:
    with client_of(pool, reader="Ana") as ana, client_of(pool, reader="Bo", blind=True) as bo:
        row = ana.get("/api/rows/1").json()
        decide(ana, row, "remove", reason="bad")
        decide(ana, row, "mark")
        assert ana.get("/api/about").json()["reader"] == "Ana"
        seen = bo.get("/api/rows/1").json()
        assert (seen["label"], seen["marked"], seen["labelled"], seen["removed"]) == (None, False, 0, None)
        assert listed(bo, show="removed") == []
        decide(bo, seen, "keep")
        assert ana.get("/api/rows/1").json()["label"] == "remove"
        assert ana.get("/api/rows/1").json()["removed"] is None  # the last decision holds
        for index in (2, 3):
            for reader in (ana, bo):
                decide(reader, reader.get(f"/api/rows/{index}").json(), "keep")
        assert bo.get("/api/about").json()["agreement"] == [{"other": "Ana", "labels": 3, "kappa": 0.0}]
        bo.post("/api/undo")
        assert ana.get("/api/about").json()["agreement"][0]["labels"] == 2
    assert [(one["by"], one["label"]) for one in labels(pool)][:2] == [("Ana", "remove"), ("Bo", "keep")]
    assert Labels(pool).of(RowPlace(row["task_id"], row["instance"])) is None


def test_undo_takes_back_what_one_reader_did_and_leaves_what_others_do(pool: Path) -> None:
    before = exported(pool)
    with client_of(pool, reader="Ana") as ana, client_of(pool, reader="Ben") as ben:
        row = ana.get("/api/rows/1").json()
        for reader in (ana, ben):
            decide(reader, row, "remove")
        ana.post("/api/undo")
        assert ana.get("/api/rows/1").json()["removed"] is not None, "Ben still wants it removed"
        ben.post("/api/undo")
        assert exported(pool) == before
        ana.post("/api/edits", json={**about(row), "output": "Ana wrote this."})
        ben.post("/api/edits", json={**about(row), "output": "Ben wrote this."})
        said = ana.post("/api/undo")
        assert said.status_code == 409
        assert "somebody else has edited this row since" in said.text
        assert ana.get("/api/rows/1").json()["output"] == "Ben wrote this."
        ben.post("/api/undo")
        assert ben.get("/api/rows/1").json()["output"] == "Ana wrote this."


def test_whoever_edits_what_somebody_else_has_edited_meanwhile_is_warned(pool: Path) -> None:
    with client_of(pool, reader="Ana") as ana, client_of(pool, reader="Ben") as ben:
        row = ana.get("/api/rows/1").json()
        seen = {name: row[name] for name in ("input", "output")}
        by_ana = ana.post("/api/edits", json={**about(row), "output": "Ana wrote this.", "seen": seen})
        assert by_ana.json() == {"noted": True}
        by_ben = ben.post("/api/edits", json={**about(row), "output": "Ben wrote this.", "seen": seen})
        assert by_ben.status_code == 409
        assert "somebody else edited this row after you opened it" in by_ben.json()["detail"]
        assert ben.get("/api/rows/1").json()["output"] == "Ana wrote this."
        seen["output"] = "Ana wrote this."
        assert ben.post("/api/edits", json={**about(row), "output": "Ben knew.", "seen": seen}).status_code == 200
        assert ana.get("/api/rows/1").json()["output"] == "Ben knew."


# --- which answer is better -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with other answers to its questions, by a model that is often wrong."""
    folder = tmp_path_factory.mktemp("sampled")
    (folder / "c.toml").write_text('[recipe]\nsteps = ["default", "sample"]\n[sample]\nanswers = 4\n', encoding="utf-8")
    with OfflineServer(quirk="wrong=50%") as of_model:
        grow(folder / "p", target=20, base_url=[of_model.base_url], model="offline", config=folder / "c.toml")
    return folder / "p"


def test_what_a_person_found_better_is_the_preference_that_is_exported(sampled: Path, tmp_path: Path) -> None:
    pool = Path(shutil.copytree(sampled, tmp_path / "pool"))

    def pairs(name: str) -> list[dict[str, Any]]:
        (path,) = export(pool, ["preference-plain"], tmp_path / name).paths
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    before, rows_before = pairs("before"), exported(pool)
    with client_of(pool) as client:
        first, second, *_ = listed(client, show="unranked")
        said = {}
        for index, is_better in ((first, True), (second, False)):
            row = client.get(f"/api/rows/{index}").json()
            other = row["others"][0]
            texts = (other["output"], row["output"])
            said[texts if is_better else texts[::-1]] = row["task_id"]
            answer = client.post(
                "/api/rankings", json={**about(row), "sample": other["number"], "is_better": is_better}
            )
            assert answer.json() == {"noted": True}
            assert client.get(f"/api/rows/{index}").json()["others"][0]["is_better"] is is_better
        by_person = {(one["chosen"], one["rejected"]) for one in pairs("ranked") if one["rule"] == "person"}
        assert by_person == said.keys()
        assert exported(pool) == rows_before, "the rows keep their outputs"
        client.post("/api/undo")
        assert sum(one["rule"] == "person" for one in pairs("undone")) == 1
        assert client.post("/api/rankings", json={**about(row), "sample": 99, "is_better": True}).status_code == 409
    assert cli.run(["explain", str(pool), row["task_id"]]) == 0
    assert cli.run(["restore", str(pool), "--all", "--edits"]) == 0
    assert pairs("after") == before


# --- lines of files -------------------------------------------------------------------------------------------------


def test_labels_of_earlier_sessions_are_known_and_foreign_lines_stay(pool: Path) -> None:
    place = places(pool)[2]
    foreign = 'not json\n[1]\n{"task_id": 5}\n{"task_id": "t", "instance": "x", "label": "keep"}\n'
    known = json.dumps({"task_id": place.task_id, "instance": place.instance, "label": "keep"})
    (pool / "labels.jsonl").write_text(foreign + known)  # without a newline at its end
    with client_of(pool) as client:
        row = client.get("/api/rows/2").json()
        assert (row["label"], row["labelled"]) == ("keep", 1)
        decide(client, row, "remove")
    text = (pool / "labels.jsonl").read_text()
    assert text.startswith(foreign + known + "\n")
    assert json.loads(text.splitlines()[-1])["label"] == "remove"


def test_labels_of_two_readers_at_once_are_whole_lines(pool: Path) -> None:
    said = Labels(pool)
    work = [
        threading.Thread(target=lambda: [said.label(RowPlace(f"t{i}", 0), ("r", 0), Said("keep")) for i in range(40)])
        for _ in range(4)
    ]
    for one in work:
        one.start()
    for one in work:
        one.join()
    assert len(labels(pool)) == 160


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_half_done(client: httpx.Client, pool: Path) -> None:
    (pool / "labels.jsonl").mkdir()
    answer = decide(client, client.get("/api/rows/0").json(), "keep")
    assert answer.status_code == 409
    assert "labels.jsonl" in answer.json()["detail"]
    assert client.get("/api/rows/0").json()["label"] is None


# --- which rows -----------------------------------------------------------------------------------------------------


def test_rows_are_chosen_by_condition_and_by_sample(pool: Path) -> None:
    every = places(pool)
    some = places(pool, "length(instruction) > 150")
    assert 0 < len(some) < len(every)
    sample = places(pool, None, 7)
    assert len(sample) == 7
    assert [place for place in every if place in sample] == list(sample) == list(places(pool, None, 7))
    assert set(sample) <= set(places(pool, None, 9))
    assert places(pool, None, 10**6) == every


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "round > 99"], "no row to review for which --where holds"),
        (["--where", "foo"], "no such column: foo"),
    ],
)
def test_nothing_to_review_is_one_clear_line(
    made: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["review", str(made), *options]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_port_that_is_in_use_is_one_clear_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.run(["review", str(made), "--port", str(taken.getsockname()[1])]) == 2
    assert "0 takes a free one" in capsys.readouterr().err


def test_the_command_prints_an_address_that_works_and_ends_by_ctrl_c(made: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "selfinstruct", "review", str(made), "--sample", "3", "--no-open"], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    try:
        page = httpx.get(address, timeout=30)
        assert page.status_code == 200
        base, token = address.split("/?token=")
        assert len(token) >= 32
        row = httpx.get(f"{base}/api/rows/2", headers={"X-Token": token}, timeout=30).json()
        assert row["total"] == 3
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "3 rows; open this address" in err
    assert "Traceback" not in err


def test_the_address_is_opened_by_the_browser_and_stands_in_no_command(made: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\ncat "${{1#file://}}" > {tmp_path}/page\n')
    browser.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "selfinstruct", "review", str(made), "--sample", "3"], cwd=ROOT,
        env={**os.environ, "BROWSER": f"{browser} %s"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    try:
        assert httpx.get(address, timeout=30).status_code == 200
        assert address in (tmp_path / "page").read_text()
        opened = Path((tmp_path / "opened").read_text().strip().removeprefix("file://"))
        assert address.split("=")[1] not in str(opened)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert not opened.exists()
