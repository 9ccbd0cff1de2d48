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
from selfinstruct.models.client import Client, EndpointConfig, without_credentials
from selfinstruct.models.slots import Slots, Ticket
from selfinstruct.models.urls import is_on_loopback
from selfinstruct.models.wire import Capabilities, retry_after_s, sampling_seed
from selfinstruct.types import Completion, Message, Request, Schema
from tests.servers import Answer, ScriptedServer, completion, error, held_port

SCHEMA = Schema("thing", {"type": "object", "properties": {}, "required": [], "additionalProperties": False})


def request(identity: str = "ab" * 32, *, api: Any = "chat", schema: Schema | None = None, **sampling: Any) -> Request:
    role: Any = "user" if api == "chat" else "prompt"
    return Request(
        identity, "propose", 0, None, 0, api, "m", {"max_tokens": 9, **sampling}, (Message(role, "Hi"),), schema
    )


def ask(
    answer: Answer, *requests: Request, told: list[str] | None = None, learned: list[Any] | None = None,
    key: str = "secret-key", before: Callable[[Client], None] = lambda _: None, timeout_s: float = 5.0,
) -> tuple[list[Completion], ScriptedServer]:  # fmt: skip
    said = told if told is not None else []
    noted = learned if learned is not None else []

    async def run(url: str) -> list[Completion]:
        client = Client(
            [EndpointConfig(url, key, "MY_KEY", timeout_s=timeout_s)], Slots(8), tell=said.append,
            learned=lambda url, model, capabilities: noted.append((url, model, capabilities)),
        )  # fmt: skip
        before(client)
        try:
            return [await client.complete(one, 0) for one in requests]
        finally:
            await client.close()

    with ScriptedServer(answer) as server:
        return asyncio.run(run(server.base_url)), server


def test_an_answer_is_read_with_its_usage_and_raw_body() -> None:
    async def answer(_: int, path: str, body: dict[str, Any], __: web.Request) -> web.StreamResponse:
        assert path == "chat/completions"
        return completion("Hello", "length", prompt_tokens=11, completion_tokens=5)

    (got,), server = ask(answer, request(temperature=0.5, extra_body={"top_k": 3}))
    assert (got.kind, got.text, got.finish_reason) == ("answer", "Hello", "length")
    assert (got.prompt_tokens, got.completion_tokens) == (11, 5)
    assert b'"Hello"' in got.body
    assert server.bodies == [
        {
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0.5,
            "top_k": 3, "seed": sampling_seed("ab" * 32),
        }
    ]  # fmt: skip


def test_a_plain_completion_goes_to_its_own_route() -> None:
    async def answer(_: int, path: str, body: dict[str, Any], __: web.Request) -> web.StreamResponse:
        assert (path, body["prompt"]) == ("completions", "Hi")
        return completion(" there")

    (got,), _ = ask(answer, request(api="completions"))
    assert got.text == " there"


@pytest.mark.parametrize(
    ("said", "text", "reasoning"),
    [
        ("<think>hmm, 2 and 2</think>\n\n4", "4", "hmm, 2 and 2"),
        ("\n<think>\n{'tasks': []}\n</think>{}", "{}", "{'tasks': []}"),
        ("<think>\nhmm, 2 and", "", "hmm, 2 and"),
        ("<think>\n\n</think>\n\n4", "4", ""),
        ("hmm, 2 and 2\n</think>\n\n4", "4", "hmm, 2 and 2"),
        ("hmm, 2 and 2.</think>\n4", "4", "hmm, 2 and 2."),
        ("hmm\n</think>4 </think>\n5", "4 </think>\n5", "hmm"),
        ("hmm\n</think>", "", "hmm"),
        ("hmm.</think>\r\n4", "4", "hmm."),
        ("The tag `</think>` closes a thought.\nNo other does.",) * 2 + ("",),
        ('{"tasks": [{"instruction": "What does </think>\\nclose?"}]}',) * 2 + ("",),
        ("Write:\n<think>\nhmm\n</think>\nand then the answer.",) * 2 + ("",),
    ],
)
def test_thinking_is_kept_apart_from_the_text(said: str, text: str, reasoning: str) -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return completion(said)

    (got,), _ = ask(answer, request())
    assert (got.text, got.reasoning) == (text, reasoning)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_closing_tag_is_text_where_no_template_can_have_opened_it(api: str) -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        choice = {"text": "a\n</think>\nb", "message": {"content": "a\n</think>\nb", "reasoning_content": "hmm"}}
        return web.json_response({"choices": [choice]})

    (got,), _ = ask(answer, request(api=api))
    assert got.text == "a\n</think>\nb"
    assert got.reasoning == ("hmm" if api == "chat" else "")


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
    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        return trouble() if place == 0 else completion("fine")

    (got,), server = ask(answer, request())
    assert got.text == "fine"
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


