"""The offline model over real HTTP, as the openai client and a bare client see it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from selfinstruct.llm.offline import server as server_module
from selfinstruct.llm.offline.book import entries
from selfinstruct.llm.offline.protocol import before_stop, clip, count_tokens
from selfinstruct.llm.offline.server import OfflineServer
from tests.processes import running
from tests.test_offline_faults import asking, eventually

PLANET = "Which planet of our solar system has the shortest year?"
LIST = "Tasks:\n1. Name a colour.\n2."


@pytest.fixture(scope="module")
def server() -> Iterator[OfflineServer]:
    with OfflineServer() as running:
        yield running


@pytest.fixture
def client(server: OfflineServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        yield client


def fetch(url: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
    """Status and JSON of a bare request; a body of bytes is sent as it is."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def chat(content: str = PLANET, **more: Any) -> dict[str, Any]:
    return {"model": "offline", "messages": [{"role": "user", "content": content}], **more}


def refusal(base_url: str, body: Any, route: str = "/chat/completions") -> dict[str, Any]:
    """The error of a request that must be refused with 400."""
    status, answer = fetch(base_url + route, body)
    assert status == 400, answer
    assert answer.keys() == {"error"}
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    error: dict[str, Any] = answer["error"]
    return error


def test_the_model_says_what_it_is(client: OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.owned_by) == ("offline", "selfinstruct")
    assert client.models.retrieve("offline").id == "offline"


def test_health_needs_no_key() -> None:
    with OfflineServer(api_key="secret") as server:
        status, answer = fetch(server.base_url.removesuffix("/v1") + "/health")
    assert (status, answer["status"], answer["model"]) == (200, "ok", "offline")


def test_a_chat_answer_has_the_form_of_openai(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="offline", messages=[{"role": "user", "content": PLANET}], seed=3)
    assert answer.choices[0].message.content == "Mercury"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "offline"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == count_tokens(PLANET) == 11
    assert answer.usage.completion_tokens == 1
    assert answer.usage.total_tokens == 12


def test_a_schema_is_followed(client: OpenAI) -> None:
    schema = {"name": "new_tasks", "schema": {"type": "object"}, "strict": True}
    answer = client.chat.completions.create(
        model="offline",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write 4 new tasks."}],
        response_format={"type": "json_schema", "json_schema": schema},  # type: ignore[typeddict-item]
        seed=1,
    )
    assert len(json.loads(answer.choices[0].message.content or "")["tasks"]) == 4


def test_a_base_model_completes(client: OpenAI) -> None:
    answer = client.completions.create(model="offline", prompt=LIST, stop=["\n5."], max_tokens=1000)
    text = answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"
    assert "\n4. " in text
    assert "\n5." not in text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == count_tokens(text)
    again = client.completions.create(model="offline", prompt=[LIST], stop="\n5.", max_tokens=1000)  # type: ignore[arg-type]
    assert again.choices[0].text.count("\n4. ") == 1


def test_max_tokens_cuts_under_both_its_names(server: OfflineServer) -> None:
    whole = fetch(server.base_url + "/completions", {"model": "offline", "prompt": LIST})[1]["choices"][0]
    assert whole["finish_reason"] == "stop"
    for name in ("max_tokens", "max_completion_tokens"):
        status, answer = fetch(server.base_url + "/chat/completions", chat('Write 9 new tasks {"tasks":', **{name: 12}))
        assert status == 200
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 12
    first = {"model": "offline", "prompt": LIST, "max_tokens": 9}
    assert fetch(server.base_url + "/completions", first)[1]["choices"][0]["finish_reason"] == "length"


def test_stop_ends_a_chat_answer_before_the_string(server: OfflineServer) -> None:
    known = next(one for one in entries() if not one.needs_input and "\n" in one.answers[0].output)
    ask = chat(known.instruction, stop=["\n"])
    answer = fetch(server.base_url + "/chat/completions", ask)[1]["choices"][0]
    assert answer["message"]["content"] == known.answers[0].output.partition("\n")[0]
    assert answer["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("abc", [], ("abc", False)),
        ("a.b;c", [";", "."], ("a", True)),
        ("abc", ["", "d"], ("abc", False)),
        ("abc", ["a"], ("", True)),
    ],
)
def test_the_first_stop_string_counts(text: str, stops: list[str], expected: tuple[str, bool]) -> None:
    assert before_stop(text, stops) == expected


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("one, two", None, ("one, two", False)),
        ("one, two", 3, ("one, two", False)),
        ("one, two", 2, ("one,", True)),
        ("", 1, ("", False)),
        ("日本 語", 1, ("日本", True)),
    ],
)
def test_tokens_are_words_and_runs_of_punctuation(text: str, limit: int | None, expected: tuple[str, bool]) -> None:
    assert clip(text, limit) == expected


