"""The configuration: options over environment over config file over defaults, checked once at the edge."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from selfinstruct.config import DEFAULT_POOL
from selfinstruct.config.habits import ON_KEYS, Places, is_secret
from selfinstruct.config.own_code import recipe_named
from selfinstruct.config.roles import sampling_of
from selfinstruct.config.sections import (
    BudgetSection,
    FinetuneSection,
    ModelSection,
    PriceSection,
    PublishSection,
    Role,
    VllmSection,
)
from selfinstruct.errors import ConfigError, nearest, plain_form, unknown
from selfinstruct.given_files import read_text
from selfinstruct.models.budget import Limits
from selfinstruct.own import file_and_name, is_own
from selfinstruct.recipes import RECIPES
from selfinstruct.settings import PoolSettings, RecipeSettings, Whole, as_share
from selfinstruct.steps import judging
from selfinstruct.types import storable

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


MAX_DEPTH = 64
"""Levels of tables and lists in a config file; the schema of an answer in `extra_body` has about ten."""
_FILE = "the config file"
"""What its tree is handed over as."""


class _Environment(PydanticBaseSettingsSource):
    """SELFINSTRUCT_<OPTION>, for each of `OPTIONS`; one that is empty says nothing."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for option in OPTIONS:
            value = os.environ.get(f"SELFINSTRUCT_{option.upper()}")
            if value:
                set_option(found, option, value.split() if option in {"base_url", "language", "exclude"} else value)
        return found


class Config(PoolSettings, BaseSettings):
    """Everything `generate` can be told. Keys and words stay in the environment: a key is named, never written."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, nested_model_default_partial_update=True)

    pool: Path = DEFAULT_POOL
    seeds: Path | None = None
    skip_faulty_seeds: bool = False
    """Go on without the rows of a seed file that cannot be read."""
    target: Whole | None = Field(None, ge=1, le=MOST_TASKS)
    more: Whole | None = Field(None, ge=1, le=MOST_TASKS)
    concurrency: Whole | None = Field(None, ge=1, le=4096)
    """None: 32, or with the backend `vllm` what its server can run."""
    model: ModelSection = ModelSection()
    stages: dict[str, Role] = {}
    vllm: VllmSection = VllmSection()
    min_acceptance: Annotated[float, BeforeValidator(as_share)] = Field(0.01, ge=0, le=1)
    """A run ends when less than this share of the candidates of its last 20 rounds is accepted."""
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

    @field_validator("recipe")
    @classmethod
    def _known(cls, recipe: RecipeSettings) -> RecipeSettings:
        if recipe.name not in RECIPES and not is_own("recipes", recipe.name):
            raise ValueError(f"unknown recipe {recipe.name!r}; {unknown(recipe.name, RECIPES)}")
        return recipe

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.target is not None and self.more is not None:
            raise ValueError("target and more: give one of them")
        known = (*recipe_named(self.recipe.name).stages, *judging.STAGES)
        for stage in self.stages:
            if stage not in known:
                raise ValueError(
                    f"stages.{stage}: the recipe {self.recipe.name} has no such stage; {unknown(stage, known)}"
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
        if sampling_of(self, RECIPES["chat"], "respond")["temperature"] == 0:
            raise ValueError("agreement.answers: at temperature 0 all answers are the same; "
                             "set the temperature of [stages.respond], such as 0.7")  # fmt: skip

    @property
    def own_model(self) -> tuple[str, str] | None:
        """The file and the name of the user's function that answers all stages without a base_url; None: none does."""
        return file_and_name(self.model.backend or "")

    @property
    def is_offline(self) -> bool:
        """Nothing names another model, for all stages or for one: the built-in one is meant."""
        if self.model.backend is not None:
            return self.model.backend == "offline"
        roles = (self.model, *self.stages.values())
        return all(role.name in {None, OFFLINE_MODEL} and not role.base_url for role in roles)

    @property
    def names_a_model(self) -> bool:
        """Somebody chose what answers, be it the built-in model; else a run only shows how it works."""
        return not self.is_offline or self.model.backend is not None or self.model.name is not None

    @property
    def model_name(self) -> str | None:
        """The model of the stages that name none; None when only a URL is given and the server is to be asked."""
        own = self.own_model[1] if self.own_model else None
        return OFFLINE_MODEL if self.is_offline else self.model.name or own


