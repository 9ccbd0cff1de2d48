"""The documents say what the code does: tables, queries, reasons, settings, modules and tests are those of the code."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from selfinstruct import steps
from selfinstruct.cli import commands as cli
from selfinstruct.cli.streams import BROKEN_PIPE, UNWRITABLE
from selfinstruct.config.loading import load
from selfinstruct.config.sections import FIELDS, OPTIONS, SECTIONS, BudgetSection, ModelSection, PriceSection, Role
from selfinstruct.config.shaping import pool_settings
from selfinstruct.diversity.reasons import MEANINGS
from selfinstruct.errors import SelfInstructError
from selfinstruct.pool.reader import snapshot, status
from selfinstruct.pool.schema import TABLES
from selfinstruct.python import frames
from selfinstruct.recipes import RECIPES
from selfinstruct.settings import PoolSettings, Settings
from selfinstruct.steps import judging, turns
from selfinstruct.types import BY_JUDGE, BY_STEPS
from tests.builders import ROOT, grow

DOCS, PACKAGE = ROOT / "docs", ROOT / "selfinstruct"
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
POOL = (DOCS / "pool.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
BUDGETS = (DOCS / "budgets.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WRITTEN = {
    **{str(path.relative_to(DOCS).with_suffix("")): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")},
    "readme": README, "contributing": CONTRIBUTING, "agents": (ROOT / "AGENTS.md").read_text(encoding="utf-8"),
    "llms": (DOCS / "llms.txt").read_text(encoding="utf-8"),
    "changelog": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
}  # fmt: skip


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or a higher one."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their heads."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|---"):
            rows.pop()
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line[1:-1].split("|")])
    return rows


def settings_in(text: str) -> dict[str, dict[str, str]]:
    """The rows of all tables that have a column of defaults, by their first cell; each as its cells by column."""
    found: dict[str, dict[str, str]] = {}
    head: list[str] = []
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        row = [cell.strip() for cell in line[1:-1].split("|")]
        if after.startswith("|---"):
            head = row
        elif line.startswith("|") and not line.startswith("|---") and "default" in head:
            key = row[0].strip("`")
            assert key not in found, key
            found[key] = dict(zip(head, row, strict=True))
    return found


def fenced(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# --- all documents --------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The places in a document that a link may name."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
OURS = re.compile(rf"(?:{SOURCE}/(?:blob|tree)|{SOURCE.replace('github.com', 'raw.githubusercontent.com')})/main/")
"""How an address of a file of this project begins; a package index shows the README without its neighbours."""


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_links_lead_to_headings_or_files(name: str) -> None:
    folder = (DOCS / name).parent if (DOCS / f"{name}.md").exists() else ROOT
    for link in re.findall(r"\]\(([^)\s]+)\)", WRITTEN[name]):
        assert name != "readme" or link.startswith("https://"), link
        target = OURS.sub(f"{ROOT}/", link)
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        assert not file or (folder / file).exists(), target
        if anchor:
            text = (folder / file).read_text(encoding="utf-8") if file else WRITTEN[name]
            assert anchor in anchors(text), target


def test_the_site_and_its_list_for_programs_have_every_page() -> None:
    pages = {f"{name}.md" for name in WRITTEN if (DOCS / f"{name}.md").exists()}
    assert set(re.findall(r"[\w/-]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)) == pages
    assert {
        OURS.sub("", link).removeprefix("docs/") for link in re.findall(r"\((https[^)]+)\)", WRITTEN["llms"])
    } == pages


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_every_command_has_the_options_it_is_shown_with(name: str) -> None:
    commands = cli.commands()
    for block in fenced(WRITTEN[name], r"(?:sh|text)?"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"python -m selfinstruct ([^#]*)", line)
            if found is None:
                continue
            words = found[1].split()
            command = commands[words[0]]
            command = command.commands[words[1]] if hasattr(command, "commands") else command
            known = {one for parameter in command.params for one in parameter.opts}
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("name", ["architecture", "agents"])
def test_every_file_and_test_that_is_named_exists(name: str) -> None:
    text = WRITTEN[name]
    paths = [path for path in re.findall(r"`([\w./-]+(?:/|\.(?:py|md|toml)))`", text) if "NAME" not in path]
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists() or any(PACKAGE.rglob(path)), path
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    for test in re.findall(r"`(test_\w+)`", text):
        assert f"def {test}(" in sources, test


# --- architecture ---------------------------------------------------------------------------------------------------


def test_the_folders_are_those_that_are_there() -> None:
    named = {row[0].strip("`") for row in cells(section(ARCHITECTURE, "## Folders"))}
    there = {f"selfinstruct/{path.name}" for path in PACKAGE.glob("*.py") if path.name != "__init__.py"}
    there |= {f"selfinstruct/{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert {one for one in named if one.startswith("selfinstruct/")} == there


# --- pool -----------------------------------------------------------------------------------------------------------

QUERIES = dict(
    re.findall(r"^### ([^\n]+)\n\n```sql\n(.*?)^```$", section(POOL, "## Queries"), re.MULTILINE | re.DOTALL)
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pool of the built-in model."""
    folder = tmp_path_factory.mktemp("docs") / "pool"
    assert grow(folder, target=12).exit_code == 0
    return folder