def test_the_same_body_gets_the_same_bytes(server: OfflineServer) -> None:
    url, body = server.base_url + "/chat/completions", chat("Write 5 new tasks", seed=11)
    assert fetch(url, body) == fetch(url, body)
    with OfflineServer() as other:
        assert fetch(other.base_url + "/chat/completions", body) == fetch(url, body)


def test_a_wrong_or_missing_key_is_401() -> None:
    with OfflineServer(api_key="secret") as server:
        for key in (None, "wrong", "sécret"):
            status, answer = fetch(server.base_url + "/models", key=key and key.encode().decode("latin-1"))
            assert status == 401
            assert answer["error"]["code"] == "invalid_api_key"
            assert "secret" not in json.dumps(answer)
        assert fetch(server.base_url + "/chat/completions", chat())[0] == 401
        assert fetch(server.base_url + "/chat/completions", chat(), key="secret")[0] == 200
        assert server.seen.total() == 1
        with (
            OpenAI(base_url=server.base_url, api_key="no", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.models.list()


def test_another_model_is_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'gpt-x' does not exist") as caught:
        client.chat.completions.create(model="gpt-x", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-x")


def test_unknown_routes_and_methods_answer_in_the_same_form(server: OfflineServer) -> None:
    for url, body, wanted in (("/embeddings", {}, 404), ("/models", {}, 405)):
        status, answer = fetch(server.base_url + url, body)
        assert status == wanted
        assert answer["error"]["type"] == "invalid_request_error"


MESSAGES = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"", None),
        (b"\xff\xfe{}", None),
        (b"[" * 100_000, None),
        ([], None),
        ({"messages": MESSAGES}, "model"),
        ({"model": 3, "messages": MESSAGES}, "model"),
        ({"model": "offline"}, "messages"),
        ({"model": "offline", "messages": []}, "messages"),
        ({"model": "offline", "messages": "x"}, "messages"),
        ({"model": "offline", "messages": ["x"]}, "messages[0]"),
        ({"model": "offline", "messages": [*MESSAGES, {"role": "user"}]}, "messages[1]"),
        ({"model": "offline", "messages": [{"role": "user", "content": ["x"]}]}, "messages[0]"),
        (chat(n=2), "n"),
        (chat(stream=True), "stream"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens="9"), "max_tokens"),
        (chat(max_completion_tokens=True), "max_completion_tokens"),
        (chat(temperature=3), "temperature"),
        (chat(temperature="hot"), "temperature"),
        (chat(top_p=1.5), "top_p"),
        (chat(stop=[1]), "stop"),
        (chat(stop={}), "stop"),
        (chat(response_format="json"), "response_format.type"),
        (chat(response_format={"type": "xml"}), "response_format.type"),
        (chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (chat(response_format={"type": "json_schema", "json_schema": {"name": 1}}), "response_format.json_schema"),
    ],
)
def test_a_faulty_request_is_400_and_names_the_parameter(server: OfflineServer, body: Any, param: str | None) -> None:
    assert refusal(server.base_url, body)["param"] == param


@pytest.mark.parametrize("prompt", [None, 3, [], ["a", "b"], [1, 2]])
def test_a_completion_needs_one_prompt(server: OfflineServer, prompt: Any) -> None:
    assert refusal(server.base_url, {"model": "offline", "prompt": prompt}, "/completions")["param"] == "prompt"


def test_lone_surrogates_and_nul_are_served(server: OfflineServer) -> None:
    status, answer = fetch(server.base_url + "/chat/completions", chat("\ud800 \x00"))
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("name", "body", "message", "code", "param"),
    [
        (
            "max_tokens",
            chat(max_tokens=9),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model."
                " Use 'max_completion_tokens' instead."
            ),
            "unsupported_parameter",
            "max_tokens",
        ),
        (
            "temperature",
            chat(temperature=0.7),
            (
                "Unsupported value: 'temperature' does not support 0.7 with this model."
                " Only the default (1) value is supported."
            ),
            "unsupported_value",
            "temperature",
        ),
        (
            "json_schema",
            chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}),
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            "unsupported_value",
            "response_format",
        ),
        (
            "json_object",
            chat(response_format={"type": "json_object"}),
            "Invalid parameter: 'response_format' of type 'json_object' is not supported with this model.",
            "unsupported_value",
            "response_format",
        ),
        (
            "seed",
            chat(seed=1),
            "Unsupported parameter: 'seed' is not supported with this model.",
            "unsupported_parameter",
            "seed",
        ),
    ],
)
def test_a_poorer_server_refuses_what_it_lacks(name: str, body: Any, message: str, code: str, param: str) -> None:
    with OfflineServer(refuse={name}) as server:
        error = refusal(server.base_url, body)
        assert (error["message"], error["code"], error["param"]) == (message, code, param)
        plain = chat(temperature=1, max_completion_tokens=50)
        assert fetch(server.base_url + "/chat/completions", plain)[0] == 200


