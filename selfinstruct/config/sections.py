"""The tables of the config file that concern a run alone: their keys, defaults and bounds."""

from __future__ import annotations

import os
import re
import shlex
from decimal import Decimal
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from selfinstruct.config.habits import server_meant
from selfinstruct.errors import nearest, unknown
from selfinstruct.models.urls import as_base_url
from selfinstruct.own import file_and_name
from selfinstruct.settings import Section, Texts, Whole

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
Backend = Literal["offline", "openai", "vllm"]
BACKENDS = "offline, openai, vllm, or FILE.py:FUNCTION"


class Role(Section):
    """A model and where it is served."""

    name: str | None = Field(None, min_length=1)
    base_url: tuple[str, ...] = ()
    api_key_env: str = "OPENAI_API_KEY"
    extra_body: dict[str, Any] = Field({})
    extra_headers: dict[str, str] = Field({})
    timeout_s: float = Field(600.0, gt=0)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: Whole | None = Field(None, ge=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stop: Texts | None = None

    @field_validator("api_key_env")
    @classmethod
    def _a_name(cls, name: str) -> str:
        """A key in the place of its variable's name is told by its form, and never said again."""
        looks_random = len(name) >= 16 and re.search(r"[a-z]", name) and re.search(r"\d", name)
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or (looks_random and name not in os.environ):
            raise ValueError("wants the name of the environment variable that holds the key, not the key itself")
        return name

    @field_validator("base_url", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        urls = [value] if isinstance(value, str) else value
        return [as_base_url(str(url)) for url in urls] if isinstance(urls, list | tuple) else urls

    @field_validator("name")
    @classmethod
    def _is_text(cls, name: str | None) -> str | None:
        if name is not None and not name.isprintable():
            raise ValueError("the name of a model has no control characters and no bytes in it that are no UTF-8")
        return name

    @field_validator("extra_headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name!r} or its value can be no HTTP header; both are plain ASCII on one line")
        return headers


class ModelSection(Role):
    """The model of all stages that name none of their own."""

    backend: str | None = None
    """`offline`, `openai`, `vllm`, or an async function of the user's as `FILE.py:NAME`."""

    @field_validator("backend", mode="before")
    @classmethod
    def _a_way(cls, name: Any) -> Any:
        """Servers and providers are no backends: their address is all that differs."""
        if not isinstance(name, str) or name in get_args(Backend) or file_and_name(name):
            return name
        url = server_meant(name) if nearest(name, get_args(Backend)) is None else None
        if url is not None:
            raise ValueError(f"{name} is used by its address alone: leave out the backend and give --base-url {url}")
        raise ValueError(f"unknown backend {name!r}; {unknown(name, get_args(Backend), BACKENDS)}")


class VllmSection(Section):
    """The server that `backend = "vllm"` starts and guards."""

    command: tuple[str, ...] = ()
    """What is run with `serve MODEL ...` behind it; empty: the `vllm` beside this Python, else the one on PATH."""
    args: tuple[str, ...] = ()
    """Further arguments of `vllm serve`."""
    env: dict[str, str] = Field({})
    model: str = ""
    """What is loaded, a folder or a name, where it is not the model's name."""
    start_timeout_s: float = Field(3600.0, gt=0)
    stuck_s: float = Field(180.0, gt=0)
    max_restarts: Whole = Field(3, ge=0)

    @field_validator("command", "args", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """A command line may be one string, as in a shell."""
        if not isinstance(value, str):
            return value
        try:
            return shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no command line ({error})") from None


class BudgetSection(Section):
    """What a run may spend; `pool_max_usd` bounds the pool's total over all runs."""

    max_usd: Decimal | None = Field(None, gt=0)
    max_tokens: Whole | None = Field(None, ge=1)
    max_requests: Whole | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    pool_max_usd: Decimal | None = Field(None, gt=0)


class PriceSection(Section):
    """What a model costs, in US dollars for a million tokens."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cached: Decimal | None = Field(None, ge=0)
    """Prompt tokens that the server had cached; as `input` if not given."""


class PublishSection(Section):
    """What becomes a version of the training data, and the bounds of its gate; what is none is not looked at.

    `versions/measures.py` computes the figures that the bounds are held against.
    """

    formats: Texts = ("alpaca", "messages")
    split: str | None = None
    """Sides with their shares, such as train=0.95,test=0.05."""
    min_tasks: Whole = Field(1, ge=1)
    max_drop: float = Field(0.1, ge=0, le=1)
    """The share by which tasks, verb_noun_entropy and vendi_score may fall against the last good version."""
    max_duplicate_share: float = Field(0.01, ge=0, le=1)
    max_short_share: float = Field(0.5, ge=0, le=1)
    max_cut_share: float = Field(0.02, ge=0, le=1)
    min_acceptance: float = Field(0.02, ge=0, le=1)
    """Of the instructions judged in the last 20 rounds."""
    min_distinct_2: float | None = Field(None, ge=0, le=1)
    max_compression_ratio: float | None = Field(None, gt=0)
    max_top_openings_share: float | None = Field(None, ge=0, le=1)
    min_verb_noun_entropy: float | None = Field(None, ge=0)
    max_mean_nearest_rouge_l: float | None = Field(None, ge=0, le=1)
    min_vendi_score: float | None = Field(None, ge=0)


class FinetuneSection(Section):
    """What is run for each version that is published."""

    command: str | None = None
    """Words as in a shell, but run by none; {data}, {out}, {version}, {number} and {pool} are filled in."""