@pytest.fixture
def connection(pool: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{pool / 'pool.db'}?mode=ro", uri=True)) as opened:
        yield opened


def schema() -> dict[str, list[tuple[str, str, bool]]]:
    """(column, type, may be null) of each table."""
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.executescript(TABLES)
        names = [row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [(row[1], row[2], not row[3] and not row[5]) for row in opened.execute(f"PRAGMA table_info({name})")]
            for name in names
        }


def test_every_table_has_its_section_and_no_other_has() -> None:
    assert re.findall(r"^### (\w+)$", section(POOL, "## Tables"), re.MULTILINE) == list(schema())


@pytest.mark.parametrize("table", list(schema()))
def test_every_column_is_described_with_type_and_null(table: str) -> None:
    described: dict[str, tuple[str, bool]] = {}
    for names, kinds, null, meaning in cells(section(POOL, f"### {table}")):
        columns = names.split(", ")
        types = kinds.split(", ") if ", " in kinds else [kinds] * len(columns)
        described |= {name: (kind, null != "") for name, kind in zip(columns, types, strict=True)}
        assert meaning, names
    assert described == {name: (kind, may_be_null) for name, kind, may_be_null in schema()[table]}


def test_what_is_said_to_be_one_of_a_few_words_is(connection: sqlite3.Connection) -> None:
    for table, column in re.findall(
        r"CREATE TABLE (\w+) \((?:(?!CREATE).)*?(\w+)\s+TEXT NOT NULL CHECK", TABLES, re.DOTALL
    ):
        text = next(row[3] for row in cells(section(POOL, f"### {table}")) if row[0] == column)
        for (value,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}"):
            assert f"`{value}`" in text, (table, column, value)
    for values in re.findall(r"(\w+)\s+TEXT NOT NULL CHECK \(\w+ IN \((.*?)\)\)", TABLES):
        for value in re.findall(r"'(\w+)'", values[1]):
            assert f"`{value}`" in POOL, value


def test_the_counts_add_up_by_the_queries_given(pool: Path, connection: sqlite3.Connection) -> None:
    found = {
        term: connection.execute(sql.strip("`")).fetchone()[0] for term, sql in cells(section(POOL, "## Counts add up"))
    }
    candidates = found.pop("candidates")
    assert candidates == sum(found.values()) > 12
    now = status(pool)
    assert now["candidates"] == candidates
    assert now["rejections"].keys() == {row[0] for row in connection.execute("SELECT reason FROM rejections")}
    now["rejections"] = sum(now["rejections"].values())
    assert {term: now[term] for term in found} == found


@pytest.mark.parametrize("title", list(QUERIES))
def test_every_query_runs_and_finds_something(title: str, connection: sqlite3.Connection) -> None:
    task = connection.execute("SELECT id FROM tasks WHERE origin = 'generated' ORDER BY position").fetchone()[0]
    found = connection.execute(QUERIES[title], {"task": task} if ":task" in QUERIES[title] else {}).fetchall()
    assert found or "-- may give nothing" in QUERIES[title]
    assert len(fenced(POOL, "sql")) == len(QUERIES), "a query without a title"


def test_the_query_of_training_rows_gives_what_is_exported(pool: Path, connection: sqlite3.Connection) -> None:
    found = connection.execute(QUERIES["Training rows, in the order of the export"]).fetchall()
    with snapshot(pool) as opened:
        exported = [(row.task_id, row.instruction, row.input, row.output) for row in opened.rows()]
    assert found == exported


def reasons_in(path: Path) -> set[str]:
    """The reasons that a module can give: first words of faults, arguments of rejections, (reason, evidence) pairs."""
    makers = {
        "Fault", "Rejection", "reject", "_reject", "rejection", "_rejection", "lost", "_lost", "_instance_rejection",
        "_unreadable",
    }  # fmt: skip
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
            found += [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "reason")]
        elif (
            isinstance(node, ast.Return | ast.Assign)
            and isinstance(node.value, ast.Tuple)
            and len(node.value.elts) == 2
        ):
            found.append(node.value.elts[0])
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
            found += [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
    words = {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {word for word in words if re.fullmatch(r"[a-z]+(_[a-z]+)*", word)} - {"instruction", "instance"}


def test_the_reasons_are_those_of_the_code() -> None:
    described = [row[0].strip("`") for row in cells(section(POOL, "## Reasons"))]
    assert described == sorted(set(described))
    paths = [path for part in ("checks", "recipes", "sources") for path in PACKAGE.glob(f"{part}/*.py")]
    paths.append(PACKAGE / "algorithm.py")
    assert set(described) == {*BY_JUDGE, *BY_STEPS}.union(*map(reasons_in, paths))
    original = PACKAGE / "recipes/original.py"
    elsewhere = set().union(*(reasons_in(path) for path in paths if path != original))
    marked = {row[0].strip("`") for row in cells(section(POOL, "## Reasons")) if "*original*" in row[2]}
    assert marked == reasons_in(original) - elsewhere


def test_the_meaning_of_each_reason_is_the_one_that_commands_print() -> None:
    def plain(cell: str) -> str:
        return re.sub(r" \((?:†|\*original\*)\)|`|\[(.*?)\]\(.*?\)", lambda found: found[1] or "", cell)

    assert {row[0].strip("`"): plain(row[2]) for row in cells(section(POOL, "## Reasons"))} == MEANINGS


def test_the_reasons_found_in_a_pool_are_described_for_their_kind(connection: sqlite3.Connection) -> None:
    of = {row[0].strip("`"): row[1] for row in cells(section(POOL, "## Reasons"))}
    for kind, reason in connection.execute("SELECT DISTINCT kind, reason FROM rejections"):
        assert of[reason] in {kind, "both"}, reason


def test_every_stored_setting_is_named() -> None:
    text = section(POOL, "## Settings")
    for name in Settings.model_fields:
        assert f"`{name}`" in text, name


# --- python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tasks", "rows", "rejections", "answers", "rounds", "lineage"])
def test_every_column_of_a_table_of_pandas_is_described_with_its_type(name: str) -> None:
    described = {row[0]: row[1] for row in cells(section(WRITTEN["python"], f"### {name}()"))}
    assert described == getattr(frames, name.upper())


# --- configuration --------------------------------------------------------------------------------------------------

MODELS: dict[str, type[BaseModel]] = {**SECTIONS, 'prices."MODEL"': PriceSection}
WRITTEN_KEYS = settings_in(CONFIGURATION)
FIELDS_OF_FILES = {
    **{key: field for key, field in FIELDS.items() if key not in SECTIONS and key not in {"stages", "prices", "draw"}},
    **{f'prices."MODEL".{name}': field for name, field in PriceSection.model_fields.items()},
}


def test_every_key_is_described_once_and_no_other() -> None:
    assert sorted(WRITTEN_KEYS) == sorted(FIELDS_OF_FILES)
    assert set(ModelSection.model_fields) - set(Role.model_fields) == {"backend"}


@pytest.mark.parametrize("key", sorted(FIELDS_OF_FILES))
def test_meaning_default_and_option_are_those_of_the_code(key: str) -> None:
    row, field = WRITTEN_KEYS[key], FIELDS_OF_FILES[key]
    assert re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", row["meaning"]) == field.description
    option = next((f"`{one.flag}`" for one in OPTIONS.values() if one.place == key), "")
    assert row.get("option", "").partition(" ")[0] == option
    written, default = row["default"], field.get_default(call_default_factory=True)
    if key == "judge.principles":
        assert written == "built in"
        assert default
    elif default is PydanticUndefined:
        assert written == "must be given"
    elif default is None:
        assert written == "none"
    else:
        found = tomllib.loads(f"x = {written.strip('`')}")["x"]
        assert (tuple(found) if isinstance(found, list) else found) == (
            str(default) if isinstance(default, Path) else default
        )


def test_settings_that_shape_a_pool_hold_from_the_next_planned_round_on() -> None:
    rows = {
        row[1]: re.findall(r"`\[?(\w+)\]?`", row[0])
        for row in cells(section(CONFIGURATION, "## Changing settings of a pool"))
    }
    assert sorted(rows["from the next round that is planned"]) == sorted(PoolSettings.model_fields)


def test_every_option_described_is_an_option_of_its_command() -> None:
    commands = cli.commands()
    for row in WRITTEN_KEYS.values():
        if row.get("option"):
            option, _, of = row["option"].partition(" ")
            params = commands[of.strip("()") or "generate"].params
            assert option.strip("`") in {one for parameter in params for one in parameter.opts}, option


def test_the_variable_of_every_option_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"pool": "p", "seeds": "s.jsonl", "rouge_threshold": "0.6", "recipe": "paper",
              "skip_faulty_seeds": "true",
              "backend": "openai", "base_url": "http://a/v1 http://b/v1", "model": "m", "language": "en zh",
              "min_acceptance": "0.5", "max_usd": "1.25", "diversify": "off"}  # fmt: skip
    for name, one in OPTIONS.items():
        if name not in {"target_rows", "more", "batch", "batch_stragglers"}:  # which do not go with the others
            monkeypatch.setenv(one.variable, values.get(name, "7"))
    found = load(None, {})
    assert found.skip_faulty_seeds
    assert (found.pool, found.seeds, found.target, found.seed) == (Path("p"), Path("s.jsonl"), 7, 7)
    assert (found.concurrency, found.round_size, found.lookahead) == (7, 7, 7)
    assert (found.recipe.name, found.filters.rouge_threshold) == ("paper", "0.6")
    assert found.model.base_url == ("http://a/v1", "http://b/v1")
    assert (found.model.backend, found.model.name) == ("openai", "m")
    assert (found.filters.languages, found.min_acceptance) == (("en", "zh"), 0.5)
    assert found.budget == BudgetSection(max_usd=Decimal("1.25"), max_tokens=7, max_requests=7, max_minutes=7)


@pytest.mark.parametrize("key", sorted(FIELDS_OF_FILES))
def test_the_bounds_described_are_kept(key: str) -> None:
    """Of "integer, LOW to HIGH", "integer, LOW or more", "number above LOW": bounds are taken, no value beyond."""
    name, _, inner = key.rpartition(".")
    model = MODELS[name]
    beside = {one: 1 for one, field in model.model_fields.items() if field.is_required()}
    taken: list[int] = []
    refused: list[int] = []
    if said := re.match(r"(?:integer|number), (-?\d+)(?: or more| to (-?\d+))", WRITTEN_KEYS[key]["type"]):
        taken = [int(bound) for bound in said.groups() if bound]
        refused = [int(said[1]) - 1, *([int(said[2]) + 1] if said[2] else [])]
    elif said := re.match(r"number above (\d+)", WRITTEN_KEYS[key]["type"]):
        refused = [int(said[1])]
    for bound in taken:
        assert float(getattr(model(**{**beside, inner: bound}), inner)) == bound
    for beyond in refused:
        with pytest.raises(ValueError, match=inner):
            model(**{**beside, inner: beyond})


def test_the_example_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in OPTIONS.values():
        monkeypatch.delenv(one.variable, raising=False)
    example, *more = fenced(CONFIGURATION, "toml")
    (tmp_path / "c.toml").write_text(example, encoding="utf-8")
    (tmp_path / "personas.txt").write_text("a nurse\n", encoding="utf-8")
    for number, text in enumerate(more):
        (tmp_path / f"{number}.toml").write_text(text, encoding="utf-8")
    (tmp_path / "topics.txt").write_text("# wards\nnight shifts\n", encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "respond.txt").write_text("[system]\nBe kind.", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = pool_settings(load(Path("c.toml"), {}), "m")
    drawn, mixed = (pool_settings(load(Path(f"{number}.toml"), {}), "m") for number in range(len(more)))
    assert (len(drawn.draw), mixed.recipe.sources) == (3, ("demonstrations", "demonstrations", "evolve"))
    assert (settings.topics, settings.prompts["respond"]) == (("night shifts",), "[system]\nBe kind.")
    assert settings.stages["respond"].model == "gpt-4o"
    assert "extra_body" in settings.stages["propose"].sampling
    assert "extra_body" not in settings.stages["respond"].sampling


def test_short_forms_and_merging_are_as_described(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('recipe = "paper"\n[model]\nname = "a"\ntop_p = 0.5\n', encoding="utf-8")
    found = load(path, {"model": "b"})
    assert (found.recipe.name, found.model.name, found.model.top_p) == ("paper", "b", 0.5)
    path.write_text('model = "a"\n', encoding="utf-8")
    assert load(path, {}).model.name == "a"


def test_stages_and_their_sampling_are_those_of_the_recipes() -> None:
    found = {
        (row[0], row[1].strip("`")): json.loads(row[3].strip("`"))
        for row in cells(section(CONFIGURATION, "### [stages.NAME]"))
    }
    assert found == {
        (recipe.name, stage): dict(recipe.sampling[stage]) for recipe in RECIPES.values() for stage in recipe.stages
    } | {("both", stage): dict(steps.sampling_at(stage, PoolSettings())) for stage in steps.BUILT_IN} | {
        ("both", "the name of a [step](own.md#steps) of yours"): dict(steps.DEFAULT_SAMPLING)
    }


def test_prompts_and_their_placeholders_are_those_of_the_recipes() -> None:
    found = {
        (row[0], file): set(re.findall(r"`(\w+)`", row[2]))
        for row in cells(section(CONFIGURATION, "## Prompts and topics"))
        for file in re.findall(r"`([^`]+)`", row[1])
    }
    prompts = ROOT / "selfinstruct/recipes/prompts"
    both = {judging.JUDGE: "both", turns.TURNS: "both"}
    files = {
        (both.get(of := path.relative_to(prompts).parts[0], of), path.name): path
        for pattern in ("*/*.txt", "*/standard/*.txt")
        for path in prompts.glob(pattern)
    }
    assert set(found) == set(files)
    for recipe in (*RECIPES, "both", "sources"):
        for names in {frozenset(names) for (of, _), names in found.items() if of == recipe}:
            group = [files[key] for key, value in found.items() if key[0] == recipe and value == names]
            used = {
                name
                for path in group
                for name in re.findall(r"\{\{(\w+)(?:\?|\|[^}]*)?\}\}", path.read_text(encoding="utf-8"))
            }
            assert used == names


# --- budgets --------------------------------------------------------------------------------------------------------


def test_the_examples_of_budgets_load_and_every_bound_is_explained(tmp_path: Path) -> None:
    examples = fenced(BUDGETS, "toml")
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.toml"
        path.write_text(example, encoding="utf-8")
        load(path, {})
    options = {one.place: one.flag for one in OPTIONS.values()}
    for bound in BudgetSection.model_fields:
        name = options.get(f"budget.{bound}", bound)
        assert any(name in row[0] for row in cells(section(BUDGETS, "## Bounds"))), bound
    assert any("[prices." in example for example in examples)


def test_exit_codes_are_those_of_the_errors_and_of_the_pump() -> None:
    described = {int(row[0]) for row in cells(section(CONFIGURATION, "## Exit codes"))}
    errors: list[type[SelfInstructError]] = [SelfInstructError, *SelfInstructError.__subclasses__()]
    given = {error.exit_code for error in errors}
    for name in ("runner/pump.py", "runner/run.py", "cli/generate.py"):
        text = (ROOT / "selfinstruct" / name).read_text(encoding="utf-8")
        given |= {int(code) for code in re.findall(r"\bOutcome\(\s*(\d+),", text)}
    assert described == given | {UNWRITABLE, BROKEN_PIPE}


# --- fine-tuning ----------------------------------------------------------------------------------------------------


def test_the_settings_of_fine_tuning_are_those_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    job = importlib.import_module("finetune_trl")
    text = WRITTEN["finetuning"]
    described = {row[0].strip("`"): row[1:] for row in cells(section(text, "## Settings"))}
    assert list(described) == [one.name for one in fields(job.Job)]
    for one in fields(job.Job):
        default, about = described[one.name]
        if one.default in {"", 0, ()} and one.default is not False:
            assert default == ("must be given" if one.name in {"data", "out"} else "none"), one.name
        else:
            assert default == f"`{str(one.default).lower() if isinstance(one.default, bool) else one.default}`", (
                one.name
            )
        assert about.replace("`", "") == one.metadata["help"].replace("`", ""), one.name
    (example,) = fenced(text, "toml")
    (tmp_path / "job.toml").write_text(example, encoding="utf-8")
    assert job.read_job(["--config", str(tmp_path / "job.toml")]).epochs == 3
