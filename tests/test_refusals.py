"""What servers refuse, how connections fail, how addresses are written: through the command line, by a real server."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from selfinstruct.cli import commands as cli
from selfinstruct.errors import AccessError
from selfinstruct.models import client
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.models.statuses import said
from selfinstruct.models.urls import as_base_url
from selfinstruct.models.wire import Capabilities, adapt, body_of
from selfinstruct.types import Message, Request, Schema
from tests.asking import SCHEMA, ask, request, requests
from tests.builders import rows
from tests.servers import ScriptedServer, error, held_port, says

Refusal = Callable[[int, dict[str, Any], web.Request], web.Response | None]
"""(how many requests came before, body, request) -> an error, or nothing where an answer is to be given."""


class Picky(ScriptedServer):
    """The offline model under the name `m`, behind a server that refuses what a test says."""

    def __init__(self, refuse: Refusal = lambda *_: None, **more: Any) -> None:
        super().__init__(self._answer_or_refuse, **more)
        self._refuse = refuse
        self._model = Model()

    async def _answer_or_refuse(self, place: int, _: str, body: dict[str, Any], req: web.Request) -> web.Response:
        refusal = self._refuse(place, body, req)
        if refusal is not None:
            return refusal
        return web.json_response(answer_chat({**body, "model": "offline"}, self._model))


def generate(pool: Path, url: str, *options: object, target: int = 3) -> int:
    arguments = ["generate", "--pool", pool, "--target", target, "--model", "m", "--base-url", url, *options]
    return cli.run([str(one) for one in arguments])


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def always(status: int, body: Any) -> Callable[..., web.Response]:
    """Whatever comes is answered by this."""
    text, kind = (body, "text/html") if isinstance(body, str) else (json.dumps(body), "application/json")
    return lambda *_: web.Response(status=status, text=text, content_type=kind)


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def gemini(*quotas: str, message: str = "You exceeded your current quota, please check your plan.") -> list[Any]:
    violations = [{"quotaId": quota} for quota in quotas]
    details = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations},
               {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.1s"}]  # fmt: skip
    return [{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}}]


SPENT: list[tuple[int, Any, str]] = [
    (429, openai("You exceeded your current quota, please check your plan and billing details.",
                 type="insufficient_quota", code="insufficient_quota"), "billing details"),
    (429, openai("Your organization is out of prepaid funds.", type="insufficient_quota",
                 code="credit_balance_exhausted"), "prepaid funds"),
    (429, openai("Billing hard limit has been reached", code="billing_hard_limit_reached"), "hard limit"),
    (429, openai("Your account org-1 is suspended, please check your plan and billing details",
                 type="exceeded_current_quota_error"), "is suspended"),
    (400, {"type": "error", "error": {"type": "invalid_request_error", "message":
           "Your credit balance is too low to access the API."}}, "too low"),
    (400, openai("You have reached your specified API usage limits. You will regain access on 2030-01-01."), "regain"),
    (429, gemini("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), "current quota"),
    (429, gemini("GenerateContentInputTokensPerModelPerMinute-FreeTier",
                 "GenerateRequestsPerDayPerProjectPerModel-FreeTier"), "current quota"),
    (429, gemini(message="Your prepayment credits are depleted."), "depleted"),
    (402, openai("Insufficient Balance", type="unknown_error", code="invalid_request_error"), "Insufficient Balance"),
    (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, "余额不足"),
    (429, openai("Your account is in arrears, please recharge and try again", code="1113"), "arrears"),
    (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."},
     "good standing"),
    (429, openai("Free allocated quota exceeded.", code="Throttling.AllocationQuota"), "Free allocated"),
    (429, openai("Credit limit exceeded, go to billing to add credit.", type="credit_limit"), "add credit"),
    (403, openai("Your team has used all available credits or reached its monthly spending limit."), "spending"),
    (429, openai("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day", code=429),
     "free-models-per-day"),
    (402, openai("This request requires more credits, or fewer max_tokens."), "more credits"),
    (401, openai("The account has been deactivated.", code="account_deactivated"), "deactivated"),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}, "is insufficient"),
    (429, {"message": "Tokens per day limit exceeded - too many tokens processed.", "code": "token_quota_exceeded"},
     "per day"),
    (429, openai("Provider returned error", code=429, metadata={"raw": '{"error":{"message":"Insufficient credits"}}'}),
     "Insufficient credits"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "words"), SPENT, ids=[f"{one[0]}-{one[2]}" for one in SPENT])
def test_a_quota_that_is_used_up_is_told_in_the_servers_words(status: int, body: Any, words: str) -> None:
    with pytest.raises(AccessError, match=f"HTTP {status}") as caught:
        ask(says(always(status, body)), request())
    assert words in str(caught.value)


def test_a_quota_that_is_used_up_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, body, words = SPENT[0]
    with Picky(always(status, body)) as server:
        assert generate(tmp_path / "p", server.base_url) == 5
    assert words in capsys.readouterr().err
    assert len(server.bodies) <= 40


RATES: list[tuple[int, Any]] = [
    (429, openai("Rate limit reached for model `x` on tokens per day (TPD): Limit 100000, Used 97050. Please try again "
                 "in 0.1s. Need more tokens? Upgrade at https://console.example.com/settings/billing",
                 type="tokens", code="rate_limit_exceeded")),
    (429, gemini("GenerateContentInputTokensPerModelPerMinute-FreeTier")),
    (429, openai("Your account x request reached max concurrency: 3, please try again after 0.1 seconds",
                 type="rate_limit_reached_error")),
    (429, openai("Requests have exceeded call rate limit of your current pricing tier. Please retry after 0.1 seconds. "
                 "Please go to https://aka.example/oai/quotaincrease for more.", code="429")),
    (429, openai("Allocated quota exceeded, please increase your quota limit.", code="Throttling.AllocationQuota")),
    (429, {"message": "Tokens per minute limit exceeded - too many tokens processed.", "code": "token_quota_exceeded"}),
    (429, {"message": "Requests rate limit exceeded"}),
    (429, openai("Resource has been exhausted (e.g. check quota).", status="RESOURCE_EXHAUSTED")),
    (429, openai("您的账户已达到速率限制", code="1302")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), RATES)
def test_a_rate_limit_is_waited_for(status: int, body: Any) -> None:
    (got,), server = ask(says(lambda place, _: always(status, body)() if place == 0 else None), request())
    assert (got.text, len(server.bodies)) == ("fine", 2)


def test_the_words_of_a_rate_limit_are_told_where_it_lasts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Picky(lambda place, *_: error(429, "all lanes are busy", {"Retry-After": "0.1"}) if place < 40 else None) as s:
        assert generate(tmp_path / "p", s.base_url) == 0
    assert "all lanes are busy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "words", "is_the_key"),
    [
        (403, openai("Country, region, or territory not supported", code="unsupported_country_region_territory"),
         "Country, region", False),
        (403, "<html><head><title>Attention\n Required! &amp; more</title></head><body>x</body></html>",
         "Attention Required! & more", False),
        (403, openai("Project does not have access to model `x`", code="model_not_found"), "access to model", False),
        (403, {"detail": "The API key is not valid"}, "is not valid", True),
        (401, {"message": "Unauthorized"}, "Unauthorized", True),
        (400, [openai("API key not valid. Please pass a valid API key.", code=400, status="INVALID_ARGUMENT")],
         "not valid", True),
        (404, openai("The model `m` does not exist", code="model_not_found"), "does not exist", False),
        (451, "", "Unavailable For Legal Reasons", False),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_the_servers_words_and_the_key_named_only_where_it_is_the_key(
    status: int, body: Any, words: str, is_the_key: bool
) -> None:
    with pytest.raises(AccessError) as caught:
        ask(says(always(status, body)), request())
    line = str(caught.value)
    assert words in line
    assert ("refuses the key" in line, "set MY_KEY" in line) == (is_the_key, is_the_key)


def test_a_key_is_sent_without_the_space_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890\r\n")
    with Picky(always(401, {"message": "Unauthorized"})) as server:
        assert generate(tmp_path / "p", server.base_url) == 5
    assert "Bearer sk-1234567890" in server.keys


class Unlisted(Picky):
    """Lists no models, and says so by this status."""

    def __init__(self, status: int, **more: Any) -> None:
        super().__init__(**more)
        self._status = status

    async def _list(self, request: web.Request) -> web.Response:
        return error(self._status, "Missing scopes: api.model.read")


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_server_that_lists_no_models_still_answers_for_a_named_one(status: int, tmp_path: Path) -> None:
    with Unlisted(status) as server:
        assert generate(tmp_path / "p", server.base_url) == 0


def test_where_no_model_is_named_the_words_of_the_refused_list_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Unlisted(403) as server:
        assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--base-url", server.base_url]) == 5
    assert "Missing scopes" in capsys.readouterr().err


def test_a_prompt_that_always_fails_is_final_once_nothing_else_is_left_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LONGEST_ALONE", 1)
    known: list[str] = []

    def refuse(_: int, body: dict[str, Any], __: web.Request) -> web.Response | None:
        known.append(json.dumps(body["messages"]))
        return error(502, "the sampler fell over") if known[-1] == known[0] else None

    with Picky(refuse) as server:
        assert generate(tmp_path / "p", server.base_url) == 0
    assert known.count(known[0]) in range(8, 13)
    found = rows(tmp_path / "p", "SELECT evidence FROM rejections WHERE evidence LIKE '%the request failed%'")
    assert len(found) == 1
    assert "the sampler fell over" in found[0][0]
    assert "does not answer" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("The response was filtered", code="content_filter", param="prompt",
                     innererror={"code": "ResponsibleAIPolicyViolation"})),
        (400, {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}),
        (400, openai("Content Exists Risk", type="invalid_request_error")),
        (400, openai("The request was rejected because it was considered high risk", type="content_filter")),
        (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
        (403, openai("Your chosen model requires moderation and your input was flagged", code=403,
                     metadata={"reasons": ["violence"], "flagged_input": "your api key"})),
        (400, openai("Request blocked by safety filter", status="PROHIBITED_CONTENT")),
        (400, openai("request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it",
                     code=400, type="exceed_context_size_error", n_ctx=4096)),
        (500, openai("the request exceeds the available context size", type="exceed_context_size_error")),
        (400, openai("This model's maximum context length is 8 tokens", code="context_length_exceeded")),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message":
               "prompt is too long: 208310 tokens > 200000 maximum"}}),
        (400, [openai("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")]),
        (422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
               "error_type": "validation"}),
        (413, openai("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 6294")),
        (400, openai("Range of input length should be [1, 30720]", code="InvalidParameter")),
    ],
)  # fmt: skip
def test_a_fault_of_one_question_is_final_for_it_even_as_the_first_answer(status: int, body: Any) -> None:
    refuse = says(lambda place, _: always(status, body)() if place == 0 else None)
    got, server = ask(refuse, *requests(2))
    assert [one.kind for one in got] == ["failed", "answer"]
    assert got[0].finish_reason in {"content_filter", "too_long"}
    assert len(server.bodies) == 2


def test_an_answer_that_is_no_json_is_asked_for_again_and_then_in_a_weaker_form(tmp_path: Path) -> None:
    known: list[str] = []

    def refuse(place: int, body: dict[str, Any], _: web.Request) -> web.Response | None:
        if place and json.dumps(body["messages"]) == known[0] and "response_format" in body:
            forms.append(body["response_format"]["type"])
            return error(400, "Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed")
        if place == 1:
            known[0] = json.dumps(body["messages"])
            forms.append(body["response_format"]["type"])
            return error(400, "Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed")
        known.append(json.dumps(body["messages"]))
        return None

    forms: list[str] = []
    with Picky(refuse) as server:
        assert generate(tmp_path / "p", server.base_url) == 0
    assert forms == ["json_schema", "json_schema", "json_object", "json_object"]
    assert server.bodies[-1].get("response_format", {}).get("type") != "json_object", "others keep the best form"


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: error(400, "Failed to initialize samplers: failed to parse grammar", type="invalid_request_error"),
        lambda: error(500, "failed to parse grammar", type="server_error"),
        lambda: error(400, "The provided JSON schema contains features not supported by xgrammar."),
        lambda: error(400, "response_format.type json_schema is unavailable now"),
        lambda: error(400, "Bad Request"),
    ],
)
def test_a_schema_that_a_server_cannot_take_is_left_out(refusal: Any) -> None:
    def refuse(_: int, body: dict[str, Any]) -> web.Response | None:
        return refusal() if body.get("response_format", {}).get("type") == "json_schema" else None

    got, server = ask(says(refuse), *requests(2, schema=SCHEMA))
    assert [one.text for one in got] == ["fine", "fine"]
    assert [body["response_format"]["type"] for body in server.bodies] == ["json_schema", "json_object", "json_object"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "System role not supported"),
        (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (500, "Jinja Exception: Only user, assistant and tool roles are supported, got system"),
        (400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
        (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        (422, "Unexpected role 'system' after role 'user'"),
    ],
)
def test_the_system_text_moves_into_the_users_turn(status: int, message: str) -> None:
    def refuse(_: int, body: dict[str, Any]) -> web.Response | None:
        return error(status, message) if body["messages"][0]["role"] == "system" else None

    words = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "Hm"))
    got, server = ask(says(refuse), *(replace(one, messages=words) for one in requests(2)))
    assert len(server.bodies) == 3
    assert all(body["messages"][0] == {"role": "user", "content": "Be brief.\n\nHi"} for body in server.bodies[1:])
    assert [message["role"] for message in server.bodies[-1]["messages"]] == ["user", "assistant", "user"]
    assert all(json.loads(one.sent)["system"] == "in the user's" for one in got)


def test_what_a_server_is_found_not_to_take_is_remembered_by_the_pool(tmp_path: Path) -> None:
    def refuse(_: int, body: dict[str, Any], __: web.Request) -> web.Response | None:
        return error(400, "System role not supported") if body["messages"][0]["role"] == "system" else None

    with Picky(refuse) as server:
        assert generate(tmp_path / "p", server.base_url) == 0
        count = len(server.bodies)
        assert generate(tmp_path / "p", server.base_url, target=6) == 0
    assert all(body["messages"][0]["role"] == "user" for body in server.bodies[count:])


BOUNDED = Schema(
    "things",
    {
        "type": "object",
        "properties": {"minimum": {"type": "array", "minItems": 1, "maxItems": 3, "items": {
            "type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5}},
            "required": ["n"], "additionalProperties": False}}},
        "required": ["minimum"],
        "additionalProperties": False,
    },
)  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        "output_format.schema: For 'array' type, property 'maxItems' is not supported",
        "Invalid schema for response_format 'things': In context=(), 'minimum' is not permitted.",
        "Invalid JSON payload received. Unknown name \"minItems\" at 'generation_config': Cannot find field.",
        "failed to parse grammar",
    ],
)
def test_bounds_are_left_out_of_a_schema_before_the_schema_is(message: str) -> None:
    asked = Request("ab" * 32, "propose", 0, None, 0, "chat", "m", {}, (Message("user", "Hi"),), BOUNDED)
    body = body_of(asked, Capabilities())
    weaker = adapt(Capabilities(), message.lower(), None, body)
    assert weaker == Capabilities(bounds="left out")
    schema = body_of(asked, weaker)["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["minimum"]
    assert schema["properties"]["minimum"]["type"] == "array"
    assert not {"minItems", "maxItems"} & schema["properties"]["minimum"].keys()
    assert schema["properties"]["minimum"]["items"]["properties"] == {"n": {"type": "integer"}}
    weakest = adapt(weaker, "unsupported schema", None, body_of(asked, weaker))
    assert weakest is not None
    assert weakest.structure == "json_object"


@contextlib.contextmanager
def certified(folder: Path, name: str = "127.0.0.1") -> Iterator[tuple[ssl.SSLContext, Path]]:
    """What a server needs to speak HTTPS by a certificate that it signed itself, and the file of that."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
    built = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - day).not_valid_after(now + day).add_extension(alternative, False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(built.public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    yield context, folder / "cert.pem"


def test_a_certificate_that_is_not_trusted_is_named_and_ssl_cert_file_makes_it_so_on_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with certified(tmp_path) as (context, certificate), Picky(tls=context) as server:
        assert generate(tmp_path / "p", server.base_url) == 5
        told = capsys.readouterr().err
        assert "certificate is not trusted" in told
        assert "SSL_CERT_FILE" in told
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert generate(tmp_path / "p", server.base_url) == 0
        assert generate(tmp_path / "q", server.base_url.replace("127.0.0.1", "localhost")) == 5
        told = capsys.readouterr().err
        assert "name the server as its certificate does" in told
        assert generate(tmp_path / "q", server.base_url.replace("https:", "http:")) == 5
        assert "name it by https://" in capsys.readouterr().err
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    assert generate(tmp_path / "q", "https://127.0.0.1:1/v1") == 2
    assert "SSL_CERT_FILE" in capsys.readouterr().err


def test_https_to_a_server_without_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Picky() as server:
        assert generate(tmp_path / "p", server.base_url.replace("http:", "https:")) == 5
    assert "does not speak HTTPS" in capsys.readouterr().err


@pytest.mark.parametrize(
    "reply",
    [
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 52\r\n\r\nClient sent an HTTP request to an HTTPS server......",
        b"HTTP/1.1 400 Bad Request\r\n\r\n<title>400 The plain HTTP request was sent to HTTPS port</title>",
    ],
)
def test_http_to_a_port_that_wants_https_says_so(
    reply: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert generate(tmp_path / "p", f"http://127.0.0.1:{listener.getsockname()[1]}/v1") == 5
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)
    assert "name it by https://" in capsys.readouterr().err


def test_a_redirect_to_another_origin_is_not_followed_and_one_within_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890")

    def away(_: int, __: dict[str, Any], req: web.Request) -> web.Response | None:
        where = f"{other.base_url}{req.path.removeprefix('/v1')}?key=sk-1234567890"
        return web.Response(status=307, headers={"Location": where})

    def home(_: int, __: dict[str, Any], req: web.Request) -> web.Response | None:
        return None if "moved" in req.query else web.Response(status=308, headers={"Location": f"{req.path}?moved=1"})

    with Picky() as other, Picky(away) as server:
        assert generate(tmp_path / "p", server.base_url) == 5
    told = capsys.readouterr().err
    assert f"points to {other.base_url}/chat/completions (HTTP 307)" in told
    assert "sk-1234567890" not in told
    assert not other.keys, "nothing came there, and no key"
    with Picky(home) as server:
        assert generate(tmp_path / "p", server.base_url) == 0


class Gateway(ScriptedServer):
    """Serves its API at a path of its own and nothing elsewhere; what came with each request is in `asked`."""

    def __init__(self, prefix: str) -> None:
        super().__init__(lambda *_: None)  # type: ignore[arg-type, return-value]
        self._prefix = prefix
        self._model = Model()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[Mapping[str, str]] = []

    def add_routes(self, app: web.Application) -> None:
        app.router.add_route("*", "/{path:.*}", self._any)

    async def _any(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.query)))
        self.headers.append(request.headers.copy())
        if request.path == f"{self._prefix}/chat/completions":
            return web.json_response(answer_chat({**await request.json(), "model": "offline"}, self._model))
        return web.json_response({"detail": "Not Found"}, status=404)


