"""What came back with status 200: an answer in any of the forms that servers give it, or an error in its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from selfinstruct.models.statuses import A_RATE, FILTERED, KEY, TOO_LONG, Said, failure, is_spent, said
from selfinstruct.models.thinking import without_thinking
from selfinstruct.models.wire import Reply, Trouble
from selfinstruct.types import Completion, Request, canonical_json, storable

FINISH_REASONS = (
    ("stop", r"(?:stop|end|eo[dst]|complete|finish|done|success|normal)(?!.*(?:max|length))"),
    ("length", r".*(?:length|max_|token_limit|_limit$|truncat|incomplete|context)"),
    ("content_filter", r".*(?:filter|safety|recitation|block|prohibited|spii|guardrail|moderat|sensitive|toxic|polic)"),
    ("tool_calls", r".*(?:tool|function)"),
    ("refusal", r".*refus"),
    ("error", r".*(?:error|abort|cancel|fail|insufficient|overload)"),
)
"""The word used here, and what servers say instead, in small letters; the first that fits."""
UNKNOWN_FORM = "unknown_form"
"""The finish reason of a failure: the answer is whole, and nobody can read it."""

_NO_ERROR = {"", "0", "200", "ok", "success", "none", "null", "false", "normal"}
_CODES = ("code", "status_code", "http_code", "status", "error_code", "err_code", "errcode", "type")
_WORDS = ("message", "msg", "error_msg", "error_message", "errmsg", "status_msg", "detail", "description")
_ERRORS = ("error", "errors", "base_resp", "fault", "detail")
_STATUS_BY_WORD = (
    (429, re.compile(rf"{A_RATE.pattern}|rate.?limit|too.?many.?requests|throttl|resource.?exhausted|quota")),
    (401, re.compile(rf"{KEY.pattern}|login.fail")),
    (400, re.compile(rf"{FILTERED.pattern}|{TOO_LONG.pattern}")),
    (503, re.compile("overload|unavailable|capacity|busy")),
)
"""The status that an error without one is taken for, by what it says in small letters."""
_STATUS_BY_CODE = (
    *_STATUS_BY_WORD,
    (403, re.compile("permission|forbidden")),
    (404, re.compile("not.?found")),
    (400, re.compile("invalid.?(?:request|argument|param)|bad.?request|validation")),
)
"""The last ones only where a code says so: in the words of an error they may be about anything."""
_STATUS = re.compile(r"\s*(?:(?:http|status|error)\D{0,9})?([45]\d\d)\b", re.IGNORECASE)

_MOST_TOKENS = 1 << 24
"""A count beyond is a fault of the server's: no model takes or gives as many."""
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THINKING = re.compile("think|thought|reason", re.IGNORECASE)
_TEXTS = ("text", "thinking", "reasoning", "content", "summary", "value")


@dataclass(frozen=True, slots=True)
class InnerError:
    """A response with status 200 that tells of an error in its body."""

    reply: Reply
    """As if the server had sent it with its own status."""
    usage: Mapping[str, Any] | None
    """What it was charged at; None: nobody knows."""


def read_answer(
    request: Request, reply: Reply, *, endpoint: str, sent: str, latency_s: float
) -> Completion | InnerError | Trouble:
    """The completion in a response with status 200; a failure where it was filtered or refused, or has an unknown form.

    Trouble: the body is no whole answer, but cut, not JSON, without choices, or aborted; asking again may help.
    """
    try:
        body = _streamed(reply.content) or json.loads(reply.content, parse_int=_integer)
        return _read(request, reply, body, {"endpoint": endpoint, "sent": sent, "latency_s": round(latency_s, 4)})
    except (ValueError, RecursionError):
        return Trouble("failed", f"not an answer: {_head(reply.content)}")


