"""The configuration: options over environment over config file over defaults, checked once at the edge."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from selfinstruct.config.habits import ON_KEYS, VALUES, is_secret
from selfinstruct.config.roles import recipe_named, sampling_of
from selfinstruct.config.sections import AMOUNTS, OPTIONS, PLACES, SECTIONS, Config, PriceSection, Role
from selfinstruct.constraints import KINDS, kinds_of
from selfinstruct.errors import ConfigError, nearest, plain_form, unknown
from selfinstruct.given_files import read_text
from selfinstruct.own import DEFAULT, is_own
from selfinstruct.recipes import ORIGINAL, RECIPES
from selfinstruct.sources import OF_DOCUMENTS, SOURCES
from selfinstruct.steps import BUILT_IN, OF_JUDGE, STEPS, attempts, sampling, stages_of, turns
from selfinstruct.types import storable

MAX_DEPTH = 64
"""Levels of tables and lists in a config file; the schema of an answer in `extra_body` has about ten."""
_BY_PLACE = {one.place: one for one in OPTIONS.values()}
_NEVER_SHOWN = {"api_key_env", "base_url", "extra_headers", "extra_body", "env"}
"""Where a key or a password may stand."""
Tree = dict[str, Any]


def load(path: Path | None, options: Mapping[str, Any], tell: Callable[[str], None] | None = None) -> Config:
    """The configuration from options (None or an empty list: not given), environment, config file and defaults.

    `tell` hears of variables that look like settings and are none.

    Raises:
        ConfigError: one line that names the option, variable or key, what was found and what is wanted.
    """
    given: Tree = {}
    for name, value in options.items():
        if isinstance(value, str) and storable(value) != value:
            raise ConfigError(f"{OPTIONS[name].flag}: this is no text in UTF-8: {value!r}")
        if value is not None and value not in ((), []):
            put(given, OPTIONS[name].place, value)
    return configured(path, given, tell)


def configured(path: Path | None, given: Tree, tell: Callable[[str], None] | None = None) -> Config:
    """The configuration from settings as a config file has them, over environment, config file and defaults.

    `given` holds single keys and tables. `tell` and errors are those of `load`.
    """
    file = {} if path is None else _read(path)
    for line in _unheard_variables():
        if tell is not None:
            tell(line)
    environment: Tree = {}
    for one in OPTIONS.values():
        if value := os.environ.get(one.variable):
            put(environment, one.place, value.split() if one.is_list else value)
    # Of these, an option wins over the others in the environment or the file.
    other: Tree = {} if given.keys().isdisjoint(AMOUNTS) else dict.fromkeys(AMOUNTS)

    def named(place: str) -> str:
        return _named(place, given, path)

    try:
        config = Config.model_validate(over(over(file, environment), other | given))
    except ValidationError as error:
        raise ConfigError(_fault(error, named, path)) from error
    if config.recipe.name not in RECIPES and not is_own("recipes", config.recipe.name):
        fault = f"unknown recipe {config.recipe.name!r}; {unknown(config.recipe.name, RECIPES)}"
        raise ConfigError(f"{named('recipe.name')}: {fault}")
    _check(config)
    return config


def put(tree: Tree, place: str, value: Any) -> None:
    """Set what stands at a place such as `budget.max_usd`."""
    section, _, key = place.rpartition(".")
    (tree.setdefault(section, {}) if section else tree)[key] = value


def over(low: Tree, high: Tree) -> Tree:
    """One tree of settings over another: single keys replace, tables are merged."""
    merged = {**low, **high}
    for key in low.keys() & high.keys():
        if isinstance(low[key], dict) and isinstance(high[key], dict):
            merged[key] = over(low[key], high[key])
    return merged


def _read(path: Path) -> Tree:
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
    return tree


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _unheard_variables() -> Iterator[str]:
    """A line for each variable that looks like one of this program and is not heard.

    Raises:
        ConfigError: it is a slip of one that would be heard, or of a key of the config file.
    """
    heard = {one.variable for one in OPTIONS.values()}
    for variable in sorted(os.environ):
        found = re.fullmatch(r"self[_-]?instruct[_-]?(.+)", variable, re.IGNORECASE)
        if found is None or variable in heard:
            continue
        place = PLACES.meant(found[1])
        if of := VALUES.get(plain_form(found[1])):
            raise ConfigError(f"{variable}: no such setting; did you mean {OPTIONS[of[0]].variable}={of[1]}?")
        if is_secret(found[1]):
            raise ConfigError(f"{variable}: no such setting; {ON_KEYS}")
        if plain_form(found[1]) == "config":
            raise ConfigError(f"{variable}: no such setting; a config file is named by --config")
        if place is None:
            yield f"{variable}: no such setting; it is not used (docs/configuration.md lists them)"
        elif place in _BY_PLACE:
            raise ConfigError(f"{variable}: no such setting; did you mean {_BY_PLACE[place].variable}?")
        else:
            raise ConfigError(f"{variable}: no such setting; set {PLACES.in_words(place)} in a file for --config")


def _check(config: Config) -> None:
    """Refuse settings that cannot go together. Raises: ConfigError."""
    recipe, model, vllm = config.recipe, config.model, config.starts_vllm
    known = tuple(dict.fromkeys((*recipe_named(config).stages, *BUILT_IN, *stages_of(config))))
    is_original = recipe.name == ORIGINAL
    original = f"the recipe {ORIGINAL} does as the original code did, which"
    several = config.agreement.answers > 1
    faults = [
        (len(config.amounts) > 1, f"{' and '.join(config.amounts)}: give one of them"),
        *(
            (stage not in known, f"stages.{stage}: the recipe {recipe.name} has no such stage; {unknown(stage, known)}")
            for stage in config.stages
        ),
        (
            vllm and model.names_servers,
            (
                "model.backend is vllm, which starts a server of its own, and there is a base_url; a server that runs "
                "already is used by --base-url alone"
            ),
        ),
        (
            config.batch.enabled and (vllm or config.is_offline or config.own_model is not None),
            "--batch is for providers and for `batch.folder`; what answers here does so at once, so leave it out",
        ),
        (
            config.batch.enabled and any(role.base_url_file for role in (config.model, *config.stages.values())),
            "--batch leaves its questions with one provider; name it by --base-url and leave out the URL file",
        ),
        (
            bool(config.batch.model_fields_set) and "enabled" not in config.batch.model_fields_set,
            "[batch] does nothing unless batches are switched on; add --batch",
        ),
        (
            bool(config.judge.model_fields_set) and "enabled" not in config.judge.model_fields_set,
            "[judge] does nothing unless the judge is switched on; set judge.enabled = true",
        ),
        (
            "agreement" in config.model_fields_set and "answers" not in config.agreement.model_fields_set,
            "[agreement] does nothing with one answer; set agreement.answers, such as 5",
        ),
        (
            config.is_offline and model.backend is not None and model.names_servers,
            "model.backend is offline, the built-in model, and there is a base_url; leave out one of them",
        ),
        (vllm and not model.name, "the backend vllm needs to be told the model, such as --model Qwen/Qwen3-8B"),
        *(
            (
                vllm and role.name not in {None, model.name} and not role.names_servers,
                (
                    f"stages.{stage}: the server that is started serves {model.name} alone; "
                    f"give stages.{stage} a base_url where {role.name} is served"
                ),
            )
            for stage, role in config.stages.items()
        ),
        (is_original and config.judge.enabled, f"{original} has no judge; leave out judge.enabled"),
        *_faults_of_steps(config),
        (
            "evolve" in config.model_fields_set and "evolve" not in config.recipe.sources,
            "[evolve] does nothing, since the source is not listed; add 'evolve' to recipe.sources",
        ),
        (
            "quotas" in config.model_fields_set and not config.quotas.over,
            "[quotas] does nothing without a list; name one of [draw] in quotas.over",
        ),
        (
            "documents" in config.model_fields_set and not {*config.recipe.sources} & {*OF_DOCUMENTS},
            f"[documents] does nothing, since no source writes about them; add {OF_DOCUMENTS[0]!r} to recipe.sources",
        ),
        (
            config.documents.pairs > 1 and "back_translation" not in config.recipe.sources,
            "documents.pairs is for the source back_translation, which is not in recipe.sources; leave it out",
        ),
        (is_original and config.diversify != "off", f"{original} has no diversify; leave it out"),
        (is_original and bool(config.filters.languages), f"{original} looks at no languages; leave out --language"),
        (
            several and recipe.name != "chat",
            (
                f"agreement.answers: the recipe {recipe.name} writes inputs and outputs at once; "
                "answers that can agree need the recipe chat"
            ),
        ),
        (
            several and sampling_of(config, RECIPES["chat"], "respond")["temperature"] == 0,
            (
                "agreement.answers: at temperature 0 all answers are the same; "
                "set the temperature of [stages.respond], such as 0.7"
            ),
        ),
        *(
            (
                is_set and recipe.name != "chat",
                f"{name}: the recipe {recipe.name} asks base models in its own way; it needs the recipe chat",
            )
            for name, is_set in (
                ("recipe.with_answer", recipe.with_answer),
                ("recipe.reasoning", recipe.reasoning != "free"),
                ("constraints.share", config.constraints.share != "0"),
                *((f"recipe.sources: {source}", True) for source in config.recipe.sources if source in SOURCES),
            )
        ),
        (
            recipe.with_answer and not several,
            "recipe.with_answer needs several answers to compare; set agreement.answers, such as 5",
        ),
        *(
            (
                name not in known_kinds,
                f"constraints: no such kind {name!r}; {unknown(name, known_kinds)}",
            )
            for known_kinds in ((*KINDS, "ifeval"),)
            for name in (*config.constraints.kinds, *config.constraints.leave_out)
        ),
        (
            config.constraints.share != "0" and not kinds_of(config.constraints.kinds, config.constraints.leave_out),
            "constraints.leave_out leaves no kind",
        ),
        (
            "constraints" in config.model_fields_set and config.constraints.share == "0",
            "[constraints] does nothing at a share of 0; set constraints.share, such as 0.5",
        ),
        (config.filters.min_words > config.filters.max_words, "filters.min_words is larger than filters.max_words"),
    ]
    for is_broken, fault in faults:
        if is_broken:
            raise ConfigError(fault)


def _faults_of_steps(config: Config) -> Iterator[tuple[bool, str]]:
    """What is wrong with the steps that ask several times, each as (it is, in words)."""
    listed, recipe = config.recipe.steps, recipe_named(config)
    for step in (sampling.SAMPLE, attempts.ATTEMPTS, turns.TURNS):
        is_original = config.recipe.name == ORIGINAL and step in listed
        yield (
            is_original,
            f"the recipe {ORIGINAL} does as the original code did, which has no step {step}; leave it out",
        )
        does_nothing = step in config.model_fields_set and step not in listed
        yield does_nothing, f"[{step}] does nothing, since the step is not listed; add {step!r} to recipe.steps"
    names = [step for step in listed if step in {DEFAULT, *STEPS}]
    if twice := next((step for step in listed if listed.count(step) > 1), None):
        yield True, f"recipe.steps: {twice} is listed twice; list each once"
    elif turns.TURNS in names[:-1]:
        yield True, f"recipe.steps: {turns.TURNS} goes on from what the others leave; list it after {names[-1]}"
    for stage in config.sample.stages:
        is_taken = stage in (*recipe.stages, *OF_JUDGE, *attempts.STAGES, *turns.STAGES)
        yield is_taken, f"sample.stages: {stage} is the name of another stage; give it one of its own"
        is_unknown = stage != sampling.SAMPLE and stage not in config.stages
        yield is_unknown, f"sample.stages: {stage} has no table [stages.{stage}] that names its model"
    several = [stage for stage in stages_of(config) if stage in attempts.STAGES and config.attempts.answers > 1]
    if config.sample.answers > 1 + len(config.sample.stages):
        several += [stage for stage in stages_of(config) if stage in config.sample.stages]
    for stage in several:
        is_zero = not config.is_offline and sampling_of(config, recipe, stage).get("temperature") == 0
        yield is_zero, f"stages.{stage}: at temperature 0 all answers are the same; set another one, such as 0.7"


def _named(place: str, given: Tree, path: Path | None) -> str:
    """A place as the user gave it: an option, else a variable or a file before it."""
    one = next((option for where, option in _BY_PLACE.items() if f"{place}.".startswith(f"{where}.")), None)
    if one is None:
        return f"{path or 'configuration'}: {place}"
    is_same = plain_form(one.name) == plain_form(place)
    name = one.flag if is_same else f"{one.flag} ({place} in a config file)"
    section, _, key = one.place.rpartition(".")
    if key in (given.get(section, {}) if section else given):
        return name
    return f"{one.variable if os.environ.get(one.variable) else path or 'configuration'}: {name}"


def _fault(error: ValidationError, named: Callable[[str], str], path: Path | None) -> str:
    """The first fault in one line: where it stands, what was found, what is wanted."""
    errors = error.errors()
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place, value = ".".join(str(part) for part in first["loc"]), first["input"]
    if first["type"] == "extra_forbidden":
        return f"{path or 'configuration'}: {_on_unknown_key(first['loc'], value)}"
    said = str(first["msg"]).removeprefix("Value error, ")
    wants = "wants" if "Input should be '" in said else "should be"
    message = _WORDS.get(first["type"], said.replace("Input should be", wants, 1))
    line = f"{named(place)}: {message}" if place else f"{path or 'configuration'}: {message}"
    if place == "seed" and isinstance(value, str) and not value.strip().isdigit():
        return f"{line}, found {value!r}; did you mean --seeds {value}?"
    if not _NEVER_SHOWN.isdisjoint(first["loc"]) or not isinstance(value, str | int | float):
        return line
    if first["type"] != "literal_error" and str(value) in message:
        return line
    shown = repr(value)
    choices = re.findall(r"'([^']+)'", str(first.get("ctx", {}).get("expected", "")))
    meant = nearest(str(value), choices)
    return f"{line}, found {shown if len(shown) <= 80 else f'{shown[:77]}...'}" + (
        f"; did you mean {meant}?" if meant else ""
    )


_WORDS = {
    **dict.fromkeys(("int_parsing", "int_type"), "wants a whole number"),
    **dict.fromkeys(("float_parsing", "float_type", "decimal_parsing", "decimal_type"), "wants a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "wants true or false"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "wants a table of keys"),
    "string_type": "wants a text",
    "path_type": "wants a path",
    "tuple_type": "wants a list",
    "missing": "is missing",
    "string_too_short": "is empty",
    "too_short": "names none; wanted is one at least",
}
"""Faults by pydantic's names for them, in words that do not speak of Python."""


