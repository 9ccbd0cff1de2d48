"""Answers with status 200, as servers and models really give them: through the command line, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.cli.commands import run
from selfinstruct.errors import PoolError
from selfinstruct.models.completions import finish_reason
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.models.thinking import without_thinking
from selfinstruct.pool.journal import Journal
from selfinstruct.pool.opening import Writer
from tests.asking import FINE
from tests.builders import ROOT, rows
from tests.processes import generate
from tests.servers import Answer, ScriptedServer, completion, says

MODEL = Model()
TARGET = 8
Twist = Callable[[dict[str, Any], dict[str, Any]], Any]
"""(the body of an answer, its choice, both to be changed) -> what is sent instead, if anything."""


def twisted(twist: Callable[[int, dict[str, Any]], Any]) -> Answer:
    """The offline model; `twist` is given how often a request came before and the body of its answer."""
    seen: Counter[str] = Counter()

    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        name = json.dumps(body)
        said = answer_chat(body, MODEL)
        changed = twist(seen[name], said)
        seen[name] += 1
        if isinstance(changed, web.StreamResponse):
            return changed
        return web.json_response(said if changed is None else changed)

    return answer


def grow(server: ScriptedServer, pool: Path, *options: object) -> int:
    arguments = ["--pool", pool, "--base-url", server.base_url, "--model", "offline", "--target", TARGET, *options]
    return run(["generate", *map(str, arguments)])


def exported(pool: Path) -> bytes:
    return (pool / "export/messages.jsonl").read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What is exported where nothing is twisted."""
    pool = tmp_path_factory.mktemp("plain") / "p"
    with ScriptedServer(twisted(lambda *_: None), models=("offline",)) as server:
        assert grow(server, pool) == 0
    return exported(pool)


