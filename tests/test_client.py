"""The client against a real server: what is retried, what is adapted, what is final, what ends the run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.errors import AccessError
from selfinstruct.llm.client import Client, EndpointConfig, without_credentials
from selfinstruct.llm.slots import Halted, Slots, Ticket
from selfinstruct.llm.wire import Capabilities, sampling_seed
from selfinstruct.records import Completion, Message, Request, Schema
from tests.servers import Answer, ScriptedServer, completion, error

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


def test_thinking_is_kept_apart_from_the_text() -> None:
    async def answer(_: int, __: str, ___: dict[str, Any], ____: web.Request) -> web.StreamResponse:
        return completion("<think>hmm, 2 and 2</think>\n\n4")

    (got,), _ = ask(answer, request())
    assert (got.text, got.reasoning) == ("4", "hmm, 2 and 2")


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
    assert 1.15 <= times[1] - times[0] <= 2.5


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
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

    async def run() -> None:
        client = Client([EndpointConfig(f"http://127.0.0.1:{port}/v1")], Slots(1), tell=print)
        try:
            await client.check()
        finally:
            await client.close()

    with pytest.raises(AccessError, match="nothing answers there"):
        asyncio.run(run())


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


def test_renamed_and_refused_parameters_are_adapted() -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        if "max_tokens" in body:
            return error(
                400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens"
            )
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

    with pytest.raises(AccessError, match="no chat template"):
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
    async def answer(place: int, _: str, __: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return completion("late")

    async def run(url: str) -> list[Any]:
        client = Client([EndpointConfig(url)], Slots(1), tell=print)
        asks = [asyncio.create_task(client.complete(request(name * 32), 0)) for name in ("aa", "bb")]
        await asyncio.sleep(0.1)
        client.halt()
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
    assert len(server.bodies) == 1 + 8


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
