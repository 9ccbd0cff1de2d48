"""What an error status means: another try, another form, another endpoint, or the request's end (law 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from selfinstruct.llm.wire import Capabilities, Reply, Trouble, adapt, retry_after_s, said
from selfinstruct.records import Completion, Request

_BUSY = {408, 409, 425}
_OVERLOADED = {503, 529}
_KEY = {401, 403}
_ACCESS = {402, 404, 405}
_ANSWER_TOO_LONG = "fewer output tokens"
"""vLLM, of a `max_tokens` beyond the whole context: no fault of the prompt."""
_TOO_LONG = ("maximum context length", "context_length", "too long", "exceeds the model", "max_model_len")


def read_refusal(
    request: Request,
    reply: Reply,
    capabilities: Capabilities,
    body: Mapping[str, Any],
    *,
    url: str,
    key_name: str,
    had_answers: bool,
    now: float,
) -> Completion | Trouble:
    """What to make of an error status: a final failure, or what is the trouble.

    `had_answers`: requests of this kind have been answered; `now` is in seconds since 1970.
    """
    status = reply.status
    message, param, code = said(reply)
    trouble = _of_the_server(reply, code, now) or _of_access(status, code, message, url, key_name)
    if trouble is None:
        words = message.lower()
        if _ANSWER_TOO_LONG not in words and any(mark in words or mark == code for mark in _TOO_LONG):
            return failed(request, url, "too_long", message)
        weaker = adapt(capabilities, message, param, body)
        if weaker is None and had_answers:
            return failed(request, url, code or "bad_request", message)
        if weaker is not None:
            trouble = Trouble("form", f"HTTP {status}", weaker=weaker)
        else:
            asked = f"every {request.stage} request to {request.model}"
            hint = "; this looks like a base model: use --recipe paper" if "chat template" in words else ""
            trouble = Trouble("unanswerable", f"{url} refuses {asked} (HTTP {status}): {message}{hint}")
    return replace(trouble, paid=failed(request, url, f"http_{status}", f"HTTP {status}"))


def refused_key(url: str, key_name: str, status: int) -> str:
    """One line for a refused key, without the server's words."""
    return f"{url} refuses the key (HTTP {status}); set {key_name} to a valid one"


def failed(request: Request, url: str, kind: str, message: str) -> Completion:
    """A request's end, or the cost of an attempt, without an answer."""
    return Completion(request.id, "failed", message, kind, endpoint=url, source=request.source)


def _of_the_server(reply: Reply, code: str, now: float) -> Trouble | None:
    status, why = reply.status, f"HTTP {reply.status}"
    wait = retry_after_s(reply.headers, now)
    if status == 429 and code != "insufficient_quota":
        return Trouble("throttled", why, wait)
    if status in _BUSY:
        return Trouble("busy", why, wait)
    if status >= 500:
        return Trouble("overloaded" if status in _OVERLOADED else "failed", why, wait)
    return None


def _of_access(status: int, code: str, message: str, url: str, key_name: str) -> Trouble | None:
    if status in _KEY:
        return Trouble("left", refused_key(url, key_name, status))
    if status in _ACCESS or status < 400 or code == "insufficient_quota":
        return Trouble("left", f"{url}: HTTP {status}: {message}")
    return None
