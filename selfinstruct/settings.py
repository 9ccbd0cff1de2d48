"""The settings that shape a pool: their keys in the config file, defaults, bounds, meaning and options.

They are stored with each round. `config.sections` adds the settings of a run alone, such as budgets and addresses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_list
from selfinstruct.types import StageModel, canonical_json

MOST_ANSWERS = 100
"""That are asked for to one question."""
LARGEST = 2**63 - 1
"""What the database can hold."""
STANDARD = "standard"
TAKEN = frozenset({
    "parent", "ways", "document", "passage", "passage_as", "topic", "id", "position", "origin", "state", "name",
    "instruction", "is_classification", "as_proposed", "round", "source", "request_id", "request_position", "parents",
    "nearest_score", "nearest_task", "mean_score", "most_similar", "system", "answer", "constraints", "demands",
    "drawn", "of_task", "input", "output", "reasoning", "turns", "ended",
})  # fmt: skip
"""Names of what sources draw themselves, of topics, and of columns, which no list of `draw` can have."""
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


def _not_empty(value: Any) -> Any:
    """The path of a folder or file, which has to be said. Raises: ValueError."""
    if value == "":
        raise ValueError("is empty; name a folder or a file")
    return value


def _turns(value: Any) -> Any:
    """Names, each as often as its weight says; anything else as it is. Raises: ValueError."""
    if not isinstance(value, list | tuple) or not any(isinstance(one, dict) for one in value):
        return _listed(value)
    entries = [one if isinstance(one, dict) else {"name": one} for one in value]
    weights = [one.get("weight", 1) for one in entries]
    if any(one.keys() - {"name", "weight"} or "name" not in one for one in entries):
        raise ValueError('wants names, or tables such as { name = "evolve", weight = 2 }')
    if not all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= 100 for one in weights):
        raise ValueError("a weight is a whole number from 1 to 100")
    least = math.gcd(*weights)
    return [one["name"] for one, weight in zip(entries, weights, strict=True) for _ in range(weight // least)]


def _weighed(value: Any) -> Any:
    """Values with their weights out of a list or the path of a file; anything else as it is. Raises: ValueError."""
    try:
        found = read_list(Path(value), "value") if isinstance(value, str) else value
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if isinstance(found, list | tuple):
        if not all(isinstance(one, str) and one.strip() for one in found):
            raise ValueError("wants texts that are not empty")
        return dict(Counter(found))
    return found


Whole = Annotated[int, BeforeValidator(_whole)]
Share = Annotated[str, BeforeValidator(as_share), Field(validate_default=True)]
"""From 0 to 1: a decimal, kept as text so that comparing with it is exact."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several texts; one may stand alone."""
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
Drawn = Annotated[Mapping[Annotated[str, Field(min_length=1)], Annotated[int, Field(ge=1)]], BeforeValidator(_weighed)]
"""Values with their weights: a list, a table, or a text file with one a line."""
Kinds = Annotated[
    tuple[Literal["follow_up", "correction", "changed_constraint", "clarification"], ...], BeforeValidator(_listed)
]
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
    sources: Annotated[Texts, BeforeValidator(_turns)] = setting(
        ("demonstrations",), "sources that propose requests take in turn, also your own; one named twice has two turns"
    )
    steps: Texts = setting(
        ("default",),
        "steps in their order, also your own; `default` is `judge`, which is switched on in its own table; "
        "`sample`, `attempts` and `turns` are others",
    )
    """In stored settings the user's own is `own:DIGEST:NAME`; so in other lists."""
    tasks_per_request: Whole = setting(6, "tasks asked for in a propose request (chat)", ge=1, le=50)
    inputs_per_task: Whole = setting(2, "most inputs asked for (chat)", ge=1, le=5)
    demonstrations: Whole = setting(8, "tasks shown in a propose prompt", ge=1, le=50)
    generated_demonstrations: Whole = setting(2, "how many of them are generated, once there are any", ge=0, le=50)
    with_answer: bool = setting(
        False, "ask for an answer with each new task, and keep it if most answers to the task are that one (chat)"
    )
    reasoning: Literal["free", "step_by_step", "least_to_most"] = setting(
        "free", "how a task is to be worked out before it is answered (chat); `free`: as the model likes"
    )
    before_answer: Literal["keep", "strip", "reasoning"] = setting(
        "keep", 'what becomes of the steps before "Answer:": part of the output, left out, or kept as reasoning'
    )


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
    personal_data: PersonalData = setting("reject", "what to do with personal data")
    exclude: Paths = setting(
        (), "test sets to stay clear of, in JSONL, CSV, Parquet or text, or by `hf://OWNER/NAME`", "exclude", "FILE"
    )
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

    answers: Whole = setting(1, "answers to such a question", ge=1, le=MOST_ANSWERS)
    min_share: Share = setting("0.5", "share that must agree")


class SampleSettings(Section):
    """The step `sample`: of several answers to the question of each row, the best becomes its output."""

    answers: Whole = setting(4, "answers to a question, the first one included", ge=2, le=MOST_ANSWERS)
    stages: Texts = setting(
        ("sample",), "stages that answer in turn, each with the model of its own table `[stages.NAME]`", min_length=1
    )
    by: Literal["points", "pairs"] = setting(
        "points", "`points`: the judge scores each answer; `pairs`: it compares each two, in both orders"
    )


