"""What an error status means: another try, another form, another endpoint, or the request's end (law 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from selfinstruct.models.error_bodies import Said, said
from selfinstruct.models.wire import Capabilities, Reply, Trouble, adapt, retry_after_s
from selfinstruct.types import Completion, Request

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
_A_RATE = re.compile(
    r"per[ _-]?(min|sec)|/ ?(min|sec|s\b)|\b[rt]p[ms]\b|[rt]pmexceeded|concurren|throttling|allocated quota exceeded"
    r"|resource_exhausted|resource (has been |is )?exhausted|rate[ _-]?limit(?!.{0,40}per-day)|rate quota"
)
_KEY = re.compile(
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
_FILTERED = re.compile(
    r"content[ _-]?filter|responsible_?ai|data_?inspection|content[ _-]?policy|content management policy"
    r"|inappropriate|content[ _]?blocked|prompt_blocked|prohibited_content|blocked by (content|safety|the safety)"
    r"|(prompt|request|content|input|response) (was |is |has been |were )?(blocked|flagged)|block_?reason|moderation"
    r"|content exists risk|high[ -]risk|usage polic|invalid_prompt|(?<!case[ -])sensitive|unsafe|guardrail"
    r"|safety (system|filter|setting)|敏感|不安全|违规|安全审"
)
_FLAGGED = re.compile(r"moderation|flagged|content[ _-]?(filter|policy)|inspection|sensitive|敏感")
"""The same with a status of 403, with which gateways also block whoever asks."""
_ANSWER_TOO_LONG = re.compile(r"fewer output tokens|completion tokens|max_\w*tokens\W.{0,40}too large")
"""Of a `max_tokens` that no answer may have: no fault of the prompt."""
_BOTH_TOO_LONG = re.compile(r"too large: (\d+).*context length is (\d+)")
_OF_THE_FORM = re.compile(r"schema|grammar|response_format")
_TOO_LONG = re.compile(
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


@dataclass(frozen=True, slots=True)
class Where:
    """What was asked, as far as messages tell of it."""

    url: str
    key_name: str
    has_key: bool
    """Whether a key was sent."""


def read_refusal(
    request: Request,
    reply: Reply,
    capabilities: Capabilities,
    body: Mapping[str, Any],
    *,
    where: Where,
    had_answers: bool,
    now: float,
) -> Completion | Trouble:
    """What to make of an error status: a final failure, or what is the trouble.

    `had_answers`: requests of this kind have been answered; `now` is in seconds since 1970.
    """
    status = reply.status
    heard = said(reply.content)
    trouble = _of_access(status, heard, where) or _of_the_server(reply, heard, now)
    if trouble is None or status >= 500:
        final = _end_of(status, heard)
        if final is not None:
            return failed(request, where.url, final, heard.message)
    if status >= 500 or trouble is None:
        is_bare = trouble is None and not had_answers and _SAYS_NOTHING.fullmatch(heard.message)
        words = "response_format" if is_bare else heard.words
        weaker = adapt(capabilities, words, heard.param, body, only_certain=status >= 500)
        if weaker is not None:
            trouble = Trouble("form", told(status, heard), weaker=weaker)
        elif trouble is None and "response_format" in body and _NO_JSON.search(heard.words):
            return Trouble("malformed", told(status, heard))
        elif trouble is None and had_answers:
            return failed(request, where.url, heard.code or "bad_request", heard.message)
    if trouble is None:
        asked = f"every {request.stage} request to {request.model}"
        hint = "; this looks like a base model: use --recipe paper" if "chat template" in heard.words else ""
        if "max_tokens" in heard.words:
            hint = f"; set max_tokens in [model] or [stages.{request.stage}]"
        trouble = Trouble("unanswerable", f"{where.url} refuses {asked} ({told(status, heard)}){hint}")
    return replace(trouble, paid=failed(request, where.url, f"http_{status}", told(status, heard)))


def refused(where: Where, status: int, heard: Said) -> str:
    """One line on a fault of access in the server's own words, with what to do where it is the key."""
    if not _is_the_key(status, heard):
        return f"{where.url}: {told(status, heard)}"
    what = "refuses the key" if where.has_key else "wants a key"
    do = f"set {where.key_name} to a valid one" if where.has_key else f"set {where.key_name}"
    return f"{where.url} {what} ({told(status, heard)}); {do}"


def told(status: int, heard: Said) -> str:
    """A status with what the server says of it."""
    if heard.message:
        return f"HTTP {status}: {heard.message}"
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def failed(request: Request, url: str, kind: str, message: str) -> Completion:
    """A request's end, or the cost of an attempt, without an answer."""
    return Completion(request.id, "failed", message, kind, endpoint=url, source=request.source)


def is_spent(status: int, heard: Said) -> bool:
    """Whether a quota or the money is used up, which does not pass as a rate limit does."""
    if _SPENT.search(heard.words):
        return True
    may_be_said = status in {400, 401, 402, 403, 429} and _A_QUOTA.search(heard.words)
    return bool(may_be_said) and heard.wait_s is None and not _A_RATE.search(heard.words)


def _of_access(status: int, heard: Said, where: Where) -> Trouble | None:
    """A fault that ends the use of the endpoint."""
    if status >= 500:
        return None
    if where.url.startswith("http://") and _BY_HTTP.search(heard.words):
        return Trouble("left", f"{where.url}: the server there speaks HTTPS; name it by https://")
    if is_spent(status, heard):
        return Trouble("left", f"{where.url}: {told(status, heard)}")
    may_pass = status in _BUSY or status == 429
    is_flagged = status == 403 and _FLAGGED.search(heard.words) and not _KEY.search(heard.words)
    is_of_the_request = status in _OF_THE_REQUEST and not _is_the_key(status, heard)
    if may_pass or is_flagged or is_of_the_request:
        return None
    return Trouble("left", refused(where, status, heard))


def _of_the_server(reply: Reply, heard: Said, now: float) -> Trouble | None:
    """A failure that may pass."""
    status, why = reply.status, told(reply.status, heard)
    wait = retry_after_s(reply.headers, now)
    if status == 429:
        return Trouble("throttled", why, heard.wait_s if wait is None else wait)
    if status in _BUSY:
        return Trouble("busy", why, wait)
    if status >= 500:
        return Trouble("overloaded" if status in _OVERLOADED else "failed", why, wait)
    return None


def _end_of(status: int, heard: Said) -> str | None:
    """Why the question itself can have no answer; None: it may."""
    if status >= 500:
        return "too_long" if _TOO_LONG_BEYOND_DOUBT.search(heard.words) else None
    if _FILTERED.search(heard.words):
        return "content_filter"
    if status == 413 or (_TOO_LONG.search(heard.words) and not _is_too_long_an_answer(heard.words)):
        return "too_long"
    return None


def _is_too_long_an_answer(words: str) -> bool:
    both = _BOTH_TOO_LONG.search(words)
    if both is not None:
        wanted, fits = map(int, both.groups())
        return wanted >= fits
    return bool(_ANSWER_TOO_LONG.search(words) or _OF_THE_FORM.search(words))


def _is_the_key(status: int, heard: Said) -> bool:
    if status == 401:
        return True
    words = _ECHO.sub(" ", heard.words)
    return status in {400, 403} and bool(_KEY.search(words)) and not _NOT_THE_KEY.search(words)
