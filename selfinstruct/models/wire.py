"""The HTTP form of requests: what is sent, and how that is adapted to what a server takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from selfinstruct.types import Completion, Request, canonical_json

Structure = Literal["json_schema", "json_object", "plain"]
PATHS = {"chat": "/chat/completions", "completions": "/completions"}
"""The route of each API, below the base URL."""

_WEAKER: Mapping[Structure, Structure] = {"json_schema": "json_object", "json_object": "plain"}
_BOUNDS = (
    "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "pattern", "format", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minProperties", "maxProperties",
)  # fmt: skip
"""Keywords of a JSON schema that only narrow what its types allow."""
_OF_STRUCTURE = re.compile(
    r"response_?format|json_schema|json_object|structured|schema|grammar|guided|initialize samplers"
)
_OF_ROLES = re.compile(
    r"system (role|message|prompt|instruction)s?\b.{0,40}(not|n't|un)[ -]?(be )?(support|allow|enabled|permitted)"
    r"|(not|n't) (support|allow|permit|accept)\w* .{0,40}\bsystem\b|developer instruction is not enabled"
    r"|roles? (must|should) alternate|only .{0,12}\buser\b.{0,40}\broles?\b|only .{0,12}\broles?\b.{0,40}\buser\b"
    r"|(unexpected|invalid|unknown|unsupported) (message )?role\W+(is )?\W*system"
    r"|role\W{1,4}system\W.{0,40}(not|invalid)|(first|initial) message.{0,30}\buser\b"
)
"""Said where a chat template has no place for a system message."""
_OTHER_NAME = re.compile(
    r"max_completion_tokens|(unrecognized|unknown|unsupported|unexpected|extra)\b.{0,40}\bmax_tokens\b"
    r"|\bmax_tokens\b.{0,40}((not|n't) (support|allow|permit|recogni|accept)|deprecated|unsupported|unexpected)"
)
_OPTIONAL = ("seed", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response, with whatever status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint takes. Everything is tried in its best form first; a refusal is remembered."""

    structure: Structure = "json_schema"
    max_tokens_name: str = "max_tokens"
    dropped: tuple[str, ...] = ()
    """Parameters that the server refuses."""
    bounds: Literal["sent", "left out"] = "sent"
    """Whether a schema keeps the keywords that bound lengths and numbers."""
    system: Literal["own message", "in the user's"] = "own message"
    """Where the system text goes."""

    def to_json(self) -> str:
        """For the pool's table of endpoints."""
        return canonical_json(asdict(self))

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Capabilities:
        """What `to_json` wrote."""
        return Capabilities(**{**raw, "dropped": tuple(raw.get("dropped", ()))})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an attempt gave no final answer; another may give one."""

    kind: Literal[
        "throttled", "overloaded", "late", "unreachable", "failed", "busy", "malformed", "form", "left", "unanswerable"
    ]  # fmt: skip
    """429; 503; no answer in time; no connection; another fault of the server or the way; 408 and the like; what the
    model wrote is nothing, or not of the wanted form, and the server keeps it; the server wants another form; the
    endpoint is of no use any more; nothing of this kind has been answered, so the configuration is at fault."""
    why: str
    retry_after_s: float | None = None
    paid: Completion | None = None
    """A failure with what the attempt cost; None: the answer was lost, so nobody knows."""
    weaker: Capabilities | None = None
    """The form to try next."""


def body_of(request: Request, capabilities: Capabilities) -> dict[str, Any]:
    """The JSON body that asks this question of an endpoint with these capabilities.

    Its `seed` is derived from the request's id, so that asking again gives the same answer where servers can.
    """
    sampling = dict(request.sampling)
    extra = sampling.pop("extra_body", None) or {}
    body: dict[str, Any] = {"model": request.model, "seed": int(request.id[:8], 16) & 0x7FFFFFFF, **sampling}
    if "max_tokens" in body:
        body[capabilities.max_tokens_name] = body.pop("max_tokens")
    for name in capabilities.dropped:
        body.pop(name, None)
    if request.api == "completions":
        return {**body, "prompt": request.messages[0].content, **extra}
    body["messages"] = _messages(request, capabilities)
    if request.schema is not None and capabilities.structure == "json_schema":
        schema = request.schema.body if capabilities.bounds == "sent" else _without_bounds(request.schema.body)
        wanted = {"name": request.schema.name, "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif request.schema is not None and capabilities.structure == "json_object":
        body["response_format"] = {"type": "json_object"}
    return {**body, **extra}


def _messages(request: Request, capabilities: Capabilities) -> list[dict[str, str]]:
    """The messages; the system's text stands before the user's where it may be no message of its own."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    if capabilities.system == "own message":
        return messages
    system = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not others or others[0]["role"] != "user":
        others.insert(0, {"role": "user", "content": ""})
    others[0]["content"] = "\n\n".join(text for text in (*system, others[0]["content"]) if text)
    return others