def test_a_query_of_the_base_url_stays_a_query_of_each_request(tmp_path: Path) -> None:
    with Gateway("/openai/deployments/d") as server:
        origin = server.base_url.removesuffix("/v1")
        assert generate(tmp_path / "p", f"{origin}/openai/deployments/d?api-version=2024-10-21") == 0
    answered = [query for path, query in server.asked if path.endswith("/d/chat/completions")]
    assert answered
    assert all(query == {"api-version": "2024-10-21"} for _, query in server.asked)


def test_a_base_url_without_v1_is_tried_with_it_once_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Gateway("/v1") as server:
        assert generate(tmp_path / "p", server.base_url.removesuffix("/v1")) == 0
    assert "trying /v1 below it" in capsys.readouterr().err
    assert len([path for path, _ in server.asked if path == "/chat/completions"]) <= 8
    with Picky() as server_that_lists:
        assert generate(tmp_path / "q", server_that_lists.base_url.removesuffix("/v1")) == 0
    assert "asking there" in capsys.readouterr().err
    with Gateway("/nowhere") as server:
        assert generate(tmp_path / "r", server.base_url.removesuffix("/v1")) == 5
    assert "HTTP 404: Not Found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("me:Pa55word@gpu1:8000/v1?key=a", "http://gpu1:8000/v1"),
        ("10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("api.example.com/v1", "https://api.example.com/v1"),
    ],
)
def test_an_address_without_scheme_is_refused_with_the_one_that_may_be_meant(
    given: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(tmp_path / "p", given) == 2
    assert capsys.readouterr().err.strip().endswith(f": {meant}")


@pytest.mark.parametrize("ending", ["/chat/completions", "/completions", "/", "/models", "/embeddings", ""])
def test_an_address_may_end_in_a_route(ending: str) -> None:
    assert (
        as_base_url(f" HTTPS://api.example.com/v1{ending}?api-version=1 ") == "https://api.example.com/v1?api-version=1"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://me:Pa55word@[::1",
        "http://",
        "ftp://x/v1",
        "api.example.com:8000",
        "http://x:99999",
        "a b",
    ],
)
def test_what_is_no_address_is_refused_in_one_line_without_its_password(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generate(tmp_path / "p", url) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: --base-url")
    assert "Pa55word" not in line
    assert "\n" not in line
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--model", "m"]) == 2
    assert "OPENAI_BASE_URL" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["sk-\r1", "sk-\n1", "sk-ü1", "sk-\udcff1", "sk 1"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert generate(tmp_path / "p", "http://127.0.0.1:1/v1") == 2
    line = capsys.readouterr().err.strip()
    assert "OPENAI_API_KEY" in line
    assert "sk-" not in line
    assert "\n" not in line


def test_what_is_too_large_for_the_server_ends_the_run_in_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Picky(lambda *_: error(413, "Payload too large for this gateway")) as server:
        assert generate(tmp_path / "p", server.base_url) == 4
    assert "answers to propose are failures: 16 too_long: Payload too large for this gateway" in capsys.readouterr().err


@contextlib.contextmanager
def refusing_proxy() -> Iterator[int]:
    """The port of a proxy that wants a password."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(407)

        do_GET = do_POST = do_CONNECT  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://model.invalid/v1", "HTTP 407"), ("http://model.invalid/v1", "HTTP 407"),
        ("https://model.invalid/v1", "no connection to the proxy 127.0.0.1:"),
        ("http://model.invalid/v1", "no connection to the proxy 127.0.0.1:"),
    ],
)  # fmt: skip
def test_a_proxy_that_does_not_let_through_is_named(
    url: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_port() as dead, refusing_proxy() as alive:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{alive if words == 'HTTP 407' else dead}")
        assert generate(tmp_path / "p", url) == 5
    told = capsys.readouterr().err
    assert words in told
    assert words == "HTTP 407" or "look at http_proxy, https_proxy" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", "http://me:Pa55word@[::1"), ("ALL_PROXY", "ftp://Pa55word@x"), ("NO_PROXY", "[::1,a b")],
)
def test_a_proxy_that_is_none_is_named_in_one_line(
    name: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert generate(tmp_path / "p", "https://model.invalid/v1") in {2, 5}
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert "Pa55word" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "options",
    [["--target", "12345678901234567890"], ["--more", "9" * 30], ["--seed", "9" * 20], ["--model", "m\udcff"]],
)
def test_numbers_and_names_that_nothing_holds_are_refused_in_one_line(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--base-url", "http://127.0.0.1:1/v1", *options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {options[0]}")


def test_an_error_with_half_a_character_in_it_is_told_and_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = '{"error": {"message": "no \\ud83d luck", "code": "\\ud83d"}}'
    with Picky(lambda place, *_: web.Response(status=400, text=body) if place == 9 else None) as server:
        assert generate(tmp_path / "p", server.base_url) == 0
    assert rows(tmp_path / "p", "SELECT text FROM completions WHERE kind = 'failed'") == [("no \ufffd luck",)]
    with Picky(lambda *_: web.Response(status=402, text=body)) as server:
        assert generate(tmp_path / "q", server.base_url) == 5
    assert "HTTP 402: no \ufffd luck" in capsys.readouterr().err


def test_a_gateway_gets_its_key_in_a_header_from_a_variable_that_is_shown_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[model]\nextra_headers = {"api-key" = "${GATE}", "X-Pass" = "Bearer ${GATE}", "X-Team" = "a"}\n')
    secret = "gate-key-0123456789"
    monkeypatch.setenv("GATE", f"{secret}\n")
    with Gateway("/v1") as server:
        assert generate(tmp_path / "p", server.base_url, "--config", config) == 0
    assert all(
        (one["api-key"], one["X-Pass"], one["X-Team"]) == (secret, f"Bearer {secret}", "a") for one in server.headers
    )
    assert not any("Authorization" in one for one in server.headers), "no key was given for that header"
    kept = b"".join(path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file())
    assert secret.encode() not in kept
    with Picky(lambda _, __, req: error(402, f"no credit for {req.headers['api-key']}")) as picky:
        assert generate(tmp_path / "q", picky.base_url, "--config", config) == 5
    out = capsys.readouterr()
    assert "no credit for ***" in out.err
    assert secret not in out.err + out.out
    monkeypatch.delenv("GATE")
    assert generate(tmp_path / "q", server.base_url, "--config", config) == 2
    assert "GATE" in capsys.readouterr().err


def test_stages_at_one_address_each_send_their_own_secret_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "c.toml"
    stage = '[stages.respond]\nextra_headers = {"api-key" = "${SECOND}"}\n'
    config.write_text('[model]\nextra_headers = {"api-key" = "${FIRST}"}\n' + stage)
    monkeypatch.setenv("FIRST", "gate-key-0123456789")
    monkeypatch.setenv("SECOND", "gate-key-9876543210")
    with Gateway("/v1") as server:
        assert generate(tmp_path / "p", server.base_url, "--config", config) == 0
    assert {one["api-key"] for one in server.headers} == {"gate-key-0123456789", "gate-key-9876543210"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "{\\"error\\": {\\"message\\": \\"inner\\"}}"}}', "inner"),
        (b'{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}', "Extra inputs are not"),
        (b'{"errors": [{"code": 7003, "message": "no route"}]}', "no route"),
        (b'{"error": "invalid_token", "error_description": "it is old"}', "it is old"),
        (b"\xff\xfe plain", "plain"),
        (b"", ""),
        (b"[" * 100_000, "[["),
    ],
)
def test_the_words_of_an_error_are_found_in_any_form(body: bytes, message: str) -> None:
    assert message in said(body).message
