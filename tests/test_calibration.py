"""The judge beside labels of people: figures as reckoned by hand, minimum scores that fit, and faults by line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.review.calibration import Agreement, calibrate, read_labels
from tests.builders import book_says, grow, jsonl, rows

OBSERVED = "[judge]\nenabled = true\nmin_valid = 1\nmin_input = 1\nmin_output = 1\n"


def test_the_figures_of_agreement_are_those_of_the_textbook() -> None:
    found = Agreement(both=20, judge_only=5, people_only=10, neither=15)
    assert (found.accuracy, found.precision, found.recall) == (0.7, 0.8, 20 / 30)
    assert found.kappa == pytest.approx(0.4)
    assert found.precision_interval == pytest.approx((0.6087, 0.9114), abs=1e-4)
    assert Agreement(50, 0, 0, 50).kappa == 1
    assert Agreement(25, 25, 25, 25).kappa == 0
    assert Agreement(0, 0, 0, 9).figures()["precision"] is None
    assert Agreement(9, 0, 0, 0).kappa is None


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judged by an erring judge that rejects nothing."""
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "c.toml").write_text(OBSERVED, encoding="utf-8")
    with OfflineServer(quirk="wrong=30%,judge_wrong=8%") as server:
        grow(folder / "p", target=80, base_url=[server.base_url], model="offline", config=folder / "c.toml")
    return folder / "p"


Scored = list[tuple[str, int, bool, list[int]]]


@pytest.fixture(scope="module")
def scored(pool: Path) -> Scored:
    return scored_in(pool)


def scored_in(pool: Path) -> Scored:
    """(task, position, whether the row is right, the three scores), read from the raw answers."""
    found = rows(
        pool,
        "SELECT i.task_id, i.position, t.instruction, i.input, i.output, c.text FROM instances i "
        "JOIN tasks t ON t.id = i.task_id JOIN requests r ON r.task_id = i.task_id AND r.stage = 'judge' "
        "AND r.position = i.request_position JOIN completions c ON c.request_id = r.id ORDER BY 1, 2",
    )
    return [
        (task, position, bool(book_says(*row)), [one["score"] for one in json.loads(answer).values()])
        for task, position, *row, answer in found
    ]


def labelled(scored: Scored) -> list[dict[str, Any]]:
    """The truth as a page for reviewing writes it."""
    return [
        {"task_id": task, "instance": position, "label": "keep" if right else "remove", "question": None}
        for task, position, right, _ in scored
    ]


def by_hand(scored: Scored, least: Sequence[int]) -> tuple[int, int, int, int]:
    """(both keep, judge alone, people alone, neither)."""
    kept = [(all(s >= m for s, m in zip(scores, least, strict=True)), right) for _, _, right, scores in scored]
    return tuple(kept.count(pair) for pair in product((True, False), repeat=2))  # type: ignore[return-value]


def test_agreement_and_fit_come_out_as_reckoned_by_hand(tmp_path: Path, pool: Path, scored: Scored) -> None:
    labels = jsonl(tmp_path / "l.jsonl", labelled(scored))
    found = calibrate(pool, labels, 0.95)
    assert (found.labels, found.unjudged) == (len(scored), 0)
    assert found.minimums == {"valid": 1, "input": 1, "output": 1}
    now = found.agreement
    assert (now.both, now.judge_only, now.people_only, now.neither) == by_hand(scored, (1, 1, 1))
    assert now.judge_only > 10, "three of ten outputs are wrong"
    best: dict[tuple[int, ...], tuple[int, int, int, int]] = {}
    for least in product(range(1, 6), repeat=3):
        both, judge_only, *rest = by_hand(scored, least)
        if both and both / (both + judge_only) >= 0.95:
            best[least] = (both, judge_only, *rest)  # type: ignore[assignment]
    most = max(counts[0] for counts in best.values())
    fitted = found.fitted_agreement
    assert found.is_reached
    assert (fitted.both, fitted.judge_only, fitted.people_only, fitted.neither) == best[tuple(found.fitted.values())]
    assert fitted.both == most
    assert most > 0.6 * now.both
    assert found.fitted["output"] >= 4
    total = len(scored)
    both, judge_only, people_only, neither = best[tuple(found.fitted.values())]
    observed = (both + neither) / total
    chance = ((both + judge_only) * (both + people_only) + (people_only + neither) * (judge_only + neither)) / total**2
    assert fitted.kappa == pytest.approx((observed - chance) / (1 - chance))


