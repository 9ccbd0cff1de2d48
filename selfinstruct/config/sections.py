"""The settings of a run alone, such as addresses and budgets, and the whole configuration as a config file has it.

What stands in `PoolSettings` or `Sampling` shapes the pool; all else concerns the run.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator
from pydantic.fields import FieldInfo

from selfinstruct.config import DEFAULT_POOL, LIMITS
from selfinstruct.config.habits import ConfigPlaces, server_meant
from selfinstruct.errors import ConfigError, nearest, option_name, unknown
from selfinstruct.given_files import read_text
from selfinstruct.models.urls import as_base_url
from selfinstruct.own import defined, file_and_name, stored_name
from selfinstruct.settings import PoolSettings, Section, Texts, Whole, as_share, setting

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
Backend = Literal["offline", "openai", "vllm"]
BACKENDS = "offline, openai, vllm, or FILE.py:FUNCTION"
OFFLINE_MODEL = "offline"
DEFAULT_TARGET = 200
MOST_TASKS = 10**9
AMOUNTS = ("target", "target_rows", "more")
"""Settings of which one may say how far a run goes."""


class Sampling(Section):
    """How a model samples; None: as the recipe says."""

    temperature: float | None = setting(None, "replaces the recipe's value in all stages", ge=0, le=2)
    top_p: float | None = setting(None, "the same", gt=0, le=1)
    max_tokens: Whole | None = setting(None, "the same", ge=1)
    presence_penalty: float | None = setting(None, "the same", ge=-2, le=2)
    frequency_penalty: float | None = setting(None, "the same", ge=-2, le=2)
    stop: Texts | None = setting(None, "the same; `paper` relies on its own stop texts")
    extra_body: dict[str, Any] = setting({}, "more fields for each request")


class Role(Sampling):
    """A model and where it is served."""

    name: str | None = setting(
        None, "the model's name at the server; not needed if the server has just one", "model", "NAME", min_length=1
    )
    base_url: tuple[str, ...] = setting((), "where the model is served; several share the work", "base_url", "URL")
    base_url_file: Path | None = setting(
        None, "file with one URL a line, read again while the run goes on: servers may come and go",
        "base_url_file", "FILE",
    )  # fmt: skip
    api_key_env: str = setting("OPENAI_API_KEY", "environment variable that holds the key")
    extra_headers: dict[str, str] = setting(
        {}, "more HTTP headers, never stored; write `${NAME}` for an environment variable, no key itself"
    )
    timeout_s: float = setting(600.0, "seconds for one attempt", gt=0)
    requests_per_minute: float | None = setting(None, "most requests a minute, to all endpoints together", gt=0)
    tokens_per_minute: float | None = setting(
        None, "the same for tokens of prompts and answers; estimated, then corrected by the answer", gt=0
    )

    @property
    def names_servers(self) -> bool:
        """Does it say where the model is served?"""
        return bool(self.base_url or self.base_url_file)

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

    backend: str | None = setting(
        None,
        "`offline`: the built-in model; `openai`: any server with that API; `vllm`: a server started for the run; "
        "`FILE.py:NAME`: a function of yours. Follows from the rest if not given",
        "backend",
        "offline|openai|vllm|FILE.py:NAME",
    )

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


def _words(value: Any) -> Any:
    """A command line may be one string, as in a shell."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no command line ({error})") from None


CommandLine = Annotated[tuple[str, ...], BeforeValidator(_words)]


class VllmSection(Section):
    """The server that `backend = "vllm"` starts and guards."""

    command: CommandLine = setting(
        (), "what is run with `serve MODEL ...`; else the `vllm` beside this Python, then the one on PATH"
    )
    args: CommandLine = setting((), "more arguments of `vllm serve`")
    env: dict[str, str] = setting({}, "environment variables for vLLM alone")
    model: str = setting("", "folder or name to load, if not `model.name`")
    start_timeout_s: float = setting(3600.0, "seconds to download and load the model", gt=0)
    stuck_s: float = setting(180.0, "restart after this many seconds without a token while requests are open", gt=0)
    max_restarts: Whole = setting(3, "restarts allowed within an hour; then the run ends with exit code 5", ge=0)


class BudgetSection(Section):
    """What a run may spend."""

    max_usd: Decimal | None = setting(
        None, "spend at most this many US dollars in one run; needs a price for each model", "max_usd", "USD", gt=0
    )
    max_tokens: Whole | None = setting(
        None,
        "use at most this many tokens of prompts and answers in one run; `model.max_tokens` limits one answer",
        "max_tokens",
        ge=1,
    )
    max_requests: Whole | None = setting(
        None, "send at most this many requests in one run, repeated ones included", "max_requests", ge=1
    )
    max_minutes: float | None = setting(None, "send nothing more after this many minutes", "max_minutes", "X", gt=0)
    pool_max_usd: Decimal | None = setting(None, "most US dollars in all runs of the pool together", gt=0)


