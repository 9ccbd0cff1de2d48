"""The tables of the config file: their keys, defaults and bounds."""

from __future__ import annotations

import os
import re
import shlex
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from selfinstruct.config.habits import server_meant
from selfinstruct.errors import nearest, unknown
from selfinstruct.judging import DEFAULT_PRINCIPLES
from selfinstruct.llm.urls import as_base_url
from selfinstruct.novelty.tokens import TOKENIZERS
from selfinstruct.recipes import RECIPES
from selfinstruct.records import PersonalData
from selfinstruct.validators import DEFAULT

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
STANDARD = "standard"


def as_share(value: Any) -> str:
    """A number from 0 to 1 as the shortest decimal that says it. Raises: ValueError."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not (number.is_finite() and 0 <= number <= 1):
        raise ValueError(f"{value} is no number between 0 and 1")
    return format(number.normalize(), "f")


_LARGEST = 2**63 - 1
"""What the database can hold."""
_UNITS = {"k": 1_000, "m": 1_000_000}


def _whole(value: Any) -> Any:
    """A whole number out of 1_000, 1e3, 1k or 2M; what is none of them as it is. Raises: ValueError."""
    if isinstance(value, bool):
        raise ValueError("wants a whole number")  # noqa: TRY004 - as pydantic wants it
    number: Any = value
    try:
        if isinstance(value, str):
            unit: int = _UNITS.get(value[-1:].lower(), 1)
            number = Decimal(value[:-1] if unit > 1 else value) * unit
        if not isinstance(number, int | float | Decimal):
            return value
        if not -_LARGEST <= number <= _LARGEST:
            raise ValueError("this number is too large")
        whole = int(number)
    except ArithmeticError:
        raise ValueError("wants a whole number, such as 1000 or 1k") from None
    if whole != number:
        raise ValueError("wants a whole number")
    return whole


Whole = Annotated[int, BeforeValidator(_whole)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several texts; one may stand alone."""
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed)]


class Section(BaseModel):
    """A table of the config file; an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeSection(Section):
    """How tasks are asked for."""

    name: str = "chat"
    guidance: str = ""
    topics: Path | None = None
    """A text file, one topic or persona a line; each propose request draws one."""
    prompts: str = STANDARD
    """`standard`; `small` for models below some 0.5 billion parameters; or a folder of files that replace the standard
    prompts by name."""
    compat: bool = False
    tasks_per_request: Whole = Field(6, ge=1, le=50)
    inputs_per_task: Whole = Field(2, ge=1, le=5)
    demonstrations: Whole = Field(8, ge=1, le=50)
    generated_demonstrations: Whole = Field(2, ge=0, le=50)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in RECIPES:
            raise ValueError(f"unknown recipe {name!r}; {unknown(name, RECIPES)}")
        return name


Backend = Literal["offline", "openai", "vllm"]


class Role(Section):
    """A model and where it is served."""

    name: str | None = Field(None, min_length=1)
    base_url: tuple[str, ...] = ()
    api_key_env: str = "OPENAI_API_KEY"
    extra_body: dict[str, Any] = {}
    extra_headers: dict[str, str] = {}
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

    backend: Backend | None = None

    @field_validator("backend", mode="before")
    @classmethod
    def _a_way(cls, name: Any) -> Any:
        """Servers and providers are no backends: their address is all that differs."""
        url = server_meant(name) if isinstance(name, str) and nearest(name, get_args(Backend)) is None else None
        if url is not None:
            raise ValueError(f"{name} is used by its address alone: leave out the backend and give --base-url {url}")
        return name


class VllmSection(Section):
    """The server that `backend = "vllm"` starts and guards."""

    command: tuple[str, ...] = ()
    """What is run with `serve MODEL ...` behind it; empty: the `vllm` beside this Python, else the one on PATH."""
    args: tuple[str, ...] = ()
    """Further arguments of `vllm serve`."""
    env: dict[str, str] = {}
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


class FiltersSection(Section):
    """What a candidate must pass."""

    rouge_threshold: Annotated[str, Field(validate_default=True)] = "0.7"
    tokenizer: str = "unicode"
    min_words: Whole = Field(4, ge=1)
    max_words: Whole = Field(150, ge=1)
    blocked_words: Texts = ()
    languages: Texts = ()
    """ISO 639-1 codes; instructions in any other language are rejected. Needs the extra `languages`."""
    max_instances: Whole = Field(5, ge=1, le=100)
    validators: Texts = (DEFAULT,)
    """Checks of instances; `default` stands for those that are on by default."""
    personal_data: PersonalData = "reject"
    exclude: Paths = ()
    """Benchmarks and test sets: what is near one of their texts is rejected."""
    exclude_threshold: Annotated[str, Field(validate_default=True)] = "0.7"

    @field_validator("rouge_threshold", "exclude_threshold", mode="before")
    @classmethod
    def _decimal(cls, value: Any) -> str:
        return as_share(value)

    @field_validator("tokenizer")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in TOKENIZERS:
            raise ValueError(f"unknown tokenizer {name!r}; {unknown(name, TOKENIZERS)}")
        return name


Score = Annotated[Whole, Field(ge=1, le=5)]


class JudgeSection(Section):
    """Whether a model judges the instances that passed all rules, and what they must score."""

    enabled: bool = False
    min_valid: Score = 3
    min_input: Score = 3
    min_output: Score = 4
    unreadable: Literal["reject", "keep"] = "reject"
    """What becomes of an instance about which the judge says nothing that can be read."""
    revise: bool = False
    """Whether an instance with an unsuitable input or a wrong output is revised and judged again, once."""
    principles: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)] = (
        DEFAULT_PRINCIPLES
    )
    """What a revision is to heed."""

    @model_validator(mode="after")
    def _consistent(self) -> JudgeSection:
        if self.revise and not self.principles:
            raise ValueError("a revision needs principles; give one at least, or leave them out for the built-in ones")
        return self


class AgreementSection(Section):
    """How many answers are asked for where an answer is short and definite."""

    answers: Whole = Field(1, ge=1, le=100)
    min_share: Annotated[str, Field(validate_default=True)] = "0.5"
    """Of the answers, that must agree."""
    steps: Literal["keep", "strip"] = "keep"
    """Whether the steps before the line "Answer:" stay part of the output."""

    @field_validator("min_share", mode="before")
    @classmethod
    def _decimal(cls, value: Any) -> str:
        return as_share(value)


class RadarSection(Section):
    """When a pool is said to collapse; the keys are those of `records.Radar`, which says what each means."""

    window: Whole = Field(10, ge=1, le=1000)
    min_acceptance: float = Field(0.25, ge=0, le=1)
    max_nearest: float = Field(0.65, ge=0, le=1)
    max_openings: float = Field(0.5, ge=0, le=1)
    min_new_pairs: float = Field(0.05, ge=0, le=1)
    max_temperature: float = Field(1.3, ge=0, le=2)


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