def set_option(tree: dict[str, Any], option: str, value: Any) -> None:
    """Put the value of an option at its place in a configuration tree."""
    *sections, key = OPTIONS[option].split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[key] = value


def load(path: Path | None, options: Mapping[str, Any], tell: Callable[[str], None] | None = None) -> Config:
    """The configuration from options (None or an empty list: not given), environment, config file and defaults.

    `tell` hears of variables that look like settings and are none.

    Raises:
        ConfigError: one line that names the option, variable or key, what was found and what is wanted.
    """
    tree: dict[str, Any] = {}
    for option, value in options.items():
        if isinstance(value, str) and storable(value) != value:
            raise ConfigError(f"--{option.replace('_', '-')}: this is no text in UTF-8: {value!r}")
        if value is not None and value not in ((), []):
            set_option(tree, option, list(value) if isinstance(value, tuple | list) else value)
    given = copy.deepcopy(tree)
    for one, other in (("target", "more"), ("more", "target")):
        if options.get(one) is not None and options.get(other) is None:
            tree[other] = None  # an option wins over the other of the two in the environment or the file
    if path is not None:
        tree[_FILE] = _read(path)
    for line in _unheard_variables():
        if tell is not None:
            tell(line)
    try:
        return Config(**tree)
    except ValidationError as error:
        raise ConfigError(_first_line(error, path, given)) from error


