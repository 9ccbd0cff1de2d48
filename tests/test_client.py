"""The client against a real server: what is retried, what is adapted, what is final, what ends the run."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.errors import AccessError, Halted
from selfinstruct.models.client import Client
from selfinstruct.models.endpoint import EndpointConfig
from selfinstruct.models.routing import Slots
from selfinstruct.models.statuses import retry_after_s
from selfinstruct.models.urls import is_on_loopback
from selfinstruct.models.wire import Capabilities
from selfinstruct.types import Completion, Request
from tests.asking import FINE, SCHEMA, ask, ask_all, asking, request, requests, until
from tests.servers import Answer, ScriptedServer, completion, error, held_port, says


def words_of(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def test_an_answer_is_read_with_its_usage_and_raw_body() -> None:
    said = completion("a\0b\ud800c", "length", prompt_tokens=11, completion_tokens=5)
    (got,), server = ask(says(lambda *_: said), request(temperature=0.5, extra_body={"top_k": 3}))
    assert (got.kind, got.text, got.finish_reason) == ("answer", "a\ufffdb\ufffdc", "length")
    assert (got.prompt_tokens, got.completion_tokens) == (11, 5)
    assert b"\\ud800" in got.body
    assert server.bodies == [
        {
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0.5,
            "top_k": 3, "seed": 0xABABABAB & 0x7FFFFFFF,
        }
    ]  # fmt: skip


def test_a_plain_completion_goes_to_its_own_route() -> None:
    async def answer(_: int, path: str, body: dict[str, Any], __: web.Request) -> web.StreamResponse:
        return completion(f"{path}: {body['prompt']}")

    (got,), _ = ask(answer, request(api="completions"))
    assert got.text == "completions: Hi"


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_closing_tag_is_text_where_no_template_can_have_opened_it(api: str) -> None:
    text = "a\n</think>\nb"
    choice = {"text": text, "message": {"content": text, "reasoning_content": "hmm"}}
    (got,), _ = ask(says(lambda *_: web.json_response({"choices": [choice]})), request(api=api))
    assert (got.text, got.reasoning) == (text, "hmm" if api == "chat" else "")


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: error(429, "slow down", {"Retry-After": "0"}),
        lambda: error(503, "busy"),
        lambda: error(500, "oops"),
        lambda: error(408, "late"),
        lambda: web.Response(text="<html>gateway</html>", content_type="text/html"),
        lambda: web.Response(body=b'{"choices": [{"message": {"con', content_type="application/json"),
        lambda: web.json_response({"choices": []}),
        lambda: web.json_response({"choices": [{"message": {"content": None}, "finish_reason": "abort"}]}),
    ],
)
def test_trouble_on_the_way_is_tried_again(trouble: Callable[[], web.Response]) -> None:
    (got,), server = ask(says(lambda place, _: trouble() if place == 0 else None), request())
    assert got.text == "fine"
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


def test_cut_connections_and_time_outs_are_tried_again_and_retry_after_is_obeyed() -> None:
    times: list[float] = []

    async def answer(place: int, _: str, __: dict[str, Any], req: web.Request) -> web.StreamResponse:
        times.append(time.monotonic())
        if place == 0 and req.transport is not None:
            req.transport.abort()
        if place == 1:
            await asyncio.sleep(2)
        return error(429, "wait", {"Retry-After": "1.2"}) if place == 2 else completion("fine")

    (got,), _ = ask(answer, request(), timeout_s=0.3)
    assert got.text == "fine"
    assert len(times) == 4
    assert times[3] - times[2] >= 1.15


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (401, None, "MY_KEY"), (403, None, "MY_KEY"), (404, "model_not_found", "no such model"),
        (402, None, "no such"), (429, "insufficient_quota", "no such"),
    ],
)  # fmt: skip
def test_a_fault_of_access_ends_it_with_what_to_do(status: int, code: str | None, wanted: str) -> None:
    with pytest.raises(AccessError, match=wanted) as caught:
        ask(says(lambda *_: error(status, "no such model; your key secret-key", code=code)), request())
    assert "secret-key" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_nothing_listening_is_found_by_the_check() -> None:
    with held_port() as port, pytest.raises(AccessError, match="nothing answers there"):
        ask_all([f"http://127.0.0.1:{port}/v1"], [], check=True)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedServer(FINE) as proxy, ScriptedServer(FINE) as server:
        monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
        for url in (server.base_url, server.base_url.replace("127.0.0.1", "localhost")):
            (got,) = ask_all([url], [request()], check=True)
            assert got.text == "fine"
        assert (len(server.bodies), len(proxy.bodies)) == (2, 0)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://127.1.2.3/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://LOCALHOST:8000/v1", True),
        ("http://localhost.example.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("nonsense", False),
    ],
)
def test_what_is_on_this_machine(url: str, wanted: bool) -> None:
    assert is_on_loopback(url) is wanted


def test_structure_is_asked_for_in_ever_weaker_forms_and_that_is_said_once() -> None:
    def refuse(_: int, body: dict[str, Any]) -> web.Response | None:
        form = body.get("response_format", {}).get("type")
        return error(400, f"response_format {form} is not supported") if form else None

    told: list[str] = []
    learned: list[Any] = []
    asked = (request(schema=SCHEMA), request("cd" * 32, schema=SCHEMA))
    got, server = ask(says(refuse), *asked, told=told, learned=lambda *about: learned.append(about))
    assert [one.text for one in got] == ["fine", "fine"]
    forms = [body.get("response_format", {}).get("type") for body in server.bodies]
    assert forms == ["json_schema", "json_object", None, None]
    assert len(told) == 2
    assert learned[-1][2] == Capabilities("plain")


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "Unrecognized request argument supplied: max_tokens",
        "The parameter max_tokens is not supported by this model.",
    ],
)
def test_renamed_and_refused_parameters_are_adapted(words: str) -> None:
    def refuse(_: int, body: dict[str, Any]) -> web.Response | None:
        if "max_tokens" in body:
            return error(400, words, param="max_tokens")
        if "temperature" in body:
            return error(400, "'temperature' does not support 0.3 with this model", param="temperature")
        return None

    (got,), server = ask(says(refuse), request(temperature=0.3))
    assert got.text == "fine"
    assert server.bodies[-1]["max_completion_tokens"] == 9
    assert '"max_completion_tokens":9' in got.sent
    assert "temperature" not in server.bodies[-1]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("this model has no chat template", r"no chat template.*--recipe paper"),
        ("max_tokens=8192 cannot be greater than max_model_len=4096. Please request fewer output tokens.",
         "fewer output tokens"),
    ],
)  # fmt: skip
def test_a_400_before_any_answer_is_a_fault_of_the_configuration(said: str, wanted: str) -> None:
    with pytest.raises(AccessError, match=wanted):
        ask(says(lambda *_: error(400, said)), request())


def test_a_400_after_an_answer_is_final_for_that_request() -> None:
    refuse = says(lambda place, _: error(400, "odd request", code="odd") if place else None)
    got, server = ask(refuse, request(), request("cd" * 32))
    assert [(one.kind, one.finish_reason) for one in got] == [("answer", "stop"), ("failed", "odd")]
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (lambda: error(400, "This model's maximum context length is 2048 tokens"), "too_long"),
        (lambda: error(400, "prompt too long"), "too_long"),
        (lambda: completion("", "content_filter"), "content_filter"),
    ],
)
def test_what_is_too_long_or_filtered_is_final(said: Callable[[], web.Response], wanted: str) -> None:
    (got,), _ = ask(says(lambda *_: said()), request())
    assert (got.kind, got.finish_reason) == ("failed", wanted)


def test_a_halt_ends_what_waits_and_lets_what_is_under_way_finish() -> None:
    is_halted = threading.Event()

    async def answer(*_: Any) -> web.StreamResponse:
        await until(is_halted.is_set)
        return completion("late")

    async def halt(client: Client) -> None:
        await until(lambda: server.bodies)
        client.halt()
        is_halted.set()

    with ScriptedServer(answer) as server:
        first, second = ask_all([server.base_url], requests(2), slots=1, after=halt)
    assert first.text == "late"
    assert isinstance(second, Halted)
    assert len(server.bodies) == 1


def test_requests_go_by_priority_then_in_order_and_one_asked_again_before_newer_ones() -> None:
    order: list[str] = []

    async def answer(place: int, _: str, body: dict[str, Any], __: web.Request) -> web.StreamResponse:
        order.append(words_of(body))
        await asyncio.sleep(0.25)
        return error(500, "oops") if place == 2 else completion("fine")

    async def run(url: str) -> None:
        client = Client([EndpointConfig(url)], Slots(1), tell=print)
        given = [("first", 0), ("c", 2), ("a", 0), ("d", 2), ("b", 1), ("e", 2), ("f", 2), ("g", 2)]
        asked = [(request(f"{place:064x}", words), priority) for place, (words, priority) in enumerate(given)]
        await asyncio.gather(*(client.complete(*one) for one in asked))
        await client.close()

    with ScriptedServer(answer) as server:
        asyncio.run(run(server.base_url))
    assert order[:3] == ["first", "a", "b"]
    assert order[3:].index("b") < 4
    assert [words for words in order[3:] if words != "b"] == ["c", "d", "e", "f", "g"]


def test_a_request_that_always_times_out_while_others_are_answered_is_given_up() -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if words_of(body) == "stuck":
            await asyncio.sleep(1)
        return completion("fine")

    got, server = ask(answer, request(), request("ee" * 32, "stuck"), timeout_s=0.2)
    assert [(one.kind, one.finish_reason) for one in got] == [("answer", "stop"), ("failed", "timeout")]
    assert got[1].text == "8 time-outs"
    assert len(server.bodies) >= 9


def test_a_request_that_always_fails_while_others_are_answered_is_given_up_and_opens_no_breaker() -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if words_of(body) == "stuck":
            return error(500, "the sampler fell over")
        await asyncio.sleep(0.2)
        return completion("fine")

    told: list[str] = []
    with ScriptedServer(answer) as server:
        asked = [request("ee" * 32, "stuck"), *requests(150)]
        stuck, *got = ask_all([server.base_url], asked, told=told, slots=4)
    assert (stuck.kind, stuck.finish_reason) == ("failed", "server_error")
    assert "HTTP 500: the sampler fell over" in stuck.text
    assert [one.text for one in got] == ["fine"] * 150
    assert len([body for body in server.bodies if words_of(body) == "stuck"]) in range(8, 13)
    assert not any("does not answer" in line for line in told)


def test_what_fails_in_an_outage_of_the_model_alone_is_not_given_up() -> None:
    is_out = threading.Event()

    def answer(place: int, _: dict[str, Any]) -> web.Response | None:
        if place == 30:
            is_out.set()
        return error(500, "the engine is dead") if is_out.is_set() else None

    async def mend(_: Client) -> None:
        await until(is_out.is_set)
        await asyncio.sleep(6)
        is_out.clear()

    with ScriptedServer(says(answer)) as server:
        got = ask_all([server.base_url], requests(60), after=mend)
    assert [one.text for one in got] == ["fine"] * 60


def test_a_dead_endpoint_is_left_while_another_is_alive() -> None:
    told: list[str] = []
    with ScriptedServer(says(lambda *_: error(401, "no"))) as bad, ScriptedServer(FINE) as good:
        got = ask_all([bad.base_url, good.base_url], requests(4), slots=2, in_turn=True, told=told)
    assert [one.text for one in got] == ["fine"] * 4
    assert len(bad.bodies) == 1
    assert len(told) == 1


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10, 10),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0, 0),
        ({"retry-after": "86400"}, 86400, 86400),
        ({"retry-after": "1e30"}, 86400, 1e7),
    ],
)
def test_the_server_may_say_when_to_ask_again_in_three_ways(headers: dict[str, str], least: float, most: float) -> None:
    found = retry_after_s(headers, 1000.0)
    assert found is not None
    assert least <= found <= most


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Thu, 99 Jan"])
def test_what_cannot_be_read_is_no_wait(value: str) -> None:
    assert retry_after_s({"retry-after": value}, 1000.0) is None


def test_a_long_wait_is_told_once_with_its_end_and_is_seen_in_the_progress() -> None:
    async def look(client: Client) -> None:
        await until(lambda: client.progress().paused_until and not client.progress().in_flight)
        seen.append(client.progress())
        client.halt()

    seen: list[Any] = []
    told: list[str] = []
    with ScriptedServer(says(lambda *_: error(429, "wait", {"Retry-After": "3600"}))) as server:
        got = ask_all([server.base_url], requests(40), told=told, slots=40, after=look)
    assert all(isinstance(one, Halted) for one in got)
    assert len([line for line in told if "asks to wait until" in line]) == 1
    assert (seen[0].in_flight, seen[0].waiting) == (0, 40)
    assert "waiting for the rate limit of" in seen[0].reason
    assert list(seen[0].paused_until) == [server.base_url]
    assert len(server.bodies) <= 40


def test_requests_are_spread_over_endpoints_by_their_load() -> None:
    def after(seconds: float, text: str) -> Answer:
        async def answer(*_: Any) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return completion(text)

        return answer

    with ScriptedServer(after(0.6, "slow")) as first, ScriptedServer(after(0.1, "quick")) as second:
        configs = [EndpointConfig(first.base_url), EndpointConfig(second.base_url, concurrency=3)]
        got = asyncio.run(asking(configs, requests(60)))
    counts = Counter(one.text for one in got)
    assert counts["quick"] > 1.5 * counts["slow"] > 0


async def steady(*_: Any) -> web.StreamResponse:
    await asyncio.sleep(0.05)
    return completion("fine")


def test_a_run_goes_on_while_one_endpoint_is_alive_and_takes_a_dead_one_back() -> None:
    told: list[str] = []

    async def revive(_: Client) -> None:
        await asyncio.sleep(1.5)
        late.__enter__()

    with held_port() as port, ScriptedServer(steady) as alive:
        late = ScriptedServer(steady, port=port)
        urls = [f"http://127.0.0.1:{port}/v1", alive.base_url]
        got = ask_all(urls, requests(320), told=told, slots=4, after=revive, check=True)
        late.__exit__()
    assert all(one.text == "fine" for one in got)
    assert len(late.bodies) > 5
    assert any("nothing answers there" in line and "going on without it" in line for line in told)
    assert any("answers again" in line for line in told)


@pytest.mark.parametrize("kind", ["503", "refused"])
def test_in_an_outage_of_all_nothing_is_sent_but_probes_and_it_is_told_once(kind: str) -> None:
    async def outage(client: Client) -> None:
        await until(lambda: len(server.bodies) >= 40)
        if kind == "503":
            server.is_up.clear()
        else:
            server.__exit__()
        await asyncio.sleep(3.2)
        await until(lambda: client.progress().reason)
        reasons.append(client.progress().reason)
        if kind == "503":
            server.is_up.set()
        else:
            server.__enter__()

    told: list[str] = []
    reasons: list[str] = []
    with held_port() as port, ScriptedServer(steady, port=port) as server:
        got = ask_all([server.base_url], requests(200), told=told, after=outage)
    assert all(one.text == "fine" for one in got)
    assert len(server.bodies) <= 200 + 8 + 12
    assert len([line for line in told if "does not answer" in line and "next try in" in line]) == 1
    assert len([line for line in told if "answers again after" in line]) == 1
    assert "does not answer" in reasons[0]
    assert "next try at" in reasons[0]


def test_a_fault_of_access_of_the_last_endpoint_ends_all_that_wait() -> None:
    async def refuse(*_: Any) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return error(401, "no")

    with ScriptedServer(refuse) as one, ScriptedServer(refuse) as two:
        got = ask_all([one.base_url, two.base_url], requests(30), slots=4)
    assert all(isinstance(answer, AccessError) for answer in got)
    assert len(one.bodies) + len(two.bodies) <= 4


@pytest.mark.parametrize(
    ("limit", "slots", "number", "max_tokens", "least_s", "most_s"),
    [
        ({"requests_per_minute": 600}, 32, 40, 9, 1.8, 15.0),
        # 40 times 100 at 1,000 a second, 2,000 at once; not 40 times 500
        ({"tokens_per_minute": 60_000}, 4, 40, 500, 1.0, 15.0),
    ],
)
def test_limits_a_minute_are_kept_and_tokens_corrected_by_what_was_used(
    limit: dict[str, int], slots: int, number: int, max_tokens: int, least_s: float, most_s: float
) -> None:
    times: list[float] = []

    def answer(*_: Any) -> web.Response:
        times.append(time.monotonic())
        return completion("fine", prompt_tokens=50, completion_tokens=50)

    async def look(client: Client) -> None:
        await until(lambda: "waiting for the limit of 600 requests a minute" in client.progress().reason)

    after = look if "requests_per_minute" in limit else None
    with ScriptedServer(says(answer)) as server:
        ask_all([server.base_url], requests(number, max_tokens=max_tokens), slots=slots, after=after, **limit)
    assert least_s <= times[-1] - times[0] <= most_s


class Ledger:
    """A meter that keeps what it is told, and may refuse."""

    def __init__(self, refuse_from: int = 1000) -> None:
        self.reserved = 0
        self.spent_: list[Completion | None] = []
        self._refuse_from = refuse_from

    async def reserve(self, request: Request) -> None:
        await asyncio.sleep(0)
        if self.reserved >= self._refuse_from:
            raise Halted
        self.reserved += 1

    def spent(self, request: Request, completion: Completion | None) -> None:
        self.spent_.append(completion)


def test_a_meter_is_asked_before_each_attempt_and_told_what_it_cost() -> None:
    async def answer(place: int, _: str, __: dict[str, Any], req: web.Request) -> web.StreamResponse:
        if place == 1 and req.transport is not None:
            req.transport.abort()
        aborted = {"choices": [{"message": {"content": "x"}, "finish_reason": "abort"}]}
        script = {
            0: error(429, "slow", {"Retry-After": "0"}),
            2: web.json_response({**aborted, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}),
        }
        return script.get(place) or completion("fine")

    ledger = Ledger()
    got, _ = ask(answer, request(), budget=ledger)
    assert ledger.reserved == 4
    refused, lost, aborted, answered = ledger.spent_
    assert refused is not None
    assert (refused.kind, refused.prompt_tokens) == ("failed", 0)
    assert lost is None
    assert aborted is not None
    assert (aborted.kind, aborted.prompt_tokens) == ("failed", 5)
    assert answered == got[0]


def test_what_a_meter_refuses_is_not_sent_and_holds_no_slot() -> None:
    ledger = Ledger(refuse_from=3)
    with ScriptedServer(FINE) as server:
        got = ask_all([server.base_url], requests(10), slots=1, budget=ledger)
    assert len(server.bodies) == len(ledger.spent_) == 3
    assert len([one for one in got if isinstance(one, Halted)]) == 7


SECRET = "sk-MARKED+/key==0123456789"


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 200])
def test_a_key_that_the_server_echoes_is_in_nothing_that_is_said_or_kept(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(place: int, _: str, __: dict[str, Any], req: web.Request) -> web.StreamResponse:
        header = req.headers["Authorization"]
        if place > 1 and status in {429, 500, 200}:
            return completion(f"I saw {header}")
        if status == 200:
            return web.Response(text=f"<html>{header}</html>", content_type="text/html")
        return error(status, f"you sent {header}", code="insufficient_quota" if status == 429 and place else None)

    told: list[str] = []
    caplog.set_level("DEBUG")
    with ScriptedServer(echo) as server:
        config = EndpointConfig(server.base_url, SECRET, "MY_KEY", headers={"X-Api-Key": SECRET})
        got = asyncio.run(asking([config], [request()], told=told, check=True))
    texts = [repr(config), *told, caplog.text, *map(repr, got)]
    for one in got:
        chain: BaseException | None = one if isinstance(one, BaseException) else None
        while chain is not None:
            texts += [str(chain), repr(chain)]
            chain = chain.__cause__ or chain.__context__
    assert all("MARKED" not in text for text in texts)
    assert server.keys[0] == f"Bearer {SECRET}"


def test_a_password_in_a_url_is_used_and_never_shown() -> None:
    async def echo(_: int, __: str, ___: dict[str, Any], req: web.Request) -> web.StreamResponse:
        return error(402, f"no credit for {req.headers['Authorization']} wonder:Pa55word")

    with ScriptedServer(echo) as server:
        config = EndpointConfig(server.base_url.replace("http://", "http://wonder:Pa55word@"))
        (got,) = asyncio.run(asking([config], [request()]))
    assert server.keys == ["Basic " + base64.b64encode(b"wonder:Pa55word").decode()]
    assert isinstance(got, AccessError)
    assert "no credit" in str(got)
    for text in (str(got), repr(config)):
        assert "Pa55word" not in text
        assert server.keys[0].partition(" ")[2] not in text


def test_the_check_asks_all_endpoints_and_keeps_the_least_context_length() -> None:
    async def run(urls: list[str]) -> tuple[list[dict[str, Any]], int | None, int | None]:
        client = Client([EndpointConfig(url) for url in urls], Slots(1), tell=print)
        try:
            return await client.check(), client.context_length(), client.context_length("other")
        finally:
            await client.close()

    large, small = {"id": "m", "max_model_len": 8192}, {"id": "m", "max_model_len": 4096}
    with ScriptedServer(FINE, [large]) as one, ScriptedServer(FINE, [small]) as two, ScriptedServer(FINE) as three:
        models, length, unknown = asyncio.run(run([one.base_url, two.base_url, three.base_url]))
    assert (models, length, unknown) == ([large], 4096, None)


def test_progress_tells_how_long_the_oldest_has_been_in_flight() -> None:
    is_seen = threading.Event()

    async def slow(*_: Any) -> web.StreamResponse:
        await until(is_seen.is_set)
        return completion("slow")

    async def look(client: Client) -> None:
        await until(lambda: server.bodies)
        came = time.monotonic()
        await asyncio.sleep(0.7)
        before = time.monotonic() - came
        seen.append(client.progress())
        is_seen.set()
        assert before <= seen[0].oldest_s <= time.monotonic() - began

    seen: list[Any] = []
    with ScriptedServer(slow) as server:
        began = time.monotonic()
        ask_all([server.base_url], [request()], after=look)
    assert (seen[0].in_flight, seen[0].waiting) == (1, 0)
    assert seen[0].reason == f"1 request in flight for up to {seen[0].oldest_s:.0f} s"
