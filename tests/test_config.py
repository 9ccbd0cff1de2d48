"""What is nearly right in a config file, an option or a variable is answered in one line by what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfinstruct.config.loading import load
from selfinstruct.config.sections import OPTIONS, Config
from selfinstruct.errors import ConfigError

KEY = "sk-proj-4f9d2c7be1"


def refused(path: Path | None = None, **options: object) -> str:
    """The line by which a configuration is refused."""
    with pytest.raises(ConfigError) as fault:
        load(path, options)
    line = str(fault.value)
    assert "\n" not in line
    for leak in ("Input should", "dictionary", "instance of", "parse string", "valid integer"):
        assert leak not in line
    return line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "night.toml"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("taget = 5", "did you mean target?"),
        ("round-size = 5", "did you mean round_size?"),
        ("roundSize = 5", "did you mean round_size?"),
        ("num_instructions_to_generate = 5", "did you mean target?"),
        ("rouge_threshold = 0.6", "did you mean rouge_threshold under [filters]?"),
        ("temprature = 1", "did you mean temperature under [model]?"),
        ('base_url = "http://localhost:8000/v1"', "did you mean base_url under [model]?"),
        ('OPENAI_BASE_URL = "http://localhost:8000/v1"', "did you mean base_url under [model]?"),
        ("max_tokens = 5", "max_tokens under [model], of one answer, or under [budget], of a whole run"),
        ("[model]\nmodle = 'x'", "did you mean name?"),
        ("[model]\ntemprature = 1", "did you mean temperature?"),
        ("[model]\nmax_new_tokens = 1", "did you mean max_tokens?"),
        ("[stages.respond]\nmodel = 'x'", "did you mean name?"),
        ("[stages.respond]\ntemperture = 1", "did you mean temperature?"),
        ("[filters]\nlanguage = 'de'", "did you mean languages?"),
        ("[judge]\nmin_outptu = 3", "did you mean min_output?"),
        ('[prices."m"]\ninptu = 1\noutput = 2', "did you mean input?"),
        ("[prices.gpt-4.1]\ninput = 1\noutput = 2", 'quoted: [prices."gpt-4.1"]'),
        ("[filter]\nmin_words = 3", "did you mean filters?"),
        ("[stage.respond]\nname = 'x'", "did you mean stages?"),
        ("[zoo]\nx = 1", "known: model, recipe"),
        ("[stages.respnd]\nname = 'x'", "did you mean respond?"),
        ("recipe = 'Papr'", "did you mean paper?"),
        ("[recipe]\nname = 'paper'\ncompat = true", 'recipe = "original" at the top, which is --recipe original'),
        ("compat = true", "--recipe original"),
        ("[model]\nbackend = 'vlm'", "did you mean vllm?"),
        ("[filters]\npersonal_data = 'maks'", "did you mean mask?"),
        ("[filters]\ntokenizer = 'rouge'", "did you mean rouge_score?"),
        ("judge = true", "judge: wants a table of keys"),
        ("target = true", "wants a whole number"),
        ("[judge]\nmin_valid = 'high'", "wants a whole number"),
        ("[stages]\nrespond = 'x'", "wants a table of keys"),
        ("seed = 'my.jsonl'", "did you mean --seeds my.jsonl?"),
    ],
)
def test_what_is_nearly_right_in_a_file_is_told_by_what_was_meant(file: Path, text: str, meant: str) -> None:
    file.write_text(text)
    line = refused(file)
    assert meant in line
    assert file.name in line or "stages.respnd" in line


@pytest.mark.parametrize("place", [one.place for one in OPTIONS.values() if "." not in one.place])
def test_a_slip_in_any_key_at_the_top_is_told(file: Path, place: str) -> None:
    file.write_text(f"{place[:-2] + place[-1] + place[-2]} = 1" if place != "seeds" else "sedes = 1")
    assert f"did you mean {place}?" in refused(file)


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{KEY}"',
        f'[model]\napi_key = "{KEY}"',
        f'[model]\nAPI-Key = "{KEY}"',
        f'[stages.respond]\ntoken = "{KEY}"',
        f'OPENAI_API_KEY = "{KEY}"',
        f'[model]\napi_key_env = "{KEY}"',
        f'[model]\napi_key_env = "gsk_{KEY.replace("-", "")}"',
        f'[model]\nextra_headers = "Bearer {KEY}"',
    ],
)
def test_a_key_in_a_file_is_never_said_again_and_its_variable_is_named(file: Path, text: str) -> None:
    file.write_text(text)
    line = refused(file)
    assert KEY[-6:] not in line
    assert "api_key_env" in line or "extra_headers" in line


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ollama", "http://localhost:11434/v1"), ("Ollama", "http://localhost:11434/v1"),
        ("olama", "http://localhost:11434/v1"), ("llamacpp", "http://localhost:8080/v1"),
        ("llama.cpp", "http://localhost:8080/v1"), ("llama-cpp", "http://localhost:8080/v1"),
        ("lmstudio", "http://localhost:1234/v1"), ("LM Studio", "http://localhost:1234/v1"),
        ("sglang", "http://localhost:30000/v1"), ("tgi", "http://localhost:3000/v1"),
        ("together", "https://api.together.xyz/v1"), ("openrouter", "https://openrouter.ai/api/v1"),
        ("groq", "https://api.groq.com/openai/v1"), ("gemini", "generativelanguage.googleapis.com"),
    ],
)  # fmt: skip
def test_a_server_or_provider_as_backend_is_answered_by_its_address(name: str, url: str) -> None:
    line = refused(backend=name)
    assert "--backend" in line
    assert f"--base-url {url}" in line or url in line


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SELFINSTRUCT_TARGT", "did you mean SELFINSTRUCT_TARGET?"),
        ("selfinstruct_target", "did you mean SELFINSTRUCT_TARGET?"),
        ("SELF_INSTRUCT_TARGET", "did you mean SELFINSTRUCT_TARGET?"),
        ("SELFINSTRUCT_BASEURL", "did you mean SELFINSTRUCT_BASE_URL?"),
        ("SELFINSTRUCT_URL", "did you mean SELFINSTRUCT_BASE_URL?"),
        ("SELFINSTRUCT_MODEL__NAME", "did you mean SELFINSTRUCT_MODEL?"),
        ("SELFINSTRUCT_BUDGET_MAX_USD", "did you mean SELFINSTRUCT_MAX_USD?"),
        ("SELFINSTRUCT_LANGUAGES", "did you mean SELFINSTRUCT_LANGUAGE?"),
        ("SELFINSTRUCT_COMPAT", "did you mean SELFINSTRUCT_RECIPE=original?"),
        ("SELFINSTRUCT_TEMPERATURE", "temperature under [model]"),
        ("SELFINSTRUCT_JUDGE_ENABLED", "enabled under [judge]"),
        ("SELFINSTRUCT_CONFIG", "--config"),
        ("SELFINSTRUCT_API_KEY", "OPENAI_API_KEY"),
    ],
)
def test_a_variable_that_is_nearly_one_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, KEY)
    line = refused()
    assert line.startswith(variable)
    assert meant in line
    assert KEY not in line


def test_any_other_variable_of_that_beginning_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFINSTRUCT_VLLM_PYTHON", "/opt/python")
    monkeypatch.setenv("SELFINSTRUCT_TARGET", "7")
    monkeypatch.setenv("_SELFINSTRUCT_COMPLETE", "bash")
    told: list[str] = []
    assert load(None, {}, told.append).target == 7
    (line,) = told
    assert line.startswith("SELFINSTRUCT_VLLM_PYTHON: ")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS.values():
        monkeypatch.setenv(option.variable, "")
    assert load(None, {}) == Config()


def test_a_fault_is_told_with_where_it_stands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("target = 'many'")
    assert refused(file).startswith(f"{file}: --target: ")
    assert refused(file, target="few").startswith("--target: ")
    file.write_text("")
    monkeypatch.setenv("SELFINSTRUCT_TARGET", "some")
    assert refused(file).startswith("SELFINSTRUCT_TARGET: --target: ")


@pytest.mark.parametrize(
    ("given_as", "number"),
    [("1000", 1000), ("1_000", 1000), ("1e3", 1000), ("1k", 1000), ("1.5K", 1500), ("2M", 2_000_000), (1000.0, 1000)],
)
def test_whole_numbers_are_taken_in_every_usual_form(given_as: object, number: int) -> None:
    assert load(None, {"target": given_as}).target == number
    assert load(None, {"max_tokens": given_as}).budget.max_tokens == number


@pytest.mark.parametrize(
    "number",
    ["9" * 20, "-" + "9" * 20, "9" * 5000, "1e30", "1e999999999999", "-3", "0", "1.5", "k", "", "nan", "inf", "1,000,0",
     "0x10", "٣٫٥", 10**20, 1e300, float("inf"), float("nan"), 1.5, True],
)  # fmt: skip
def test_numbers_that_are_none_or_too_large_are_refused_in_one_line(number: object) -> None:
    for option in ("target", "more", "max_tokens", "concurrency"):
        line = refused(**{option: number})
        assert line.startswith(f"--{option.replace('_', '-')}")
        assert len(line) < 250


def test_one_text_may_stand_for_a_list(file: Path) -> None:
    file.write_text("[model]\nbase_url = 'http://a/v1'\nstop = 'END'\n[filters]\nchecks = 'json'\nexclude = 'x'\n")
    found = load(file, {})
    assert (found.model.base_url, found.model.stop, found.filters.checks) == (("http://a/v1",), ("END",), ("json",))
    assert found.filters.exclude == (Path("x"),)