def _message(said: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = said["choices"][0]["message"]
    return message


def _wrapped(opening: str, closing: str) -> Callable[[dict[str, Any]], None]:
    def wrap(said: dict[str, Any]) -> None:
        _message(said)["content"] = f"{opening}Hmm.\n{{}}{closing}{_message(said)['content']}"

    return wrap


def _parts(*before: Any) -> Callable[[dict[str, Any]], None]:
    def split(said: dict[str, Any]) -> None:
        text = _message(said)["content"]
        half = len(text) // 2
        parts = [{"type": "text", "text": text[:half]}, {"type": "text", "text": text[half:]}]
        _message(said)["content"] = [*before, *parts]

    return split


def _finish(reason: str) -> Callable[[dict[str, Any]], None]:
    return lambda said: said["choices"][0].update(finish_reason=reason)


def _usage(**usage: Any) -> Callable[[dict[str, Any]], None]:
    return lambda said: said.update(usage=usage)


def _stream(said: dict[str, Any]) -> web.Response:
    """The answer in pieces, as a server sends it that streams unasked."""
    text, about = _message(said)["content"], {"id": "c", "object": "chat.completion.chunk"}
    deltas = [{"role": "assistant"}, {"content": text[:9]}, {"content": text[9:]}, {}]
    chunks = [{**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    chunks.append({**about, "choices": [], "usage": said["usage"]})
    events = [f"data: {json.dumps(chunk)}" for chunk in chunks]
    return web.Response(text="\n\n".join([": ping", *events, "data: [DONE]", ""]), content_type="text/event-stream")


FORMS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "text parts": _parts(),
    "thinking part": _parts({"type": "thinking", "thinking": [{"type": "text", "text": "Hmm. {}"}]}),
    "reasoning part": _parts({"type": "reasoning", "text": "Hmm."}, {"type": "image_url", "image_url": {"url": "x"}}),
    "think": _wrapped("<think>", "</think>"),
    "seed": _wrapped("<seed:think>", "</seed:think>"),
    "thinking": _wrapped("<thinking>\n", "\n</thinking>\n\n"),
    "reasoning": _wrapped("<reasoning>", "</reasoning>\n"),
    "thought": _wrapped("<thought>", "</thought>\n"),
    "brackets": _wrapped("[THINK]", "[/THINK]"),
    "channels": _wrapped(
        "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"
    ),
    "cohere": _wrapped("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    "upper case STOP": _finish("STOP"),
    "end_turn": _finish("end_turn"),
    "eos_token": _finish("eos_token"),
    "beyond 64 bits": _usage(prompt_tokens=2**70, completion_tokens=1),
    "beyond any count": _usage(prompt_tokens=2**62, completion_tokens=2**62),
    "negative": _usage(prompt_tokens=-5, completion_tokens=3),
    "texts": _usage(prompt_tokens="12", completion_tokens=True),
    "floats": _usage(prompt_tokens=12.5, completion_tokens=1e300),
    "stream": _stream,
}


def test_an_answer_in_any_known_form_is_read_as_it_is_and_asked_for_once(tmp_path: Path, plain: bytes) -> None:
    forms = list(FORMS.values())
    made = Counter[int]()

    def twist(_: int, said: dict[str, Any]) -> Any:
        number = made.total() % len(forms)
        made[number] += 1
        return forms[number](said)

    with ScriptedServer(twisted(twist), models=("offline",)) as server:
        assert grow(server, tmp_path / "p") == 0
    assert len(made) == len(forms)
    assert len(server.bodies) == len({json.dumps(body) for body in server.bodies})
    assert exported(tmp_path / "p") == plain
    thought = rows(tmp_path / "p", "SELECT COUNT(*) FROM completions WHERE reasoning LIKE 'Hmm.%'")[0][0]
    assert thought >= 10
    assert run(["status", str(tmp_path / "p")]) == 0


def _error(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    """The body of an answer without text, with these fields at its top."""

    def spoil(said: dict[str, Any]) -> None:
        _message(said)["content"] = None
        said.update(changes)

    return spoil


ERRORS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "beside an answer": _error(error={"code": 429, "message": "slow down"}),
    "in the choice": lambda said: said["choices"][0].update(
        error={"code": 502, "message": "the provider broke"}, finish_reason="error"
    ),
    "partial text": lambda said: said["choices"][0].update(finish_reason="error"),
    "as a text": lambda _: {"error": "Rate limit reached, try again later"},
    "a code as text": lambda _: {"error": {"code": "503", "message": "x"}},
    "a name": lambda _: {"error": {"code": "rate_limit_exceeded", "message": "x"}},
    "detail": lambda _: {"detail": "The server is overloaded"},
    "base_resp": lambda _: {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
    "a list": lambda _: [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}],
    "code and msg": lambda _: {"code": 50505, "msg": "Model service overloaded", "data": None},
    "empty": lambda said: _message(said).update(content=""),
    "null": lambda said: _message(said).update(content=None),
    "spaces": lambda said: _message(said).update(content=" \n"),
    "deep": lambda _: web.Response(body=b'{"error":' + b"[" * 900 + b"1" + b"]" * 900 + b"}"),
    "unknown form": lambda said: _message(said).update(content=7),
}


def test_no_row_is_lost_because_a_server_hiccuped(tmp_path: Path, plain: bytes) -> None:
    errors = list(ERRORS.values())
    made = Counter[int]()

    def twist(before: int, said: dict[str, Any]) -> Any:
        if before:
            return None
        number = made.total() % (len(errors) + 1)
        made[number] += 1
        return None if number == len(errors) else errors[number](said)

    with ScriptedServer(twisted(twist), models=("offline",)) as server:
        assert grow(server, tmp_path / "p", "--concurrency", 4) == 0
    assert len(made) == len(errors) + 1
    assert exported(tmp_path / "p") == plain
    assert rows(tmp_path / "p", "SELECT COUNT(*) FROM completions WHERE kind = 'failed'") == [(0,)]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"error": {"code": 402, "message": "Insufficient credits"}}, "Insufficient credits"),
        ({"error": {"code": 402}}, "HTTP 402 Payment Required"),
        ({"choices": [{"message": {"content": None}, "error": {"code": "402", "message": "pay"}}]}, "pay"),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "insufficient balance"),
        ({"error": {"code": 401, "message": "No auth"}}, "OPENAI_API_KEY"),
        ({"error": {"code": 402, "message": "a \ud800 surrogate"}}, "a \ufffd surrogate"),
    ],
)
def test_a_fault_of_access_in_a_body_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: Any, wanted: str
) -> None:
    with ScriptedServer(says(lambda *_: web.json_response(body)), models=("offline",)) as server:
        assert grow(server, tmp_path / "p") == 5
    assert wanted in capsys.readouterr().err
    assert len(server.bodies) <= 40


