"""Faults of transport on request: what each looks like on the wire, which requests meet it, and that it passes."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.flaws import QUIRKS
from selfinstruct.models.offline.options import FAULTS, MOST_IN_A_ROW, Rate, fault_at, parse_faults
from selfinstruct.models.offline.server import OfflineServer
from tests.builders import ROOT
from tests.processes import running

Answer = tuple[int, dict[str, str], bytes]


def chat(seed: int = 0, content: str = "Which planet of our solar system has the shortest year?") -> bytes:
    body = {"model": "offline", "seed": seed, "messages": [{"role": "user", "content": content}]}
    return json.dumps(body).encode()


def post(base_url: str, body: bytes, route: str = "/v1/chat/completions", timeout: float = 30, key: str = "") -> Answer:
    """Status, headers and body, on a connection of its own."""
    parts = urlsplit(base_url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request("POST", route, body, headers)
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


@contextlib.contextmanager
def asking(base_url: str, *bodies: bytes) -> Iterator[list[http.client.HTTPConnection]]:
    """Chat requests that are on their way, each on a connection of its own; in the end the client leaves them."""
    with contextlib.ExitStack() as stack:
        connections = []
        for body in bodies:
            connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=60)
            stack.callback(connection.close)
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            connections.append(connection)
        yield connections


def body_digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


HALF_HANG = "hang=50%"


def _first_attempts(body: bytes) -> set[str | None]:
    digest = hashlib.sha256(body).digest()[:16]
    return {fault_at(parse_faults(HALF_HANG), digest, attempt) for attempt in (1, 2, 3)}


HANGING = [body for body in map(chat, range(200)) if _first_attempts(body) == {"hang"}]
ANSWERED = [body for body in map(chat, range(200)) if _first_attempts(body) == {None}]
"""Of a server with these faults: requests that hang, and requests that are answered, in each of three attempts."""


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def in_time(attempt: Callable[[float], bool]) -> None:
    """Tries with more and more seconds, until an attempt says that it was in time to see what it had to see."""
    assert any(attempt(seconds) for seconds in (0.3, 2, 10))


# Which requests meet a fault


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("", {}),
        ("429=5%, hang=0.01,500=0", {"429": Rate(0.05, 1.0), "hang": Rate(0.01), "500": Rate(0.0)}),
        ("429=5%:2,slow=10%:30,503=1", None),
        ("429=5%:2,slow=10%:30", {"429": Rate(0.05, 2.0), "slow": Rate(0.1, 30.0)}),
        ("foo=1%", None),
        ("429", None),
        ("429=5", None),
        ("429=often", None),
        ("429=nan", None),
        ("429=5%:soon", None),
        ("hang=5%:2", None),
        ("429=60%,500=50%", None),
        ("429=1%,429=2%", None),
    ],
)
def test_rates_are_percentages_or_fractions(text: str, rates: dict[str, Rate] | None) -> None:
    if rates is None:
        with pytest.raises(ConfigError, match=r"^--fault: "):
            parse_faults(text)
    else:
        assert parse_faults(text) == rates


def test_each_kind_comes_as_often_as_it_should() -> None:
    faults = parse_faults("429=10%,500=5%,hang=1%")
    found = Counter(fault_at(faults, body_digest(number), 1) for number in range(20_000))
    for kind, share in (("429", 0.10), ("500", 0.05), ("hang", 0.01)):
        assert found[kind] / 20_000 == pytest.approx(share, rel=0.15)
    assert set(found) == {"429", "500", "hang", None}


# What each looks like


@pytest.mark.parametrize("status", ["408", "429", "500", "502", "503", "504"])
def test_an_error_status_has_openais_form(status: str) -> None:
    with OfflineServer(fault=f"{status}=100%") as server:
        got, headers, body = post(server.base_url, chat())
    assert got == int(status)
    assert json.loads(body)["error"]["message"]
    assert headers.get("Retry-After") == ("1" if status == "429" else None)


def test_a_page_or_no_choice_comes_with_status_200() -> None:
    with OfflineServer(fault="html=50%,empty=50%") as server:
        answers = [post(server.base_url, chat(number)) for number in range(20)]
    assert {status for status, *_ in answers} == {200}
    pages = [body for _, headers, body in answers if headers["Content-Type"].startswith("text/html")]
    assert all(page.startswith(b"<!doctype html>") for page in pages)
    assert [json.loads(body)["choices"] for *_, body in answers if body not in pages] == [[]] * (20 - len(pages))
    assert 0 < len(pages) < 20


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
def test_an_abort_has_part_of_the_text(route: str) -> None:
    with OfflineServer(fault="abort=100%") as server:
        body = json.dumps({"model": "offline", "prompt": "Tasks:\n1."}).encode() if "chat" not in route else chat()
        broken, whole = [json.loads(post(server.base_url, body, route)[2])["choices"][0] for _ in range(4)][2:]
    assert (broken["finish_reason"], whole["finish_reason"]) == ("abort", "stop")
    part, all_ = (c["message"]["content"] if "message" in c else c["text"] for c in (broken, whole))
    assert 0 < len(part) < len(all_)
    assert all_.startswith(part)


def test_a_cut_body_ends_before_its_length() -> None:
    with OfflineServer(fault="cut=100%") as server:
        with pytest.raises(http.client.IncompleteRead) as caught:
            post(server.base_url, chat())
        assert caught.value.partial.startswith(b'{"id"')
        assert caught.value.expected
        assert server.stats()["faults"] == {"cut": 1}


def test_a_dropped_connection_is_reset() -> None:
    with OfflineServer(fault="drop=100%") as server, pytest.raises(ConnectionResetError):
        post(server.base_url, chat())


def test_a_hanging_request_holds_its_slot_until_the_client_goes_away() -> None:
    with OfflineServer(fault="hang=100%", slots=1) as server:
        with asking(server.base_url, chat(1)) as (hanging,):
            eventually(lambda: server.stats()["busy"] == 1)
            start = time.monotonic()
            with asking(server.base_url, chat(2)):
                eventually(lambda: server.stats()["waiting"] == 1)
                time.sleep(0.2)
                assert (server.stats()["busy"], server.stats()["waiting"]) == (1, 1)
                held_s = time.monotonic() - start
                hanging.close()
                eventually(lambda: server.stats()["waiting"] == 0)
                assert server.stats()["busy"] == 1
        eventually(lambda: server.stats()["in_flight"] == 0)
        stats = server.stats()
        assert (stats["busy"], stats["waiting"], stats["faults"], stats["abandoned"]) == (0, 0, {"hang": 2}, 0)
        since_start = stats["since_start"]
        assert held_s - 0.001 <= since_start["busy_slot_seconds"] <= since_start["seconds"]


def test_a_slow_answer_is_late_and_right() -> None:
    with OfflineServer() as usual, OfflineServer(fault="slow=100%:0.4") as server:
        start = time.perf_counter()
        assert post(server.base_url, chat())[2] == post(usual.base_url, chat())[2]
        assert time.perf_counter() - start > 0.4
        stats = server.stats()
    assert (stats["answered"], stats["faults"]) == (1, {"slow": 1})


def test_every_body_gets_its_usual_answer_in_the_end() -> None:
    kinds = "408=8%,429=8%,500=8%,503=8%,cut=8%,html=8%,empty=8%,abort=8%,drop=8%"
    with OfflineServer() as usual, OfflineServer(fault=kinds) as server:
        failures = 0
        for number in range(40):
            wanted = post(usual.base_url, chat(number))[2]
            for attempt in range(1, MOST_IN_A_ROW + 2):
                try:
                    got = post(server.base_url, chat(number))[2]
                except (OSError, http.client.HTTPException):
                    got = b""
                if got == wanted:
                    break
                failures += 1
                assert attempt <= MOST_IN_A_ROW
            assert got == wanted
        stats = server.stats()
    assert failures > 30
    assert (stats["answered"], sum(stats["faults"].values()), stats["asked_again"]) == (
        40, failures, {"after_fault": failures, "while_open": 0, "after_answer": 0},
    )  # fmt: skip


def test_bodies_asked_again_are_told_apart_by_what_became_of_them() -> None:
    """A client leaves a request that waits for a slot; two with the same body wait for it together."""
    left, same = ANSWERED[:2]
    with OfflineServer(fault=HALF_HANG, slots=1) as server:
        with asking(server.base_url, HANGING[0]) as (hanging,):
            eventually(lambda: server.stats()["busy"] == 1)
            with asking(server.base_url, left):
                eventually(lambda: server.stats()["waiting"] == 1)
            eventually(lambda: server.stats()["abandoned"] == 1)
            with asking(server.base_url, same, same) as both:
                eventually(lambda: server.stats()["waiting"] == 2)
                hanging.close()
                assert [one.getresponse().status for one in both] == [200, 200]
        post(server.base_url, left)
        post(server.base_url, left)
        stats = server.stats()
    assert stats["asked_again"] == {"after_fault": 1, "while_open": 1, "after_answer": 1}
    assert (stats["requests"], stats["distinct"], stats["repeated"], stats["answered"]) == (6, 3, 3, 4)


# The command


def command(*options: str, **environment: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return running(
        [sys.executable, "-m", "selfinstruct", "offline-server", "--port", "0", *options], text=True,
        stderr=subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_command_takes_every_option() -> None:
    options = [
        "--slots", "2", "--latency", "fixed:0.01", "--fault", "429=50%:3", "--outage", "900:10:refuse",
        "--quirk", "none", "--rate-limit", "100", "--token-limit", "100000",
        "--echo-key", "--api-key-env", "MARKED", "--style", "words",
    ]  # fmt: skip
    with command(*options, MARKED="marked-key") as process:
        assert process.stderr is not None
        found = re.search(r"http://[\d.:]+/v1", process.stderr.readline())
        assert found is not None
        answers = [post(found[0], chat(n), key="marked-key") for n in range(12)]
        status, _, body = post(found[0], chat(), key="no")
        process.terminate()
        assert process.wait() == 0
    assert {got for got, _, _ in answers} == {200, 429}
    assert {headers.get("Retry-After") for got, headers, _ in answers if got == 429} == {"3"}
    assert (status, b"Bearer no" in body) == (401, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fault", "foo=1%"], "unknown kind 'foo'; known: 408, 429"),
        (["--quirk", "foo=1%"], "unknown kind 'foo'; known: badjson"),
        (["--latency", "normal:1"], "unknown distribution 'normal'; known: fixed:SECONDS"),
        (["--outage", "5"], "START:LENGTH"),
        (["--slots", "0"], "greater than or equal to 1"),
        (["--api-key-env", "NOT_SET"], "NOT_SET is not set"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["offline-server", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert options[0] in line
    assert said in line


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with OfflineServer() as server:
        port = urlsplit(server.base_url).port
        assert cli.run(["offline-server", "--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --port: {port} cannot be used")


def test_the_manual_names_every_option_kind_and_count(capsys: pytest.CaptureFixture[str]) -> None:
    manual = (ROOT / "docs" / "offline-server.md").read_text("utf-8")
    assert cli.run(["offline-server", "--help"]) == 0
    help_ = capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z-]+", help_)) - {"--help", "--quirks"}
    assert {"--slots", "--echo-key"} <= options
    with OfflineServer() as server:
        counts = server.stats(1)
    for name in (*options, *FAULTS, *QUIRKS, *counts):
        assert re.search(rf"`[^`\n]*{name}\b", manual), name