def _is_deeper(value: object, levels: int) -> bool:
    """Are there more than so many levels of tables and lists?"""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(read_text(path, "a config file in TOML"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from error
    except RecursionError:
        tree = None
    if tree is None or _is_deeper(tree, MAX_DEPTH):
        raise ConfigError(f"{path}: this is TOML nested too deeply; at most {MAX_DEPTH} levels are read")
    for section in ("recipe", "model"):
        if isinstance(tree.get(section), str):
            tree[section] = {"name": tree[section]}
    if isinstance(tree.get("compat"), bool) and isinstance(tree.get("recipe", {}), dict):
        tree.setdefault("recipe", {})["compat"] = tree.pop("compat")
    return tree


def option_name(option: str) -> str:
    """An option as it is written on the command line."""
    return f"--{option.replace('_', '-')}"


def places() -> Places:
    """All places of the config file, to be found by words for them."""
    tables = {name: table for name, field in Config.model_fields.items() if (table := _table(field.annotation))}
    tables = {"": Config, "model": tables.pop("model"), **tables}
    return Places(
        OPTIONS, [f"{name}.{key}".lstrip(".") for name, table in tables.items() for key in table.model_fields]
    )


def _table(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _unheard_variables() -> Iterator[str]:
    """A line for each variable that looks like one of this program and is not heard.

    Raises:
        ConfigError: it is a slip of one that would be heard, or of a key of the config file.
    """
    heard = {f"SELFINSTRUCT_{option.upper()}": place for option, place in OPTIONS.items()}
    by_place = {place: variable for variable, place in heard.items()}
    for variable in sorted(os.environ):
        found = re.fullmatch(r"self[_-]?instruct[_-]?(.+)", variable, re.IGNORECASE)
        if found is None or variable in heard:
            continue
        word = found[1]
        if is_secret(word):
            raise ConfigError(f"{variable}: no such setting; {ON_KEYS}")
        if plain_form(word) == "config":
            raise ConfigError(f"{variable}: no such setting; a config file is named by --config")
        place = places().meant(word)
        if place is None:
            yield f"{variable}: no such setting; it is not used (docs/configuration.md lists them)"
        elif place in by_place:
            raise ConfigError(f"{variable}: no such setting; did you mean {by_place[place]}?")
        else:
            raise ConfigError(f"{variable}: no such setting; set {places().in_words(place)} in a file for --config")


def _first_line(error: ValidationError, path: Path | None, given: Mapping[str, Any]) -> str:
    errors = error.errors()
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{path or 'configuration'}: {_on_unknown_key(first['loc'], first['input'])}"
    message = _in_words(first)
    if not place:
        return message
    options = {where: option for option, where in OPTIONS.items()}
    key = next((where for where in options if f"{place}.".startswith(f"{where}.")), place)
    option = option_name(options[key]) if key in options else ""
    name = (
        f"{option} ({place} in a config file)" if plain_form(option) not in {"", plain_form(place)} else option or place
    )
    if not _holds(given, key):
        variable = f"SELFINSTRUCT_{options[key].upper()}" if key in options else ""
        name = f"{variable if os.environ.get(variable) else path or 'configuration'}: {name}"
    value = first["input"]
    if place == "seed" and isinstance(value, str) and not value.strip().isdigit():
        return f"{name}: {message}, found {value!r}; did you mean --seeds {value}?"
    if not _NEVER_SHOWN.isdisjoint(first["loc"]) or not isinstance(value, str | int | float):
        return f"{name}: {message}"
    if first["type"] != "literal_error" and str(value) in message:
        return f"{name}: {message}"
    return f"{name}: {message}, found {_short(repr(value))}{_choice_meant(first, str(value))}"


_NEVER_SHOWN = {"api_key_env", "base_url", "extra_headers", "extra_body", "env"}
"""Where a key or a password may stand."""


def _holds(tree: Any, place: str) -> bool:
    for part in place.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


_WORDS = {
    "int_parsing": "wants a whole number",
    "int_type": "wants a whole number",
    "float_parsing": "wants a number",
    "float_type": "wants a number",
    "decimal_parsing": "wants a number",
    "decimal_type": "wants a number",
    "bool_parsing": "wants true or false",
    "bool_type": "wants true or false",
    "string_type": "wants a text",
    "path_type": "wants a path",
    "tuple_type": "wants a list",
    "model_type": "wants a table of keys",
    "model_attributes_type": "wants a table of keys",
    "dict_type": "wants a table of keys",
    "missing": "is missing",
    "string_too_short": "is empty",
}
"""Faults by pydantic's names for them, in words that do not speak of Python."""


def _in_words(fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    return _WORDS.get(fault["type"], message.replace("Input should be", "wants", 1) if "Input should be '" in message
                      else message.replace("Input should be", "should be", 1))  # fmt: skip


def _choice_meant(fault: Any, value: str) -> str:
    choices = re.findall(r"'([^']+)'", str(fault.get("ctx", {}).get("expected", "")))
    meant = nearest(value, choices)
    return f"; did you mean {meant}?" if meant else ""


def _on_unknown_key(loc: tuple[int | str, ...], value: Any) -> str:
    """What to say of an unknown key: never its value, which may be a key of another kind."""
    *sections, key = (str(part) for part in loc)
    place = ".".join((*sections, key))
    said = f"unknown key {place!r}; "
    if is_secret(key):
        return said + ON_KEYS
    if sections[:1] == ["prices"] and isinstance(value, dict):
        return f'{said}a name with a dot in it is quoted: [prices."{".".join((*sections[1:], key))}"]'
    if isinstance(value, dict) and not sections:
        tables = [name for name, field in Config.model_fields.items() if _table(field.annotation)]
        return said + unknown(key, [*tables, "stages", "prices"])
    beside = _keys_beside(sections)
    meant = _key_meant(sections, key, nearest(key, beside))
    return said + (f"did you mean {meant}?" if meant else f"known here: {', '.join(beside)}")


def _key_meant(sections: Sequence[str], key: str, beside: str | None) -> str | None:
    """What an unknown key was to be: the nearest in its table, unless it is spelled like one that stands elsewhere."""
    place = places().meant(key)
    if place is None or (beside is not None and plain_form(beside) == plain_form(key)):
        return beside
    table, _, found = place.rpartition(".")
    if table == ("model" if sections[:1] == ["stages"] else ".".join(sections)):
        return found
    if plain_form(key) == "maxtokens":
        return "max_tokens under [model], of one answer, or under [budget], of a whole run"
    return places().in_words(place) if beside is None or plain_form(found) == plain_form(key) else beside


def _keys_beside(sections: Sequence[str]) -> list[str]:
    """The keys of a table of the config file."""
    table: type[BaseModel] = Config
    if sections:
        named: dict[str, type[BaseModel]] = {"stages": Role, "prices": PriceSection}
        table = named.get(sections[0]) or _table(Config.model_fields[sections[0]].annotation) or Config
    return sorted(table.model_fields)


def limits_of(config: Config) -> Limits:
    """The bounds of a run, minutes apart."""
    budget = config.budget
    return Limits(budget.max_usd, budget.max_tokens, budget.max_requests, budget.pool_max_usd)
