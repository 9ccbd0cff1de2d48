"""Validators: which are chosen, what each finds and leaves alone, and the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct import algorithm
from selfinstruct.checks import BUILT_IN, validators
from selfinstruct.checks.structured import python_fault
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError
from selfinstruct.pool.reader import status
from selfinstruct.settings import JudgeSettings, RadarSettings, Settings
from selfinstruct.types import Instance, InstanceCandidate, Task, Written
from tests.builders import grow, rows, settings


def fault(name: str, instruction: str, output: str, given: str = "") -> str | None:
    """The reason that a validator gives for one instance."""
    (check,) = validators(settings(validators=(name,), own_code={}, personal_data="off"))
    found = check(Task("t", instruction, False), Instance(given, output))
    return found.reason if found else None


def config(folder: Path, *chosen: str, personal_data: str = "off") -> Path:
    path = folder / "c.toml"
    listed = ", ".join(json.dumps(one) for one in chosen)
    path.write_text(f'[filters]\nvalidators = [{listed}]\npersonal_data = "{personal_data}"\n', encoding="utf-8")
    return path


def of_file(folder: Path, *chosen: str) -> Settings:
    return pool_settings(load(config(folder, *chosen), {}), "m")


def settled(of: Settings, *outputs: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The outputs that are kept, and reason and evidence of the others."""
    candidates = tuple(InstanceCandidate("r", place, "", output) for place, output in enumerate(outputs))
    _, kept, rejected = algorithm.screen_instances(
        Task("t", "Say something short.", False), Written(False, candidates), of
    )
    return [one.output for one in kept], [(one.reason, one.evidence) for one in rejected]


# --- choosing -------------------------------------------------------------------------------------------------------


def test_the_default_list_is_all_that_is_built_in() -> None:
    assert pool_settings(load(None, {}), "m").filters.validators == tuple(BUILT_IN)


def test_default_in_a_list_stands_for_the_default_ones_and_an_empty_list_for_none(tmp_path: Path) -> None:
    assert of_file(tmp_path, "regex:a", "default", "json").filters.validators == ("regex:a", *BUILT_IN)
    assert of_file(tmp_path).filters.validators == ()
    assert validators(of_file(tmp_path)) == ()


