"""The original's files as recorded requests and completions, on small ones made here and on two real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.errors import PoolError
from selfinstruct.pool.originals import instruction_key, is_originals, read_originals

PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"
needs_parity = pytest.mark.skipif(
    not PARITY.is_dir(), reason=f"PARITY NOT TESTED: the recorded runs of the original are not at {PARITY}"
)


def proposed(text: str, answer: str, batch: int = 0, at: str = "t0", prompt: str = "list\n9.") -> dict[str, Any]:
    choice = {"text": answer, "finish_reason": "stop"}
    return {
        "instruction": text,
        "metadata": {"prompt": prompt, "response": {"choices": [choice]}, "created_at": at},
        "request_idx": batch,
    }


def answered(text: str, answer: str, reason: str = "stop") -> dict[str, Any]:
    response = {"choices": [{"text": answer, "finish_reason": reason}]} if answer else None
    return {"instruction": text, "raw_instances": answer, "instance_metadata": {"prompt": "p", "response": response}}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def instructions(folder: Path, *rows: Any) -> Path:
    return write(folder / "machine_generated_instructions.jsonl", *rows)


def labels(folder: Path, *rows: Any) -> Path:
    return write(folder / "is_clf_or_not_davinci_template_1.jsonl", *rows)


def instances(folder: Path, *rows: Any) -> Path:
    return write(folder / "machine_generated_instances.jsonl", *rows)


def test_an_answer_is_read_once_however_many_instructions_it_gave(tmp_path: Path) -> None:
    both = "First of all.\n10. Then the second."
    instructions(
        tmp_path,
        proposed("First of all.", both),
        proposed("Then the second.", both),
        proposed("Another.", "Another."),
        proposed("Later.", "Later.", batch=1),
    )
    recording = read_originals(tmp_path)
    assert [[done.text for _, done in exchanges] for exchanges in recording.rounds] == [[both, "Another."], ["Later."]]
    assert [[(asked.round, asked.index) for asked, _ in exchanges] for exchanges in recording.rounds] == [
        [(0, 0), (0, 1)],
        [(1, 0)],
    ]
    assert recording.taken == ()
    assert json.loads(recording.rounds[1][0][1].body) == {"text": "Later.", "finish_reason": "stop"}
    assert recording == read_originals(tmp_path)


def test_two_answers_alike_but_of_different_times_are_two(tmp_path: Path) -> None:
    instructions(tmp_path, proposed("Same text.", "Same text."), proposed("Same text.", "Same text.", at="t1"))
    exchanges = read_originals(tmp_path).rounds[0]
    assert len({asked.id for asked, _ in exchanges}) == 2
    assert all(asked.id == done.request_id for asked, done in exchanges)


def test_files_put_one_behind_the_other_do_not_mix_their_rounds(tmp_path: Path) -> None:
    instructions(
        tmp_path, *(proposed(f"Task {n}.", f"Task {n}.", batch=batch, at=f"t{n}") for n, batch in enumerate([0, 1, 0]))
    )
    assert [len(exchanges) for exchanges in read_originals(tmp_path).rounds] == [1, 1, 1]


def test_follow_ups_are_found_whatever_the_case_and_the_white_space(tmp_path: Path) -> None:
    instructions(tmp_path, proposed("Explain phd theses.", "Explain PhD\n theses."))
    labels(tmp_path, {"instruction": "Explain phd theses.", "is_classification": " No"})
    instances(tmp_path, answered("Explain phd theses.", "Output: They are long.", "length"))
    exchanges = read_originals(tmp_path).follow_ups[instruction_key('"Explain PhD\n theses."')]
    assert [(asked.stage, asked.index, done.text) for asked, done in exchanges] == [
        ("classify", 0, " No"),
        ("instances", 0, "Output: They are long."),
    ]
    assert [done.finish_reason for _, done in exchanges] == ["stop", "length"]
    assert {asked.model for asked, _ in exchanges} == {"davinci"}


def test_what_the_original_recorded_as_empty_is_a_failed_request(tmp_path: Path) -> None:
    labels(tmp_path, {"instruction": "Say it.", "is_classification": ""})
    instances(tmp_path, answered("Say it.", ""))
    exchanges = read_originals(tmp_path).follow_ups[instruction_key("Say it.")]
    assert [done.kind for _, done in exchanges] == ["failed", "failed"]


def test_an_answer_that_was_recorded_as_empty_text_did_not_fail(tmp_path: Path) -> None:
    row = answered("Say it.", "x")
    row["raw_instances"] = row["instance_metadata"]["response"]["choices"][0]["text"] = ""
    instances(tmp_path, row)
    [(_, done)] = read_originals(tmp_path).follow_ups[instruction_key("Say it.")]
    assert (done.kind, done.text) == ("answer", "")


def test_an_instruction_recorded_twice_keeps_both_answers(tmp_path: Path) -> None:
    labels(tmp_path, *({"instruction": "Say it.", "is_classification": said} for said in (" No", " Yes")))
    exchanges = read_originals(tmp_path).follow_ups[instruction_key("Say it.")]
    assert [(asked.index, done.text) for asked, done in exchanges] == [(0, " No"), (1, " Yes")]
    assert exchanges[0][0].id != exchanges[1][0].id


def test_without_proposals_the_classification_file_gives_the_instructions_else_the_instances(tmp_path: Path) -> None:
    instances(tmp_path, answered("Two.", "Output: 2"), answered("One.", "Output: 1"))
    recording = read_originals(tmp_path)
    assert [taken.instruction for taken in recording.taken] == ["Two.", "One."]
    assert len({taken.request_id for taken in recording.taken}) == 2
    labels(tmp_path, *({"instruction": text, "is_classification": " No"} for text in ("One.", "Two.")))
    assert [taken.instruction for taken in read_originals(tmp_path).taken] == ["One.", "Two."]
    instructions(tmp_path, {"instruction": "Say it."}, proposed("Do it.", "Do it."))
    recording = read_originals(tmp_path)
    assert [taken.instruction for taken in recording.taken] == ["Say it."]
    assert len(recording.rounds) == 1


def test_of_several_classification_files_the_one_that_the_original_reads_is_taken(tmp_path: Path) -> None:
    labels(tmp_path, {"instruction": "One.", "is_classification": " No"})
    write(tmp_path / "is_clf_or_not_ada_template_1.jsonl", {"instruction": "Two.", "is_classification": " No"})
    assert [taken.instruction for taken in read_originals(tmp_path).taken] == ["One."]
    (tmp_path / "is_clf_or_not_davinci_template_1.jsonl").rename(tmp_path / "is_clf_or_not_b_template_1.jsonl")
    with pytest.raises(PoolError, match="several classification files"):
        read_originals(tmp_path)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b'{"instruction": "Say', r"machine_generated_instructions.jsonl:2: wanted one JSON object, .* may be torn"),
        (b"\xff\xfe{}\n", r":2: wanted one JSON object, found b'"),
        (b"[1]\n", r":2: wanted one JSON object, found \[1\]"),
        (b"[" * 100_000 + b"\n", ":2: wanted one JSON object"),
        (b'{"instruction": 7}\n', ":2: wanted a text at 'instruction', found 7"),
        (b'{"instruction": "x", "metadata": {"response": {"choices": []}}}\n', ":2: wanted choices with a text"),
        (b'{"instruction": "x", "metadata": {"response": []}}\n', ":2: wanted choices with a text"),
    ],
)
def test_a_torn_or_foreign_line_is_named(tmp_path: Path, line: bytes, wanted: str) -> None:
    path = instructions(tmp_path, proposed("Say it.", "Say it."))
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(PoolError, match=wanted):
        read_originals(tmp_path)


def test_instances_that_contradict_their_own_metadata_are_refused(tmp_path: Path) -> None:
    row = answered("Say it.", "Output: it")
    row["raw_instances"] = "Output: something else"
    instances(tmp_path, row)
    with pytest.raises(PoolError, match=r"instances.jsonl:1: 'raw_instances' differs"):
        read_originals(tmp_path)


def test_a_folder_without_such_files_is_not_one_of_the_original(tmp_path: Path) -> None:
    assert not is_originals(tmp_path)
    with pytest.raises(PoolError, match=r"no machine_generated_instructions\.jsonl"):
        read_originals(tmp_path)
    labels(tmp_path)
    assert is_originals(tmp_path)


@needs_parity
def test_the_first_recorded_run_has_fourteen_answers_in_three_rounds() -> None:
    recording = read_originals(PARITY / "davinci_a")
    assert [len(exchanges) for exchanges in recording.rounds] == [4, 5, 5]
    assert recording.taken == ()
    assert len(recording.follow_ups) == 67
    stages = {tuple(asked.stage for asked, _ in exchanges) for exchanges in recording.follow_ups.values()}
    assert stages == {("classify", "instances")}


@needs_parity
def test_the_second_recorded_run_has_no_answers_but_an_order() -> None:
    recording = read_originals(PARITY / "davinci_b")
    assert recording.rounds == ()
    assert len(recording.taken) == len(recording.follow_ups) == 1241
    rows = (PARITY / "davinci_b" / "is_clf_or_not_davinci_template_1.jsonl").read_text(encoding="utf-8").splitlines()
    assert [taken.instruction for taken in recording.taken] == [json.loads(row)["instruction"] for row in rows]
    assert sum(len(exchanges) for exchanges in recording.follow_ups.values()) == 1241 + 185