class BatchSection(Section):
    """Questions put together into batches, which a provider answers within a day at half the price."""

    enabled: bool = setting(False, "ask by batches: at half the price, with answers within a day each time", "batch")
    folder: Path | None = setting(None, "folder for batches that `vllm run-batch` answers, in place of a provider")
    stragglers: Literal["batch", "live"] = setting(
        "batch", "where a question is asked again that its batch left without an answer", "batch_stragglers"
    )
    wait_s: float = setting(5.0, "a batch is handed in once nothing more was asked for this many seconds", gt=0)


class PriceSection(Section):
    """What a model costs, in US dollars for a million tokens."""

    input: Decimal = setting(..., "prompts", ge=0)
    output: Decimal = setting(..., "answers with their reasoning", ge=0)
    cached: Decimal | None = setting(None, "prompts from the server's cache; as `input` if not given", ge=0)


class PublishSection(Section):
    """What becomes a version of the training data, and the bounds of its gate, of figures in `versions/measures.py`."""

    formats: Texts = setting(("alpaca", "messages"), "formats of `export`, or `all`")
    split: str | None = setting(None, "as `export --split`, such as `train=0.95,test=0.05`")
    min_tasks: Whole = setting(1, "fewest tasks", ge=1)
    max_drop: float = setting(
        0.1, "how far `tasks`, `verb_noun_entropy` and `vendi_score` may fall since the last good version", ge=0, le=1
    )
    max_duplicate_share: float = setting(0.01, "duplicate rows", ge=0, le=1)
    max_short_share: float = setting(0.5, "rows with outputs of two words or fewer, except classifications", ge=0, le=1)
    max_cut_share: float = setting(0.02, "rows whose output ends in the middle", ge=0, le=1)
    min_acceptance: float = setting(0.02, "instructions accepted in the last 20 rounds", ge=0, le=1)
    min_distinct_2: float | None = setting(None, "different pairs of words", ge=0, le=1)
    max_compression_ratio: float | None = setting(None, "compression ratio", gt=0)
    max_top_openings_share: float | None = setting(None, "instructions with one of ten openings", ge=0, le=1)
    min_verb_noun_entropy: float | None = setting(None, "entropy in bits", ge=0)
    max_mean_nearest_rouge_l: float | None = setting(
        None, "mean ROUGE-L to the nearest earlier instruction", ge=0, le=1
    )
    min_vendi_score: float | None = setting(None, "Vendi score", ge=0)


class FinetuneSection(Section):
    """What is run for each version that is published."""

    command: str | None = setting(None, "what `finetune` runs; see The command")


@dataclass(frozen=True, slots=True)
class OwnCode:
    """What a `FILE.py:NAME` of the user's stands for."""

    stored: str
    """Its name in stored settings."""
    source: str
    value: Any