@pytest.mark.parametrize(
    "reply",
    [
        lambda: web.Response(text="<html><title>Sign in</title></html>", content_type="text/html"),
        lambda: web.Response(
            text='data: {"choices": [{"delta": {"content": "Hm"}}]}', content_type="text/event-stream"
        ),
    ],
)
@pytest.mark.slow
def test_what_never_gives_an_answer_is_left_after_a_minute(
    reply: Callable[[], web.Response], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedServer(says(lambda *_: reply()), models=("offline",)) as server:
        assert grow(server, tmp_path / "p") == 5
    assert "is no OpenAI-compatible server, or something stands before it" in capsys.readouterr().err
    assert len(server.bodies) <= 100


def _nothing(**changes: Any) -> web.Response:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None}}
    for name, value in changes.items():
        (choice["message"] if name != "finish_reason" else choice)[name] = value  # type: ignore[index]
    usage = {"prompt_tokens": 700, "completion_tokens": 1536}
    return web.json_response({"choices": [choice], "usage": usage})


CALL = [{"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("answer", "attempts", "wanted"),
    [
        (lambda: _nothing(finish_reason="length", reasoning_content="Hmm, "), 1, ["max_tokens (1536)", "thinking off"]),
        (lambda: _nothing(finish_reason="MAX_TOKENS", content="<thought>Hmm, "), 1, ["max_tokens", "thinking off"]),
        (lambda: _nothing(finish_reason="tool_use", tool_calls=CALL), 1, ["call tools"]),
        (lambda: _nothing(refusal="I cannot help."), 1, ["refusals"]),
        (lambda: _nothing(finish_reason="SAFETY"), 1, ["filtered"]),
        (_nothing, 3, ["hold no text"]),
        (lambda: _nothing(content="<think>Hmm, "), 3, ["thoughts that never end", "thinking off"]),
        (lambda: _nothing(content=7), 3, ["unknown_form"]),
    ],
)
def test_a_model_that_only_says_nothing_is_left_after_the_first_rounds(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Callable[[], web.Response],
    attempts: int,
    wanted: list[str],
) -> None:
    with ScriptedServer(says(lambda *_: answer()), models=("offline",)) as server:
        assert grow(server, tmp_path / "p") == 4
    asked = len(server.bodies) // attempts
    assert 16 <= asked <= 32
    err = capsys.readouterr().err
    what = "failures" if wanted == ["unknown_form"] else "empty"
    assert all(words in err for words in (f"answers to propose are {what}", *wanted)), err
    reasons = rows(tmp_path / "p", "SELECT reason, COUNT(*) FROM rejections GROUP BY 1")
    assert reasons[0][0] == "unreadable"
    assert 8 <= reasons[0][1] <= asked
    assert len(reasons) == 1
    spent = rows(tmp_path / "p", "SELECT COUNT(*), SUM(tokens) FROM attempts WHERE tokens > 0")
    assert spent == [(len(server.bodies), len(server.bodies) * 2236)]


def test_a_first_answer_that_was_filtered_is_final_and_the_run_goes_on(tmp_path: Path) -> None:
    filtered: list[str] = []

    def twist(_: int, said: dict[str, Any]) -> Any:
        if not filtered:
            filtered.append("")
            return json.loads(_nothing(finish_reason="content_filter").body)  # type: ignore[arg-type]
        return None

    with ScriptedServer(twisted(twist), models=("offline",)) as server:
        assert grow(server, tmp_path / "p", "--concurrency", 1) == 0
    assert len(server.bodies) == len({json.dumps(body) for body in server.bodies})
    reasons = rows(tmp_path / "p", "SELECT finish_reason FROM completions WHERE kind = 'failed'")
    assert reasons == [("content_filter",)]


def test_cut_answers_are_named_at_the_end_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = says(lambda *_: completion('{"tasks": [{"instruction": "Describe a', "MAX_TOKENS"))
    with ScriptedServer(cut, models=("offline",)) as server:
        assert grow(server, tmp_path / "p", "--round-size", 2) == 4
    err = capsys.readouterr().err
    assert "cut_off" in err.splitlines()[-1]
    assert "answers were cut" in err
    assert "max_tokens 1536" in err


def test_a_server_that_cuts_prompts_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def counted(cap: int) -> Callable[[int, dict[str, Any]], None]:
        def twist(_: int, said: dict[str, Any]) -> None:
            said["usage"]["prompt_tokens"] = min(cap, said["usage"]["prompt_tokens"])

        return twist

    for cap, is_told in ((300, 1), (100_000, 0)):
        with ScriptedServer(twisted(counted(cap)), models=("offline",)) as server:
            assert grow(server, tmp_path / f"{cap}") == 0
        err = capsys.readouterr().err
        assert err.count("num_ctx") == err.count("--max-model-len") == is_told, err


def test_what_nobody_knows_the_cost_of_keeps_its_reserve(tmp_path: Path) -> None:
    def twist(_: int, said: dict[str, Any]) -> None:
        said["usage"] = {"prompt_tokens": 2**62, "completion_tokens": 2**62}

    with ScriptedServer(twisted(twist), models=("offline",)) as server:
        assert grow(server, tmp_path / "p", "--max-tokens", 200_000) in {0, 3}
    ((tokens, reserved),) = rows(tmp_path / "p", "SELECT SUM(tokens), SUM(reserved_tokens) FROM attempts")
    assert 0 < tokens == reserved <= 200_000
    assert run(["status", str(tmp_path / "p")]) == 0


# Prints the kilobytes that a command took at most. A process of its own: a child is charged with what its parent was.
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def test_a_body_without_end_is_no_answer_and_fills_no_memory(tmp_path: Path) -> None:
    piece = b"[" + b" " * (1 << 20)
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(piece) for _ in range(300)) + packer.flush()
    sent = Counter[bool]()

    async def answer(place: int, _: str, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
        if place > 1:
            return web.json_response(answer_chat(body, MODEL))
        is_compressed = place == 0
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if is_compressed else {})
        await response.prepare(request)
        for _ in range(300):
            with contextlib.suppress(ConnectionError):
                await response.write(bomb if is_compressed else piece)
                sent[is_compressed] += 1
            await asyncio.sleep(0)
        return response

    with ScriptedServer(answer, models=("offline",)) as server:
        command = generate(tmp_path / "p", server.base_url, 3)
        ended = subprocess.run([sys.executable, "-c", MEASURED, *command], cwd=ROOT, check=False, capture_output=True)
    assert ended.returncode == 0
    assert 0 < sent[True] < 200
    assert 32 <= sent[False] < 200
    assert int(ended.stdout) < 400 * 1024


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("MAX_TOKENS", "length"), ("max_output_tokens", "length"), ("model_length", "length"), ("LENGTH", "length"),
        ("FINISH_REASON_MAX_TOKENS", "length"), ("maxTokens", "length"), ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"), ("content_filtered", "content_filter"), ("tool_use", "tool_calls"),
        ("function_call", "tool_calls"), ("end_turn", "stop"), ("stop_sequence", "stop"), ("eos_token", "stop"),
        ("STOP", "stop"), ("COMPLETE", "stop"), (None, "stop"), ("refusal", "refusal"), ("abort", "error"),
        ("model_context_window_exceeded", "length"), ("EOS", "stop"), ("guardrail_intervened", "content_filter"),
        ("something_new", "something_new"), (7, "7"),
    ],
)  # fmt: skip
def test_a_finish_reason_is_known_however_it_is_spelled(said: Any, wanted: str) -> None:
    assert finish_reason(said) == wanted