def _streamed(content: bytes) -> dict[str, Any] | None:
    """The whole answer in a stream of events, which some servers send unasked; None where it is none.

    Raises:
        ValueError: the stream breaks off before the answer ends.
    """
    if not content.lstrip().startswith((b"data:", b"event:", b"id:", b":")):
        return None
    lines = [line.removeprefix(b"data:").strip() for line in content.splitlines() if line.startswith(b"data:")]
    found = [json.loads(line, parse_int=_integer) for line in lines if line not in {b"", b"[DONE]"}]
    chunks = [one for one in found if isinstance(one, dict)]
    choices = [choice for chunk in chunks if (choice := _first_choice(chunk))]
    deltas = [delta for choice in choices if isinstance(delta := choice.get("delta") or choice.get("message"), dict)]
    message = {name: "".join(_flat(one.get(name)) for one in deltas) for name in ("content", "refusal", *_THOUGHTS)}
    text = message["content"] or "".join(_flat(choice.get("text")) for choice in choices)
    finish = next((choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")), None)
    error = next((chunk for chunk in chunks if "error" in chunk and not _first_choice(chunk)), {})
    if finish is None and b"[DONE]" not in lines and not error:
        raise ValueError("the stream has no end")
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    choice = {"message": {**message, "content": text}, "text": text, "finish_reason": finish}
    return {**error, "choices": [choice] if choices else [], "usage": usage}


def _read(request: Request, reply: Reply, body: Any, about: Mapping[str, Any]) -> Completion | InnerError | Trouble:
    raw, usage = reply.content, usage_of(body)
    choice = _first_choice(body)
    message = _message(choice, request)
    parts = _parts(message, is_json=request.schema is not None)
    text, reasoning = parts.text or "", parts.reasoning
    finish = finish_reason(choice.get("finish_reason"))
    has_text = bool(text.strip()) and finish != "error"
    error = _error_in(body, choice, message, has_text=has_text)
    if error is not None:
        content = json.dumps({"error": error}).encode()
        if usage is None and not has_text:
            usage = {"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        return InnerError(Reply(_status(error, said(content)), reply.headers, content), usage)
    if finish == "error" or (not choice and usage is None):
        why = f"finish reason {finish}" if choice else f"not an answer: {_head(raw)}"
        paid = replace(failure(request, about["endpoint"], "no_answer", why), **usage) if usage else None
        return Trouble("failed", why, paid=paid)
    failed = finish in {"content_filter", "refusal"}
    if parts.text is None:
        text, finish, failed = f"an answer of an unknown form: {_head(raw)}", UNKNOWN_FORM, True
    elif not text.strip() and parts.refusal:
        text, finish, failed = parts.refusal, "refusal", True
    elif not text.strip() and (message.get("tool_calls") or message.get("function_call")):
        finish = "tool_calls"
    if not failed:
        thought, text = without_thinking(text, may_be_opened=request.api == "chat" and not reasoning)
        reasoning = reasoning or thought
    return Completion(
        request.id, "failed" if failed else "answer", storable(text), finish, body=raw, reasoning=storable(reasoning),
        source=request.source, **about, **(usage or {}),
    )  # fmt: skip


def may_be_a_hiccup(completion: Completion, request: Request) -> str:
    """Why a final answer is worth another try, in words; empty where it is not.

    That is: it has an unknown form, or is of nothing although the model was not cut and did nothing else. A plain
    completion may well be empty.
    """
    if completion.finish_reason == UNKNOWN_FORM:
        return completion.text
    is_empty = completion.kind == "answer" and not completion.text.strip()
    is_as_expected = request.api == "completions" or completion.finish_reason in {"length", "tool_calls"}
    return "an empty answer" if is_empty and not is_as_expected else ""


def finish_reason(told: Any) -> str:
    """Why an answer ends, in OpenAI's words where they have one for it, whoever said it."""
    if told is None or told in ("", "stop"):
        return "stop"
    word = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(told)[:80])).strip("_").lower()
    word = word.removeprefix("finish_reason_").removeprefix("finishreason_")
    return next((ours for ours, theirs in FINISH_REASONS if re.match(theirs, word)), storable(word) or "stop")


def usage_of(body: Any) -> dict[str, Any] | None:
    """Token counts of an answer by their names in a completion; None where it does not say both, or not believably."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion, total = (_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if completion is None and prompt is not None and total is not None and "completion_tokens" not in usage:
        completion = _count(total - prompt)
    if prompt is None or completion is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": min(cached or 0, prompt)}


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def _integer(digits: str) -> int | float:
    """A number of any length; what no database holds is infinite."""
    return int(digits) if len(digits) < 20 else math.inf


def _first_choice(body: Any) -> Mapping[str, Any]:
    """The first choice of an answer; empty where there is none."""
    choices = body.get("choices") if isinstance(body, dict) else None
    return next((one for one in choices if isinstance(one, dict)), {}) if isinstance(choices, list) else {}


def _message(choice: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
    """The message of a choice; that of a plain completion is its text."""
    message = choice.get("message")
    if request.api == "completions" and "text" in choice:
        return {"content": choice["text"]}
    return message if isinstance(message, dict) else {"content": choice.get("text", math.nan)}


class _Parts(NamedTuple):
    """What is in the content of a message, and in the fields beside it."""

    text: str | None
    """None: it has no form in which servers give it."""
    reasoning: str
    refusal: str


def _parts(message: Mapping[str, Any], *, is_json: bool) -> _Parts:
    refusal = _flat(message.get("refusal"))
    thoughts = [next(filter(None, (_flat(message.get(name)) for name in _THOUGHTS)), "")]
    content = message.get("content")
    text: str | None = ""
    for part in content if isinstance(content, list) else [] if content is None else [content]:
        kind = str(part.get("type") or "") if isinstance(part, dict) else ""
        if isinstance(part, dict) and (_THINKING.search(kind) or part.get("thought") is True):
            thoughts.append(_flat(part))
        elif kind == "refusal":
            refusal = refusal or _flat(part.get("refusal"))
        elif isinstance(part, str) or kind or (isinstance(part, dict) and "text" in part):
            text = text if text is None else text + (part if isinstance(part, str) else _flat(part.get("text")))
        else:
            text = None
    if text is None and is_json and isinstance(content, dict | list):
        text = canonical_json(content)  # JSON that the server has read for us
    return _Parts(text, "\n".join(filter(None, thoughts)), refusal)


def _flat(value: Any, depth: int = 0) -> str:
    """The text in a value that servers give as a text, as parts, or as parts of parts."""
    if isinstance(value, str) or depth > 4:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "".join(_flat(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return next(filter(None, (_flat(value.get(name), depth + 1) for name in _TEXTS)), "")
    return ""


def _error_in(
    body: Any, choice: Mapping[str, Any], message: Mapping[str, Any], *, has_text: bool
) -> dict[str, Any] | None:
    """The error that stands in the place of an answer, or within it."""
    places = [choice.get("error"), message.get("error")]
    if not has_text:
        outer = next((one for one in body if isinstance(one, dict)), {}) if isinstance(body, list) else body
        outer = outer if isinstance(outer, dict) else {}
        places += [outer.get(name) for name in _ERRORS]
        if not choice:
            places.append(outer)
    return next((found for place in places for found in _errors(place)), None)


def _errors(value: Any) -> Iterator[dict[str, Any]]:
    """The errors that a value tells of, each with its words as `message`, which may be empty."""
    if isinstance(value, list):
        for one in value[:1]:
            yield from _errors(one)
    elif isinstance(value, str) and value.strip().lower() not in _NO_ERROR:
        yield {"message": value}
    elif isinstance(value, dict):
        codes = [value[name] for name in _CODES if value.get(name) is not None]
        words = next((value[name] for name in _WORDS if isinstance(value.get(name), str)), "")
        if any(str(code).strip().lower() not in _NO_ERROR for code in codes) or (words and not codes):
            yield {**value, "message": words}


def _status(error: Mapping[str, Any], heard: Said) -> int:
    """The status that an error would have had; 500 where it does not say, so that it is asked again."""
    codes = [str(error[name]).lower() for name in _CODES if error.get(name) is not None]
    for texts, table in ((codes, _STATUS_BY_CODE), ([str(error["message"]).lower()], _STATUS_BY_WORD)):
        if number := next(filter(None, map(_STATUS.match, texts)), None):
            return int(number[1])
        if is_spent(429, heard):
            return 402
        for status, words in table:
            if any(map(words.search, texts)):
                return status
    return 500


def _head(raw: bytes) -> str:
    return repr(" ".join(raw[:400].decode("utf-8", "replace").split())[:80])
