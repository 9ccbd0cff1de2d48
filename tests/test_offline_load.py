"""Slots, latency, limits a minute and outages of the offline server, and what it counts."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from statistics import fmean, stdev
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.counts import Meter, Minute
from selfinstruct.models.offline.options import Outage, parse_latency, parse_outages
from selfinstruct.models.offline.server import OfflineServer
from tests.test_offline_faults import ANSWERED, HALF_HANG, HANGING, asking, body_digest, chat, eventually, in_time, post


def stats_of(base_url: str, query: str = "") -> dict[str, Any]:
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats" + query, timeout=30) as response:
        found: dict[str, Any] = json.load(response)
    return found


# Latency


@pytest.mark.parametrize("text", ["0.5", "lognormal:1", "fixed:1,2", "fixed:-1", "fixed:inf", "fixed:", "uniform:2,1"])
def test_a_wrong_latency_is_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--latency: "):
        parse_latency(text)


@pytest.mark.parametrize(
    ("text", "mean", "spread"),
    [
        ("lognormal:1,0.5", 1.0, 0.533),  # mean * sqrt(exp(sigma^2) - 1)
        ("lognormal:2,0", 2.0, 0.0),
        ("lognormal:0.2,1", 0.2, 0.262),
        ("uniform:1,3", 2.0, 0.577),
        ("fixed:0.7", 0.7, 0.0),
    ],
)
def test_the_mean_of_many_requests_is_the_one_asked_for(text: str, mean: float, spread: float) -> None:
    latency = parse_latency(text)
    drawn = [latency(body_digest(number)) for number in range(30_000)]
    assert fmean(drawn) == pytest.approx(mean, rel=0.02)
    assert stdev(drawn) == pytest.approx(spread, rel=0.07, abs=1e-9)
    assert min(drawn) > 0


def test_a_request_really_takes_its_latency_every_time() -> None:
    text = "uniform:0.1,0.6"
    with OfflineServer(latency=text) as server:
        for number in (1, 2, 1):
            start = time.perf_counter()
            post(server.base_url, chat(number))
            wanted = parse_latency(text)(hashlib.sha256(chat(number)).digest()[:16])
            assert wanted <= time.perf_counter() - start < wanted + 10


# Slots


def test_no_more_than_the_slots_are_worked_on_at_once() -> None:
    with OfflineServer(fault="hang=100%", slots=3) as server:
        with asking(server.base_url, *map(chat, range(9))):
            eventually(lambda: server.stats()["in_flight"] == 9)
            stats = server.stats()
        assert (stats["slots"], stats["busy"], stats["waiting"]) == (3, 3, 6)
        eventually(lambda: server.stats()["in_flight"] == 0)
        stats = server.stats()
    assert (stats["most_in_flight"], stats["most_busy"], stats["busy"], stats["waiting"]) == (9, 3, 0, 0)


def test_the_busy_share_is_right_since_the_start_and_in_a_window() -> None:
    """The requests hang, so the slots are busy for as long as the test looks, however long that is."""
    with OfflineServer(fault=HALF_HANG, slots=4) as server:
        with asking(server.base_url, *HANGING[:2]):
            eventually(lambda: server.stats()["busy"] == 2)
            start = time.monotonic()
            time.sleep(0.15)
            half = stats_of(server.base_url, "?since=0.1")["window"]
            assert half == {"seconds": 0.1, "busy_slot_seconds": 0.2, "busy_share": 0.5}
            busy_s = time.monotonic() - start
        eventually(lambda: server.stats()["busy"] == 0)
        assert [post(server.base_url, body)[0] for body in ANSWERED[:2]] == [200] * 2
    stats = server.stats(since_s=600)
    time.sleep(0.05)
    assert server.stats(since_s=600) == stats, "what it said last"
    since_start = stats["since_start"]
    assert 2 * busy_s - 0.01 <= since_start["busy_slot_seconds"] <= 4 * since_start["seconds"]
    assert since_start["busy_share"] == pytest.approx(
        since_start["busy_slot_seconds"] / 4 / since_start["seconds"], abs=0.01
    )
    assert stats["window"] == since_start
    assert (stats["requests"], stats["answered"]) == (4, 2)


@pytest.mark.parametrize("since", ["0", "-1", "soon", "nan", "inf"])
def test_a_window_needs_a_length(since: str) -> None:
    with OfflineServer() as server, pytest.raises(urllib.error.HTTPError, match="400") as caught:
        stats_of(server.base_url, f"?since={since}")
    caught.value.close()


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), min_size=1, max_size=60), st.floats(0, 1))
def test_slot_seconds_since_a_time_are_those_that_were_busy(steps: list[tuple[float, bool]], part: float) -> None:
    meter, now, busy, intervals = Meter(100.0), 100.0, 0, []
    for wait, begins in [*steps, (0.5, True)]:
        intervals.append((now, now + wait, busy))
        now += wait
        by = 1 if begins or not busy else -1
        meter.change(now, by)
        busy += by
    start = 100 + part * (now - 100)
    wanted = sum(max(0.0, end - max(begin, start)) * count for begin, end, count in intervals)
    assert meter.since(start, now) == (pytest.approx(wanted, abs=1e-6), start)


# Limits a minute


def test_requests_over_the_limit_are_told_when_to_come_again() -> None:
    with OfflineServer(rate_limit=5) as server:
        start = time.monotonic()
        answers = [post(server.base_url, chat(n)) for n in range(8)]
        soonest = 59 - (time.monotonic() - start)
        stats = server.stats()
    assert [status for status, *_ in answers] == [200] * 5 + [429] * 3
    for _, headers, body in answers[5:]:
        assert soonest <= int(headers["Retry-After"]) <= 61
        assert "Rate limit reached: 5 requests a minute" in json.loads(body)["error"]["message"]
    assert (stats["answered"], stats["rate_limited"], stats["refused"]) == (5, 3, 0)
    assert stats["most_requests_a_minute"] == 8


def test_tokens_over_the_limit_are_told_when_to_come_again() -> None:
    """A request has eleven tokens of the prompt and one of the answer; alone it is let in whatever the limit."""
    tokens = 12
    with OfflineServer(token_limit=3) as server:
        assert [post(server.base_url, chat(n))[0] for n in range(2)] == [200, 429]
    with OfflineServer(token_limit=25) as server:
        answers = [post(server.base_url, chat(n)) for n in range(3)]
        stats = server.stats()
    assert [status for status, *_ in answers] == [200, 200, 429]
    assert "25 tokens a minute" in json.loads(answers[2][2])["error"]["message"]
    assert (stats["prompt_tokens"], stats["completion_tokens"], stats["token_limited"]) == (22, 2, 1)
    assert stats["most_tokens_a_minute"] == 3 * tokens


@settings(max_examples=60)
@given(st.lists(st.floats(0, 20), min_size=1, max_size=80), st.integers(1, 8))
def test_no_minute_holds_more_than_the_limit_and_the_wait_is_long_enough(gaps: list[float], limit: int) -> None:
    minute, now, let_in = Minute(), 0.0, []
    for gap in gaps:
        now += gap
        wait_s = minute.wait(now, 1, limit)
        if not wait_s:
            minute.add(now)
            let_in.append(now)
        else:
            assert minute.wait(now + wait_s + 1e-6, 1, limit) == 0
            now += wait_s + 1e-6
    for end in let_in:
        assert sum(end - 60 < time_ <= end for time_ in let_in) <= limit
    assert minute.most <= limit


# Outages


def test_outages_have_a_start_a_length_and_a_form() -> None:
    assert parse_outages("500:5:refuse, 60:120") == [Outage(60, 180), Outage(500, 505, refuses=True)]
    for text in ("60", "60:1:drop", "a:1", "1:5,3:1"):
        with pytest.raises(ConfigError, match=r"^--outage: "):
            parse_outages(text)


def models_status(base_url: str) -> int:
    with contextlib.closing(http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)) as connection:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_in_an_outage_everything_is_503_and_then_all_is_well() -> None:
    def attempt(length_s: float) -> bool:
        with OfflineServer(outage=f"0:{length_s},500:1") as server:
            status, headers, _ = post(server.base_url, chat())
            if (listed := models_status(server.base_url)) == 200:
                return False
            assert (status, listed, "Retry-After" in headers) == (503, 503, False)
            statuses = [status]
            eventually(lambda: statuses.append(post(server.base_url, chat())[0]) or statuses[-1] == 200)
            stats = server.stats()
        outages = len(statuses) - 1
        assert (stats["outage"], stats["answered"], stats["refused"]) == (outages, 1, 0)
        assert stats["asked_again"]["after_fault"] == outages
        return True

    in_time(attempt)


def test_in_an_outage_of_connections_none_is_taken_and_the_port_stays_ours() -> None:
    def attempt(start_s: float) -> bool:
        begin = time.monotonic()
        with OfflineServer(outage=f"{start_s}:{2 * start_s}:refuse") as server:
            port = urlsplit(server.base_url).port or 0
            with contextlib.suppress(ConnectionError):
                assert post(server.base_url, chat(1))[0] == 200
            if time.monotonic() - begin > start_s:
                return False
            while not refuses(port):
                if time.monotonic() - begin > 3 * start_s + 1:
                    return False
                time.sleep(0.01)
            with pytest.raises(OSError, match="in use"):
                OfflineServer(port=port).__enter__()
            if not refuses(port):
                return False
            eventually(lambda: not refuses(port))
            assert post(server.base_url, chat(2))[0] == 200
            assert (server.stats()["requests"], server.stats()["answered"]) == (2, 2)
            return True

    in_time(attempt)
