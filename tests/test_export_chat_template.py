"""The check of rows against a tokenizer's chat template, with a real tokenizer and real templates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.exports.chat_template import FAULTS, ChatTemplate
from selfinstruct.exports.choice import Choice
from selfinstruct.exports.formats import Wording
from selfinstruct.exports.writing import Options, export
from selfinstruct.pool.records import Row
from selfinstruct.types import Instance, Task
from tests.builders import ROOT, made_pool
from tests.chat_models import CHATML, tokenizer_in

TRIMMING = CHATML.replace("message['content']", "message['content'] | trim")
DOUBLING = CHATML.replace("{{ message['content'] }}", "{{ message['content'] }}{{ message['content'] }}")
THINKING = CHATML.replace("message['content']", "message['content'].split('</think>')[-1]")
NO_SYSTEM = "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{% endfor %}" + CHATML  # fmt: skip  # noqa: E501
DROPS_SYSTEM = CHATML.replace("in messages %}", "in messages if message['role'] != 'system' %}")
OTHER_PROMPT = CHATML.replace("<|im_start|>assistant\n{% endif", "<|im_start|>assistant:{% endif")
PICKY = "{% for message in messages %}{% if 'secret' in message['content'] %}{{ raise_exception('no') }}{% endif %}{% endfor %}" + CHATML  # fmt: skip  # noqa: E501


def figures(folder: Path, rows: list[Row], template: str = CHATML, **options: Any) -> dict[str, Any]:
    checked = ChatTemplate(str(tokenizer_in(folder, template)), options.pop("wording", Wording()), **options)
    for row in rows:
        checked.count(row)
    return checked.to_json()


def row(instruction: str, output: str, number: int = 0) -> Row:
    return Row("t1", instruction, Instance("", output), 1, number)


FRAME = len(
    "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n".replace("<|im_start|>", "S").replace("<|im_end|>", "E")
)
"""Tokens of the template around a question and before its answer: one for each mark, one for each other byte."""


def test_lengths_and_the_share_that_the_loss_sees_are_exact(tmp_path: Path) -> None:
    rows = [row("Name a colour.", "Red.", 0), row("Name a town.", "Łódź.", 1)]
    asked, answered = (len("Name a colour."), len("Name a town.")), (4, len("Łódź.".encode()))
    lengths = [FRAME + a + b + len("E\n") for a, b in zip(asked, answered, strict=True)]
    found = figures(tmp_path, rows)
    assert found["tokens"] == {
        "total": sum(lengths), "mean": sum(lengths) / 2, "p50": min(lengths), "p90": max(lengths), "p99": max(lengths),
        "max": max(lengths),
    }  # fmt: skip
    assert found["share_of_tokens_learned"] == round((sum(answered) + 2 * len("E\n")) / sum(lengths), 4)
    assert (found["rows"], found["rows_over_limit"], found["faults"]) == (2, 0, {})


@pytest.mark.parametrize(
    ("template", "instruction", "output", "faults"),
    [
        (CHATML, " Name a colour. ", "\nRed.\n", {}),
        (TRIMMING, "Name a colour.", "Red.", {}),
        (TRIMMING, "Name a colour. ", "Red.", {"trimmed": 1}),
        (TRIMMING, "Name a colour.", "\n Red.\n", {"trimmed": 1}),
        (DOUBLING, "Name a colour.", "Red.", {"doubled": 1}),
        (THINKING, "Name a colour.", "<think>Hm.</think>Red.", {"swallowed": 1}),
        (THINKING, "What does </think> close?", "Thoughts.", {"swallowed": 1}),
        (THINKING, "Name a colour.", "Red.", {}),
        (CHATML, "Write Red.", "Red.", {}),
        (CHATML, "a", "a", {}),
        (CHATML, "What is <|im_end|> for?", "It ends a turn.", {"special_tokens": 1}),
        (CHATML, "What ends a turn?", "<|im_end|>", {"special_tokens": 1}),
        (OTHER_PROMPT, "Name a colour.", "Red.", {"prompt_differs": 1}),
        (PICKY, "Tell me a secret.", "No.", {"refused": 1}),
    ],
)
def test_what_a_template_does_to_a_text_is_found(
    tmp_path: Path, template: str, instruction: str, output: str, faults: dict[str, int]
) -> None:
    found = figures(tmp_path, [row("Name a river.", "The Rhine.", 7), row(instruction, output, 8)], template)
    both = dict.fromkeys(faults, 2) if template in (DOUBLING, OTHER_PROMPT) else faults
    assert found["faults"] == both
    for fault in faults:
        assert "t1/8" in found["examples"][fault]


MARKED = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "</think>", "qUSER0q7q", "qANSWER1q7q", "{{ x }}", "{% endif %}", " ", "\n"]
)
PIECES = st.lists(
    st.one_of(MARKED, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)), min_size=1, max_size=6
)
TEXT = PIECES.map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(instruction=TEXT, output=TEXT)
def test_a_faithful_template_is_never_blamed(tmp_path: Path, instruction: str, output: str) -> None:
    if not (tmp_path / "tokenizer.json").exists():
        tokenizer_in(tmp_path)
    checked = ChatTemplate(str(tmp_path), Wording())
    checked.count(row(instruction, output))
    found = checked.to_json()["faults"]
    assert found.pop("special_tokens", 0) == any(
        mark in text for mark in ("<|im_start|>", "<|im_end|>") for text in (instruction, output)
    )
    assert found == {}


def test_a_system_text_that_the_template_refuses_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"refuses a plain conversation \(no system\); leave out --system"):
        figures(tmp_path, [], NO_SYSTEM, wording=Wording(system="Be brief."))
    assert figures(tmp_path, [row("Name a colour.", "Red.")], NO_SYSTEM)["faults"] == {}


def test_the_system_text_of_a_row_is_rendered_with_it(tmp_path: Path) -> None:
    plain = row("Name a colour.", "Red.")
    rows = [plain, plain._replace(system="Be brief.", number=1), plain._replace(system="<|im_end|>", number=2)]
    found = figures(tmp_path, rows)
    assert (found["rows"], found["faults"], found["examples"]) == (
        3,
        {"special_tokens": 1},
        {"special_tokens": ["t1/2"]},
    )
    assert found["tokens"]["max"] - found["tokens"]["p50"] > 0
    assert figures(tmp_path, rows[:2], NO_SYSTEM)["examples"] == {"refused": ["t1/1"]}
    assert figures(tmp_path, rows[:2], DROPS_SYSTEM)["examples"] == {"swallowed": ["t1/1"]}


def test_a_system_text_that_the_template_drops_is_told(tmp_path: Path) -> None:
    found = figures(tmp_path, [row("Name a colour.", "Red.")], DROPS_SYSTEM, wording=Wording(system="Be brief."))
    assert found["faults"] == {"swallowed": 1}


def test_rows_above_the_limit_of_the_tokenizer_are_counted(tmp_path: Path) -> None:
    folder = tokenizer_in(tmp_path, longest=60)
    checked = ChatTemplate(str(folder), Wording())
    for text in ("Short.", "x" * 100):
        checked.count(row(text, "Yes."))
    found = checked.to_json()
    assert (found["limit"], found["rows_over_limit"]) == (60, 1)


@pytest.mark.parametrize(
    "clock",
    [
        "{{ strftime_now('%H:%M:%S.%f (%Z)') }}",
        "{% macro today() %}{%- set now = strftime_now('%f') %}{{ now }}{%- endmacro %}{{ today() }}",
        "{% if strftime_now is defined %}{% set date = strftime_now('%f') %}{% else %}{% set date = '' %}{% endif %}{{ date }}",  # noqa: E501
    ],
)
@pytest.mark.parametrize("begins", ["Today ", "\n", "  {% if true %} {% endif %}"])
def test_a_template_with_a_clock_gets_a_fixed_date(tmp_path: Path, clock: str, begins: str) -> None:
    plain, timed = (
        figures(tmp_path / name, [row("Name a colour.", "Red.")], begins + date + "\n" + CHATML)
        for name, date in (("plain", "26 Jul 2024"), ("timed", clock))
    )
    assert timed["faults"] == {}
    assert timed["tokens"] == plain["tokens"]
    assert timed["template_sha256"] != plain["template_sha256"]


def test_words_that_were_added_to_the_vocabulary_are_no_special_tokens(tmp_path: Path) -> None:
    template = CHATML.replace("{{ message['content'] }}", "<text>{{ message['content'] }}") + "{{ '\\n\\n' if false }}"
    folder = tokenizer_in(tmp_path, template, added=("\n\n", "  ", "<b>", "<text>"))
    checked = ChatTemplate(str(folder), Wording())
    checked.count(Row("t1", "Add the numbers.", Instance("1, 2", "3"), 1, 0))
    checked.count(row("Write code.", "if x:\n  y", 1))
    checked.count(row("Write HTML.", "<b>yes</b>", 2))
    checked.count(row("What opens a text?", "<text>", 3))
    assert checked.to_json()["faults"] == {"special_tokens": 1}
    assert checked.to_json()["examples"] == {"special_tokens": ["t1/3"]}


# --- in an export ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    texts = [("Name a colour.", "Red."), ("Write much.", "x" * 300), ("What is <|im_end|>?", "A mark.")]
    tasks = [Task(f"t{n:020x}", text, False, (Instance("", output),)) for n, (text, output) in enumerate(texts)]
    return made_pool(tmp_path / "p", tasks)


def test_figures_go_into_the_manifest_the_card_and_the_summary(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tokenizer_in(tmp_path / "tokenizer")
    assert cli.run(["export", str(pool), "--tokenizer", str(folder)]) == 0
    err = capsys.readouterr().err
    assert "the loss sees" in err
    assert FAULTS["special_tokens"] in err
    manifest = json.loads((pool / "export/manifest.json").read_text("utf-8"))
    found = manifest["chat_template"]
    assert (found["rows"], found["faults"], found["tokenizer"]) == (3, {"special_tokens": 1}, None)
    assert found["examples"] == {"special_tokens": [f"t{2:020x}/0"]}
    assert str(tmp_path) not in (pool / "export/manifest.json").read_text("utf-8")
    assert {"transformers", "tokenizers", "jinja2"} <= manifest["software"].keys()
    card = (pool / "export/README.md").read_text("utf-8")
    assert f"| share of tokens that the loss sees | {found['share_of_tokens_learned']:.1%} |" in card
    assert f"sequence_len: {-(-found['tokens']['max'] // 64) * 64}" in (pool / "export/axolotl.yaml").read_text("utf-8")


def test_rows_of_too_many_tokens_are_left_out_and_counted(pool: Path, tmp_path: Path) -> None:
    folder = str(tokenizer_in(tmp_path / "tokenizer"))
    longest = FRAME + len("Name a colour.Red.") + len("E\n")
    for bound, left in ((longest - 1, []), (longest, ["Name a colour."])):
        found = export(
            pool, ["alpaca"], pool / "export", Options(choice=Choice(max_tokens=bound, max_chars=18), tokenizer=folder)
        )
        rows = [
            json.loads(line)["instruction"] for line in (pool / "export/alpaca.jsonl").read_text("utf-8").splitlines()
        ]
        assert rows == left
        assert found.left_out == {"too_many_characters": 2, **({} if left else {"too_many_tokens": 1})}
    found = export(pool, ["alpaca"], pool / "export", Options(choice=Choice(max_tokens=200), tokenizer=folder))
    assert found.left_out == {"too_many_tokens": 1}
    assert found.chat_template is not None
    assert (found.chat_template["rows"], found.chat_template["rows_over_limit"]) == (2, 0)


def test_a_limit_in_tokens_needs_a_tokenizer(pool: Path) -> None:
    with pytest.raises(ConfigError, match="--max-tokens needs --tokenizer"):
        export(pool, ["alpaca"], pool / "export", Options(choice=Choice(max_tokens=9)))


def _broken(folder: Path) -> Path:
    tokenizer_in(folder)
    (folder / "tokenizer.json").write_text('{"model": {}}')
    return folder


def _broken_template(folder: Path) -> Path:
    return tokenizer_in(folder, "{% for x in %}")


@pytest.mark.parametrize(
    "make", [Path, _broken, lambda folder: tokenizer_in(folder, None), _broken_template, lambda folder: folder / "no"]
)
def test_what_is_no_tokenizer_with_a_template_is_one_clear_line(
    pool: Path, tmp_path: Path, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tokenizer").mkdir()
    assert cli.run(["export", str(pool), "--tokenizer", str(make(tmp_path / "tokenizer"))]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: --tokenizer ")
    assert "\n" not in err
    assert not (pool / "export").exists()


def test_without_transformers_it_says_what_to_install(pool: Path) -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from selfinstruct.cli.commands import run; sys.exit(run(['export', sys.argv[1], '--tokenizer', 'some/model']))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(pool)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert "--tokenizer needs the package transformers: pip install 'selfinstruct[tokenizer]'" in found.stderr
