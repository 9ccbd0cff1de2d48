"""The settings that shape a pool: their keys in the config file, defaults, bounds, meaning and options.

They are stored with each round. `config.sections` adds the settings of a run alone, such as budgets and addresses.
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


def setting(default: Any, about: str, option: str = "", shown: str = "N", **bounds: Any) -> Any:
    """The one declaration of a setting: default, meaning, bounds, and where it has one its option.

    `option` names it on the command line, in the environment (after SELFINSTRUCT_) and in forms; `shown` stands for its
    value in a help text. The meaning is that of docs/configuration.md.
    """
    extra: dict[str, Any] | None = {"option": option, "shown": shown} if option else None
    return Field(default, description=about, json_schema_extra=extra, **bounds)


class Section(BaseModel):
    """A table of the config file; an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeSettings(Section):
    """How tasks are asked for."""

    name: str = setting(
        "chat",
        "`chat` for instruction-tuned models, `paper` for base models, `original` to read and check answers of base "
        "models as the original code did, or your own as `FILE.py:NAME`",
        "recipe",
        "chat|paper|original|FILE.py:NAME",
    )
    guidance: str = setting("", "what tasks are to be like; part of every propose prompt")
    topics: Path | None = setting(None, "file of topics or personas")
    prompts: str = setting(
        STANDARD, "`small` for chat models of a few hundred million parameters, or a folder of your own prompts"
    )
    tasks_per_request: Whole = setting(6, "tasks asked for in a propose request (chat)", ge=1, le=50)
    inputs_per_task: Whole = setting(2, "most inputs asked for (chat)", ge=1, le=5)
    demonstrations: Whole = setting(8, "tasks shown in a propose prompt", ge=1, le=50)
    generated_demonstrations: Whole = setting(2, "how many of them are generated, once there are any", ge=0, le=50)


class FilterSettings(Section):
    """What a candidate must pass."""

    rouge_threshold: Share = setting(
        "0.7",
        "reject instructions with a higher ROUGE-L F1 to any seed or earlier one; an equal score passes",
        "rouge_threshold",
        "X",
    )
    tokenizer: Literal["unicode", "rouge_score"] = setting(
        "unicode", "`unicode` for any script; `rouge_score` as that package does, for unaccented Latin letters only"
    )
    min_words: Whole = setting(
        4, "shortest instruction; characters count as parts of words in scripts without spaces", ge=1
    )
    max_words: Whole = setting(150, "longest instruction", ge=1)
    blocked_words: Texts = setting((), "reject instructions with one of these words")
    languages: Texts = setting(
        (), "ask for and accept only these languages, such as `de` or `zh`; any if none is named", "language", "CODE"
    )
    max_instances: Whole = setting(5, "most instances of a task", ge=1, le=100)
    checks: Texts = setting(("default",), "checks in their order, also your own; `-NAME` takes one out; `[]`: none")
    """In stored settings the user's own is `own:DIGEST:FUNCTION`, and `default` the names that it stands for."""
    personal_data: PersonalData = setting("reject", "what to do with personal data")
    exclude: Paths = setting((), "test sets to stay clear of, in JSONL, CSV, Parquet or text", "exclude", "FILE")
    exclude_threshold: Share = setting(
        "0.7", "reject texts with a higher ROUGE-L F1 to an excluded one; an equal score passes"
    )


class JudgeSettings(Section):
    """Whether a model judges the instances that passed all rules, and what they must score, from 1 to 5."""

    enabled: bool = setting(False, "whether instances are judged")
    min_valid: Score = setting(3, 'a lower score for "valid task" rejects all instances of the task')
    min_input: Score = setting(3, 'a lower score for "suitable input" rejects the instance')
    min_output: Score = setting(4, 'a lower score for "correct output" rejects the instance')
    unreadable: Literal["reject", "keep"] = setting(
        "reject", "what happens to an instance if three answers about it cannot be read"
    )
    revise: bool = setting(False, "revise a bad input or output, then judge once more")
    principles: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)] = setting(
        (
            "The output does exactly what the instruction asks, all of it and nothing else.",
            "Every fact, figure and step in it is right; what can be computed has been computed again.",
            "Limits of form, length and language are kept to the letter.",
            "The input is complete, fits the instruction and does not give the answer away.",
        ),
        "what a revision must follow",
    )

    @model_validator(mode="after")
    def _consistent(self) -> JudgeSettings:
        if self.revise and not self.principles:
            raise ValueError("a revision needs principles; give one at least, or leave them out for the built-in ones")
        return self


class AgreementSettings(Section):
    """How many answers are asked for where an answer is short and definite, and how many of them must agree."""

    answers: Whole = setting(1, "answers to such a question", ge=1, le=100)
    min_share: Share = setting("0.5", "share that must agree")
    steps: Literal["keep", "strip"] = setting("keep", 'whether the steps before "Answer:" stay in the output')


class MonitorSettings(Section):
    """When a pool is said to collapse, as seen over `window` rounds, and how far `diversify` may go."""

    window: Whole = setting(10, "rounds looked at together", ge=1, le=1000)
    min_acceptance: float = setting(0.25, "share of candidates accepted", ge=0, le=1)
    max_nearest: float = setting(0.65, "mean ROUGE-L to the nearest earlier instruction", ge=0, le=1)
    max_openings: float = setting(0.5, "share that begins with one of ten openings", ge=0, le=1)
    min_new_pairs: float = setting(0.05, "new pairs of verb and noun for each accepted instruction", ge=0, le=1)
    max_temperature: float = setting(1.3, "`diversify` stays at or below this", ge=0, le=2)


class PoolSettings(BaseModel):
    """What a user may set that shapes the pool."""

    seed: Whole = setting(42, "seed of every random choice", "seed")
    round_size: Whole = setting(8, "propose requests in a round", "round_size", ge=1, le=1000)
    lookahead: Whole = setting(
        2,
        "rounds in flight in a young pool; later a quarter of all rounds so far, 512 at most (not with `original`)",
        "lookahead",
        ge=1,
        le=100,
    )
    recipe: RecipeSettings = RecipeSettings()
    filters: FilterSettings = FilterSettings()
    judge: JudgeSettings = JudgeSettings()
    agreement: AgreementSettings = AgreementSettings()
    diversify: Literal["off", "auto"] = setting(
        "off", "`auto`: ask for what is rare while the diversity monitor warns", "diversify"
    )
    monitor: MonitorSettings = MonitorSettings()


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
