"""What an error status and the words in its body mean: another try, form or endpoint, or the request's end (law 5).

A server says it in OpenAI's form, in other JSON, in HTML or in plain text.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from selfinstruct.models.endpoint import Endpoint
from selfinstruct.models.wire import Capabilities, Reply, Trouble, adapt
from selfinstruct.types import Completion, Request, storable

_BUSY = {408, 409, 425}
_OVERLOADED = {503, 529}
_OF_THE_REQUEST = {400, 413, 422}
"""Statuses that may be the fault of the question or of its form. Others below 500 are faults of access."""

_SPENT = re.compile(
    r"insufficient[ _]?(user[ _]?)?(balance|credit|fund)|(balance|credits?|funds?) (is |are |was |were )?insufficient"
    r"|exceeded_current_quota|billing[ _](hard[ _]limit|not[ _]active)|credit_balance|credit limit"
    r"|(credit|balance|fund|allowance)s? (is |are |has been |have been )?(too low|exhausted|depleted|used up)"
    r"|(out of|no|not enough|more|add|any|ran out of|used all available|exceeded your monthly included) "
    r"(\w+ )?(credits?|balance|funds)\b(?! to unlock)"
    r"|spend(ing)?[ _](limit|cap)|monthly[ _](limit|budget|quota|allowance)|budget (has been |was )?exceeded"
    r"|exceeded_?budget|specified (api )?usage limit|arrear|overdue|recharge|top[ -]?up|in good standing"
    r"|free (allocated |tier |trial |model )?(quota|allocation|tier)( of \w+)? (has been |is )?(exceeded|used up)"
    r"|free (tier|quota|trial)\b.{0,60}(exhausted|used up)|freetieronly|used up (all )?your"
    r"|account[ _]?(is |has been |was )?[ _]?(deactivated|suspended|disabled)|account .{0,80} (is|was) suspended"
    r"|quota (has been |is |was )?(used up|exhausted|depleted)|perday|per_day_|\blimit: 0\b"
    r"|余额|欠费|充值|额度(已|不|用|耗|超)|套餐|资源包"
)
"""Whoever says this has been paid for nothing more: it does not pass with time."""
_A_QUOTA = re.compile(
    r"insufficient[ _]quota|exceeded your current quota|quota[ _]?(limit )?(was |has been )?exceed"
    r"|exceed\w*.{0,40}\bquota|usage limit|per[ -]day|/ ?day|daily|per[ -]month|/ ?month|monthly|今日|当日|每日|本月"
)
"""Said of what is used up, and by some of a rate as well."""
A_RATE = re.compile(
    r"per[ _-]?(min|sec)|/ ?(min|sec|s\b)|\b[rt]p[ms]\b|[rt]pmexceeded|concurren|throttling|allocated quota exceeded"
    r"|resource_exhausted|resource (has been |is )?exhausted|rate[ _-]?limit(?!.{0,40}per-day)|rate quota"
)
KEY = re.compile(
    r"(api|access|secret|subscription|invalid|incorrect|wrong|your|missing|no)[-_ ]?key\b|api_key|credential|authenti"
    r"|unauthori[sz]ed|authori[sz]ation|bearer|(invalid|expired|missing|incorrect|revoked)\W{1,3}(\w+\W+)?token"
    r"|token\b.{0,40}(invalid|expired|missing|incorrect|revoked)|密钥|鉴权"
)
_ECHO = re.compile(r"authorization\W{1,4}bearer\W+(\*+|\w*)|bearer \*+")
"""The header that was sent, as some servers say it again in whatever they refuse."""
_NOT_THE_KEY = re.compile(
    r"region|countr|territor|location|scope|permission|\bip\b|blocked|organi[sz]ation|access to (the |this )?model"
    r"|(use|call) (the |this )?model|\bmodels?\b.{0,30}(access|not (allowed|available|enabled|permitted))"
)
FILTERED = re.compile(
    r"content[ _-]?filter|responsible_?ai|data_?inspection|content[ _-]?policy|content management policy"
    r"|inappropriate|content[ _]?blocked|prompt_blocked|prohibited_content|blocked by (content|safety|the safety)"
    r"|(prompt|request|content|input|response) (was |is |has been |were )?(blocked|flagged)|block_?reason|moderation"
    r"|content exists risk|high[ -]risk|usage polic|invalid_prompt|(?<!case[ -])sensitive|unsafe|guardrail"
    r"|safety (system|filter|setting)|敏感|不安全|违规|安全审"
)
_FLAGGED = re.compile(r"moderation|flagged|content[ _-]?(filter|policy)|inspection|sensitive|敏感")
"""The same with a status of 403, with which gateways also block whoever asks."""
_ANSWER_TOO_LONG = re.compile(
    r"fewer output tokens|completion tokens|max_\w*tokens\W.{0,40}too large|schema|grammar|response_format"
)
"""Of a `max_tokens` that no answer may have, or of the wanted form: no fault of the prompt."""
_BOTH_TOO_LONG = re.compile(r"too large: (\d+).*context length is (\d+)")
TOO_LONG = re.compile(
    r"context[ _](length|size|window)|exceed_context|n_ctx|too long|too many (input |prompt )?tokens|max_model_len"
    r"|exceeds? the (model|limit|max)|(input|prompt) token(s| count)|maximum (input|model|prompt|sequence) length"
    r"|must have less than \d+ tokens|`?inputs`? tokens|input length|above_max_length|reduce the length|too large"
    r"|longer than the|tokens? (in total )?exceed|exceeds?.{0,40}\b(context|tokens)\b|(长度|超长|过长)"
)
_TOO_LONG_BEYOND_DOUBT = re.compile(r"exceed_context_size|exceeds the available context size|context_length_exceeded")
"""Of a status of 500 and more, with which llama.cpp also says that all slots together fill its cache."""
_NO_JSON = re.compile(
    r"json_validate_failed|failed_generation|failed to (generate|validate|parse) (the )?(generated )?json"
    r"|generated json (does not|is not|is invalid)|output_parse_failed"
)
_SAYS_NOTHING = re.compile(r"(bad request|invalid request|unprocessable( entity| content)?|error)?\W*", re.IGNORECASE)
"""A refusal without a reason. The form of the answer is what servers most often lack."""
_BY_HTTP = re.compile(
    r"plain http request was sent to https|http request to an https server|http.{0,30}on an? https port"
)

_LONGEST = 500
_READ = 100_000
_DEEPEST = 8
_LONGEST_WAIT_S = 30 * 86400.0
_MESSAGES = (
    "message", "detail", "msg", "error_msg", "error_message", "error_description", "error", "errors", "details",
    "title", "reason", "description",
)  # fmt: skip
"""Where the words for people may stand, the first that is there first."""
_TOLD = frozenset(
    (*_MESSAGES, "code", "type", "status", "error_code", "error_type", "reasons", "innererror", "violations", "quotaid",
     "metadata", "raw", "retrydelay", "cause")
)  # fmt: skip
"""Keys under which a server speaks of the error. Others may repeat what it was asked, or what the model wrote."""
_URL = re.compile(r"\b(https?|www)[:.]\S+")
_TITLE = re.compile(r"<(?:title|h1)\b[^<>]*>([^<]*)<", re.IGNORECASE)
_TAG = re.compile(r"<(?:style|script)\b[^<]*</|<[^<>]*>", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:try again|retry|retrydelay|wait)\W+(?:in |after |for )?"
    r"(?:(\d+)h)?(?:(\d+)m(?!s|in))?(?:(\d+(?:\.\d+)?) ?(ms|min|hour|s\b|sec))?"
)
_UNITS_S = {"ms": 0.001, "min": 60.0, "hour": 3600.0}


@dataclass(frozen=True, slots=True)
class Said:
    """An error in the server's own words."""

    message: str
    """For people, on one line of bearable length; empty: it says nothing."""
    param: str | None
    """The parameter it complains of."""
    code: str
    """A name for the error, such as `insufficient_quota`; empty where it has none but a number."""
    words: str
    """Whatever it says of the error, in small letters and without addresses of web pages, to look for marks in."""

    @property
    def wait_s(self) -> float | None:
        """How long it asks to wait in words, in seconds; None: it does not."""
        found = next((one for one in _WAIT.finditer(self.words) if any(one.groups())), None)
        if found is None:
            return None
        hours, minutes, seconds, unit = found.groups()
        return int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + float(seconds or 0) * _UNITS_S.get(unit, 1.0)


