"""Slots, latency, limits a minute and outages of the offline server, and what it counts."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import http.client
import json
import random
import socket
import time
import tracemalloc
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean, stdev
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.errors import ConfigError
from selfinstruct.llm.offline.load import Latency, Load, Outage, parse_latency, parse_load, parse_outages
from selfinstruct.llm.offline.meter import Ledger, Meter, Minute
from selfinstruct.llm.offline.rates import chance
from selfinstruct.llm.offline.server import OfflineServer
from tests.test_offline_faults import ANSWERED, HALF_HANG, HANGING, always, asking, chat, eventually, in_time, post


def body_digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


def stats_of(base_url: str, query: str = "") -> dict[str, Any]:
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats" + query, timeout=30) as response:
        found: dict[str, Any] = json.load(response)
    return found


# Latency


@pytest.mark.parametrize(
    ("text", "latency"),
    [
        ("fixed:0.5", Latency("fixed", 0.5)),
        ("uniform:1, 2", Latency("uniform", 1, 2)),
        ("lognormal:1,0.5", Latency("lognormal", 1, 0.5)),
    ],
)
def test_a_latency_is_a_distribution_with_its_numbers(text: str, latency: Latency) -> None:
    assert parse_latency(text) == latency


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.5", "unknown distribution '0.5'; known: fixed:SECONDS, uniform:FROM,TO, lognormal:MEAN,SIGMA"),
        ("lognormal:1", "'lognormal:1' has not the form lognormal:MEAN,SIGMA"),
        ("fixed:-1", "'-1' is not a number of at least 0"),
        ("fixed:inf", "'inf' is not a number of at least 0"),
        ("uniform:2,1", "'uniform:2,1' ends before it begins"),
    ],
)
def test_a_wrong_latency_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_latency(text)
    assert str(caught.value) == f"--latency: {said}"


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
    drawn = [latency.of(body_digest(number)) for number in range(30_000)]
    assert fmean(drawn) == pytest.approx(mean, rel=0.02)
    assert stdev(drawn) == pytest.approx(spread, rel=0.07, abs=1e-9)
    assert min(drawn) > 0


def test_chance_lies_between_0_and_1_and_depends_on_its_purpose() -> None:
    drawn = [chance(b"a", body_digest(number)) for number in range(10_000)]
    assert 0 < min(drawn) < max(drawn) < 1
    assert fmean(drawn) == pytest.approx(0.5, abs=0.01)
    assert drawn[0] != chance(b"b", body_digest(0))


def test_a_request_really_takes_its_latency_every_time() -> None:
    latency = parse_latency("uniform:0.1,0.6")
    with OfflineServer(load=Load(latency=latency)) as server:
        for number in (1, 2, 1):
            start = time.perf_counter()
            post(server.base_url, chat(number))
            wanted = latency.of(hashlib.sha256(chat(number)).digest()[:16])
            assert wanted <= time.perf_counter() - start < wanted + 10


# Slots


def test_no_more_than_the_slots_are_worked_on_at_once() -> None:
    with OfflineServer(faults=always("hang"), load=parse_load(slots=3)) as server:
        with asking(server.base_url, *map(chat, range(9))):
            eventually(lambda: server.stats()["in_flight"] == 9)
            stats = server.stats()
        assert (stats["slots"], stats["busy"], stats["waiting"]) == (3, 3, 6)
        eventually(lambda: server.stats()["in_flight"] == 0)
        stats = server.stats()
    assert (stats["most_in_flight"], stats["most_busy"], stats["busy"], stats["waiting"]) == (9, 3, 0, 0)


def test_requests_beyond_the_slots_are_answered_in_their_turn() -> None:
    with OfflineServer(load=parse_load(slots=3, latency="fixed:0.2")) as server, ThreadPoolExecutor(9) as pool:
        start = time.perf_counter()
        assert [answer[0] for answer in pool.map(lambda n: post(server.base_url, chat(n)), range(9))] == [200] * 9
        assert time.perf_counter() - start >= 0.6
        assert server.stats()["busy"] == 0


def test_a_client_that_leaves_the_queue_frees_its_place() -> None:
    with OfflineServer(faults=HALF_HANG, load=parse_load(slots=1)) as server:
        with asking(server.base_url, HANGING[0]):
            eventually(lambda: server.stats()["busy"] == 1)
            with asking(server.base_url, ANSWERED[0]):
                eventually(lambda: server.stats()["waiting"] == 1)
            eventually(lambda: server.stats()["waiting"] == 0)
        assert post(server.base_url, ANSWERED[1])[0] == 200
        stats = server.stats()
    assert (stats["answered"], stats["abandoned"], stats["busy"]) == (1, 1, 0)


def test_the_busy_share_is_right_since_the_start_since_a_reset_and_in_a_window() -> None:
    """So many slots are busy for as long as it is looked at, however long that is."""
    with OfflineServer(faults=HALF_HANG, load=parse_load(slots=4)) as server:
        with asking(server.base_url, *HANGING[:4]):
            eventually(lambda: server.stats()["busy"] == 4)
            start = time.monotonic()
            time.sleep(0.15)
            full = stats_of(server.base_url, "?since=0.1")["window"]
            assert full == {"seconds": 0.1, "busy_slot_seconds": 0.4, "busy_share": 1.0}
            all_busy_s = time.monotonic() - start
        eventually(lambda: server.stats()["busy"] == 0)
        with asking(server.base_url, *HANGING[4:6]):
            eventually(lambda: server.stats()["busy"] == 2)
            assert post(server.base_url, b"", "/stats/reset")[0] == 200
            time.sleep(0.2)
            half = server.stats()["since_reset"]
            assert (half["busy_share"], half["requests"]) == (0.5, 0)
            assert half["busy_slot_seconds"] == pytest.approx(2 * half["seconds"], abs=0.01)
            assert [post(server.base_url, body)[0] for body in ANSWERED[:2]] == [200] * 2
            stats = server.stats(since_s=600)
    since_start, since_reset = stats["since_start"], stats["since_reset"]
    at_least = 4 * all_busy_s + half["busy_slot_seconds"]
    assert at_least - 0.01 <= since_start["busy_slot_seconds"] <= 4 * since_start["seconds"]
    assert (since_start["requests"], since_reset["requests"], since_reset["answered"]) == (8, 2, 2)
    for found in (since_start, since_reset):
        assert found["busy_share"] == pytest.approx(found["busy_slot_seconds"] / 4 / found["seconds"], abs=0.01)
    assert stats["window"]["seconds"] == pytest.approx(since_start["seconds"], abs=0.01)


def test_without_slots_there_is_no_share() -> None:
    with OfflineServer(latency_s=0.1) as server:
        post(server.base_url, chat())
        since_start = server.stats()["since_start"]
    assert since_start["busy_share"] is None
    assert 0.099 < since_start["busy_slot_seconds"] <= since_start["seconds"]


def test_stats_stand_still_once_the_server_has_ended() -> None:
    with OfflineServer(load=parse_load(slots=1)) as server:
        post(server.base_url, chat())
    first = server.stats(10)
    time.sleep(0.05)
    assert server.stats(10) == first
    assert first["answered"] == 1


@pytest.mark.parametrize("since", ["0", "-1", "soon", "nan", "inf"])
def test_a_window_needs_a_length(since: str) -> None:
    with OfflineServer() as server, pytest.raises(urllib.error.HTTPError, match="400") as caught:
        stats_of(server.base_url, f"?since={since}")
    caught.value.close()


changes = st.lists(st.tuples(st.floats(0, 3), st.booleans()), min_size=1, max_size=60)


@given(changes, st.floats(0, 1))
def test_slot_seconds_between_two_times_are_those_that_were_busy(steps: list[tuple[float, bool]], part: float) -> None:
    """Against a sum over all intervals; between remembered times a 50 ms cluster may be spread evenly."""
    meter, now, busy, intervals = Meter(100.0), 100.0, 0, []
    for wait, begins in steps:
        by = 1 if begins or not busy else -1
        intervals.append((now, now + wait, busy))
        now += wait
        meter.change(now, by)
        busy += by
    intervals.append((now, now + 0.5, busy))
    now += 0.5
    start = 100 + part * (now - 100)
    wanted = sum(max(0.0, end - max(begin, start)) * count for begin, end, count in intervals)
    found, since = meter.between(start, now)
    assert since == pytest.approx(start)
    most = max(count for *_, count in intervals)
    assert found == pytest.approx(wanted, abs=0.051 * most + 1e-6)
    assert meter.until(now) == pytest.approx(sum((end - begin) * count for begin, end, count in intervals))


def test_the_log_of_slots_is_bounded_and_says_how_far_it_reaches() -> None:
    meter = Meter(0.0)
    for step in range(1, 60_000):
        meter.change(step * 0.1, 1 if step % 2 else -1)
    slot_seconds, start = meter.between(0.0, 6000.0)
    assert 1000 < start < 5900
    assert slot_seconds == pytest.approx((6000 - start) / 2, rel=0.01)


# Limits a minute


def test_requests_over_the_limit_are_told_when_to_come_again() -> None:
    with OfflineServer(load=parse_load(rate_limit=5)) as server:
        start = time.monotonic()
        answers = [post(server.base_url, chat(n)) for n in range(8)]
        soonest = 59 - (time.monotonic() - start)
        stats = server.stats()
    assert [status for status, *_ in answers] == [200] * 5 + [429] * 3
    for _, headers, body in answers[5:]:
        assert soonest <= int(headers["Retry-After"]) <= 61
        assert "Rate limit reached: 5 requests a minute" in json.loads(body)["error"]["message"]
    assert (stats["answered"], stats["rate_limited"], stats["refused"]) == (5, 3, 0)
    assert (stats["most_requests_a_minute"], stats["requests_by_minute"]) == (8, [8])


def test_tokens_over_the_limit_are_told_when_to_come_again() -> None:
    tokens = 12  # eleven of the prompt, one of the answer
    with OfflineServer(load=parse_load(token_limit=25), quirks=None) as server:
        answers = [post(server.base_url, chat(n)) for n in range(3)]
        stats = server.stats()
    assert [status for status, *_ in answers] == [200, 200, 429]
    assert "25 tokens a minute" in json.loads(answers[2][2])["error"]["message"]
    assert (stats["prompt_tokens"], stats["completion_tokens"], stats["token_limited"]) == (22, 2, 1)
    assert stats["most_tokens_a_minute"] == 3 * tokens


def test_a_single_request_above_the_token_limit_is_let_in_when_it_is_alone() -> None:
    with OfflineServer(load=parse_load(token_limit=3)) as server:
        assert [post(server.base_url, chat(n))[0] for n in range(2)] == [200, 429]


def test_what_a_limit_turned_away_does_not_change_which_attempts_are_faulty() -> None:
    ledger = Ledger(0.0)
    for attempt in range(3):
        ledger.arrive(1.0, b"a")
        if attempt < 2:
            ledger.turn_away(b"a")
        ledger.leave(b"a", was_answered=False)
    assert ledger.attempt(b"a") == 1
    assert ledger.seen[b"a"] == 3


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


def test_the_fullest_minute_is_found_wherever_it_lies() -> None:
    minute, rng = Minute(), random.Random(3)
    times = sorted([*(rng.uniform(0, 300) for _ in range(500)), *(rng.uniform(130, 150) for _ in range(300))])
    for now in times:
        minute.add(now)
    exact = max(sum(end - 60 < time_ <= end for time_ in times) for end in times)
    assert exact <= minute.most <= exact + 2


def test_minutes_are_counted_from_the_start() -> None:
    ledger = Ledger(1000.0)
    for now in (1000.0, 1059.9, 1060.1, 1200.0):
        ledger.arrive(now, str(now).encode())
    assert list(ledger.by_minute) == [2, 1, 0, 1]


# Outages


@pytest.mark.parametrize(
    ("text", "outages"),
    [
        ("", ()),
        ("60:120", (Outage(60, 120),)),
        ("500:5:refuse, 60:120", (Outage(60, 120), Outage(500, 5, refuses=True))),
    ],
)
def test_outages_have_a_start_a_length_and_a_form(text: str, outages: tuple[Outage, ...]) -> None:
    assert parse_outages(text) == outages


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60", "'60' has not the form START:LENGTH or START:LENGTH:refuse"),
        ("60:1:drop", "'60:1:drop' has not the form START:LENGTH or START:LENGTH:refuse"),
        ("a:1", "'a' is not a number of at least 0"),
        ("1:5,3:1", "'1:5,3:1' has outages that overlap"),
    ],
)
def test_a_wrong_outage_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_outages(text)
    assert str(caught.value) == f"--outage: {said}"


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
        with OfflineServer(load=parse_load(outage=f"0:{length_s},500:1")) as server:
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
        with OfflineServer(load=parse_load(outage=f"{start_s}:{2 * start_s}:refuse")) as server:
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


def test_a_server_ends_in_an_outage_too() -> None:
    with OfflineServer(load=parse_load(outage="0:600:refuse")) as server:
        eventually(lambda: refuses(urlsplit(server.base_url).port or 0))
        start = time.perf_counter()
    assert time.perf_counter() - start < 60


# Memory


def test_two_hundred_thousand_requests_need_little_memory() -> None:
    gc.collect()
    tracemalloc.start()
    ledger, meter, now = Ledger(0.0), Meter(0.0), 0.0
    for number in range(200_000):
        now += 0.001
        body = body_digest(number)
        ledger.arrive(now, body)
        meter.change(now, 1)
        meter.change(now, -1)
        ledger.leave(body, was_answered=True)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / 200_000 < 250, "bytes a request"