def test_a_prompt_beyond_the_context_is_400() -> None:
    with OfflineServer(max_model_len=50) as server:
        assert fetch(server.base_url + "/models")[1]["data"][0]["max_model_len"] == 50
        error = refusal(server.base_url, chat("word " * 45, max_tokens=6))
        assert error["code"] == "context_length_exceeded"
        assert error["message"].startswith(
            "This model's maximum context length is 50 tokens. However, you requested 51 tokens (45 in the messages"
        )
        assert (
            refusal(server.base_url, {"model": "offline", "prompt": "word " * 50}, "/completions")["param"] == "prompt"
        )
        assert fetch(server.base_url + "/chat/completions", chat("word " * 45, max_tokens=5))[0] == 200
        answer = fetch(server.base_url + "/chat/completions", chat('Write 20 new tasks {"tasks":'))[1]
        assert answer["usage"]["total_tokens"] == 50
        assert answer["choices"][0]["finish_reason"] == "length"


def test_requests_are_counted_by_their_exact_body() -> None:
    with OfflineServer() as server:
        for body in (chat(seed=1), chat(seed=1), chat(seed=2), chat(seed=1), chat(n=5)):
            fetch(server.base_url + "/chat/completions", body)
        stats = fetch(server.base_url.removesuffix("/v1") + "/stats")[1]
        assert stats["requests"] == server.seen.total() == 5
        assert stats["distinct"] == len(server.seen) == 3
        assert stats["repeated"] == 2
        assert stats["refused"] == 1
        assert max(server.seen.values()) == 3


def test_answers_take_the_latency_and_do_not_wait_for_each_other() -> None:
    with OfflineServer(latency_s=0.3) as server:
        start = time.perf_counter()
        assert fetch(server.base_url + "/chat/completions", chat())[0] == 200
        assert time.perf_counter() - start >= 0.3
    with OfflineServer(latency_s=600) as server:
        with asking(server.base_url, *(json.dumps(chat(seed=seed)).encode() for seed in range(20))):
            eventually(lambda: server.stats()["busy"] == 20)
        eventually(lambda: server.stats()["in_flight"] == 0)


def test_the_style_words_is_served() -> None:
    with OfflineServer(style="words") as server:
        answer = fetch(server.base_url + "/chat/completions", chat('Write 30 new tasks {"tasks":'))[1]
    tasks = json.loads(answer["choices"][0]["message"]["content"])["tasks"]
    assert len({task["instruction"] for task in tasks}) == 30


def test_a_server_ends_with_requests_open_and_frees_its_port() -> None:
    with OfflineServer(latency_s=600) as server:
        port = int(server.base_url.split(":")[2].removesuffix("/v1"))
        with socket.create_connection(("127.0.0.1", port)) as open_request:
            body = json.dumps(chat()).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            open_request.sendall(head.encode() + body)
            while not server.seen:
                time.sleep(0.01)
            start = time.perf_counter()
            server.__exit__(None, None, None)
            assert time.perf_counter() - start < 60
    with OfflineServer(port=port) as again:
        assert fetch(again.base_url + "/models")[0] == 200


def test_a_taken_port_is_the_callers_error() -> None:
    with OfflineServer() as server, pytest.raises(OSError, match="in use"):
        OfflineServer(port=int(server.base_url.split(":")[2].removesuffix("/v1"))).__enter__()


def test_serve_runs_in_a_loop_of_the_caller() -> None:
    async def main() -> tuple[int, Any]:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(server_module.serve(port=0, api_key="k", on_ready=ready.set_result))
        answer = await asyncio.to_thread(fetch, await ready + "/models", None, "k")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return answer

    status, answer = asyncio.run(main())
    assert status == 200
    assert answer["data"][0]["id"] == "offline"


def test_run_serves_until_it_is_told_to_end() -> None:
    code = "from selfinstruct.llm.offline.server import run; run(on_ready=lambda url: print(url, flush=True))"
    command = [sys.executable, "-W", "error", "-c", code]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        base_url = process.stdout.readline().strip()
        assert fetch(base_url + "/models")[0] == 200
        process.terminate()
        assert process.wait() == 0
        assert process.stderr.read() == ""
