"""The configuration: options over environment over config file over defaults, checked once at the edge."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from selfinstruct import judging
from selfinstruct.config.roles import sampling_of
from selfinstruct.config.sections import (
    AgreementSection,
    BudgetSection,
    FiltersSection,
    FinetuneSection,
    JudgeSection,
    ModelSection,
    PriceSection,
    PublishSection,
    RadarSection,
    RecipeSection,
    Role,
    VllmSection,
)
from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text
from selfinstruct.llm.budget import Limits
from selfinstruct.recipes import RECIPES

OFFLINE_MODEL = "offline"
DEFAULT_TARGET = 200
MOST_TASKS = 10**9
DEFAULT_CONCURRENCY = 32
OPTIONS: Mapping[str, str] = {
    "pool": "pool",
    "seeds": "seeds",
    "skip_faulty_seeds": "skip_faulty_seeds",
    "target": "target",
    "more": "more",
    "seed": "seed",
    "concurrency": "concurrency",
    "round_size": "round_size",
    "lookahead": "lookahead",
    "rouge_threshold": "filters.rouge_threshold",
    "language": "filters.languages",
    "exclude": "filters.exclude",
    "recipe": "recipe.name",
    "compat": "recipe.compat",
    "backend": "model.backend",
    "base_url": "model.base_url",
    "model": "model.name",
    "diversify": "diversify",
    "min_acceptance": "min_acceptance",
    "max_usd": "budget.max_usd",
    "max_tokens": "budget.max_tokens",
    "max_requests": "budget.max_requests",
    "max_minutes": "budget.max_minutes",
}
"""Where an option, or the environment variable SELFINSTRUCT_<OPTION>, stands in the config file."""


_FILE = "the config file"
"""What its tree is handed over as."""


class _Environment(PydanticBaseSettingsSource):
    """SELFINSTRUCT_<OPTION>, for each of `OPTIONS`."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for option in OPTIONS:
            value = os.environ.get(f"SELFINSTRUCT_{option.upper()}")
            if value is not None:
                set_option(found, option, value.split() if option in {"base_url", "language", "exclude"} else value)
        return found


class Config(BaseSettings):
    """Everything `generate` can be told. Keys and words stay in the environment: a key is named, never written."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, nested_model_default_partial_update=True)

    pool: Path = Path("outputs/pool")
    seeds: Path | None = None
    skip_faulty_seeds: bool = False
    """Go on without the rows of a seed file that cannot be read."""
    target: int | None = Field(None, ge=1, le=MOST_TASKS)
    more: int | None = Field(None, ge=1, le=MOST_TASKS)
    seed: int = Field(42, ge=-(2**63), lt=2**63)
    concurrency: int | None = Field(None, ge=1, le=4096)
    """None: 32, or with the backend `vllm` what its server can run."""
    round_size: int = Field(8, ge=1, le=1000)
    lookahead: int = Field(2, ge=1, le=100)
    recipe: RecipeSection = RecipeSection()
    model: ModelSection = ModelSection()
    stages: dict[str, Role] = {}
    vllm: VllmSection = VllmSection()
    filters: FiltersSection = FiltersSection()
    diversify: Literal["off", "auto"] = "off"
    """`auto`: ask for what is rare while the radar sounds an alarm."""
    radar: RadarSection = RadarSection()
    min_acceptance: float = Field(0.01, ge=0, le=1)
    """A run ends when less than this share of the candidates of its last 20 rounds is accepted."""
    judge: JudgeSection = JudgeSection()
    agreement: AgreementSection = AgreementSection()
    budget: BudgetSection = BudgetSection()
    prices: dict[str, PriceSection] = {}
    publish: PublishSection = PublishSection()
    finetune: FinetuneSection = FinetuneSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment, then the config file, which `load` hands over among the options."""
        del env_settings, dotenv_settings, file_secret_settings
        file = cast("InitSettingsSource", init_settings).init_kwargs.pop(_FILE, {})
        return init_settings, _Environment(settings_cls), InitSettingsSource(settings_cls, file)

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.target is not None and self.more is not None:
            raise ValueError("target and more: give one of them")
        known = (*RECIPES[self.recipe.name].stages, *judging.STAGES)
        for stage in self.stages:
            if stage not in known:
                raise ValueError(
                    f"stages.{stage}: the recipe {self.recipe.name} has no such stage; its stages: {', '.join(known)}"
                )
        if self.starts_vllm:
            self._check_vllm()
        if self.recipe.compat and self.recipe.name != "paper":
            raise ValueError(
                "recipe.compat reproduces the original code, which is the recipe paper; add --recipe paper"
            )
        if self.recipe.compat and self.judge.enabled:
            raise ValueError("recipe.compat reproduces the original code, which has no judge; leave out judge.enabled")
        if self.agreement.answers > 1:
            self._check_agreement()
        if self.recipe.compat and self.diversify != "off":
            raise ValueError("recipe.compat asks as the original code did, and diversify would change that; drop one")
        if self.filters.min_words > self.filters.max_words:
            raise ValueError("filters.min_words is larger than filters.max_words")
        return self

    def _check_vllm(self) -> None:
        """What cannot go together with a server that is started for the run."""
        if self.model.base_url:
            raise ValueError(
                "model.backend is vllm, which starts a server of its own, and there is a base_url; a server that runs "
                "already is used by --base-url alone"
            )
        if not self.model.name:
            raise ValueError("the backend vllm needs to be told the model, such as --model Qwen/Qwen3-8B")
        for stage, role in self.stages.items():
            if role.name not in {None, self.model.name} and not role.base_url:
                raise ValueError(
                    f"stages.{stage}: the server that is started serves {self.model.name} alone; "
                    f"give stages.{stage} a base_url where {role.name} is served"
                )

    @property
    def starts_vllm(self) -> bool:
        """A vLLM server is started for the run, and serves all stages without a base_url of their own."""
        return self.model.backend == "vllm"

    def _check_agreement(self) -> None:
        if self.recipe.name != "chat":
            raise ValueError(f"agreement.answers: the recipe {self.recipe.name} writes inputs and outputs at once; "
                             "answers that can agree need the recipe chat")  # fmt: skip
        if sampling_of(self, "chat", "respond")["temperature"] == 0:
            raise ValueError("agreement.answers: at temperature 0 all answers are the same; "
                             "set the temperature of [stages.respond], such as 0.7")  # fmt: skip

    @property
    def is_offline(self) -> bool:
        """Nothing names another model: the built-in one is meant."""
        if self.model.backend is not None:
            return self.model.backend == "offline"
        return not self.model.name and not self.model.base_url

    @property
    def model_name(self) -> str | None:
        """The model of the stages that name none; None when only a URL is given and the server is to be asked."""
        return OFFLINE_MODEL if self.is_offline else self.model.name


