"""The HTTP form of requests and answers: what is sent, how it bends to a server, what came back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from selfinstruct.records import Completion, Request, canonical_json

Structure = Literal["json_schema", "json_object", "plain"]
_WEAKER: dict[Structure, Structure] = {"json_schema": "json_object", "json_object": "plain"}
_OPTIONAL = ("seed", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")
_THINKING = re.compile(r"\A\s*<think>(.*?)</think>\s*", re.DOTALL)
_BROKEN = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint takes. Everything is tried in its best form first; a refusal is remembered."""

    structure: Structure = "json_schema"
    max_tokens_name: str = "max_tokens"
    dropped: tuple[str, ...] = ()
    """Parameters that the server refuses."""

    def to_json(self) -> str:
        """For the pool's table of endpoints."""
        return canonical_json(asdict(self))

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Capabilities:
        """What `to_json` wrote."""
        return Capabilities(**{**raw, "dropped": tuple(raw.get("dropped", ()))})


def path_of(request: Request) -> str:
    """The route a request goes to, under the base URL."""
    return "/chat/completions" if request.api == "chat" else "/completions"


def sampling_seed(request_id: str) -> int:
    """The `seed` parameter: derived from the id, so that asking again gives the same answer where servers can."""
    return int(request_id[:8], 16) & 0x7FFFFFFF


def body_of(request: Request, capabilities: Capabilities) -> dict[str, Any]:
    """The JSON body that asks this question of an endpoint with these capabilities."""
    sampling = dict(request.sampling)
    extra = sampling.pop("extra_body", None) or {}
    body: dict[str, Any] = {"model": request.model, "seed": sampling_seed(request.id), **sampling}
    if "max_tokens" in body and capabilities.max_tokens_name != "max_tokens":
        body[capabilities.max_tokens_name] = body.pop("max_tokens")
    for name in capabilities.dropped:
        body.pop(name, None)
    if request.api == "completions":
        body["prompt"] = request.messages[0].content
    else:
        body["messages"] = [{"role": message.role, "content": message.content} for message in request.messages]
        if request.schema is not None:
            if capabilities.structure == "json_schema":
                body["response_format"] = {
                    "type": "json_schema",
                    "json_schema": {"name": request.schema.name, "strict": True, "schema": request.schema.body},
                }
            elif capabilities.structure == "json_object":
                body["response_format"] = {"type": "json_object"}
    return {**body, **extra}


def sent_form(request: Request, body: Mapping[str, Any]) -> str:
    """What was really sent beside the messages, as JSON for the journal."""
    del request
    form = {name: value for name, value in body.items() if name not in {"messages", "prompt", "response_format"}}
    if "response_format" in body:
        form["response_format"] = body["response_format"]["type"]
    return canonical_json(form)


def adapt(capabilities: Capabilities, message: str, param: str | None, body: Mapping[str, Any]) -> Capabilities | None:
    """Weaker capabilities that may cure a 400 with this message; None when it speaks of nothing that can be changed."""
    text = f"{message} {param or ''}".lower()
    if "response_format" in body and re.search(r"response_format|json_schema|json_object|structured|schema", text):
        return replace(capabilities, structure=_WEAKER[capabilities.structure])
    if "max_tokens" in body and "max_completion_tokens" in text:
        return replace(capabilities, max_tokens_name="max_completion_tokens")
    for name in _OPTIONAL:
        if name in body and (param == name or re.search(rf"\b{name}\b", text)):
            return replace(capabilities, dropped=(*capabilities.dropped, name))
    return None


class NoAnswer(Exception):  # noqa: N818 - it is what happened, not a fault of the program
    """A response with status 200 that holds no answer: cut, not JSON, without choices, or aborted."""


def read_answer(request: Request, raw: bytes, *, endpoint: str, sent: str, latency_s: float) -> Completion:
    """The completion in a response body.

    Raises:
        NoAnswer: the body is no whole answer; asking again may help.
    """
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        finish = choice.get("finish_reason") or "stop"
        if request.api == "chat":
            message = choice["message"]
            text = message.get("content") or ""
            reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        else:
            text, reasoning = choice["text"], ""
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        head = raw[:80].decode("utf-8", "replace")
        raise NoAnswer(f"not an answer: {head!r}") from error
    if not isinstance(text, str) or finish in {"abort", "error"}:
        raise NoAnswer(f"finish reason {finish}")
    thought = _THINKING.match(text)
    if thought:
        reasoning, text = reasoning or thought[1].strip(), text[thought.end() :]
    usage = body.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return Completion(
        request_id=request.id,
        kind="failed" if finish == "content_filter" else "answer",
        text=whole_text(text),
        finish_reason=finish,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
        latency_s=round(latency_s, 4),
        endpoint=endpoint,
        sent=sent,
        body=raw,
        reasoning=whole_text(str(reasoning)),
        source=request.source,
    )


def whole_text(text: str) -> str:
    """The text with NUL and lone surrogates as U+FFFD, by which the filters know it as broken."""
    return _BROKEN.sub("\ufffd", text)