def test_retry_after_is_obeyed() -> None:
    times: list[float] = []

    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        times.append(asyncio.get_running_loop().time())
        return error(429, "wait", {"Retry-After": "1.2"}) if place == 0 else completion("fine")

    ask(answer, request())
    assert times[1] - times[0] >= 1.15


def test_a_cut_connection_is_tried_again() -> None:
    async def answer(place: int, _: str, __: dict[str, Any], req: web.Request) -> web.StreamResponse:
        if place == 0:
            assert req.transport is not None
            req.transport.abort()
        return completion("fine")

    (got,), _ = ask(answer, request())
    assert got.text == "fine"


def test_a_time_out_is_tried_again() -> None:
    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if place == 0:
            await asyncio.sleep(2)
        return completion("fine")

    (got,), _ = ask(answer, request(), timeout_s=0.3)
    assert got.text == "fine"


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [(401, None, "MY_KEY"), (403, None, "MY_KEY"), (404, "model_not_found", "no such model"), (402, None, "no such")],
)
def test_a_fault_of_access_ends_it_with_what_to_do(status: int, code: str | None, wanted: str) -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return error(status, "no such model; your key secret-key", code=code)

    with pytest.raises(AccessError) as caught:
        ask(answer, request())
    assert wanted in str(caught.value)
    assert "secret-key" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_an_exhausted_quota_is_a_fault_of_access_not_a_rate_limit() -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return error(429, "you are out of credit", code="insufficient_quota")

    with pytest.raises(AccessError, match="out of credit"):
        ask(answer, request())


def test_nothing_listening_is_found_by_the_check() -> None:
    async def run(port: int) -> None:
        client = Client([EndpointConfig(f"http://127.0.0.1:{port}/v1")], Slots(1), tell=print)
        try:
            await client.check()
        finally:
            await client.close()

    with held_port() as port, pytest.raises(AccessError, match="nothing answers there"):
        asyncio.run(run(port))


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedServer(fine) as proxy, ScriptedServer(fine) as server:
        monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
        for url in (server.base_url, server.base_url.replace("127.0.0.1", "localhost")):
            (got,) = asyncio.run(ask_all([EndpointConfig(url)], [request()], [], check=True))
            assert got.text == "fine"
        assert (len(server.bodies), len(proxy.bodies)) == (2, 0)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.1.2.3/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://LOCALHOST:8000/v1", True),
        ("http://localhost.example.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("https://api.openai.com/v1", False),
        ("nonsense", False),
    ],
)
def test_what_is_on_this_machine(url: str, wanted: bool) -> None:
    assert is_on_loopback(url) is wanted


def test_structure_is_asked_for_in_ever_weaker_forms_and_that_is_said_once() -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        form = body.get("response_format", {}).get("type")
        return error(400, f"response_format {form} is not supported") if form else completion("{}")

    told: list[str] = []
    learned: list[Any] = []
    got, server = ask(answer, request(schema=SCHEMA), request("cd" * 32, schema=SCHEMA), told=told, learned=learned)
    assert [one.text for one in got] == ["{}", "{}"]
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
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if "max_tokens" in body:
            return error(400, words, param="max_tokens")
        if "temperature" in body:
            return error(400, "'temperature' does not support 0.3 with this model", param="temperature")
        return completion("ok")

    (got,), server = ask(answer, request(temperature=0.3))
    assert got.text == "ok"
    assert server.bodies[-1]["max_completion_tokens"] == 9
    assert '"max_completion_tokens":9' in got.sent
    assert "temperature" not in server.bodies[-1]


def test_a_400_before_any_answer_is_a_fault_of_the_configuration() -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return error(400, "this model has no chat template")

    with pytest.raises(AccessError, match=r"no chat template.*--recipe paper"):
        ask(answer, request())