class AttemptsSettings(Section):
    """The step `attempts`: how often a weak and a strong model answer the question of a row rightly."""

    answers: Whole = setting(
        4, "answers of each model; their tables are `[stages.weak]` and `[stages.strong]`", ge=1, le=MOST_ANSWERS
    )
    right_by: Literal["answer", "judge"] = setting(
        "answer", "`answer`: right is what says the same as a short definite output; `judge`: what it takes for correct"
    )
    max_weak: Share = setting("0.75", "reject rows that a larger share of the weak model's answers gets right")
    min_strong: Share = setting("0.5", "reject rows that a smaller share of the strong model's answers gets right")
    min_gap: Share = setting("0.25", "reject rows where the share of the strong model is not so much larger")


class TurnsSettings(Section):
    """The step `turns`: a model in the part of the user goes on with the conversation of each row."""

    most: Whole = setting(2, "most turns of the user after the first one", ge=1, le=10)
    kinds: Kinds = setting(
        ("follow_up", "correction", "changed_constraint", "clarification"),
        "what the user does, drawn for each turn; a kind named twice comes twice as often",
        min_length=1,
    )


class ConstraintSettings(Section):
    """Demands on answers that a program can check, added to new tasks."""

    share: Share = setting("0", "share of the tasks that get some (chat); none are added to classifications")
    most: Whole = setting(2, "most constraints of a task, which gets one at least", ge=1, le=3)
    kinds: Texts = setting((), "kinds to draw from; all if none is named")
    leave_out: Texts = setting((), "kinds to leave out; `ifeval` stands for those that this benchmark asks for too")


class EvolveSettings(Section):
    """The source `evolve`: a task of the pool is changed in some ways."""

    ways: Texts = setting(
        ("deeper", "narrower", "concrete", "reasoning", "rarer"),
        "ways to change a task, of which each request names `recipe.tasks_per_request` at most",
        min_length=1,
    )
    max_similarity: Share = setting(
        "0.9", "reject as `not_evolved` what has a higher ROUGE-L F1 to its parent; other tasks count as always"
    )

    @model_validator(mode="after")
    def _known(self) -> EvolveSettings:
        known = type(self).model_fields["ways"].default
        if wrong := [way for way in self.ways if way not in known]:
            raise ValueError(f"there is no way {wrong[0]!r}; known are {', '.join(known)}")
        return self


class DocumentSettings(Section):
    """The sources `documents` and `back_translation`: tasks are written about passages of your own texts."""

    path: Annotated[Path, BeforeValidator(_not_empty)] | None = setting(
        None, "folder or file of texts: .txt, .md, .html, .jsonl, .parquet, .pdf; kept with the pool by content"
    )
    passage_words: Whole = setting(250, "most words of a passage, about", ge=30, le=2000)
    passage: Literal["input", "closed_book"] = setting(
        "input", "`input`: the passage is the input of its tasks; `closed_book`: only the one who answers them sees it"
    )
    pairs: Whole = setting(
        1, "`back_translation`: rows of one file with `input` and `output` that get one instruction", ge=1, le=20
    )


class QuotaSettings(Section):
    """How many tasks each combination of drawn values gets."""

    over: Texts = setting((), "lists of `[draw]` whose combinations count; none: there are no quotas")
    each: Whole = setting(10, "most accepted tasks of a combination", ge=1)


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
    sample: SampleSettings = SampleSettings()
    attempts: AttemptsSettings = AttemptsSettings()
    turns: TurnsSettings = TurnsSettings()
    constraints: ConstraintSettings = ConstraintSettings()
    draw: Mapping[str, Drawn] = {}
    """What each request draws a value of, by name."""
    quotas: QuotaSettings = QuotaSettings()
    evolve: EvolveSettings = EvolveSettings()
    documents: DocumentSettings = DocumentSettings()
    diversify: Literal["off", "auto"] = setting(
        "off", "`auto`: ask for what is rare while the diversity monitor warns", "diversify"
    )
    monitor: MonitorSettings = MonitorSettings()

    @model_validator(mode="after")
    def _drawn_from(self) -> Self:
        if taken := sorted(self.draw.keys() & TAKEN):
            raise ValueError(f"draw.{taken[0]}: this is the name of something else already; give the list another one")
        if odd := [name for name in self.draw if not name.isidentifier()]:
            raise ValueError(f"draw.{odd[0]}: wanted is a name of letters, digits and _ that begins with no digit")
        if empty := [name for name, values in self.draw.items() if not values]:
            raise ValueError(f"draw.{empty[0]}: the list has no value; give one at least")
        if twice := [name for name in self.quotas.over if self.quotas.over.count(name) > 1]:
            raise ValueError(f"quotas.over: {twice[0]!r} stands there twice; name each list once")
        if unknown := [name for name in self.quotas.over if name not in self.draw]:
            known = ", ".join(self.draw) or "none"
            raise ValueError(f"quotas.over: there is no list {unknown[0]!r} in [draw]; known: {known}")
        return self


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
    """Sources of the user's own checks, steps and recipe by digest."""
    exclusions: tuple[str, ...] = ()
    """Ids of what is kept out, ascending; the texts are stored once with the pool."""
    passages: str = ""
    """The id of the set of passages that tasks are written about; the texts are stored once with the pool."""

    def to_json(self) -> str:
        """The same text for equal settings, whatever the order they were given in."""
        return canonical_json(self.model_dump(mode="json"))

    @staticmethod
    def from_json(text: str) -> Settings:
        """The settings that `to_json` wrote."""
        return Settings.model_validate_json(text)
