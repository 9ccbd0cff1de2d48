"""Forms of more than outputs: pairs of answers, wrong ones, results to check, reasoning, several right answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import selfinstruct
from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.exports.formats import FORMATS, Unfit, Wording
from selfinstruct.exports.more_forms import MORE_FORMS, Answers, pass_rate, rejected, right
from selfinstruct.exports.splits import split_of
from selfinstruct.exports.writing import Options, export, options_of
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.edits import change, correct, selected
from selfinstruct.pool.reader import snapshot
from selfinstruct.pool.records import Row, StoredSample
from selfinstruct.rewards import same_answer
from selfinstruct.types import Instance, Task
from tests.builders import grow, jsonl, made_pool, rows

CONFIG = """
[recipe]
steps = ["default", "sample", "attempts"]

[agreement]
answers = 3

[judge]
enabled = true
revise = true

[sample]
answers = 3

[attempts]
answers = 3
max_weak = "1"
min_strong = "0"
min_gap = "0"
"""
NOW = "2026-01-01T00:00:00.000Z"
ALL_FORMS = tuple(MORE_FORMS)


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found


def sample(output: str, step: str, is_right: bool | None = None, margin: float | None = None) -> StoredSample:
    return StoredSample(output, step, is_right, margin, "other")


def row(*samples: StoredSample, output: str = "best") -> Row:
    return Row("t1", "Say it.", Instance("", output), samples=samples)


def texts(of: Row, **options: Any) -> list[str]:
    return [one.output for one in rejected(of, Answers(**options))]


# --- which answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "is_worse"),
    [
        (sample("x", "correction", is_right=False), True),
        (sample("x", "revision"), True),
        (sample("x", "revision", margin=1), True),
        (sample("x", "revision", margin=0), False),
        (sample("x", "revision", margin=-2), False),
        (sample("x", "sample", margin=1), True),
        (sample("x", "sample", margin=0), False),
        (sample("x", "sample"), False),
        (sample("x", "agreement", is_right=False), True),
        (sample("x", "agreement", is_right=True), False),
        (sample("x", "strong", is_right=False), True),
        (sample("x", "weak", is_right=False), True),
        (sample("x", "weak", is_right=True), False),
        (sample("x", "weak"), False),
        (sample(" best\n", "weak", is_right=False), False),
        (sample(" \n", "weak", is_right=False), False),
    ],
)
def test_an_answer_is_rejected_where_something_says_that_it_is_worse(one: StoredSample, is_worse: bool) -> None:
    assert texts(row(one)) == ([one.output] if is_worse else [])


def test_the_surest_evidence_comes_first_and_each_text_once() -> None:
    several = [
        sample("a", "weak", is_right=False), sample("b", "agreement", is_right=False), sample("c", "sample", margin=2),
        sample("d", "revision", margin=1), sample("b ", "strong", is_right=False),
        sample("e", "agreement", is_right=False),
    ]  # fmt: skip
    assert texts(row(*several)) == ["d", "c", "b", "e", "a"]
    assert texts(row(*several), min_margin=2) == ["c", "b", "e", "a"]


def test_what_a_person_said_comes_before_scores_and_votes() -> None:
    several = row(
        sample("a", "sample", margin=3), sample("b", "sample", margin=1)._replace(is_preferred=False),
        sample("c", "sample", margin=2)._replace(is_preferred=True), sample("d", "weak", is_right=False),
    )  # fmt: skip
    lines = MORE_FORMS["preference-plain"](Wording(), Answers(pairs_per_row=9))(several)
    assert not isinstance(lines, Unfit)
    assert [(one["chosen"], one["rejected"], one["rule"]) for one in lines] == [
        ("c", "best", "person"), ("best", "b", "person"), ("best", "a", "sample"), ("best", "d", "weak"),
    ]  # fmt: skip
    one_by_one = MORE_FORMS["kto-plain"](Wording(), Answers())(several)
    assert not isinstance(one_by_one, Unfit)
    assert [(one["completion"], one["label"], one["rule"]) for one in one_by_one] == [
        ("c", True, "person"), ("best", False, "person"), ("b", False, "person"), ("a", False, "sample"),
        ("d", False, "weak"),
    ]  # fmt: skip


def test_of_answers_with_scores_the_one_is_rejected_that_is_nearest_to_where_it_shall_be() -> None:
    margins = [0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 20]  # mean -2.4 and deviation 5.4, with the output
    scored = row(*(sample(str(place), "sample", margin=margin) for place, margin in enumerate(margins)))
    assert texts(scored)[0] == "10", "-13.2 is nearer to -20 than to -3"
    assert texts(scored, rejected_at=1)[0] == "9", "-7.8"
    assert texts(scored, rejected_at=0)[0] == "7", "-2.4; the earlier one of two"
    assert texts(scored, rejected_at=0, min_margin=3)[0] == "9"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_of_five_answers_or_fewer_the_worst_one_is_two_deviations_down(margins: list[int]) -> None:
    scored = row(*(sample(str(place), "sample", margin=margin) for place, margin in enumerate(margins)))
    found = rejected(scored, Answers())
    assert [one.margin for one in found[:1]] == ([max(margins)] if max(margins) else [])


def test_other_right_answers_are_rows_of_their_own_models() -> None:
    one = row(
        sample("Best!", "agreement", is_right=True), sample("no", "agreement", is_right=False),
        sample("best ", "strong", is_right=True), sample("good", "weak", is_right=True),
        sample("so-so", "sample", margin=0), sample("fine", "strong", is_right=True),
        sample("It is, as far as I can see, the best.", "strong", is_right=True),
    )._replace(reasoning="hm", output_model="own")  # fmt: skip
    found = right(one, 9)
    assert [(each.output, each.output_model, each.reasoning) for each in found] == [
        ("best", "own", "hm"), ("Best!", "other", ""), ("It is, as far as I can see, the best.", "other", ""),
    ]  # fmt: skip
    assert [len(right(one, most)) for most in (1, 2, 3)] == [1, 2, 3]
    assert right(one, 1) == [one]


def test_the_pass_rate_is_that_of_the_strong_model_or_of_the_vote() -> None:
    voted = [sample("x", "agreement", is_right=True), sample("y", "agreement", is_right=False)]
    assert pass_rate(row(*voted)) == 0.6667
    assert pass_rate(row(*voted, *(sample("x", "strong", is_right=one) for one in (True, False, False, False)))) == 0.25
    assert pass_rate(row(sample("x", "weak", is_right=True))) is None


# --- a grown pool ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model that is wrong in a third of its answers, and thinks before half of them; one row is corrected."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "c.toml").write_text(CONFIG, encoding="utf-8")
    with OfflineServer(quirk="wrong=35%,think=50%") as server:
        grow(folder / "p", config=folder / "c.toml", target=40, base_url=[server.base_url], model="offline")
    (first, *_) = rows(folder / "p", "SELECT id FROM tasks WHERE origin = 'generated' AND state = 'done'")
    correct(folder / "p", f"{first[0]}/0", {"output": "As a person would put it."}, "", NOW)
    return folder / "p"


@pytest.fixture(scope="module")
def exported(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "x"
    export(pool, ["messages", "parquet", *ALL_FORMS], folder)
    return folder


def question(prompt: list[dict[str, str]]) -> str:
    return prompt[-1]["content"]


def kept(pool: Path) -> dict[str, list[str]]:
    """The outputs of rows by their question."""
    found: dict[str, list[str]] = {}
    with snapshot(pool) as opened:
        for one in opened.rows():
            asked = f"{one.instruction}\n\n{one.input}" if one.input else one.instruction
            found.setdefault(asked, []).append(one.output)
    return found


def test_each_pair_has_an_output_and_an_answer_that_was_found_worse(pool: Path, exported: Path) -> None:
    outputs, pairs = kept(pool), read(exported / "preference.jsonl")
    wrong = {text for (text,) in rows(pool, "SELECT output FROM samples WHERE is_right = 0")}
    margins = set(rows(pool, "SELECT output, margin FROM samples WHERE margin >= 1"))
    revised = {text for (text,) in rows(pool, "SELECT text FROM rejections WHERE reason = 'revised'")}
    for pair in pairs:
        (chosen,), (one,) = pair["chosen"], pair["rejected"]
        assert (chosen["role"], one["role"]) == ("assistant", "assistant")
        assert chosen["content"] in outputs[question(pair["prompt"])]
        assert chosen["content"].strip() != one["content"].strip()
        match pair["rule"]:
            case "sample":
                assert (one["content"], pair["margin"]) in margins
            case "revision":
                assert one["content"] in revised
                assert pair["margin"] >= 1
            case "correction":
                assert chosen["content"] == "As a person would put it."
            case _:
                assert one["content"] in wrong
                assert pair["margin"] == 0
    found = Counter(pair["rule"] for pair in pairs)
    assert {"correction", "revision", "sample"} <= found.keys()
    about = manifest(exported)
    assert about["lines_by_rule"]["preference"] == found
    assert about["left_out"]["by_format"]["preference"] == {"no_pair": about["figures"]["rows"] - len(pairs)}
    plain = read(exported / "preference-plain.jsonl")
    assert plain == [
        {**pair, "prompt": question(pair["prompt"]) + "\n\n", "chosen": pair["chosen"][0]["content"],
         "rejected": pair["rejected"][0]["content"]}
        for pair in pairs
    ]  # fmt: skip


def test_more_pairs_of_a_row_begin_with_the_one(pool: Path, exported: Path, tmp_path: Path) -> None:
    found = export(pool, ["preference"], tmp_path / "x", options_of(pairs_per_row=9))
    pairs, first = read(tmp_path / "x/preference.jsonl"), read(exported / "preference.jsonl")
    assert found.rows == manifest(exported)["figures"]["rows"]
    assert len(pairs) > len(first)
    assert [one for one in pairs if one in first] == first
    assert {"weak", "strong"} <= {one["rule"] for one in pairs}
    assert max(Counter((question(one["prompt"]), one["chosen"][0]["content"]) for one in pairs).values()) <= 9


def test_what_the_judge_rejected_as_wrong_is_wrong_in_kto(pool: Path, exported: Path) -> None:
    lines, outputs = read(exported / "kto.jsonl"), kept(pool)
    assert [(question(one["prompt"]), one["completion"][0]["content"]) for one in lines if one["label"]] == [
        (asked, output) for asked, some in outputs.items() for output in some
    ]
    judged = rows(
        pool, "SELECT t.instruction, j.input, j.text FROM rejections j JOIN tasks t ON t.id = j.task_id "
        "WHERE j.reason = 'judged_output' ORDER BY t.position, j.number"
    )  # fmt: skip
    assert judged
    assert [
        (question(one["prompt"]), one["completion"][0]["content"]) for one in lines if one["rule"] == "judged_output"
    ] == [(f"{asked}\n\n{given}" if given else asked, text) for asked, given, text in judged]
    assert {one["label"] for one in lines if one["rule"] == "row"} == {True}
    assert {one["label"] for one in lines if one["rule"] != "row"} == {False}
    assert manifest(exported)["lines_by_rule"]["kto"] == Counter(one["rule"] for one in lines)
    plain = read(exported / "kto-plain.jsonl")
    assert [(one["completion"], one["label"]) for one in plain] == [
        (one["completion"][0]["content"], one["label"]) for one in lines
    ]


def test_a_result_that_can_be_checked_has_its_checker_and_pass_rate(pool: Path, exported: Path) -> None:
    lines, outputs = read(exported / "grpo.jsonl"), kept(pool)
    assert lines
    for one in lines:
        said = outputs[question(one["prompt"])]
        assert 1.0 in same_answer([one["prompt"]] * len(said), said, [one["answer"]] * len(said))
        assert one["checker"] == {"name": "same_answer", "answer": one["answer"], "constraints": "[]"}
        assert same_answer([one["prompt"]], ["Something else."], [one["answer"]]) == [0.0]
    assert {one["pass_rate"] for one in lines} & {0.3333, 0.6667}
    about = manifest(exported)
    assert about["left_out"]["by_format"]["grpo"] == {"no_checker": about["figures"]["rows"] - len(lines)}


def test_tables_have_the_shares_of_the_two_models(pool: Path, exported: Path) -> None:
    shares = rows(
        pool, "SELECT t.instruction, AVG(s.is_right) FROM samples s JOIN tasks t ON t.id = s.task_id "
        "WHERE s.step = 'strong' GROUP BY t.id HAVING COUNT(DISTINCT s.of_request || s.of_position) = 1"
    )  # fmt: skip
    found: dict[str, set[float]] = {}
    for one in pq.read_table(exported / "dataset.parquet").to_pylist():
        found.setdefault(one["instruction"], set()).add(one["strong_share"])
    differ = [text for text, share in shares if round(share, 4) not in found[text]]
    assert len(differ) <= 1 < len(shares), "one row was corrected, so that nothing is known of its answers"
    frame = selfinstruct.Pool(pool).rows()
    assert set(frame["weak_share"].dropna()) - {0.0, 1.0}


def test_reasoning_stands_in_a_field_or_between_tags(pool: Path, exported: Path, tmp_path: Path) -> None:
    thought = {text for (text,) in rows(pool, "SELECT reasoning FROM instances WHERE reasoning != ''")}
    lines = read(exported / "reasoning.jsonl")
    assert {one["messages"][-1]["reasoning_content"] for one in lines} <= thought
    assert len(lines) > 3
    assert (
        cli.run(["export", str(pool), "--format", "reasoning", "--reasoning", "think", "--out", str(tmp_path / "x")])
        == 0
    )
    for one, field in zip(read(tmp_path / "x/reasoning.jsonl"), lines, strict=True):
        before, answer = one["messages"][:-1], one["messages"][-1]
        assert before == field["messages"][:-1]
        said = field["messages"][-1]
        assert answer == {
            "role": "assistant", "content": f"<think>\n{said['reasoning_content']}\n</think>\n\n{said['content']}"
        }  # fmt: skip
    assert "selfinstruct_reasoning" in json.loads((tmp_path / "x/dataset_info.json").read_text("utf-8"))
    assert yaml.safe_load((tmp_path / "x/axolotl.yaml").read_text("utf-8"))["datasets"][0]["path"] == "reasoning.jsonl"


def test_all_right_answers_are_lines_of_their_own_and_the_tables_stay_as_they_are(tmp_path: Path) -> None:
    pool = made_pool(tmp_path / "p", [Task("t1", "Say yes.", False, (Instance("", "Yes"),))])
    _add_samples(pool, [("Yes.", "agreement", 1, None), ("yes!", "strong", 1, None), ("no", "agreement", 0, None)])
    wanted = {1: ["Yes"], 2: ["Yes", "Yes."], 5: ["Yes", "Yes.", "yes!"]}
    for most, outputs in wanted.items():
        found = export(pool, ["all"], tmp_path / "x", options_of(all_answers=most))
        assert found.rows == manifest(tmp_path / "x")["figures"]["rows"] == 1
        assert [one["output"] for one in read(tmp_path / "x/alpaca.jsonl")] == outputs
        counts = {path.name: count for path, count in found.counts.items()}
        assert counts.pop("dataset.parquet") == counts.pop("dataset.csv") == 1
        assert len(counts) == len(FORMATS)
        assert set(counts.values()) == {len(outputs)}


def test_texts_that_would_leave_a_row_out_are_not_used_as_other_answers_either(tmp_path: Path) -> None:
    secret = "The seven bridges of the old town cannot all be crossed on one walk without repeating any."
    pool = made_pool(tmp_path / "p", [Task("t1", "Say yes.", False, (Instance("", "Yes"),))])
    _add_samples(pool, [(secret, "sample", None, 4), ("no", "sample", None, 1), (f"{secret} Yes.", "strong", 1, None)])
    exclusion = jsonl(tmp_path / "test.jsonl", [{"question": secret}])
    options = {"pairs_per_row": 5, "all_answers": 5}
    for more, count in (({}, 2), ({"exclude": exclusion}, 1), ({"max_chars": 40}, 1)):
        export(pool, ["preference", "messages", "grpo"], tmp_path / "x", options_of(**options, **more))
        assert len(read(tmp_path / "x/preference.jsonl")) == count
        assert len(read(tmp_path / "x/messages.jsonl")) == count
        assert read(tmp_path / "x/grpo.jsonl")[0]["pass_rate"] == 1.0
        assert manifest(tmp_path / "x")["figures"]["rows"] == 1


def _add_samples(pool: Path, samples: list[tuple[str, str, int | None, float | None]]) -> None:
    """Other answers to the only row of a pool."""
    import sqlite3

    with sqlite3.connect(pool / "pool.db") as connection:
        source, request, position = connection.execute(
            "SELECT source, request_id, request_position FROM instances WHERE task_id = 't1'"
        ).fetchone()
        (by,) = connection.execute("SELECT id FROM requests WHERE stage = 'respond'").fetchone()
        connection.executemany(
            "INSERT INTO samples VALUES ('t1', ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
            [(number, source, by, request, position, *one) for number, one in enumerate(samples)],
        )
    connection.close()


# --- beside the rows ------------------------------------------------------------------------------------------------


def test_rows_with_nothing_for_a_form_are_counted_and_fill_no_file(pool: Path, exported: Path) -> None:
    assert not (exported / "left_out.jsonl").exists()
    by_format = manifest(exported)["left_out"]["by_format"]
    assert {name: [*reasons] for name, reasons in by_format.items()} == {
        "preference": ["no_pair"], "preference-plain": ["no_pair"], "grpo": ["no_checker"],
        "reasoning": ["no_reasoning"],
    }  # fmt: skip


def test_the_card_tells_what_each_rule_gave_and_lists_each_form(exported: Path) -> None:
    head, body = (exported / "README.md").read_text("utf-8").removeprefix("---\n").split("\n---\n", 1)
    about = yaml.safe_load(head)
    assert [one["config_name"] for one in about["configs"]] == ["messages", *ALL_FORMS]
    assert [one["config_name"] for one in about["configs"] if one.get("default")] == ["messages"]
    for name, rules in manifest(exported)["lines_by_rule"].items():
        for rule, count in rules.items():
            assert f"| `{name}` by `{rule}` | {count:,} |" in body
    (types,) = about["dataset_info"]
    keys = read(exported / "grpo.jsonl")[0].keys()
    assert [one["name"] for one in types["features"]] == [*keys]


def test_llama_factory_is_told_of_plain_pairs_and_labels(exported: Path) -> None:
    info = json.loads((exported / "dataset_info.json").read_text("utf-8"))
    pairs, labels = info["selfinstruct_preference_plain"], info["selfinstruct_kto_plain"]
    assert pairs["ranking"] is True
    assert set(pairs["columns"].values()) <= read(exported / "preference-plain.jsonl")[0].keys()
    assert labels["columns"]["kto_tag"] == "label"
    assert set(labels["columns"].values()) <= read(exported / "kto-plain.jsonl")[0].keys()


def test_a_pool_without_other_answers_gives_empty_files_that_no_trainer_is_told_of(tmp_path: Path) -> None:
    pool = made_pool(tmp_path / "p", [Task("t1", "Write a poem.", False, (Instance("", "Red."),))])
    found = export(pool, ["preference-plain", "reasoning", "grpo"], tmp_path / "x")
    assert set(found.counts.values()) == {0}
    assert "configs:" not in (tmp_path / "x/README.md").read_text("utf-8")
    assert json.loads((tmp_path / "x/dataset_info.json").read_text("utf-8")) == {}
    assert not (tmp_path / "x/axolotl.yaml").exists()


def test_all_stands_for_the_forms_that_carry_every_row(pool: Path, tmp_path: Path) -> None:
    found = export(pool, ["all"], tmp_path / "x")
    assert not {f"{name}.jsonl" for name in ALL_FORMS} & {path.name for path in found.paths}
    assert set(found.counts.values()) == {found.rows}


def test_two_exports_are_the_same_bytes(pool: Path, exported: Path, tmp_path: Path) -> None:
    export(pool, ["messages", "parquet", *ALL_FORMS], tmp_path / "b")
    for path in exported.iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


# --- splits, limits, edits ------------------------------------------------------------------------------------------


def test_wrong_answers_stand_on_the_side_of_their_task(pool: Path, tmp_path: Path) -> None:
    split = Options(split=split_of("train=0.5,test=0.5"))
    export(pool, ["messages", "kto"], tmp_path / "x", split)
    asked = {
        side: {question(one["prompt"]) for one in read(tmp_path / f"x/kto-{side}.jsonl")} for side in ("train", "test")
    }
    assert not asked["train"] & asked["test"]
    lines = [one for side in asked for one in read(tmp_path / f"x/kto-{side}.jsonl")]
    wrong = rows(pool, "SELECT COUNT(*) FROM rejections WHERE reason = 'judged_output'")[0][0]
    found = sum(one["rule"] == "judged_output" for one in lines)
    assert 0 < found <= wrong
    for side in asked:
        told = {question(one["messages"][:1]) for one in read(tmp_path / f"x/messages-{side}.jsonl")}
        assert {question(one["prompt"]) for one in read(tmp_path / f"x/kto-{side}.jsonl") if one["label"]} == told


def test_a_limit_takes_wrong_answers_of_its_rows_tasks_alone(pool: Path, tmp_path: Path) -> None:
    export(pool, ["kto", "messages"], tmp_path / "x", options_of(limit=5))
    lines = read(tmp_path / "x/kto.jsonl")
    assert sum(one["label"] for one in lines) == 5
    told = {one["messages"][0]["content"].split("\n")[0] for one in read(tmp_path / "x/messages.jsonl")}
    assert {question(one["prompt"]).split("\n")[0] for one in lines} == told


def test_a_removed_task_has_no_wrong_answers_and_the_sides_of_others_stay(tmp_path: Path, pool: Path) -> None:
    import shutil

    shutil.copytree(pool, tmp_path / "p")
    ids = [one for (one,) in rows(pool, "SELECT DISTINCT task_id FROM rejections WHERE reason = 'judged_output'")]
    split = Options(split=split_of("train=0.5,test=0.5"))
    export(tmp_path / "p", ["kto"], tmp_path / "a", split)
    change(tmp_path / "p", "remove", selected("remove", ids, "wrong"), "wrong", NOW)
    export(tmp_path / "p", ["kto"], tmp_path / "b", split)
    for side in ("train", "test"):
        before, after = (read(tmp_path / name / f"kto-{side}.jsonl") for name in "ab")
        assert [one for one in before if one in after] == after
        assert not [one for one in after if one["rule"] == "judged_output"]


# --- from Python, and what is refused -------------------------------------------------------------------------------


def test_a_program_gets_the_forms_by_name(pool: Path, exported: Path, tmp_path: Path) -> None:
    opened = selfinstruct.Pool(pool)
    found = opened.export(tmp_path / "x", formats=["preference"], min_margin=4)
    margins = {one["margin"] for one in read(tmp_path / "x/preference.jsonl") if one["rule"] == "sample"}
    assert margins == {4.0}
    assert found.by_rule["preference"].keys() <= {"correction", "revision", "sample", "agreement", "strong", "weak"}
    with pytest.raises(ConfigError, match="there is a built-in form of this name"):
        selfinstruct.export_format("kto")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_margin": -1}, "--min-margin: -1 given, wanted a number, 0 or more"),
        ({"rejected_at": float("inf")}, "--rejected-at: inf given, wanted a number, 0 or more"),
        ({"rejected_at": float("nan")}, "--rejected-at: nan given, wanted a number"),
        ({"min_margin": True}, "--min-margin: True given"),
        ({"all_answers": 0}, "--all-answers: 0 given, wanted a whole number, 1 or more"),
        ({"pairs_per_row": None}, "--pairs-per-row: None given, wanted a whole number"),
        ({"reasoning": "both"}, "--reasoning: 'both' given, wanted field or think"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        options_of(**options)


@pytest.mark.parametrize(
    ("options", "form", "said"),
    [
        ({"mixed_prompts": True}, "self-instruct", "--mixed-prompts: it changes nothing in alpaca, kto; leave it out"),
        ({"csv_safe": True}, "csv", "--csv-safe: it changes nothing in alpaca, kto"),
        ({"reasoning": "think"}, "reasoning", "or add --format reasoning"),
        ({"pairs_per_row": 2}, "preference", "or add --format preference or --format preference-plain"),
    ],
)
def test_an_option_that_changes_nothing_is_refused(
    pool: Path, tmp_path: Path, options: dict[str, Any], form: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        export(pool, ["alpaca", "kto"], tmp_path / "x", options_of(**options))
    assert not (tmp_path / "x").exists()
    export(pool, ["alpaca", form], tmp_path / "x", options_of(**options))


def test_a_system_text_stands_in_every_conversation(pool: Path, tmp_path: Path) -> None:
    export(pool, ALL_FORMS, tmp_path / "x", Options(wording=Wording(system="Be kind.")))
    for name in ("preference", "kto", "grpo", "reasoning"):
        for one in read(tmp_path / f"x/{name}.jsonl"):
            assert (one.get("prompt") or one["messages"])[0] == {"role": "system", "content": "Be kind."}