def _on_unknown_key(loc: tuple[int | str, ...], value: Any) -> str:
    """What to say of an unknown key: never its value, which may be a key of another kind."""
    *sections, key = (str(part) for part in loc)
    said = f"unknown key {'.'.join((*sections, key))!r}; "
    if is_secret(key):
        return said + ON_KEYS
    if of := VALUES.get(plain_form(key)):
        return f'{said}did you mean {of[0]} = "{of[1]}" at the top, which is {OPTIONS[of[0]].flag} {of[1]}?'
    if sections[:1] == ["prices"] and isinstance(value, dict):
        return f'{said}a name with a dot in it is quoted: [prices."{".".join((*sections[1:], key))}"]'
    if isinstance(value, dict) and not sections:
        return said + unknown(key, [*filter(None, SECTIONS), "stages", "prices"])
    within: dict[str, type[BaseModel]] = {**SECTIONS, "stages": Role, "prices": PriceSection}
    beside = sorted(within[sections[0] if sections else ""].model_fields)
    meant = _key_meant(sections, key, nearest(key, beside))
    return said + (f"did you mean {meant}?" if meant else f"known here: {', '.join(beside)}")


def _key_meant(sections: Sequence[str], key: str, beside: str | None) -> str | None:
    """What an unknown key was to be: the nearest in its table, unless it is spelled like one that stands elsewhere."""
    place = PLACES.meant(key)
    if place is None or (beside is not None and plain_form(beside) == plain_form(key)):
        return beside
    table, _, found = place.rpartition(".")
    if table == ("model" if sections[:1] == ["stages"] else ".".join(sections)):
        return found
    if plain_form(key) == "maxtokens":
        return "max_tokens under [model], of one answer, or under [budget], of a whole run"
    return PLACES.in_words(place) if beside is None or plain_form(found) == plain_form(key) else beside
