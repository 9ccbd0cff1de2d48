"""The OpenAI API in words and numbers: what a request may hold, what an answer and an error look like. No HTTP here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, InstanceOf, PositiveInt, ValidationError

from selfinstruct.models.offline import reply
from selfinstruct.models.offline.book import Book
from selfinstruct.models.offline.flaws import ModelAnswer, Quirks, with_quirks
from selfinstruct.models.offline.reply import MODEL, Body, Style, text_of
from selfinstruct.types import digest

CARD = {"id": MODEL, "object": "model", "created": 0, "owned_by": "selfinstruct"}
"""The entry of the model in the list of models."""

_Text = InstanceOf[str]  # lone surrogates too, which pydantic's own `str` refuses

_TOKEN = re.compile(r"\w+|[^\w\s]+")
_PREFIXES = {"chat.completion": "chatcmpl-", "text_completion": "cmpl-"}
_TYPES = {408: "timeout", 429: "rate_limit_error"}


class RequestError(Exception):
    """A request that gets an error for an answer, in OpenAI's form; `outcome` is what the server counts it as."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None, *,
        outcome: str = "refused", retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.outcome = outcome
        self.headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
        kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
        self.error = {"message": message, "type": kind, "param": param, "code": code}


@dataclass(frozen=True, slots=True)
class Model:
    """What answers: how it writes, its quirks (None: the flaws of the style), and its book (None: the built-in one)."""

    style: Style = "tasks"
    quirks: Quirks | None = None
    book: Book | None = None


def answer_chat(body: Body, model: Model) -> dict[str, Any]:
    """The body that answers a chat request. Raises: RequestError."""
    _check(body, "messages")
    prompt = "\n".join(map(text_of, body["messages"]))
    said, usage = _said(body, prompt, reply.chat(body, model.style, model.quirks, model.book), model, thinks=True)
    message = {"role": "assistant", "content": said.text, "refusal": None}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    return _envelope("chat.completion", body, {"message": message}, said, usage)


def answer_completion(body: Body, model: Model) -> dict[str, Any]:
    """The body that answers a completions request. Raises: RequestError."""
    _check(body, "prompt")
    prompt = body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
    said, usage = _said(body, prompt, reply.complete(body, model.style, model.quirks, model.book), model, thinks=False)
    return _envelope("text_completion", body, {"text": said.text}, said, usage)


def aborted(payload: dict[str, Any]) -> dict[str, Any]:
    """The body, changed into that of an answer that the server broke off in the middle of its text."""
    choice = payload["choices"][0]
    holder, name = (choice, "text") if "text" in choice else (choice["message"], "content")
    holder[name] = holder[name][: len(holder[name]) // 2]
    choice["finish_reason"] = "abort"
    return payload


def model_not_found(name: object) -> RequestError:
    """The error for any other model than the one served."""
    message = f"The model '{name}' does not exist; this server has '{MODEL}'."
    return RequestError(404, message, "model_not_found", "model")


def count_tokens(text: str) -> int:
    """The number of words and of runs of punctuation marks: what this model calls tokens."""
    return len(_TOKEN.findall(text))


def clip(text: str, max_tokens: int | None) -> tuple[str, bool]:
    """The first tokens of the text, and whether any are missing."""
    if max_tokens is None or count_tokens(text) <= max_tokens:
        return text, False
    ends = [token.end() for token in _TOKEN.finditer(text)]
    return text[: ends[max_tokens - 1] if max_tokens else 0], True


def _said(
    body: Body, prompt: str, written: ModelAnswer, model: Model, *, thinks: bool
) -> tuple[ModelAnswer, dict[str, int]]:
    """The answer within its limits and before its stop strings, and the tokens used."""
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    stops = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
    found = [at for stop in stops if stop and (at := written.text.find(stop)) >= 0]
    said = ModelAnswer(written.text[: min(found)]) if found else written
    if model.quirks is not None:
        said = with_quirks(said.text, model.quirks, reply.generator(body, "quirks"), most)
    reasoning, is_clipped = clip(said.reasoning if thinks else "", most)
    thought = count_tokens(reasoning)
    text, is_short = clip(said.text, None if most is None else most - thought)
    asked, answered = count_tokens(prompt), thought + count_tokens(text)
    usage = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
    return ModelAnswer(text, reasoning, said.is_cut or is_clipped or is_short), usage


def _envelope(kind: str, body: Body, text: dict[str, Any], said: ModelAnswer, usage: dict[str, int]) -> dict[str, Any]:
    choice = {"index": 0, **text, "logprobs": None, "finish_reason": "length" if said.is_cut else "stop"}
    return {
        "id": _PREFIXES[kind] + digest(body)[:24], "object": kind, "created": 0, "model": MODEL, "choices": [choice],
        "usage": usage, "system_fingerprint": "selfinstruct-offline",
    }  # fmt: skip


class _Message(BaseModel):
    role: str
    content: _Text | list[dict[str, Any]]


class _ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] = {}


class _Request(BaseModel, strict=True):
    """What a request may hold; whatever else it holds is ignored."""

    model: str
    messages: Annotated[list[_Message], Field(min_length=1)] = []
    prompt: _Text | Annotated[list[_Text], Field(min_length=1, max_length=1)] = ""
    n: Literal[1] | None = None
    stream: Literal[False] | None = None
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: _Text | list[_Text] | None = None
    response_format: _ResponseFormat | None = None


def _check(body: Body, needed: str) -> None:
    try:
        _Request.model_validate({needed: None, **body})
    except ValidationError as error:
        name, why = error.errors()[0]["loc"][0], error.errors()[0]["msg"]
        raise RequestError(400, f"Invalid value for '{name}': {why}.", "invalid_value", str(name)) from None
    if body["model"] != MODEL:
        raise model_not_found(body["model"])
