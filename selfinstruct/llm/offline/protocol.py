"""The OpenAI API in words and numbers: what a request may hold, what an answer and an error look like. No HTTP here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from selfinstruct.llm.offline import writer
from selfinstruct.llm.offline.quirks import Quirks, Spoken, spoken
from selfinstruct.llm.offline.writer import MODEL, Style
from selfinstruct.records import digest

REFUSABLE = frozenset({"json_schema", "json_object"})
"""Response formats that a server may be told to refuse; any other name is taken for a parameter."""

_TOKEN = re.compile(r"\w+|[^\w\s]+")

_FORMS = ("text", "json_object", "json_schema")

_TYPES = {408: "timeout", 429: "rate_limit_error"}


class RequestError(Exception):
    """A request that gets an error for an answer, in OpenAI's form."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}

    @property
    def payload(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = "server_error" if self.status >= 500 else _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server can do: its context length in tokens (None: any) and what it refuses."""

    max_model_len: int | None = None
    refuse: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Model:
    """What answers: how it writes, its quirks (None: the style's own flaws), and what its server can do."""

    style: Style = "tasks"
    quirks: Quirks | None = None
    limits: Limits = field(default_factory=Limits)


class _Written(NamedTuple):
    said: Spoken
    finish_reason: str
    usage: dict[str, int]


def count_tokens(text: str) -> int:
    """The number of words and of runs of punctuation marks: what this model calls tokens."""
    return len(_TOKEN.findall(text))


def model_card(limits: Limits) -> dict[str, Any]:
    """The entry of the model in the list of models."""
    card: dict[str, Any] = {"id": MODEL, "object": "model", "created": 0, "owned_by": "selfinstruct"}
    return card | ({"max_model_len": limits.max_model_len} if limits.max_model_len else {})


def model_not_found(name: object) -> RequestError:
    """The error for any other model than the one served."""
    return RequestError(
        404, f"The model '{name}' does not exist; this server has '{MODEL}'.", "model_not_found", "model"
    )


def answer_chat(body: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The body that answers a chat request. Raises: RequestError."""
    _check_common(body, model.limits)
    _check_messages(body.get("messages"))
    _check_form(body.get("response_format"), model.limits)
    prompt = "\n".join(_content(message) for message in body["messages"])
    written = _written(body, prompt, "messages", model)
    message = {"role": "assistant", "content": written.said.text, "refusal": None}
    if written.said.reasoning:
        message["reasoning_content"] = written.said.reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": written.finish_reason}
    return _envelope("chatcmpl-", "chat.completion", body, choice, written.usage)


def answer_completion(body: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The body that answers a completions request. Raises: RequestError."""
    _check_common(body, model.limits)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise RequestError(400, "Missing or wrong parameter: 'prompt' must be one string.", "invalid_type", "prompt")
    written = _written(body, prompt, "prompt", model)
    choice = {"index": 0, "text": written.said.text, "logprobs": None, "finish_reason": written.finish_reason}
    return _envelope("cmpl-", "text_completion", body, choice, written.usage)


def aborted(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an answer that the server broke off in the middle of its text."""
    choice = dict(payload["choices"][0], finish_reason="abort")
    if "text" in choice:
        choice["text"] = choice["text"][: len(choice["text"]) // 2]
    else:
        content = choice["message"]["content"]
        choice["message"] = dict(choice["message"], content=content[: len(content) // 2])
    return {**payload, "choices": [choice]}


def _envelope(
    prefix: str, kind: str, body: Mapping[str, Any], choice: dict[str, Any], usage: dict[str, int]
) -> dict[str, Any]:
    head = {"id": prefix + digest(body)[:24], "object": kind, "created": 0, "model": MODEL}
    return head | {"choices": [choice], "usage": usage, "system_fingerprint": "selfinstruct-offline"}


def _written(body: Mapping[str, Any], prompt: str, param: str, model: Model) -> _Written:
    wanted = body.get("max_completion_tokens") or body.get("max_tokens")
    prompt_tokens = count_tokens(prompt)
    _check_length(prompt_tokens, wanted, param, model.limits)
    room = model.limits.max_model_len - prompt_tokens if model.limits.max_model_len else None
    most = min((n for n in (wanted, room) if n is not None), default=None)
    write = writer.chat if param == "messages" else writer.complete
    written = write(body, model.style, model.quirks)
    text, was_stopped = before_stop(written.text, _stops(body))
    said = Spoken(text, is_cut=written.is_cut and not was_stopped)
    if model.quirks is not None:
        said = spoken(text, model.quirks, writer.generator(body, "quirks"), most)
    reasoning, was_clipped = clip(said.reasoning if param == "messages" else "", most)
    thought = count_tokens(reasoning)
    text, completion_tokens = said.text, thought + count_tokens(said.text)
    if most is not None and completion_tokens > most:
        (text, was_clipped), completion_tokens = clip(text, most - thought), most
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    return _Written(Spoken(text, reasoning), "length" if said.is_cut or was_clipped else "stop", usage)


def before_stop(text: str, stops: Iterable[str]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there was one."""
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def clip(text: str, max_tokens: int | None) -> tuple[str, bool]:
    """The first tokens of the text, and whether any are missing."""
    if max_tokens is None or count_tokens(text) <= max_tokens:
        return text, False
    end = 0
    for count, token in enumerate(_TOKEN.finditer(text)):
        if count == max_tokens:
            break
        end = token.end()
    return text[:end], True


def _stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop") or []
    return [stop] if isinstance(stop, str) else list(stop)


def _content(message: Mapping[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _check_common(body: Mapping[str, Any], limits: Limits) -> None:
    if not isinstance(body.get("model"), str):
        raise RequestError(400, "You must provide a model parameter.", "missing_required_parameter", "model")
    if body["model"] != MODEL:
        raise model_not_found(body["model"])
    if body.get("n") not in (None, 1):
        raise RequestError(400, f"Unsupported value: 'n' must be 1, not {body['n']}.", "unsupported_value", "n")
    if body.get("stream"):
        message = "Unsupported value: 'stream' must be false; the offline model answers in one piece."
        raise RequestError(400, message, "unsupported_value", "stream")
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise RequestError(
                400,
                f"Invalid value for '{name}': {value!r}. It must be a whole number of at least 1.",
                "invalid_value",
                name,
            )
    for name, high in (("temperature", 2.0), ("top_p", 1.0)):
        value = body.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high
        ):
            raise RequestError(
                400,
                f"Invalid value for '{name}': {value!r}. It must lie between 0 and {high:g}.",
                "invalid_value",
                name,
            )
    stop = body.get("stop")
    if not (
        stop is None or isinstance(stop, str) or (isinstance(stop, list) and all(isinstance(s, str) for s in stop))
    ):
        raise RequestError(400, "Invalid type for 'stop': give a string or a list of strings.", "invalid_type", "stop")
    _check_refused(body, limits.refuse)


def _check_refused(body: Mapping[str, Any], refuse: frozenset[str]) -> None:
    for name in sorted(refuse - REFUSABLE):
        value = body.get(name)
        if value is None:
            continue
        if name == "temperature":
            if value != 1:
                message = (
                    f"Unsupported value: 'temperature' does not support {value} with this model. "
                    "Only the default (1) value is supported."
                )
                raise RequestError(400, message, "unsupported_value", name)
            continue
        instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
        message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
        raise RequestError(400, message, "unsupported_parameter", name)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "Missing required parameter: 'messages'.", "missing_required_parameter", "messages")
    for index, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
        if (
            not isinstance(message, dict)
            or not isinstance(message.get("role"), str)
            or not (isinstance(content, str) or parts)
        ):
            text = f"Invalid type for 'messages[{index}]': a message needs a 'role' and a 'content' of text."
            raise RequestError(400, text, "invalid_type", f"messages[{index}]")


def _check_form(form: object, limits: Limits) -> None:
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in _FORMS:
        message = f"Invalid value: {kind!r}. Supported values are: 'text', 'json_object' and 'json_schema'."
        raise RequestError(400, message, "invalid_value", "response_format.type")
    if kind in limits.refuse:
        message = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
        raise RequestError(400, message, "unsupported_value", "response_format")
    schema = form.get("json_schema") if isinstance(form, dict) else None
    if kind == "json_schema" and not (
        isinstance(schema, dict) and isinstance(schema.get("name"), str) and "schema" in schema
    ):
        message = "Missing required parameter: 'response_format.json_schema' with its 'name' and 'schema'."
        raise RequestError(400, message, "missing_required_parameter", "response_format.json_schema")


def _check_length(prompt_tokens: int, wanted: int | None, param: str, limits: Limits) -> None:
    if limits.max_model_len is None or prompt_tokens + (wanted or 1) <= limits.max_model_len:
        return
    message = (
        f"This model's maximum context length is {limits.max_model_len} tokens. However, you requested "
        f"{prompt_tokens + (wanted or 1)} tokens ({prompt_tokens} in the {param}, {wanted or 1} in the completion). "
        f"Please reduce the length of the {param} or completion."
    )
    raise RequestError(400, message, "context_length_exceeded", param)