class Config(PoolSettings):
    """Everything `generate` can be told. Keys stay in the environment: a key is named, never written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: Path = setting(
        DEFAULT_POOL,
        "the pool's folder, made if missing; also an argument of every command but `replay`",
        "pool",
        "POOL",
    )
    seeds: Path | None = setting(
        None,
        "seeds of a new pool: a file, `hf://OWNER/NAME`, or `en` or `zh` for those of the package; the 175 English "
        "ones if not given",
        "seeds",
        "PATH",
    )
    skip_faulty_seeds: bool = setting(
        False, "go on without seed rows that cannot be read; otherwise one refuses the file", "skip_faulty_seeds"
    )
    target: Whole | None = setting(
        None,
        "stop at this many generated tasks in all; 200 if neither rows nor `more` are given",
        "target",
        ge=1,
        le=MOST_TASKS,
    )
    target_rows: Whole | None = setting(
        None,
        "stop at this many rows of generated tasks in all; the last task may bring some more",
        "target_rows",
        ge=1,
        le=MOST_TASKS,
    )
    more: Whole | None = setting(None, "add this many tasks to what the pool has", "more", ge=1, le=MOST_TASKS)
    concurrency: Whole | None = setting(
        None,
        "requests in flight for each group of stages; 32 if not given, with the backend `vllm` as many as its server "
        "can run",
        "concurrency",
        ge=1,
        le=4096,
    )
    min_acceptance: Annotated[float, BeforeValidator(as_share)] = setting(
        0.01,
        "least share of candidates accepted in the last 20 rounds, and of the last 100 finished tasks with an "
        "instance; below it the run ends with exit code 4. 0: only if there is none",
        "min_acceptance",
        "X",
        ge=0,
        le=1,
    )
    metrics_port: Whole | None = setting(
        None, "show figures of the run to Prometheus at this port, under /metrics; 0 takes a free one", "metrics_port",
        ge=0, le=65535,
    )  # fmt: skip
    metrics_host: str = setting("127.0.0.1", "the address at which `metrics_port` can be reached; `0.0.0.0`: any")
    model: ModelSection = ModelSection()
    stages: dict[str, Role] = Field({})
    vllm: VllmSection = VllmSection()
    budget: BudgetSection = BudgetSection()
    batch: BatchSection = BatchSection()
    prices: dict[str, PriceSection] = Field({})
    publish: PublishSection = PublishSection()
    finetune: FinetuneSection = FinetuneSection()
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _given: dict[str, OwnCode] = PrivateAttr(default_factory=dict)

    def give(self, own: Mapping[str, OwnCode]) -> None:
        """Let texts such as `FILE.py:NAME` stand for values of this program, whether or not there is such a file."""
        self._given.update(own)

    def own_code(self, text: str, place: str) -> OwnCode | None:
        """What `FILE.py:NAME` stands for, each file read once; None where the text is something else.

        Raises:
            ConfigError: the file cannot be read or loaded, or defines no such name.
        """
        if text in self._given:
            return self._given[text]
        found = file_and_name(text)
        if found is None:
            return None
        path, name = found
        try:
            source = self._sources.get(path) or read_text(Path(path), "a file of Python")
            self._sources[path] = source
            return OwnCode(stored_name(source, name, path), source, defined(source, name, path))
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error

    @property
    def amounts(self) -> list[str]:
        """What is given of the settings that say how far a run goes."""
        return [name for name in AMOUNTS if getattr(self, name) is not None]

    @property
    def starts_vllm(self) -> bool:
        """A vLLM server is started for the run, and serves all stages without a base_url of their own."""
        return self.model.backend == "vllm"

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
        return all(role.name in {None, OFFLINE_MODEL} and not role.names_servers for role in roles)

    @property
    def names_a_model(self) -> bool:
        """Somebody chose what answers, be it the built-in model; else a run only shows how it works."""
        return not self.is_offline or self.model.backend is not None or self.model.name is not None

    @property
    def model_name(self) -> str | None:
        """The model of the stages that name none; None when only a URL is given and the server is to be asked."""
        own = self.own_model[1] if self.own_model else None
        return OFFLINE_MODEL if self.is_offline else self.model.name or own


def _tables() -> Iterator[tuple[str, type[BaseModel]]]:
    yield "", Config
    yield "model", ModelSection
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


SECTIONS: Mapping[str, type[BaseModel]] = dict(_tables())
"""The tables of a config file that have fixed names."""
FIELDS: Mapping[str, FieldInfo] = {
    f"{name}.{key}".lstrip("."): table.model_fields[key]
    for name, table in SECTIONS.items()
    for key in sorted(table.model_fields, key=lambda key: name == "" and key in PoolSettings.model_fields)
}
"""The settings by their places in a config file."""


@dataclass(frozen=True, slots=True)
class Option:
    """A setting that the command line, the environment and forms have too."""

    name: str
    place: str
    field: FieldInfo
    shown: str
    """What stands for its value."""

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return option_name(self.name)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"SELFINSTRUCT_{self.name.upper()}"

    @property
    def group(self) -> str:
        """Where `--help` lists it; follows from its table, and at the top of the file from this list."""
        table, _, key = self.place.rpartition(".")
        return _GROUPS.get(table or key, LIMITS)

    @property
    def is_list(self) -> bool:
        """May it have several values?"""
        return get_origin(self.field.annotation) is tuple

    @property
    def help(self) -> str:
        """Its meaning and its default as a sentence."""
        about, default = str(self.field.description), self.field.default
        said = f"{about[0].upper()}{about[1:]}{'; repeatable' if self.is_list else ''}."
        return said if default in (None, False, ()) else f"{said}  [default: {default}]"

    def of(self, config: Config) -> Any:
        """Its value in a configuration."""
        return functools.reduce(getattr, self.place.split("."), config)


_GROUPS: Mapping[str, str] = {
    **dict.fromkeys(("pool", "seeds", "skip_faulty_seeds", "seed"), "Pool"),
    "model": "Model",
    **dict.fromkeys((*AMOUNTS, "recipe", "filters", "diversify"), "What is asked for"),
    "metrics_port": "Output",
}


def _option(place: str, field: FieldInfo) -> Option | None:
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        return None
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return Option(str(extra["option"]), place, field, "|".join(choices) or str(extra["shown"]))


OPTIONS: Mapping[str, Option] = {
    one.name: one for place, field in FIELDS.items() if (one := _option(place, field)) is not None
}
"""The settings that have an option, by its name with underscores."""
PLACES = ConfigPlaces({one.name: one.place for one in OPTIONS.values()}, FIELDS)