def test_labels_follow_their_rows_into_a_replay(tmp_path: Path, pool: Path, scored: Scored) -> None:
    (tmp_path / "c.toml").write_text("[judge]\nenabled = true\nmin_valid = 1\nmin_input = 1\nmin_output = 4\n")
    strict = tmp_path / "strict"
    assert cli.run(["replay", str(pool), "--pool", str(strict), "--config", str(tmp_path / "c.toml")]) == 0
    tasks = {row[0] for row in rows(strict, "SELECT id FROM tasks")}
    candidates = {
        row[:2]: {"request_id": row[2], "request_position": row[3]}
        for row in rows(pool, "SELECT task_id, position, request_id, request_position FROM instances")
    }
    numbered = [one for one in labelled(scored) if one["task_id"] in tasks]
    named = [{**one, **candidates[one["task_id"], one["instance"]]} for one in numbered]
    found = calibrate(strict, jsonl(tmp_path / "named.jsonl", named), 0.95).agreement
    assert (found.both, found.judge_only, found.people_only, found.neither) == by_hand(scored_in(strict), (1, 1, 4))
    older = calibrate(strict, jsonl(tmp_path / "numbered.jsonl", numbered), 0.95).agreement
    assert older != found, "a number within the task names another row here"


def test_each_question_is_held_against_its_own_answers(tmp_path: Path, pool: Path, scored: Scored) -> None:
    answers = [
        {"task_id": task, "instance": position, "valid": True, "input": True, "output": right}
        for task, position, right, _ in scored
    ]
    found = calibrate(pool, jsonl(tmp_path / "l.jsonl", answers), 0.9)
    output = found.by_question["output"]
    assert (output.both + output.people_only, output.judge_only + output.neither) == (
        sum(right for _, _, right, _ in scored),
        sum(not right for _, _, right, _ in scored),
    )
    assert found.by_question["valid"].people_only + found.by_question["valid"].both == len(scored)
    named = [{**row, "question": "output"} if row["label"] == "remove" else row for row in labelled(scored)]
    again = calibrate(pool, jsonl(tmp_path / "n.jsonl", named), 0.9)
    assert again.by_question["output"] == output
    assert again.agreement == found.agreement


def test_a_precision_that_cannot_be_reached_gives_the_best_there_is(tmp_path: Path, pool: Path, scored: Scored) -> None:
    upside_down = [{**row, "label": {"keep": "remove", "remove": "keep"}[row["label"]]} for row in labelled(scored)]
    found = calibrate(pool, jsonl(tmp_path / "l.jsonl", upside_down), 1.0)
    assert not found.is_reached
    most = max(
        both / (both + judge_only)
        for least in product(range(1, 6), repeat=3)
        for both, judge_only, _, _ in [by_hand([(t, p, not r, s) for t, p, r, s in scored], least)]
        if both + judge_only
    )
    assert found.fitted_agreement.precision == most < 1