@pytest.mark.parametrize(
    ("said", "text", "thought"),
    [
        ("\n<think>\n{'tasks': []}\n</think>{}", "{}", "{'tasks': []}"),
        ("<think>\nhmm, 2 and", "", "hmm, 2 and"),
        ("<think>\n\n</think>\n\n4", "4", ""),
        ("hmm, 2 and 2.</think>\r\n4", "4", "hmm, 2 and 2."),
        ("hmm\n</think>4 </think>\n5", "4 </think>\n5", "hmm"),
        ("hmm\n</think>", "", "hmm"),
        ("a\n</seed:think>4", "4", "a"),
        ("a\n◁/think▷\n4", "4", "a"),
        ("◁think▷a◁/think▷4", "4", "a"),
        ("<mm:think>a</mm:think>4", "4", "a"),
        ("<think>a</think>\n<think>b</think>4", "4", "a\nb"),
        ("<think>\na\n</think>\n<answer>\n4\n</answer>", "4", "a"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>4<|end_of_solution|>", "4", "a"),
        ("<|think|>a<|end|><|begin|>assistant<|content|>4<|end|>", "4", "a"),
        ("<|channel>thought\na<channel|>4", "4", "a"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>", "4", "a"),
        ("<|channel|>analysis<|message|>a", "", "a"),
        ("<|channel|>final<|message|>4", "4", ""),
        ("analysisWe add.assistantfinal4", "4", "We add."),
        ("Here is my thought process: a\nHere is my response: 4", "4", "a"),
        ("<thinking>\na", "", "a"),
        ("The tag `</think>` closes a thought.\nNo other does.",) * 2 + ("",),
        ('{"tasks": [{"instruction": "What does </think>\\nclose?"}]}',) * 2 + ("",),
        ("Here is my thought process: first I add.",) * 2 + ("",),
        ("The tags <thinking> and </thinking> stand around it.",) * 2 + ("",),
        ("<reasoning> and </reasoning> are tags.",) * 2 + ("",),
        ("Write:\n<thinking>\nhmm\n</thinking>\nand then the answer.",) * 2 + ("",),
        ("It writes `<|channel|>analysis<|message|>` first.",) * 2 + ("",),
        ("[thinking of you] is a song.",) * 2 + ("",),
    ],
)
def test_thinking_is_kept_apart_in_all_its_forms(said: str, text: str, thought: str) -> None:
    assert without_thinking(said, may_be_opened=True) == (thought, text)


@pytest.mark.parametrize("value", [2**80, "\ud800", object()])
def test_a_value_that_no_database_holds_fails_its_transaction_and_all_later_ones(tmp_path: Path, value: object) -> None:
    async def written(pool: Writer) -> list[BaseException | None]:
        journal = Journal(pool, 1)
        found = [await journal.write([("CREATE TABLE t (x)", ())])]
        for one in (value, 1):
            found += await asyncio.gather(journal.write([("INSERT INTO t VALUES (?)", (one,))]), return_exceptions=True)
        journal.close()
        return found

    pool = Writer.open(tmp_path)
    made, failed, later = asyncio.run(written(pool))
    pool.close()
    assert made is None
    assert isinstance(failed, PoolError)
    assert str(failed) == str(later)


@pytest.mark.parametrize(("listed", "model"), [(("a\ud800b",), ()), (("m",), ("--model", "a\udcffb"))])
def test_a_model_of_a_broken_name_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listed: tuple[str], model: tuple[str]
) -> None:
    with ScriptedServer(FINE, models=listed) as server:
        code = run(["generate", "--pool", str(tmp_path / "p"), "--base-url", server.base_url, *model])
    assert not server.bodies
    err = capsys.readouterr().err
    assert (code in {2, 5}, err.count("\n")) == (True, 1), err
