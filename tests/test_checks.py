"""Checks: which are chosen, in which order, the user's own, and that no text makes one fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.checks import CHECKS, instance_checks
from selfinstruct.checks.instances import Case
from selfinstruct.checks.structured import python_fault
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.settings import JudgeSettings, MonitorSettings, Settings
from selfinstruct.types import Instance, InstanceCandidate, Task
from tests.builders import changed, instance_fault, settings

OF_INSTANCES = [name for name, (_, of_instances) in CHECKS.items() if of_instances]
SETTINGS = settings()


def fault(name: str, instruction: str, output: str) -> str | None:
    """The reason that one check gives for one instance."""
    found = instance_fault(changed(SETTINGS, checks=(name,)), instruction, output)
    return found.reason if found else None


def config(folder: Path, *chosen: str) -> Path:
    path = folder / "c.toml"
    path.write_text(f"[filters]\nchecks = {json.dumps(chosen)}\n", encoding="utf-8")
    return path


def of_file(folder: Path, *chosen: str) -> Settings:
    return pool_settings(load(config(folder, *chosen), {}), "m")


def test_default_stands_for_all_and_an_empty_list_for_none(tmp_path: Path) -> None:
    assert pool_settings(load(None, {}), "m").filters.checks == tuple(CHECKS)
    assert of_file(tmp_path, "regex:a", "default", "json").filters.checks == ("regex:a", *CHECKS)
    assert of_file(tmp_path, "default", "-json").filters.checks == tuple(name for name in CHECKS if name != "json")
    assert instance_checks(of_file(tmp_path)) == ()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("jsn", "unknown check 'jsn'"),
        ("regex:", "needs a pattern"),
        ("regex:(", "no regular expression"),
        ("nowhere.py:f", "nowhere.py: no such file"),
        ("FOLDER/c.py:absent", "has no function absent"),
        ("FOLDER/broken.py:f", "broken.py:2 cannot be loaded: SyntaxError"),
        ("FOLDER/raises.py:f", "ZeroDivisionError"),
        ("FOLDER/leaves.py:f", "SystemExit"),
        ("own:0123:f", "give FILE.py:NAME"),
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
    chosen = settings(
        diversify="auto", monitor=MonitorSettings(window=3), judge=JudgeSettings(enabled=True, revise=True)
    )
    assert Settings.from_json(chosen.to_json()) == chosen


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
    for output, reason, evidence in (
        ("fail", "validator_error", "is_ok: ValueError: no {luck} %s (my_checks.py:12)"),
        ("leave", "validator_error", "is_ok: SystemExit: 3 (my_checks.py:14)"),
        ("deep", "validator_error", "is_ok: RecursionError"),
        ("true", "validator_error", "is_ok gave True; wanted a text, the reason, or None"),
        ("list", "validator_error", "is_ok gave ['a']; wanted a text, the reason, or None"),
        ("odd", "validator_error", "is_ok gave a Odd; wanted a text, the reason, or None"),
        ("sentence", "is_ok", "This is not good enough."),
        ("evidence", "too_terse", "1 word"),
        ("plain", "too_terse", "is_ok said so"),
    ):
        found = instance_fault(chosen, "Say something short.", output)
        assert found is not None
        assert found.reason == reason
        assert found.evidence.startswith(evidence)
    assert instance_fault(chosen, "Say something short.", "well") is None


def test_a_check_is_known_and_kept_by_its_content_and_the_name_of_its_file_not_by_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text(OWN, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.py").write_text(OWN, encoding="utf-8")
    one = of_file(tmp_path, f"{source}:is_ok")
    assert one == of_file(tmp_path, f"{tmp_path}/elsewhere/a.py:is_ok")
    source.write_text(OWN + "\n# changed\n", encoding="utf-8")
    assert one != of_file(tmp_path, f"{source}:is_ok")
    source.unlink()
    stored = one.to_json()
    assert str(tmp_path) not in stored
    found = instance_fault(Settings.from_json(stored), "Say something short.", "plain")
    assert found is not None
    assert found.reason == "too_terse"


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


def test_patterns_are_wanted_or_forbidden() -> None:
    assert fault(r"regex:^\d+$", "Count.", "12") is None
    assert fault(r"regex:^\d+$", "Count.", "twelve") == "no_match"
    assert fault("no_regex:(?i)as an ai", "Count.", "As an AI I count to 3.") == "unwanted_match"
    assert fault("no_regex:(?i)as an ai", "Count.", "3") is None


def test_a_pattern_that_goes_on_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfinstruct.checks.patterns.TIMEOUT_S", 0.2)
    assert fault(r"regex:^(\w|\w\w|\w+\w)+$", "Count.", "a" * 60 + "!") == "validator_error"


@given(st.text(st.characters()), st.text(st.characters()), st.sampled_from(OF_INSTANCES))
def test_no_text_makes_a_check_raise(instruction: str, output: str, name: str) -> None:
    fault(name, instruction, output)
    fault(name, f"Write {name} as JSON, TOML, YAML. {instruction}", f"```json\n{output}\n```\n```py\n{output}\n```")


@pytest.mark.parametrize("name", ["labels", "hidden_characters", "json"])
def test_a_check_that_fails_rejects_the_row_and_says_so(name: str) -> None:
    broken, nothing = Task("t", None, False), Instance("", "Nothing.")  # type: ignore[arg-type]
    (check,) = instance_checks(changed(SETTINGS, checks=(name,)))
    found = check(Case(broken, InstanceCandidate("r", 0, "", "Nothing."), (), (broken, nothing)))
    assert found is not None
    assert found.reason == "validator_error"
    assert "TypeError" in found.evidence