def test_a_400_after_an_answer_is_final_for_that_request() -> None:
    async def answer(place: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return completion("fine") if place == 0 else error(400, "odd request", code="odd")

    got, server = ask(answer, request(), request("cd" * 32))
    assert [(one.kind, one.finish_reason) for one in got] == [("answer", "stop"), ("failed", "odd")]
    assert len(server.bodies) == 2


@pytest.mark.parametrize("message", ["This model's maximum context length is 2048 tokens", "prompt too long"])
def test_a_prompt_that_is_too_long_is_final(message: str) -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return error(400, message)

    (got,), _ = ask(answer, request())
    assert (got.kind, got.finish_reason) == ("failed", "too_long")


def test_an_answer_that_may_be_longer_than_the_context_is_no_fault_of_the_prompt() -> None:
    said = "max_tokens=8192 cannot be greater than max_model_len=4096. Please request fewer output tokens."

    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return error(400, said, param="max_tokens")

    with pytest.raises(AccessError, match="fewer output tokens"):
        ask(answer, request())


def test_filtered_content_is_final() -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return completion("", "content_filter")

    (got,), _ = ask(answer, request())
    assert got.kind == "failed"


def test_text_that_no_database_holds_is_marked() -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return completion("a\0b\ud800c")

    (got,), _ = ask(answer, request())
    assert got.text == "a\ufffdb\ufffdc"
    assert b"\\ud800" in got.body


def test_a_halt_ends_what_waits_and_lets_what_is_under_way_finish() -> None:
    is_halted = threading.Event()

    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        await until(is_halted.is_set)
        return completion("late")

    async def run(url: str) -> list[Any]:
        client = Client([EndpointConfig(url)], Slots(1), tell=print)
        asks = [asyncio.create_task(client.complete(request(name * 32), 0)) for name in ("aa", "bb")]
        await until(lambda: server.bodies)
        client.halt()
        is_halted.set()
        try:
            return await asyncio.gather(*asks, return_exceptions=True)
        finally:
            await client.close()

    with ScriptedServer(answer) as server:
        first, second = asyncio.run(run(server.base_url))
    assert first.text == "late"
    assert isinstance(second, Halted)
    assert len(server.bodies) == 1


def test_slots_serve_by_priority_then_in_order() -> None:
    async def run() -> list[str]:
        slots, served = Slots(1), list[str]()

        async def one(name: str, priority: int) -> None:
            await slots.take(Ticket(priority, lambda: name))
            served.append(name)
            await asyncio.sleep(0)
            slots.give_back()

        await slots.take(Ticket(0, lambda: "first"))
        waiting = [
            asyncio.create_task(one(name, priority)) for name, priority in [("c", 2), ("a", 0), ("d", 2), ("b", 1)]
        ]
        await asyncio.sleep(0.01)
        slots.give_back()
        await asyncio.gather(*waiting)
        return served

    assert asyncio.run(run()) == ["a", "b", "c", "d"]


def test_credentials_are_cut_out_of_urls() -> None:
    assert without_credentials("http://me:pw@host:8/v1") == ("http://host:8/v1", "me:pw")
    assert without_credentials("http://host:8/v1") == ("http://host:8/v1", "")


def test_a_request_that_always_times_out_while_others_are_answered_is_given_up() -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if body["messages"][0]["content"] == "stuck":
            await asyncio.sleep(1)
        return completion("fine")

    stuck = Request("ee" * 32, "propose", 0, None, 0, "chat", "m", {}, (Message("user", "stuck"),))
    got, server = ask(answer, request(), stuck, timeout_s=0.2)
    assert [(one.kind, one.finish_reason) for one in got] == [("answer", "stop"), ("failed", "timeout")]
    assert got[1].text == "8 time-outs"
    assert len([body for body in server.bodies if body["messages"][0]["content"] == "stuck"]) >= 8


def test_a_request_that_always_fails_while_others_are_answered_is_given_up_and_opens_no_breaker() -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if body["messages"][0]["content"] == "stuck":
            return error(500, "the sampler fell over")
        await asyncio.sleep(0.2)
        return completion("fine")

    stuck = Request("ee" * 32, "propose", 0, None, 0, "chat", "m", {}, (Message("user", "stuck"),))
    told: list[str] = []
    with ScriptedServer(answer) as server:
        config = EndpointConfig(server.base_url)
        got = asyncio.run(ask_all([config], [stuck, *(request(name) for name in ids(150))], told, slots=4))
    assert (got[0].kind, got[0].finish_reason) == ("failed", "server_error")
    assert "HTTP 500: the sampler fell over" in got[0].text
    assert [one.text for one in got[1:]] == ["fine"] * 150
    assert len([body for body in server.bodies if body["messages"][0]["content"] == "stuck"]) in range(8, 13)
    assert not any("does not answer" in line for line in told)


def test_what_fails_in_an_outage_of_the_model_alone_is_not_given_up() -> None:
    is_out = threading.Event()

    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if place == 30:
            is_out.set()
        return error(500, "the engine is dead") if is_out.is_set() else completion("fine")

    async def mend(_: Client) -> None:
        await until(is_out.is_set)
        await asyncio.sleep(6)
        is_out.clear()

    with ScriptedServer(answer) as server:
        config = EndpointConfig(server.base_url)
        got = asyncio.run(ask_all([config], [request(name) for name in ids(60)], [], after=mend))
    assert [one.text for one in got] == ["fine"] * 60


def test_a_dead_endpoint_is_left_while_another_is_alive() -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return completion("fine")

    async def refuse(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return error(401, "no")

    async def run(urls: list[str]) -> list[Completion]:
        client = Client([EndpointConfig(url) for url in urls], Slots(2), tell=told.append)
        try:
            return [await client.complete(request(f"{place:064x}"), 0) for place in range(4)]
        finally:
            await client.close()

    told: list[str] = []
    with ScriptedServer(refuse) as bad, ScriptedServer(answer) as good:
        got = asyncio.run(run([bad.base_url, good.base_url]))
    assert [one.text for one in got] == ["fine"] * 4
    assert len(bad.bodies) == 1
    assert len(told) == 1


async def fine(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
    return completion("fine")


def ids(number: int) -> list[str]:
    return [f"{place:08x}" * 8 for place in range(number)]


async def ask_all(
    configs: list[EndpointConfig], requests: list[Request], told: list[str], *, slots: int = 8, check: bool = False,
    meter: Any = None, after: Callable[[Client], Any] = lambda _: None, **more: Any,
) -> list[Any]:  # fmt: skip
    client = Client(configs, Slots(slots), tell=told.append, meter=meter, **more)
    try:
        if check:
            await client.check()
        asks = [asyncio.create_task(client.complete(one, 0)) for one in requests]
        watch = asyncio.ensure_future(after(client)) if asyncio.iscoroutinefunction(after) else None
        got = await asyncio.gather(*asks, return_exceptions=True)
        if watch:
            await watch
        return got
    finally:
        await client.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state, for a minute at most."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25, 0.25),
        ({"Retry-After": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10, 10),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0, 0),
        ({"Retry-After": "86400"}, 86400, 86400),
        ({"Retry-After": "1e30"}, 86400, 1e7),
    ],
)
def test_the_server_may_say_when_to_ask_again_in_three_ways(headers: dict[str, str], least: float, most: float) -> None:
    found = retry_after_s({name.lower(): value for name, value in headers.items()}, 1000.0)
    assert found is not None
    assert least <= found <= most


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Thu, 99 Jan"])
def test_what_cannot_be_read_is_no_wait(value: str) -> None:
    assert retry_after_s({"retry-after": value}, 1000.0) is None


def test_a_long_wait_is_told_once_with_its_end_and_is_seen_in_the_progress() -> None:
    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        return error(429, "wait", {"Retry-After": "3600"})

    async def look(client: Client) -> None:
        await until(lambda: client.progress().paused_until and not client.progress().in_flight)
        seen.append(client.progress())
        client.halt()

    seen: list[Any] = []
    told: list[str] = []
    with ScriptedServer(answer) as server:
        config = EndpointConfig(server.base_url)
        got = asyncio.run(ask_all([config], [request(name) for name in ids(40)], told, slots=40, after=look))
    assert all(isinstance(one, Halted) for one in got)
    assert len([line for line in told if "asks to wait until" in line]) == 1
    assert (seen[0].in_flight, seen[0].waiting) == (0, 40)
    assert "waiting for the rate limit of" in seen[0].reason
    assert list(seen[0].paused_until) == [server.base_url]
    assert len(server.bodies) <= 40


def test_a_request_asked_again_goes_before_newer_ones() -> None:
    order: list[str] = []

    async def answer(place: int, _: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        order.append(body["messages"][0]["content"])
        await asyncio.sleep(0.25)
        return error(500, "oops") if place == 1 else completion("fine")

    wanted = [Request(one, "propose", 0, None, 0, "chat", "m", {}, (Message("user", one[:8]),)) for one in ids(9)]
    with ScriptedServer(answer) as server:
        asyncio.run(ask_all([EndpointConfig(server.base_url)], wanted, [], slots=1))
    assert len(order) == 10
    assert order[1] in order[2:6]


def test_requests_are_spread_over_endpoints_by_their_load() -> None:
    async def slow(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.6)
        return completion("slow")

    async def quick(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return completion("quick")

    with ScriptedServer(slow) as first, ScriptedServer(quick) as second:
        configs = [EndpointConfig(first.base_url), EndpointConfig(second.base_url, concurrency=3)]
        got = asyncio.run(ask_all(configs, [request(name) for name in ids(60)], []))
    counts = Counter(one.text for one in got)
    assert counts["quick"] > 1.5 * counts["slow"] > 0


def test_a_run_goes_on_while_one_endpoint_is_alive_and_takes_a_dead_one_back() -> None:
    told: list[str] = []

    async def steady(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return completion("fine")

    async def revive(client: Client) -> None:
        await asyncio.sleep(1.5)
        late.__enter__()

    with held_port() as port, ScriptedServer(steady) as alive:
        late = ScriptedServer(steady, port=port)
        configs = [EndpointConfig(f"http://127.0.0.1:{port}/v1"), EndpointConfig(alive.base_url)]
        got = asyncio.run(
            ask_all(configs, [request(name) for name in ids(240)], told, slots=4, after=revive, check=True)
        )
        late.__exit__()
    assert all(one.text == "fine" for one in got)
    assert len(late.bodies) > 5
    assert any("nothing answers there" in line and "going on without it" in line for line in told)
    assert any("answers again" in line for line in told)


@pytest.mark.parametrize("kind", ["503", "refused"])
def test_in_an_outage_of_all_nothing_is_sent_but_probes_and_it_is_told_once(kind: str) -> None:
    async def steady(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return completion("fine")

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
        config = EndpointConfig(server.base_url)
        got = asyncio.run(ask_all([config], [request(name) for name in ids(300)], told, after=outage))
    assert all(one.text == "fine" for one in got)
    assert len(server.bodies) <= 300 + 8 + 12
    assert len([line for line in told if "does not answer" in line and "next try in" in line]) == 1
    assert len([line for line in told if "answers again after" in line]) == 1
    assert "does not answer" in reasons[0]
    assert "next try at" in reasons[0]


def test_a_fault_of_access_of_the_last_endpoint_ends_all_that_wait() -> None:
    async def refuse(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return error(401, "no")

    with ScriptedServer(refuse) as one, ScriptedServer(refuse) as two:
        configs = [EndpointConfig(one.base_url), EndpointConfig(two.base_url)]
        got = asyncio.run(ask_all(configs, [request(name) for name in ids(30)], [], slots=4))
    assert all(isinstance(answer, AccessError) for answer in got)
    assert len(one.bodies) + len(two.bodies) <= 4


def test_no_more_requests_a_minute_than_allowed_are_sent() -> None:
    times: list[float] = []

    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        times.append(time.monotonic())
        return completion("fine")

    async def look(client: Client) -> None:
        await until(lambda: "waiting for the limit of 600 requests a minute" in client.progress().reason)
        is_told.append(True)

    is_told: list[bool] = []
    with ScriptedServer(answer) as server:
        config = EndpointConfig(server.base_url)
        asked = [request(name) for name in ids(60)]
        asyncio.run(ask_all([config], asked, [], slots=32, requests_per_minute=600, after=look))
    assert times[-1] - times[0] >= 3.7
    assert is_told


def test_tokens_a_minute_are_reserved_and_corrected_by_what_was_used() -> None:
    times: list[float] = []

    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        times.append(time.monotonic())
        return completion("fine", prompt_tokens=50, completion_tokens=50)

    with ScriptedServer(answer) as server:
        config = EndpointConfig(server.base_url)
        asked = [request(name, max_tokens=500) for name in ids(40)]
        asyncio.run(ask_all([config], asked, [], slots=4, tokens_per_minute=60_000))
    assert 1.0 <= times[-1] - times[0] <= 15.0  # 40 times 100 at 1,000 a second, 2,000 at once; not 40 times 500


class Ledger:
    """A meter that keeps what it is told, and may refuse."""

    def __init__(self, refuse_from: int = 1000) -> None:
        self.reserved: list[int] = []
        self.spent_: list[Completion | None] = []
        self._refuse_from = refuse_from

    async def reserve(self, request: Request, attempt: int) -> None:
        await asyncio.sleep(0)
        if len(self.reserved) >= self._refuse_from:
            raise Halted
        self.reserved.append(attempt)

    def spent(self, request: Request, completion: Completion | None) -> None:
        self.spent_.append(completion)


def test_a_meter_is_asked_before_each_attempt_and_told_what_it_cost() -> None:
    async def answer(place: int, _: str, __: dict[str, Any], req: web.Request) -> web.StreamResponse:
        if place == 1:
            assert req.transport is not None
            req.transport.abort()
        aborted = {"choices": [{"message": {"content": "x"}, "finish_reason": "abort"}]}
        script = {
            0: error(429, "slow", {"Retry-After": "0"}),
            2: web.json_response({**aborted, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}),
        }
        return script.get(place) or completion("fine")

    ledger = Ledger()
    with ScriptedServer(answer) as server:
        got = asyncio.run(ask_all([EndpointConfig(server.base_url)], [request()], [], meter=ledger))
    assert ledger.reserved == [0, 1, 2, 3]
    refused, lost, aborted, answered = ledger.spent_
    assert refused is not None
    assert (refused.kind, refused.prompt_tokens) == ("failed", 0)
    assert lost is None
    assert aborted is not None
    assert (aborted.kind, aborted.prompt_tokens) == ("failed", 5)
    assert answered == got[0]


def test_what_a_meter_refuses_is_not_sent_and_holds_no_slot() -> None:
    ledger = Ledger(refuse_from=3)
    with ScriptedServer(fine) as server:
        config = EndpointConfig(server.base_url)
        got = asyncio.run(ask_all([config], [request(name) for name in ids(10)], [], slots=1, meter=ledger))
    assert len(server.bodies) == 3
    assert len([one for one in got if isinstance(one, Halted)]) == 7
    assert len(ledger.spent_) == 3


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
    texts: list[str] = []
    caplog.set_level("DEBUG")
    with ScriptedServer(echo) as server:
        config = EndpointConfig(server.base_url, SECRET, "MY_KEY", headers={"X-Api-Key": SECRET})
        got = asyncio.run(ask_all([config], [request()], told, check=True))
    for one in got:
        chain: BaseException | None = one if isinstance(one, BaseException) else None
        while chain is not None:
            texts += [str(chain), repr(chain)]
            chain = chain.__cause__ or chain.__context__
    texts += [repr(one) for one in got] + [repr(config), str(config), *told, caplog.text]
    assert all("MARKED" not in text for text in texts)
    assert server.keys[0] == f"Bearer {SECRET}"


def test_a_password_in_a_url_is_used_and_never_shown() -> None:
    async def echo(_: int, __: str, ___: dict[str, Any], req: web.Request) -> web.StreamResponse:
        return error(402, f"no credit for {req.headers['Authorization']} wonder:Pa55word")

    with ScriptedServer(echo) as server:
        config = EndpointConfig(server.base_url.replace("http://", "http://wonder:Pa55word@"))
        (got,) = asyncio.run(ask_all([config], [request()], []))
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
    with ScriptedServer(fine, [large]) as one, ScriptedServer(fine, [small]) as two, ScriptedServer(fine) as three:
        models, length, unknown = asyncio.run(run([one.base_url, two.base_url, three.base_url]))
    assert (models, length, unknown) == ([large], 4096, None)


def test_progress_tells_how_long_the_oldest_has_been_in_flight() -> None:
    is_seen = threading.Event()

    async def slow(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
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
        asyncio.run(ask_all([EndpointConfig(server.base_url)], [request()], [], after=look))
    assert (seen[0].in_flight, seen[0].waiting) == (1, 0)
    assert seen[0].reason == f"1 request in flight for up to {seen[0].oldest_s:.0f} s"