def _without_bounds(schema: Any, *, names_fields: bool = False) -> Any:
    """A schema that allows the same types, of any length and size.

    `names_fields`: the keys of this object are names of fields, not keywords.
    """
    if isinstance(schema, list):
        return [_without_bounds(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: inner if key in {"enum", "const", "default"} and not names_fields
        else _without_bounds(inner, names_fields=key in {"properties", "$defs"} and not names_fields)
        for key, inner in schema.items()
        if names_fields or key not in _BOUNDS
    }  # fmt: skip


def sent_form(request: Request, body: Mapping[str, Any]) -> str:
    """What was really sent beside the messages, as JSON for the journal, and how messages or schema were changed."""
    form = {name: value for name, value in body.items() if name not in {"messages", "prompt", "response_format"}}
    if "response_format" in body:
        form["response_format"] = body["response_format"]["type"]
        sent = body["response_format"].get("json_schema")
        if sent is not None and request.schema is not None and sent["schema"] != request.schema.body:
            form["bounds"] = "left out"
    roles = [message["role"] for message in body.get("messages", ())]
    if roles and roles != [message.role for message in request.messages]:
        form["system"] = "in the user's"
    return canonical_json(form)


def adapt(
    capabilities: Capabilities, message: str, param: str | None, body: Mapping[str, Any], *, only_certain: bool = False
) -> Capabilities | None:
    """Weaker capabilities that may cure a refusal with this message; None: it speaks of nothing that can be changed.

    `only_certain`: it may as well be a fault of the server, so that only words of templates and grammars count.
    """
    text = f"{message} {param or ''}".lower()
    form = body.get("response_format")
    if any(one["role"] == "system" for one in body.get("messages", ())) and _OF_ROLES.search(text):
        return replace(capabilities, system="in the user's")
    if form is not None and capabilities.structure != "plain":
        bounds = _bounds_in(form)
        named = any(re.search(rf"\b{name.lower()}\b", text) for name in bounds)
        if "grammar" in text or (not only_certain and (named or _OF_STRUCTURE.search(text))):
            can_be_looser = bounds and capabilities.structure == "json_schema" and capabilities.bounds == "sent"
            return replace(capabilities, bounds="left out") if can_be_looser else weaker_structure(capabilities)
    if only_certain:
        return None
    if "max_tokens" in body and _OTHER_NAME.search(text):
        return replace(capabilities, max_tokens_name="max_completion_tokens")
    refused = next((name for name in _OPTIONAL if name in body and re.search(rf"\b{name}\b", text)), None)
    return None if refused is None else replace(capabilities, dropped=(*capabilities.dropped, refused))


def weaker_structure(capabilities: Capabilities) -> Capabilities:
    """The same with the next weaker form of structured answers."""
    return replace(capabilities, structure=_WEAKER[capabilities.structure])


def _bounds_in(form: Mapping[str, Any]) -> set[str]:
    """The keywords in a wanted form that only bound it."""
    schema = form.get("json_schema", {}).get("schema")
    text = json.dumps(schema)
    return {name for name in _BOUNDS if f'"{name}"' in text} if schema != _without_bounds(schema) else set()


def difference(before: Capabilities, after: Capabilities) -> str:
    """In words, how requests are sent after a refusal."""
    if before.structure != after.structure:
        return f"structure is asked for as {after.structure} instead of {before.structure}"
    if before.max_tokens_name != after.max_tokens_name:
        return f"{before.max_tokens_name} is sent as {after.max_tokens_name}"
    if before.bounds != after.bounds:
        return "bounds of lengths and numbers are left out of the schema"
    if before.system != after.system:
        return "the system text is sent at the beginning of the user's message"
    return f"{after.dropped[-1]} is left out"
