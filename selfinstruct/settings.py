"""The settings that shape a pool: their keys in the config file, defaults and bounds.

They are stored with each round. `config` adds the settings of a run alone, such as budgets and addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from selfinstruct.types import StageModel, canonical_json

LARGEST = 2**63 - 1
"""What the database can hold."""
STANDARD = "standard"
_UNITS = {"k": 1_000, "m": 1_000_000}


def as_share(value: Any) -> str:
    """A number from 0 to 1 as the shortest decimal that says it. Raises: ValueError."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not (number.is_finite() and 0 <= number <= 1):
        raise ValueError(f"{value} is no number between 0 and 1")
    return format(number.normalize(), "f")


def _whole(value: Any) -> Any:
    """A whole number out of 1_000, 1e3, 1k or 2M; anything else as it is. Raises: ValueError."""
    if isinstance(value, bool):
        raise ValueError("wants a whole number")  # noqa: TRY004 - as pydantic wants it
    number: Any = value
    try:
        if isinstance(value, str):
            unit: int = _UNITS.get(value[-1:].lower(), 1)
            number = Decimal(value[:-1] if unit > 1 else value) * unit
        if not isinstance(number, int | float | Decimal):
            return value
        if not -LARGEST <= number <= LARGEST:
            raise ValueError("this number is too large")
        whole = int(number)
    except ArithmeticError:
        raise ValueError("wants a whole number, such as 1000 or 1k") from None
    if whole != number:
        raise ValueError("wants a whole number")
    return whole


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_whole)]
Share = Annotated[str, BeforeValidator(as_share), Field(validate_default=True)]
"""From 0 to 1: a decimal, kept as text so that comparing with it is exact."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several texts; one may stand alone."""
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
PersonalData = Literal["off", "mask", "reject"]
"""What becomes of texts with personal data: they stay, get a placeholder, or are rejected."""
Score = Annotated[Whole, Field(ge=1, le=5)]


class Section(BaseModel):
    """A table of the config file; an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeSettings(Section):
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
    """Tasks shown in a propose prompt."""
    generated_demonstrations: Whole = Field(2, ge=0, le=50)
    """How many of them are generated ones, when there are any."""


class FilterSettings(Section):
    """What a candidate must pass."""

    rouge_threshold: Share = "0.7"
    tokenizer: Literal["unicode", "rouge_score"] = "unicode"
    min_words: Whole = Field(4, ge=1)
    max_words: Whole = Field(150, ge=1)
    blocked_words: Texts = ()
    languages: Texts = ()
    """ISO 639-1 codes; instructions in any other language are rejected. Needs the extra `languages`."""
    max_instances: Whole = Field(5, ge=1, le=100)
    checks: Texts = ("default",)
    """In order; `default` stands for all built-in ones, `-NAME` takes one out. Stored by name, the user's own as
    `own:DIGEST:FUNCTION`."""
    personal_data: PersonalData = "reject"
    exclude: Paths = ()
    """Benchmarks and test sets: what is near one of their texts is rejected."""
    exclude_threshold: Share = "0.7"


class JudgeSettings(Section):
    """Whether a model judges the instances that passed all rules, and what they must score, from 1 to 5."""

    enabled: bool = False
    min_valid: Score = 3
    min_input: Score = 3
    min_output: Score = 4
    unreadable: Literal["reject", "keep"] = "reject"
    """What becomes of an instance about which the judge says nothing that can be read."""
    revise: bool = False
    """Whether an instance with an unsuitable input or a wrong output is revised and judged again, once."""
    principles: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)] = (
        "The output does exactly what the instruction asks, all of it and nothing else.",
        "Every fact, figure and step in it is right; what can be computed has been computed again.",
        "Limits of form, length and language are kept to the letter.",
        "The input is complete, fits the instruction and does not give the answer away.",
    )
    """What a revision must follow."""

    @model_validator(mode="after")
    def _consistent(self) -> JudgeSettings:
        if self.revise and not self.principles:
            raise ValueError("a revision needs principles; give one at least, or leave them out for the built-in ones")
        return self


class AgreementSettings(Section):
    """How many answers are asked for where an answer is short and definite, and how many of them must agree."""

    answers: Whole = Field(1, ge=1, le=100)
    min_share: Share = "0.5"
    """Of the answers, that must agree."""
    steps: Literal["keep", "strip"] = "keep"
    """Whether the steps before the line "Answer:" stay part of the output."""


class RadarSettings(Section):
    """When a pool is said to collapse, as seen over `window` rounds, and how far `diversify` may go."""

    window: Whole = Field(10, ge=1, le=1000)
    """Rounds that are looked at together."""
    min_acceptance: float = Field(0.25, ge=0, le=1)
    """Share of the judged candidates that are accepted."""
    max_nearest: float = Field(0.65, ge=0, le=1)
    """Mean ROUGE-L F1 of the accepted instructions to the nearest earlier one."""
    max_openings: float = Field(0.5, ge=0, le=1)
    """Share of the judged instructions that begin with one of the ten most frequent openings."""
    min_new_pairs: float = Field(0.05, ge=0, le=1)
    """Share of the accepted instructions that bring a new pair of verb and noun."""
    max_temperature: float = Field(1.3, ge=0, le=2)
    """Temperatures are not raised above this."""


class PoolSettings(BaseModel):
    """What a user may set that shapes the pool."""

    seed: Whole = 42
    round_size: Whole = Field(8, ge=1, le=1000)
    lookahead: Whole = Field(2, ge=1, le=100)
    recipe: RecipeSettings = RecipeSettings()
    filters: FilterSettings = FilterSettings()
    judge: JudgeSettings = JudgeSettings()
    agreement: AgreementSettings = AgreementSettings()
    diversify: Literal["off", "auto"] = "off"
    """`auto`: ask for what is rare while the radar sounds an alarm."""
    radar: RadarSettings = RadarSettings()


class Settings(PoolSettings):
    """What is stored with a round: the pool's settings, with what files and servers brought in their place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: Mapping[str, str]
    """Prompt templates of the recipe by name, by content, with the wanted languages in words."""
    topics: tuple[str, ...] = ()
    stages: Mapping[str, StageModel]
    context_length: int | None = None
    """The most tokens of prompt and answer that every endpoint takes; None: they do not say."""
    own_code: Mapping[str, str] = {}
    """Sources of the user's own checks and recipe by digest."""
    exclusions: tuple[str, ...] = ()
    """Ids of what is kept out, ascending; the texts are stored once with the pool."""

    def to_json(self) -> str:
        """The same text for equal settings, whatever the order they were given in."""
        return canonical_json(self.model_dump(mode="json"))

    @staticmethod
    def from_json(text: str) -> Settings:
        """The settings that `to_json` wrote."""
        return Settings.model_validate_json(text)
