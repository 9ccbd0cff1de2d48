"""The offline model over real HTTP, as the openai client and a bare client see it."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from selfinstruct.models.offline.book import entries
from selfinstruct.models.offline.protocol import clip, count_tokens
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.models.offline.voices import NO_RULE

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


def test_the_model_says_what_it_is(client: OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.owned_by) == ("offline", "selfinstruct")
    assert client.models.retrieve("offline").id == "offline"


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


def test_it_answers_from_tasks_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question": "Who sang first?\n\nGive a name.", "answer": "The wren"}), encoding="utf-8")
    with OfflineServer(tasks=file, quirk="none") as running:
        _, answer = fetch(running.base_url + "/chat/completions", chat("Who sang first?\n\nGive a name."))
        _, unknown = fetch(running.base_url + "/chat/completions", chat())
    assert answer["choices"][0]["message"]["content"] == "The wren"
    assert unknown["choices"][0]["message"]["content"] == NO_RULE


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


def test_a_wrong_or_missing_key_is_401_except_for_health() -> None:
    with OfflineServer(api_key="secret") as server:
        assert fetch(server.base_url.removesuffix("/v1") + "/health")[1]["model"] == "offline"
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
        (b"\xff\xfe{}", None),
        (b"[" * 100_000, None),
        ([], None),
        ({"messages": MESSAGES}, "model"),
        ({"model": 3, "messages": MESSAGES}, "model"),
        ({"model": "offline"}, "messages"),
        ({"model": "offline", "messages": []}, "messages"),
        ({"model": "offline", "messages": "x"}, "messages"),
        ({"model": "offline", "messages": [*MESSAGES, {"role": "user"}]}, "messages"),
        ({"model": "offline", "messages": [{"role": "user", "content": ["x"]}]}, "messages"),
        (chat(n=2), "n"),
        (chat(stream=True), "stream"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens="9"), "max_tokens"),
        (chat(max_completion_tokens=True), "max_completion_tokens"),
        (chat(temperature=3), "temperature"),
        (chat(temperature="hot"), "temperature"),
        (chat(top_p=1.5), "top_p"),
        (chat(stop=[1]), "stop"),
        (chat(response_format="json"), "response_format"),
        (chat(response_format={"type": "xml"}), "response_format"),
        (chat(response_format={"type": "json_schema", "json_schema": 1}), "response_format"),
        *(({"model": "offline", "prompt": prompt}, "prompt") for prompt in (None, 3, [], ["a", "b"], [1])),
    ],
)
def test_a_faulty_request_is_400_and_names_the_parameter(server: OfflineServer, body: Any, param: str | None) -> None:
    route = "/completions" if isinstance(body, dict) and "prompt" in body else "/chat/completions"
    status, answer = fetch(server.base_url + route, body)
    assert (status, answer["error"]["param"]) == (400, param)
    assert answer["error"].keys() == {"message", "type", "param", "code"}


def test_lone_surrogates_and_nul_are_served(server: OfflineServer) -> None:
    status, answer = fetch(server.base_url + "/chat/completions", chat("\ud800 \x00"))
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_server_ends_with_requests_open_and_frees_its_port() -> None:
    with OfflineServer(latency="fixed:600") as server:
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
