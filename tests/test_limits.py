"""Limits a minute, the concurrency that finds its level, and the breaker, by a clock that the test moves."""

from __future__ import annotations

import random

import pytest

from selfinstruct.models.limits import Breaker, Bucket, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(start <= time < start + 60 for time in times) for start in times)


@pytest.mark.parametrize("per_minute", [6, 60, 97, 600, 6000])
def test_a_bucket_gives_its_rate_and_no_minute_sees_five_percent_more(per_minute: int) -> None:
    clock = Clock()
    bucket = Bucket(per_minute, clock)
    times: list[float] = []
    while clock.now < 1000 + 130:
        wait = bucket.wait_s()
        if wait <= 0:
            bucket.take()
            times.append(clock.now)
        clock.now += wait
    assert most_in_a_minute(times[:2000] if per_minute > 1000 else times) <= per_minute * 1.05
    assert len(times) >= per_minute * 130 / 60 * 0.95 - 1


def test_after_a_pause_a_bucket_does_not_catch_up() -> None:
    clock = Clock()
    bucket = Bucket(600, clock)
    clock.now += 3600
    taken = 0
    while bucket.wait_s() <= 0:
        bucket.take()
        taken += 1
    assert taken == 20


def test_an_amount_larger_than_the_bucket_is_paid_off_by_those_after_it() -> None:
    clock = Clock()
    bucket = Bucket(6000, clock)
    assert bucket.wait_s(1200) == 0
    bucket.take(1200)
    assert bucket.wait_s(100) == pytest.approx((1200 - 200 + 100) / 100)


def test_what_was_not_used_comes_back_and_what_was_used_more_is_taken() -> None:
    clock = Clock()
    bucket = Bucket(6000, clock)
    bucket.take(1200)
    bucket.put_back(1100)
    assert bucket.wait_s(100) == 0
    bucket.put_back(-200)
    assert bucket.wait_s(100) == pytest.approx(2.0)


def drive(throttle: Throttle, clock: Clock, answers: list[str], retry_after_s: float | None = None) -> None:
    """Send all at once, then have them answered one by one."""
    numbers = [throttle.sent() for _ in answers]
    for number, heard in zip(numbers, answers, strict=True):
        clock.now += 0.01
        throttle.answered(number, heard, retry_after_s)  # type: ignore[arg-type]


def test_random_refusals_do_not_lower_the_limit() -> None:
    clock, chance = Clock(), random.Random(1)
    throttle = Throttle(64, clock)
    for _ in range(200):
        answers = [chance.choices(["ok", "refused", "neither", "overloaded"], [84, 10, 5, 1])[0] for _ in range(64)]
        drive(throttle, clock, sorted(answers, reverse=True), 1.0)  # refusals come first
    assert throttle.limit == 64
    assert throttle.pace is None
    assert throttle.wait_s() == 0


def test_a_burst_of_overload_lowers_the_limit_once_and_it_climbs_back() -> None:
    clock = Clock()
    throttle = Throttle(64, clock)
    drive(throttle, clock, ["overloaded"] * 64)
    assert throttle.limit == pytest.approx(0.7 * 64)
    for _ in range(60):
        drive(throttle, clock, ["ok"] * int(throttle.limit))
    assert throttle.limit == 64


def test_when_nearly_all_is_refused_nothing_is_sent_until_the_server_wants_it_again() -> None:
    clock = Clock()
    throttle = Throttle(32, clock)
    drive(throttle, clock, ["refused"] * 32, 20.0)
    assert 19.0 < throttle.wait_s() <= 20.0
    clock.now += 20.0
    assert throttle.wait_s() == 0
    drive(throttle, clock, ["refused"] * 3, 7.0)
    assert 6.9 < throttle.wait_s() <= 7.0


def test_without_a_word_from_the_server_pauses_grow() -> None:
    clock = Clock()
    throttle = Throttle(32, clock)
    pauses = []
    for _ in range(9):
        drive(throttle, clock, ["refused"] * 32)
        pauses.append(round(throttle.wait_s()))
        clock.now += throttle.wait_s()
    assert pauses[:3] == sorted(pauses[:3])
    assert pauses[-1] == 60


@pytest.mark.parametrize("rate", [2.0, 6.4, 20.0])
def test_the_pace_settles_at_what_the_server_takes(rate: float) -> None:
    """A server with a bucket of its own; answers take a second, refusals none."""
    clock = Clock()
    throttle = Throttle(64, clock)
    level, accepted, refused = rate, 0, 0
    under_way: list[tuple[float, int]] = []
    while clock.now < 1000 + 180:
        clock.now += 0.01
        level = min(rate, level + 0.01 * rate)
        while under_way and under_way[0][0] <= clock.now:
            throttle.answered(under_way.pop(0)[1], "ok")
        while throttle.has_room and throttle.wait_s() <= 0:
            number = throttle.sent()
            if level >= 1:
                level -= 1
                accepted += 1
                under_way.append((clock.now + 1, number))
            else:
                refused += 1
                throttle.answered(number, "refused", 1.0)
    assert accepted > 0.85 * rate * 180
    assert refused < 0.2 * accepted + 64


def test_a_breaker_opens_after_failures_in_a_row_and_pauses_grow() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(4):
        breaker.failed(clock.now, "HTTP 500")
    breaker.succeeded(clock.now)
    for _ in range(4):
        breaker.failed(clock.now, "HTTP 500")
    assert breaker.state == "closed"
    breaker.failed(clock.now, "HTTP 500")
    assert breaker.state == "open"
    pauses = []
    for _ in range(9):
        pauses.append(breaker.pause_s)
        breaker.probe_failed("HTTP 500")
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_failures_that_come_first_because_they_are_fast_do_not_open_a_breaker() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(8):
        breaker.failed(clock.now, "HTTP 500", in_flight=56)
    assert breaker.state == "closed"


def test_refused_connections_open_a_breaker_though_older_requests_are_still_answered() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.failed(1001.0, "refused", in_flight=64, is_refusal=True)
    clock.now += 1
    breaker.succeeded(990.0)
    breaker.failed(1002.0, "refused", in_flight=64, is_refusal=True)
    assert breaker.state == "open"


def test_only_a_request_sent_since_half_open_closes_a_breaker() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.open("HTTP 503")
    clock.now += 5
    breaker.half_open()
    assert not breaker.succeeded(clock.now - 1)
    assert breaker.state == "half open"
    breaker.failed(clock.now - 1, "late")
    assert breaker.state == "half open"
    assert breaker.succeeded(clock.now + 1)
    assert breaker.state == "closed"
