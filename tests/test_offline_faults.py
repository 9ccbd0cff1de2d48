"""Faults of transport on request: what each looks like on the wire, which requests meet it, and that it passes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from selfinstruct import cli
from selfinstruct.errors import ConfigError
from selfinstruct.llm.offline import quirks
from selfinstruct.llm.offline.faults import KINDS, MOST_IN_A_ROW, Faults, parse_faults
from selfinstruct.llm.offline.load import parse_load
from selfinstruct.llm.offline.rates import Rate
from selfinstruct.llm.offline.server import OfflineServer
from selfinstruct.llm.offline.service import Conduct, Service
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


def always(kind: str) -> Faults:
    return parse_faults(f"{kind}=100%")


def body_digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


HALF_HANG = parse_faults("hang=50%")


def _first_attempts(body: bytes) -> set[str | None]:
    return {HALF_HANG.at(hashlib.sha256(body).digest()[:16], attempt) for attempt in (1, 2, 3)}


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
        ("429=5%:2, hang=0.01", {"429": Rate(0.05, 2.0), "hang": Rate(0.01)}),
        ("500=0,drop=1", {"500": Rate(0.0), "drop": Rate(1.0)}),
        ("slow=10%:30", {"slow": Rate(0.1, 30.0)}),
    ],
)
def test_rates_are_percentages_or_fractions(text: str, rates: dict[str, Rate]) -> None:
    assert parse_faults(text).rates == rates


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo=1%", f"--fault: unknown kind 'foo'; known: {', '.join(KINDS)}"),
        ("429", "--fault: '429' has no rate; write 429=5%"),
        ("429=5", "--fault: '5' is neither a percentage such as 5% nor a fraction from 0 to 1"),
        ("429=often", "--fault: 'often' is neither a percentage such as 5% nor a fraction from 0 to 1"),
        ("429=nan", "--fault: 'nan' is neither a percentage such as 5% nor a fraction from 0 to 1"),
        ("429=5%:soon", "--fault: 'soon' is not a number of at least 0"),
        ("hang=5%:2", "--fault: 'hang=5%:2': hang takes nothing after its rate"),
        ("429=60%,500=50%", "--fault: the rates add up to 110%; 100% is the most"),
        ("429=1%,429=2%", "--fault: '429' is given twice"),
    ],
)
def test_a_wrong_rate_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_faults(text)
    assert str(caught.value) == said


def test_each_kind_comes_as_often_as_it_should() -> None:
    faults = parse_faults("429=10%,500=5%,hang=1%")
    found = Counter(faults.at(body_digest(number), 1) for number in range(20_000))
    for kind, share in (("429", 0.10), ("500", 0.05), ("hang", 0.01)):
        assert found[kind] / 20_000 == pytest.approx(share, rel=0.15)
    assert set(found) == {"429", "500", "hang", None}


def test_attempts_at_one_body_are_independent_and_end_in_an_answer() -> None:
    faults = parse_faults("429=50%")
    twice = sum(faults.at(body_digest(n), 1) == "429" and faults.at(body_digest(n), 2) == "429" for n in range(10_000))
    assert twice / 10_000 == pytest.approx(0.25, abs=0.02)
    drawn = [always("500").at(body_digest(1), attempt) for attempt in range(1, 13)]
    assert drawn == (["500"] * MOST_IN_A_ROW + [None]) * 3


def test_faults_are_the_same_in_every_process() -> None:
    code = (
        "from selfinstruct.llm.offline.faults import parse_faults\n"
        "from selfinstruct.llm.offline.load import parse_latency\n"
        "faults, latency = parse_faults('429=20%,500=20%,hang=10%'), parse_latency('lognormal:1,0.5')\n"
        "for n in range(200):\n"
        "    body = n.to_bytes(16, 'big')\n"
        "    print(faults.at(body, 1), faults.at(body, 2), latency.of(body))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
            check=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert "429" in outputs.pop()


# What each looks like


@pytest.mark.parametrize("status", ["408", "429", "500", "502", "503", "504"])
def test_an_error_status_has_openais_form(status: str) -> None:
    with OfflineServer(faults=always(status)) as server:
        got, headers, body = post(server.base_url, chat())
    assert got == int(status)
    assert json.loads(body)["error"]["message"]
    assert headers.get("Retry-After") == ("1" if status == "429" else None)


def test_retry_after_is_as_asked_for() -> None:
    with OfflineServer(faults=parse_faults("429=50%:2.5,503=50%:7")) as server:
        waits = {
            (got, headers["Retry-After"]) for got, headers, _ in (post(server.base_url, chat(n)) for n in range(20))
        }
    assert waits == {(429, "2.5"), (503, "7")}


def test_a_page_comes_with_status_200() -> None:
    with OfflineServer(faults=always("html")) as server:
        status, headers, body = post(server.base_url, chat())
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert body.startswith(b"<!doctype html>")


def test_the_list_of_choices_may_be_empty() -> None:
    with OfflineServer(faults=always("empty")) as server:
        status, _, body = post(server.base_url, chat())
    assert status == 200
    assert json.loads(body)["choices"] == []


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
def test_an_abort_has_part_of_the_text(route: str) -> None:
    with OfflineServer(faults=always("abort")) as server:
        body = json.dumps({"model": "offline", "prompt": "Tasks:\n1."}).encode() if "chat" not in route else chat()
        broken, whole = [json.loads(post(server.base_url, body, route)[2])["choices"][0] for _ in range(4)][2:]
    assert (broken["finish_reason"], whole["finish_reason"]) == ("abort", "stop")
    part, all_ = (c["message"]["content"] if "message" in c else c["text"] for c in (broken, whole))
    assert 0 < len(part) < len(all_)
    assert all_.startswith(part)


def test_a_cut_body_ends_before_its_length() -> None:
    with OfflineServer(faults=always("cut")) as server:
        with pytest.raises(http.client.IncompleteRead) as caught:
            post(server.base_url, chat())
        assert caught.value.partial.startswith(b'{"id"')
        assert caught.value.expected
        assert server.stats()["faults"] == {"cut": 1}


def test_a_dropped_connection_is_reset() -> None:
    with OfflineServer(faults=always("drop")) as server, pytest.raises(ConnectionResetError):
        post(server.base_url, chat())


def test_a_hanging_request_holds_its_slot_until_the_client_goes_away() -> None:
    with OfflineServer(faults=always("hang"), load=parse_load(slots=1)) as server:
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
    with OfflineServer() as usual, OfflineServer(faults=parse_faults("slow=100%:0.4")) as server:
        start = time.perf_counter()
        assert post(server.base_url, chat())[2] == post(usual.base_url, chat())[2]
        assert time.perf_counter() - start > 0.4
        stats = server.stats()
    assert (stats["answered"], stats["faults"]) == (1, {"slow": 1})


def test_faults_other_than_hang_slow_and_cut_need_no_slot() -> None:
    with OfflineServer(faults=always("500"), load=parse_load(slots=1, latency="fixed:600")) as server:
        assert [post(server.base_url, chat(n))[0] for n in range(5)] == [500] * 5
        assert server.stats()["since_start"]["busy_slot_seconds"] == 0


def test_every_body_gets_its_usual_answer_in_the_end() -> None:
    kinds = "408=8%,429=8%,500=8%,503=8%,cut=8%,html=8%,empty=8%,abort=8%,drop=8%"
    with OfflineServer() as usual, OfflineServer(faults=parse_faults(kinds)) as server:
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
    with OfflineServer(faults=HALF_HANG, load=parse_load(slots=1)) as server:
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


# Secrets


def test_error_bodies_echo_the_key_only_when_asked_to() -> None:
    for kind in ("500", "html"):
        with OfflineServer(faults=always(kind), echo_key=True, api_key="marked-key") as server:
            assert b"Bearer marked-key" in post(server.base_url, chat(), key="marked-key")[2]
            status, _, body = post(server.base_url, chat(), key="wrong-key")
            assert (status, b"Bearer wrong-key" in body, b"marked" in body) == (401, True, False)
        with OfflineServer(faults=always(kind)) as server:
            assert b"marked" not in post(server.base_url, chat(), key="marked-key")[2]


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
        (["--fault", "foo=1%"], "error: --fault: unknown kind 'foo'; known: 408, 429"),
        (["--quirk", "foo=1%"], "error: --quirk: unknown kind 'foo'; known: badjson"),
        (["--latency", "normal:1"], "error: --latency: unknown distribution 'normal'; known: fixed:SECONDS"),
        (["--outage", "5"], "error: --outage: '5' has not the form START:LENGTH"),
        (["--slots", "0"], "error: --slots: 0 is too small; give at least 1"),
        (["--api-key-env", "NOT_SET"], "error: --api-key-env: the environment variable NOT_SET is not set"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["offline-server", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with OfflineServer() as server:
        port = urlsplit(server.base_url).port
        assert cli.run(["offline-server", "--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --port: {port} cannot be used")


def test_the_manual_names_every_option_kind_and_count() -> None:
    manual = (ROOT / "docs" / "offline-server.md").read_text("utf-8")
    help_ = subprocess.run(
        [sys.executable, "-m", "selfinstruct", "offline-server", "--help"], check=True, cwd=ROOT, capture_output=True,
        text=True,
    ).stdout  # fmt: skip
    options = set(re.findall(r"--[a-z][a-z-]+", help_)) - {"--help", "--quirks"}
    assert {"--slots", "--echo-key"} <= options
    service = Service(Conduct())
    for name in (*options, *KINDS, *quirks.KINDS, *service.stats(1)):
        assert re.search(rf"`[^`\n]*{name}\b", manual), name


# Other clients


def test_the_openai_client_sees_connection_errors_not_silence() -> None:
    import openai

    async def kinds() -> list[Any]:
        found = []
        for kind in ("cut", "drop"):
            with OfflineServer(faults=always(kind)) as server:
                http_client = openai.DefaultAioHttpClient()
                async with openai.AsyncOpenAI(
                    base_url=server.base_url, api_key="x", max_retries=0, http_client=http_client
                ) as client:
                    try:
                        await client.chat.completions.create(
                            model="offline", messages=[{"role": "user", "content": "x"}]
                        )
                    except (openai.APIError, OSError) as error:
                        found.append(type(error))
        return found

    # Its aiohttp transport calls a reset connection a time-out, which is a kind of connection error.
    assert asyncio.run(kinds()) == [openai.APIConnectionError, openai.APITimeoutError]


def test_a_refused_connection_is_not_left_half_open() -> None:
    def attempt(start_s: float) -> bool:
        begin = time.monotonic()
        with OfflineServer(load=parse_load(outage=f"{start_s}:{2 * start_s}:refuse")) as server:
            try:
                idle = socket.create_connection(("127.0.0.1", urlsplit(server.base_url).port or 0), 60)
            except ConnectionRefusedError:
                return False
            with idle:
                if time.monotonic() - begin > start_s:
                    return False
                with pytest.raises(ConnectionResetError):
                    idle.recv(1)
            if _answers(server.base_url):
                return False
            eventually(lambda: _answers(server.base_url))
            assert server.stats()["answered"] == 1
            return True

    in_time(attempt)


def _answers(base_url: str) -> bool:
    try:
        return post(base_url, chat())[0] == 200
    except ConnectionRefusedError:
        return False