def test_the_command_prints_a_config_to_paste(
    tmp_path: Path, pool: Path, scored: Scored, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = jsonl(tmp_path / "l.jsonl", labelled(scored))
    assert cli.run(["judge", str(pool), "--calibrate", str(labels)]) == 0
    out = capsys.readouterr().out
    assert "fitted to a precision of 0.95" in out
    path = tmp_path / "c.toml"
    path.write_text(out[out.index("[judge]") :], encoding="utf-8")
    fitted = calibrate(pool, labels, 0.95).fitted
    assert tomllib.loads(path.read_text(encoding="utf-8"))["judge"]["enabled"]
    assert {name: getattr(load(path, {}).judge, f"min_{name}") for name in fitted} == fitted
    assert cli.run(["judge", str(pool), "--calibrate", str(labels), "--precision", "0.9", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == calibrate(pool, labels, 0.9).figures()


def test_the_command_alone_shows_what_the_judge_made_of_the_pool(
    pool: Path, scored: Scored, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["judge", str(pool), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["judged"] == said["passed"] == len(scored)
    for place, name in enumerate(("valid", "input", "output")):
        counts = [sum(scores[place] == score for *_, scores in scored) for score in range(1, 6)]
        assert list(said["scores"][name].values()) == counts
    assert cli.run(["judge", str(pool)]) == 0
    assert "scores on output" in capsys.readouterr().out


def test_labels_are_read_in_each_form_and_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_text(
        '\ufeff{"task_id": "t1", "instance": 0, "label": "remove", "question": "input"}\n\n'
        '{"task_id": "t1", "instance": 1, "keep": false}\n'
        '{"task_id": "t2", "valid": true, "input": true, "output": false}\n'
        '{"task_id": "t1", "instance": 0, "label": "keep"}\n',
        encoding="utf-8",
    )
    assert [(one.task_id, one.instance, one.keep, dict(one.answers)) for one in read_labels(path)] == [
        ("t1", 1, False, {}),
        ("t2", 0, False, {"valid": True, "input": True, "output": False}),
        ("t1", 0, True, {"valid": True, "input": True, "output": True}),
    ]


def test_people_are_compared_on_what_both_have_labelled(
    tmp_path: Path, pool: Path, scored: Scored, capsys: pytest.CaptureFixture[str]
) -> None:
    ana = [{**one, "by": "Ana"} for one in labelled(scored)[:60]]
    bo = [{**one, "by": "Bo", "label": "remove" if place % 10 == 0 else one["label"]} for place, one in enumerate(ana)]
    taken_back = [{**bo[1], "label": None}]
    path = jsonl(tmp_path / "l.jsonl", [*ana, *bo, *taken_back])
    both = [(one["label"] == "keep", other["label"] == "keep") for one, other in zip(ana, bo, strict=True)]
    del both[1]
    wanted = Agreement(*(both.count(pair) for pair in product((True, False), repeat=2)))
    found = calibrate(pool, path, 0.9)
    assert found.between_people == {("Ana", "Bo"): wanted}
    assert found.labels == 60, "the last one of each instance"
    (shown,) = found.figures()["between_people"]
    assert (shown["people"], shown["labels"], shown["kappa"]) == (["Ana", "Bo"], 59, round(wanted.kappa or 0, 4))
    assert cli.run(["judge", str(pool), "--calibrate", str(path)]) == 0
    assert f"Ana and Bo: accuracy {wanted.accuracy:.3f}, kappa {wanted.kappa:.3f}" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("no json", "this is no JSON"),
        ("[1]", 'found [1]; give an object with "task_id"'),
        ('{"instance": 0, "label": "keep"}', '"task_id" is null'),
        ('{"task_id": "t", "instance": -1, "label": "keep"}', '"instance" is -1'),
        ('{"task_id": "t", "instance": true, "label": "keep"}', '"instance" is true'),
        ('{"task_id": "t", "label": "keep", "by": 5}', '"by" is 5'),
        ('{"task_id": "t", "label": "maybe"}', '"label" is "maybe"; give "keep" or "remove"'),
        ('{"task_id": "t"}', '"label" is null'),
        ('{"task_id": "t", "label": "remove", "question": "tone"}', '"question" is "tone"; give valid, input, output'),
        ('{"task_id": "t", "valid": true, "output": "yes"}', '"input" is null; give true or false'),
    ],
)
def test_a_label_that_cannot_be_used_is_one_clear_line(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "l.jsonl"
    path.write_text('{"task_id": "t", "label": "keep"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert fault in str(caught.value)


def test_what_is_missing_is_one_clear_line(
    tmp_path: Path, pool: Path, scored: Scored, capsys: pytest.CaptureFixture[str]
) -> None:
    few = jsonl(tmp_path / "few.jsonl", labelled(scored)[:49])
    foreign = jsonl(tmp_path / "foreign.jsonl", [{"task_id": "t0", "label": "keep"}, *labelled(scored)])
    grow(tmp_path / "unjudged", target=2)
    for arguments, fault in (
        (["judge", str(pool), "--calibrate", str(few)], "49 labels of judged instances; 50 are needed"),
        (["judge", str(pool), "--calibrate", str(foreign)], ":1: no task of"),
        (["judge", str(pool), "--calibrate", str(tmp_path / "none")], "no such file"),
        (["judge", str(pool), "--precision", "0.9"], "--precision goes with --calibrate"),
        (["judge", str(pool), "--calibrate", str(few), "--precision", "95"], "up to 1"),
        (["judge", str(tmp_path / "unjudged")], "switch on judge.enabled"),
        (["judge", str(tmp_path / "unjudged"), "--calibrate", str(few)], "switch on judge.enabled"),
    ):
        assert cli.run(arguments) == 2
        err = capsys.readouterr().err
        assert fault in err
        assert err.count("\n") == 1