def test_the_cheapest_run_first_whatever_the_order_of_the_list(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("def own(task, instance):\n    return 'own_reason'\n", encoding="utf-8")
    chosen = of_file(tmp_path, f"{tmp_path}/c.py:own", "json", "no_regex:oops")
    candidates = [InstanceCandidate("r", place, "", text) for place, text in enumerate(["oops", "{", "{}"])]
    _, _, rejected = algorithm.screen_instances(
        Task("t", "Answer in JSON.", False), Written(False, tuple(candidates)), chosen
    )
    assert [one.reason for one in rejected] == ["unwanted_match", "invalid_json", "own_reason"]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("jsn", "unknown validator 'jsn'"),
        ("regex:", "needs a pattern"),
        ("regex:(", "no regular expression"),
        ("nowhere.py:f", "nowhere.py: no such file"),
        ("FOLDER/c.py:absent", "has no function absent"),
        ("FOLDER/broken.py:f", "broken.py:2 cannot be loaded: SyntaxError"),
        ("FOLDER/raises.py:f", "ZeroDivisionError"),
        ("FOLDER/leaves.py:f", "SystemExit"),
        ("own:0123:f", "give FILE.py:FUNCTION"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: str, said: str
) -> None:
    for name, source in {"c": "x = 1", "broken": "\ndef f(:", "raises": "1 / 0", "leaves": "exit(3)"}.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    path = config(tmp_path, chosen.replace("FOLDER", str(tmp_path)))
    assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--target", "1", "--config", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "p" / "pool.db").exists()


def test_settings_are_stored_and_read_again() -> None:
    chosen = settings(diversify="auto", radar=RadarSettings(window=3), judge=JudgeSettings(enabled=True, revise=True))
    assert Settings.from_json(chosen.to_json()) == chosen


# --- the user's own -------------------------------------------------------------------------------------------------

OWN = """
import math
from dataclasses import dataclass

@dataclass
class Length:
    words: int

def is_ok(task, instance):
    text = instance.output
    if text == "fail":
        raise ValueError("no {luck} %s")
    if text == "leave":
        raise SystemExit(3)
    if text == "deep":
        return is_ok(task, instance)
    if text == "true":
        return True
    if text == "list":
        return ["a"]
    if text == "odd":
        return Odd()
    if text == "sentence":
        return "This is not good enough."
    if text == "evidence":
        return f"too_terse: {Length(1).words} word"
    return "too_terse" if text == "plain" else None

class Odd:
    def __repr__(self):
        raise RuntimeError
"""


def test_a_check_of_the_users_gives_reasons_and_its_errors_are_rejections(tmp_path: Path) -> None:
    (tmp_path / "my_checks.py").write_text(OWN, encoding="utf-8")
    chosen = of_file(tmp_path, f"{tmp_path}/my_checks.py:is_ok")
    for output, wanted in {
        "fail": ("validator_error", "is_ok: ValueError: no {luck} %s"),
        "leave": ("validator_error", "is_ok: SystemExit: 3"),
        "true": ("validator_error", "is_ok gave True; wanted a text, the reason, or None"),
        "list": ("validator_error", "is_ok gave ['a']; wanted a text, the reason, or None"),
        "odd": ("validator_error", "is_ok gave a Odd; wanted a text, the reason, or None"),
        "sentence": ("is_ok", "This is not good enough."),
        "evidence": ("too_terse", "1 word"),
        "plain": ("too_terse", "is_ok said so"),
    }.items():
        assert settled(chosen, output) == ([], [wanted])
    assert settled(chosen, "deep")[1][0][1].startswith("is_ok: RecursionError")
    assert settled(chosen, "well") == (["well"], [])


def test_a_check_is_known_by_its_content_not_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.py").write_text(OWN, encoding="utf-8")
    one = of_file(tmp_path, f"{tmp_path}/a.py:is_ok")
    assert one == of_file(tmp_path, f"{tmp_path}/elsewhere/b.py:is_ok")
    (tmp_path / "a.py").write_text(OWN + "\n# changed\n", encoding="utf-8")
    assert one != of_file(tmp_path, f"{tmp_path}/a.py:is_ok")


def test_a_pool_grows_with_a_check_of_the_users_and_needs_its_file_only_at_the_start(tmp_path: Path) -> None:
    source = tmp_path / "short.py"
    source.write_text(
        "def short(task, instance):\n    return 'long_winded' if len(instance.output) > 60 else None\n",
        encoding="utf-8",
    )
    path = config(tmp_path, "default", f"{source}:short")
    grow(tmp_path / "p", target=30, config=path)
    found = status(tmp_path / "p")
    assert (found["tasks"], found["rejections"]["long_winded"] > 0) == (30, True)
    assert (
        rows(tmp_path / "p", "SELECT MAX(LENGTH(i.output)) FROM instances i WHERE request_id IS NOT NULL")[0][0] <= 60
    )
    (stored,) = {row[0] for row in rows(tmp_path / "p", "SELECT settings FROM configurations")}
    kept = Settings.from_json(stored)
    source.unlink()
    assert settled(kept, "x" * 61)[1][0][0] == "long_winded"
    assert str(tmp_path) not in stored


# --- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["-" * 40_000 + "1", "not " * 9000, "a" + ".b" * 20_000, "1" + "+1" * 20_000, "9" * 9000]
)
def test_no_depth_of_nesting_stops_the_parser(text: str) -> None:
    assert python_fault(text) is not None
    for name in ("json", "xml", "yaml", "toml"):
        fault(name, f"Answer in {name.upper()}.", text)


def test_the_text_is_parsed_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for code in (f"open({str(target)!r}, 'w')", f"import pathlib\npathlib.Path({str(target)!r}).touch()"):
        assert fault("python_syntax", "Write Python code.", f"```python\n{code}\n```") is None
    yaml = f"!!python/object/apply:os.system ['touch {target}']"
    assert fault("yaml", "Answer in YAML.", yaml) is None
    entity = f'<!DOCTYPE a [<!ENTITY e SYSTEM "file://{target}">]><a>&e;</a>'
    assert fault("xml", "Answer in XML.", entity) is None
    assert not target.exists()


# --- patterns -------------------------------------------------------------------------------------------------------


def test_patterns_are_wanted_or_forbidden() -> None:
    assert fault(r"regex:^\d+$", "Count.", "12") is None
    assert fault(r"regex:^\d+$", "Count.", "twelve") == "no_match"
    assert fault("no_regex:(?i)as an ai", "Count.", "As an AI I count to 3.") == "unwanted_match"
    assert fault("no_regex:(?i)as an ai", "Count.", "3") is None


def test_a_pattern_that_goes_on_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfinstruct.checks.patterns.TIMEOUT_S", 0.2)
    assert fault(r"regex:^(\w|\w\w|\w+\w)+$", "Count.", "a" * 60 + "!") == "validator_error"


@given(st.text(st.characters()), st.text(st.characters()), st.sampled_from(list(BUILT_IN)))
def test_no_text_makes_a_validator_raise(instruction: str, output: str, name: str) -> None:
    fault(name, instruction, output)
    fault(name, f"Write {name} as JSON, TOML, YAML. {instruction}", f"```json\n{output}\n```\n```py\n{output}\n```")


def test_an_unknown_validator_in_stored_settings_is_an_error_not_a_pass() -> None:
    with pytest.raises(ConfigError, match="unknown validator"):
        validators(settings(validators=("from_the_future",)))