def set_option(tree: dict[str, Any], option: str, value: Any) -> None:
    """Put the value of an option at its place in a configuration tree."""
    *sections, key = OPTIONS[option].split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[key] = value


def load(path: Path | None, options: Mapping[str, Any]) -> Config:
    """The configuration from options (None: not given), environment, config file and defaults.

    Raises:
        ConfigError: one line that names the option or key, what was found and what is wanted.
    """
    tree: dict[str, Any] = {}
    for option, value in options.items():
        if value is not None and value != ():
            set_option(tree, option, list(value) if isinstance(value, tuple | list) else value)
    for one, other in (("target", "more"), ("more", "target")):
        if options.get(one) is not None and options.get(other) is None:
            tree[other] = None  # an option wins over the other of the two in the environment or the file
    if path is not None:
        tree[_FILE] = _read(path)
    try:
        return Config(**tree)
    except ValidationError as error:
        raise ConfigError(_first_line(error, path)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(read_text(path, "a config file in TOML"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from error
    for section in ("recipe", "model"):
        if isinstance(tree.get(section), str):
            tree[section] = {"name": tree[section]}
    if isinstance(tree.get("compat"), bool) and isinstance(tree.get("recipe", {}), dict):
        tree.setdefault("recipe", {})["compat"] = tree.pop("compat")
    return tree


def _first_line(error: ValidationError, path: Path | None) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    options = {where: option for option, where in OPTIONS.items()}
    option = f"--{options[place].replace('_', '-')}" if place in options else ""
    name = f"{option} ({place} in a config file)" if option and option[2:] != place else option or place
    if first["type"] == "extra_forbidden":
        known = ", ".join(_keys_beside(place))
        return f"{path or 'configuration'}: unknown key {place!r}; known here: {known}"
    message = first["msg"].removeprefix("Value error, ")
    if not place:
        return message
    is_secret = "base_url" in first["loc"]  # a password may stand in it
    found = "" if is_secret or repr(first["input"]) in message else f", found {_head(first['input'])}"
    return f"{name}: {message}{found}"


def _head(value: object) -> str:
    """What was found, in bearable length."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _keys_beside(place: str) -> list[str]:
    section: Any = Config
    for part in place.split(".")[:-1]:
        if section is Config and part == "stages":
            return sorted(Role.model_fields)
        annotation = section.model_fields[part].annotation if part in section.model_fields else None
        section = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else section
    return sorted(section.model_fields)


def limits_of(config: Config) -> Limits:
    """The bounds of a run, minutes apart."""
    budget = config.budget
    return Limits(budget.max_usd, budget.max_tokens, budget.max_requests, budget.pool_max_usd)