def said(content: bytes) -> Said:
    """What the body of an error says."""
    text = content[:_READ].decode("utf-8", "replace")
    body = _unfolded(_json(text))
    if not isinstance(body, dict | list | str):
        if text.lstrip()[:1] == "<":
            text = html.unescape(next(filter(str.strip, _TITLE.findall(text)), "") or _TAG.sub(" ", text))
        message = _line(text)
        return Said(message, None, "", _marks([message]))
    error: Any = body
    while isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    about = error if isinstance(error, dict) else {}
    param, code = about.get("param"), about.get("code")
    name = storable(code[:100]) if isinstance(code, str) and not code.isdigit() else ""
    return Said(_line(_message(body)), param if isinstance(param, str) else _place(body), name, _marks(_told(body)))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unfolded(value: Any, depth: int = 0) -> Any:
    """A body with names in small letters, in which the JSON that gateways put into texts is read as well."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, str):
        inner = _json(value) if value.lstrip()[:1] in {"{", "["} else None
        return value if inner is None else _unfolded(inner, depth + 1)
    if isinstance(value, list):
        return [_unfolded(one, depth + 1) for one in value[:20]]
    if isinstance(value, dict):
        return {str(key).lower(): _unfolded(inner, depth + 1) for key, inner in value.items()}
    return value


def _line(text: str) -> str:
    return " ".join(storable(text).split())[:_LONGEST]


def _marks(texts: Iterator[str] | list[str]) -> str:
    return _URL.sub(" ", " ".join(" ".join(texts).lower().split())[: 8 * _LONGEST])


def _message(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next(filter(None, map(_message, value)), "")
    if not isinstance(value, dict):
        return ""
    found = next(filter(None, (_message(value.get(name)) for name in _MESSAGES)), "")
    upstream = value.get("metadata")
    raw = _message(upstream.get("raw")) if isinstance(upstream, dict) else ""
    return f"{found}: {raw}" if raw else found


def _told(value: Any) -> Iterator[str]:
    """All that is said of the error, at any depth."""
    if isinstance(value, list):
        for one in value:
            yield from _told(one)
    elif isinstance(value, dict):
        for name in (name for name in value if name in _TOLD):
            if name == "retrydelay":
                yield name
            yield from _told(value[name])
    elif value is not None:
        yield str(value)


def _place(body: Any) -> str | None:
    """The parameter that FastAPI's list of faults names."""
    details = body.get("detail") if isinstance(body, dict) else None
    first = details[0] if isinstance(details, list) and details else None
    place = first.get("loc") if isinstance(first, dict) else None
    return str(place[-1]) if isinstance(place, list) and place else None


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, from `retry-after-ms`, or `Retry-After` as seconds or date; None: unsaid.

    `now` is in seconds since 1970. What is beyond a month is taken for a month.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = str(headers.get(name) or "")
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - now
            except (TypeError, ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return min(_LONGEST_WAIT_S, max(0.0, seconds))
    return None


def read_refusal(
    request: Request,
    reply: Reply,
    capabilities: Capabilities,
    body: Mapping[str, Any],
    *,
    endpoint: Endpoint,
    had_answers: bool,
    now: float,
) -> Completion | Trouble:
    """What to make of an error status: a final failure, or what is the trouble.

    `had_answers`: requests of this kind have been answered; `now` is in seconds since 1970.
    """
    status, heard = reply.status, said(reply.content)
    trouble = _passing_or_access(reply, heard, endpoint, now)
    if trouble is None or status >= 500:
        final = _end_of(status, heard)
        if final is not None:
            return failure(request, endpoint.url, final, heard.message)
        is_bare = trouble is None and not had_answers and _SAYS_NOTHING.fullmatch(heard.message)
        words = "response_format" if is_bare else heard.words
        weaker = adapt(capabilities, words, heard.param, body, only_certain=status >= 500)
        if weaker is not None:
            trouble = Trouble("form", told(status, heard, endpoint), weaker=weaker)
        elif trouble is None and "response_format" in body and _NO_JSON.search(heard.words):
            return Trouble("malformed", told(status, heard, endpoint))
        elif trouble is None and had_answers:
            return failure(request, endpoint.url, heard.code or "bad_request", heard.message)
    if trouble is None:
        asked = f"every {request.stage} request{'' if endpoint.is_function else f' to {request.model}'}"
        hint = "; this looks like a base model: use --recipe paper" if "chat template" in heard.words else ""
        if "max_tokens" in heard.words:
            hint = f"; set max_tokens in [model] or [stages.{request.stage}]"
        trouble = Trouble("unanswerable", f"{endpoint.url} refuses {asked} ({told(status, heard, endpoint)}){hint}")
    return replace(trouble, paid=failure(request, endpoint.url, f"http_{status}", told(status, heard, endpoint)))


def refused(endpoint: Endpoint, status: int, heard: Said) -> str:
    """One line on a fault of access in the server's own words, with what to do where it is the key."""
    if endpoint.is_function or not _is_the_key(status, heard):
        return f"{endpoint.url}: {told(status, heard, endpoint)}"
    what = "refuses the key" if endpoint.has_key else "wants a key"
    do = f"set {endpoint.key_name} to a valid one" if endpoint.has_key else f"set {endpoint.key_name}"
    return f"{endpoint.url} {what} ({told(status, heard, endpoint)}); {do}"


def told(status: int, heard: Said, endpoint: Endpoint) -> str:
    """A status with what the server says of it; of a function what it raised."""
    if endpoint.is_function:
        return heard.message
    if heard.message:
        return f"HTTP {status}: {heard.message}"
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def failure(request: Request, url: str, kind: str, message: str) -> Completion:
    """A request's end, or the cost of an attempt, without an answer."""
    return Completion(request.id, "failed", message, kind, endpoint=url, source=request.source)


def is_spent(status: int, heard: Said) -> bool:
    """Whether a quota or the money is used up, which does not pass as a rate limit does."""
    if _SPENT.search(heard.words):
        return True
    may_be_said = status in {400, 401, 402, 403, 429} and _A_QUOTA.search(heard.words)
    return bool(may_be_said) and heard.wait_s is None and not A_RATE.search(heard.words)


def _passing_or_access(reply: Reply, heard: Said, endpoint: Endpoint, now: float) -> Trouble | None:
    """A failure that may pass, or a fault that ends the use of the endpoint; None: it may be the request's own."""
    status, why = reply.status, told(reply.status, heard, endpoint)
    wait = retry_after_s(reply.headers, now)
    if status >= 500:
        return Trouble("overloaded" if status in _OVERLOADED else "failed", why, wait)
    if endpoint.url.startswith("http://") and _BY_HTTP.search(heard.words):
        return Trouble("left", f"{endpoint.url}: the server there speaks HTTPS; name it by https://")
    if is_spent(status, heard):
        return Trouble("left", f"{endpoint.url}: {why}")
    if status == 429 or status in _BUSY:
        wait = heard.wait_s if wait is None and status == 429 else wait
        return Trouble("throttled" if status == 429 else "busy", why, wait)
    is_flagged = status == 403 and _FLAGGED.search(heard.words) and not KEY.search(heard.words)
    if is_flagged or (status in _OF_THE_REQUEST and not _is_the_key(status, heard)):
        return None
    return Trouble("left", refused(endpoint, status, heard))


def _end_of(status: int, heard: Said) -> str | None:
    """Why the question itself can have no answer; None: it may."""
    words = heard.words
    if status >= 500:
        return "too_long" if _TOO_LONG_BEYOND_DOUBT.search(words) else None
    if FILTERED.search(words):
        return "content_filter"
    both = _BOTH_TOO_LONG.search(words)
    is_the_answer = int(both[1]) >= int(both[2]) if both else _ANSWER_TOO_LONG.search(words)
    return "too_long" if status == 413 or (TOO_LONG.search(words) and not is_the_answer) else None


def _is_the_key(status: int, heard: Said) -> bool:
    if status == 401:
        return True
    words = _ECHO.sub(" ", heard.words)
    return status in {400, 403} and bool(KEY.search(words)) and not _NOT_THE_KEY.search(words)
