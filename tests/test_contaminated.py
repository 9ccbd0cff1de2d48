"""Decontamination: files are read in any of their forms, what is near their texts is found, and nothing else is."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.checks.contaminated import Excluded
from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.pool.reader import status
from selfinstruct.seeds.benchmarks import read_exclusion, read_exclusions
from selfinstruct.similarity.passages import WORDS, Passages, weight
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Exclusion
from tests.builders import exported, grow, jsonl, rows

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May. How many in all?"
LONG = (
    "The committee met on the second Thursday of each month in the old library, and the minutes were kept by a clerk "
    "who had never missed a single session in more than thirty years of quiet service."
)
CHINESE = "某商店四月份卖出四十八个发夹，五月份卖出的数量是四月份的一半，请问这两个月一共卖出了多少个发夹？"


def run(*arguments: object) -> int:
    return cli.run([str(one) for one in arguments])


def excluded(*texts: str, threshold: str = "0.7") -> Excluded:
    rows = tuple((number, (text,)) for number, text in enumerate(texts, 1))
    return Excluded([Exclusion("x", "bench.jsonl", rows)], threshold)


# --- reading --------------------------------------------------------------------------------------------------------


def as_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"q": [QUESTION, LONG], "a": [["None of them", "72"], []]}), path)


FORMS = {
    "test.jsonl": "\n".join(
        json.dumps(one) for one in ({"question": QUESTION, "n": 3, "choices": {"text": ["None of them", "72"]}}, [LONG])
    ),
    "test.csv": f'"{QUESTION}",None of them,72\n"{LONG}",,\n',
    "test.tsv": f"{QUESTION}\tNone of them\t72\n{LONG}\t\t\n",
    "test.json": json.dumps([[QUESTION, "None of them", "72"], LONG], indent=1),
    "squad.json": json.dumps(
        {"version": 1, "data": [{"q": QUESTION, "a": ["None of them", "72"]}, {"q": LONG}]}, indent=1
    ),
}


@pytest.mark.parametrize("name", [*FORMS, "test.parquet"])
def test_every_text_of_every_row_is_read_from_any_form_of_file(tmp_path: Path, name: str) -> None:
    if name in FORMS:
        (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    else:
        as_parquet(tmp_path / name)
    found = read_exclusion(tmp_path / name)
    assert found.rows == ((1, (QUESTION, "None of them", "72")), (2, (LONG,)))
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert read_exclusion(packed) == found
    assert found.name == name


@pytest.mark.parametrize("indent", [1, None])
def test_no_text_of_a_json_file_is_dropped(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "test.json"
    whole = {"languages": ["en", "de"], "title": CHINESE, "train": [{"q": QUESTION}], "more": {"test": [LONG]}}
    path.write_text(json.dumps(whole, indent=indent), encoding="utf-8")
    assert [texts for _, texts in read_exclusion(path).rows] == [("en",), ("de",), (QUESTION,), (CHINESE,), (LONG,)]
    one = {"choices": ["72", "48"], "question": QUESTION}
    assert read_exclusion(jsonl(tmp_path / "one.jsonl", [one])).rows == ((1, ("72", "48", QUESTION)),)


def test_a_text_file_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text(f"\ufeff{QUESTION}\n\n{LONG}\n", encoding="utf-8")
    assert read_exclusion(tmp_path / "test.txt").rows == ((1, (QUESTION,)), (3, (LONG,)))


def test_an_exclusion_is_known_by_its_content_whatever_it_is_called(tmp_path: Path) -> None:
    for name, text in {"a.txt": QUESTION, "b.txt": QUESTION, "c.txt": LONG}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert [one.name for one in read_exclusions(tmp_path / f"{name}.txt" for name in "abc")] == ["a.txt", "c.txt"]


def test_other_texts_under_the_same_name_have_another(tmp_path: Path) -> None:
    for folder, text in {"a": QUESTION, "b": LONG, "c": QUESTION, "d": CHINESE}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.txt").write_text(text, encoding="utf-8")
    found = read_exclusions(tmp_path / folder / "test.txt" for folder in "abcd")
    assert [one.name for one in found] == ["test.txt", "test.txt (2)", "test.txt (3)"]


def test_a_file_whose_name_is_no_text_is_read_under_one_that_is(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_text(LONG)
    (found,) = read_exclusions([path])
    assert found.name == "caf\ufffd.txt"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "no such file"),
        ("empty.jsonl", b"", "there is no text in it"),
        ("numbers.jsonl", b'{"a": 1}\n', "there is no text in it"),
        ("cut.jsonl", b'{"a": "b c"}\n{"a": \n', "cut.jsonl:2: malformed JSON at column 7"),
        ("latin.txt", b"one\ncaf\xe9\n", "latin.txt:2: not UTF-8: byte 0xe9"),
        ("bad.parquet", b"PAR1nothing", "not readable as Parquet"),
        ("bad.jsonl.gz", b"\x1f\x8b\x08nothing", "cannot be unpacked"),
        ("deep.json", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_exclusion(tmp_path / name)
    assert run("generate", "--pool", tmp_path / "p", "--exclude", tmp_path / name) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "p" / "pool.db").exists()


# --- what is near ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (QUESTION, "ROUGE-L 1.0000 > 0.7"),
        (QUESTION.upper().replace(",", " -"), "ROUGE-L 1.0000 > 0.7"),
        (QUESTION.replace("Natalia", "Maria").replace("48", "52"), "ROUGE-L 0.9"),
        ("Read the note and say who wrote it. " * 9 + LONG[40:150], "13 words in common"),
        (CHINESE.replace("四月", "六月"), "ROUGE-L 0.9"),
        (
            "写一篇很长的文章，讨论城市里的商店怎样经营，并且举出几个例子来说明。" * 4 + CHINESE[:30],
            "13 words in common",
        ),
    ],
)
def test_near_copies_are_found_with_the_row_they_resemble(text: str, how: str) -> None:
    found = excluded("Something else that stands before it here.", QUESTION, LONG, CHINESE).near(text)
    assert found is not None
    assert found.fault.reason == "contaminated"
    assert f"bench.jsonl row {found.row}: " in found.fault.evidence
    assert how in found.fault.evidence
    assert found.row == 4 if not text.isascii() else found.row in {2, 3}


@pytest.mark.parametrize(
    "text",
    [
        "How many friends did Natalia meet in April?",
        "Paris",
        "The answer is 72",
        "",
        "   ",
        " ".join(LONG.split()[:12])
        + " and then they all went home to write a long letter to their many friends abroad.",
        "写一篇很长的文章，讨论城市里的商店怎样经营。" + CHINESE[:17],
        "x" * 5000,
    ],
)
def test_what_shares_less_is_let_through(text: str) -> None:
    assert excluded(QUESTION, LONG, CHINESE, "Paris", "The answer is 72").near(text) is None


def test_a_row_counts_as_a_whole_where_no_text_of_it_does_alone() -> None:
    rows_ = ((1, ("Which of these is a metal at room temperature?", "copper wire", "a glass jar", "dry pine wood")),)
    found = Excluded([Exclusion("x", "b", rows_)], "0.7").near(
        "Which of these is a metal at room temperature? copper wire, a glass jar, dry pine wood"
    )
    assert found is not None
    assert found.score > 0.7


def test_an_instance_is_near_by_its_input_with_its_instruction_or_by_a_long_output() -> None:
    found = excluded("Translate into French: the cat sleeps on the mat.", LONG, "Paris is the capital of France.")
    assert found.near_instance("Translate into French:", "The cat sleeps on the mat.") is not None
    assert found.near_instance("Say it again.", "Paris is the capital of France.") is not None
    assert found.near_instance("Tell a story.", "", LONG) is not None
    assert found.near_instance("Where is it?", "", "Paris is the capital of France.") is None  # short answers agree
    assert found.near_instance("Translate into German:", "The dog runs in the yard.", "Der Hund rennt.") is None


def test_the_threshold_is_that_of_the_setting_and_an_equal_score_passes() -> None:
    one, other = "a b c d e f g h i j", "a b c d e f g x y z"
    assert excluded(one, threshold="0.7").near(other) is None
    assert excluded(one, threshold="0.69").near(other) is not None


WORD = st.sampled_from(["a", "b", "猫", "犬", "แมว", "c", "d"])


@given(st.lists(st.lists(WORD, max_size=60), max_size=5), st.lists(WORD, max_size=60))
def test_a_shared_passage_is_found_exactly_where_there_is_one(known: list[list[str]], asked: list[str]) -> None:
    tokens, texts = tokenize(" ".join(asked)), [tokenize(" ".join(one)) for one in known]

    def passages(text: tuple[str, ...]) -> dict[tuple[str, ...], int]:
        found = {}
        for start in range(len(text)):
            for end in range(start, len(text) + 1):
                if sum(map(weight, text[start:end])) >= WORDS * 15:
                    found.setdefault(text[start:end], start)
                    break
        return found

    ours = passages(tokens)
    wanted = next((place for place, text in enumerate(texts) if passages(text).keys() & ours.keys()), None)
    found = Passages(texts).shared_with(tokens)
    assert (found is None) == (wanted is None)
    if found is not None:
        assert tokens[found.start : found.end] in passages(texts[found.place])


def test_every_planted_near_copy_is_found_among_many_rows_and_no_other() -> None:
    """The benchmark does the same with 100,000 rows."""
    from benchmarks.decontamination import missed_and_wrong

    missed, wrong, planted = missed_and_wrong(3_000, 150)
    assert (missed, wrong) == (0, 0)
    assert planted == 150


# --- in pools -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("clean") / "pool"
    grow(pool, target=50)
    return pool


@pytest.fixture
def bench(clean: Path, tmp_path: Path) -> Path:
    """Near copies of five instructions that the model will write, and of four inputs."""
    instructions = rows(
        clean, "SELECT instruction FROM tasks WHERE origin = 'generated' AND state = 'done' ORDER BY position"
    )
    inputs = rows(
        clean,
        "SELECT i.input FROM tasks t JOIN instances i ON i.task_id = t.id "
        "WHERE t.origin = 'generated' AND t.position > 195 AND length(i.input) > 50 ORDER BY t.position",
    )
    texts = [f"{row[0]} please" for row in instructions[:15:3]] + [f"well: {row[0]}" for row in inputs[:4]]
    return jsonl(tmp_path / "bench.jsonl", [{"question": text, "answer": "x"} for text in texts])


def test_growth_keeps_clear_of_a_test_set_before_it_pays_for_answers(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "p"
    grow(pool, target=50, exclude=[bench])
    now = status(pool)
    assert now["tasks"] == 50
    assert now["rejections"]["contaminated"] >= 8
    ended = now["tasks"] + now["tasks_pending"] + now["tasks_without_instances"] + now["instances"] + now["waiting"]
    assert now["candidates"] == ended + sum(now["rejections"].values())
    assert {row[0] for row in rows(pool, "SELECT kind FROM rejections WHERE reason = 'contaminated'")} == {
        "instruction", "instance"
    }  # fmt: skip
    answered_in_vain = rows(
        pool,
        "SELECT 1 FROM rejections j JOIN requests q ON q.task_id = j.task_id AND q.stage = 'respond' "
        "AND q.position = j.request_position WHERE j.reason = 'contaminated'",
    )
    assert not answered_in_vain
    assert run("explain", pool, "contaminated") == 0
    out = capsys.readouterr().out
    assert out.count("bench.jsonl row ") == now["rejections"]["contaminated"]
    assert all(score > 0.7 for (score,) in rows(
        pool, "SELECT score FROM rejections WHERE reason = 'contaminated' AND kind = 'instruction'"
    ))  # fmt: skip
    stored = rows(pool, "SELECT name, rows FROM exclusions")
    assert stored == [("bench.jsonl", len(bench.read_text("utf-8").splitlines()))]
    assert rows(pool, "SELECT DISTINCT json_extract(settings, '$.exclusions[0]') FROM configurations") == rows(
        pool, "SELECT id FROM exclusions"
    )


def test_some_and_then_more_are_the_same_as_all_at_once_wherever_the_file_lies(bench: Path, tmp_path: Path) -> None:
    grow(tmp_path / "once", target=30, exclude=[bench])
    grow(tmp_path / "twice", target=12, exclude=[bench])
    moved = bench.rename(tmp_path / "other.jsonl")
    told: list[str] = []
    grow(tmp_path / "twice", target=30, exclude=[moved], tell=told, concurrency=3)
    assert exported(tmp_path / "once") == exported(tmp_path / "twice")
    assert not any("changed" in line for line in told)
    assert rows(tmp_path / "twice", "SELECT name FROM exclusions") == [("bench.jsonl",)]


def test_another_test_set_holds_from_the_next_round_and_is_told(bench: Path, tmp_path: Path) -> None:
    pool, told = tmp_path / "p", list[str]()
    grow(pool, target=10, exclude=[bench])
    other = tmp_path / "more" / "bench.jsonl"
    other.parent.mkdir()
    jsonl(other, [{"question": QUESTION}])
    grow(pool, target=40, exclude=[bench, other], tell=told)
    assert any(re.match(r"changed: 2 exclusions instead of 1, from round \d+ on", line) for line in told)
    assert rows(pool, "SELECT name FROM exclusions ORDER BY name") == [("bench.jsonl",), ("bench.jsonl (2)",)]
    grow(pool, target=45, tell=told)
    assert any("changed: 0 exclusions instead of 2" in line for line in told)


def test_seeds_that_are_near_a_test_set_are_told(tmp_path: Path) -> None:
    from tests.builders import seed_row

    seeds = jsonl(tmp_path / "s.jsonl", [seed_row(QUESTION, 0), seed_row("Explain how tides work at the sea.", 1)])
    told: list[str] = []
    grow(tmp_path / "p", target=3, seeds=seeds, exclude=[jsonl(tmp_path / "b.jsonl", [{"q": QUESTION}])], tell=told)
    assert any("near excluded ones, which stay: 1, such as s0: b.jsonl row 1" in line for line in told)


def test_two_test_sets_of_one_name_are_told_apart_wherever_they_are_used(
    clean: Path, bench: Path, tmp_path: Path
) -> None:
    whole = bench.read_text("utf-8").splitlines(keepends=True)
    files = []
    for folder, lines in {"a": whole[:5], "b": whole[5:]}.items():
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "test.jsonl")
        files[-1].write_text("".join(lines), encoding="utf-8")
    grow(tmp_path / "grown", target=50, exclude=files)
    both = ["--exclude", files[0], "--exclude", files[1]]
    assert run("replay", clean, "--pool", tmp_path / "replayed", *both) == 0
    assert run("export", clean, "--out", tmp_path / "out", *both) == 0
    for pool in (tmp_path / "grown", tmp_path / "replayed"):
        assert run("export", pool, "--out", pool / "e") == 0
        about = {one["name"]: one["candidates_rejected"] for one in manifest(pool / "e")["excluded"]}
        assert set(about) == {"test.jsonl", "test.jsonl (2)"}
        assert min(about.values()) > 0
        assert sum(about.values()) == status(pool)["rejections"]["contaminated"]
    out = [json.loads(line) for line in (tmp_path / "out" / "left_out.jsonl").read_text("utf-8").splitlines()]
    assert {one["near"].partition(" row ")[0] for one in out} == {"test.jsonl", "test.jsonl (2)"}


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def test_an_export_leaves_rows_out_and_says_what_it_is_clear_of(clean: Path, bench: Path, tmp_path: Path) -> None:
    whole = exported(clean)
    assert run("export", clean, "--exclude", bench, "--out", tmp_path / "e") == 0
    kept = (tmp_path / "e" / "alpaca.jsonl").read_text(encoding="utf-8").splitlines()
    out = [json.loads(line) for line in (tmp_path / "e" / "left_out.jsonl").read_text("utf-8").splitlines()]
    all_rows = [line for line in whole.decode().splitlines() if '"instruction"' in line]
    assert len(all_rows) == len(kept) + len(out)
    assert set(kept) < set(all_rows)
    assert {(one["format"], one["reason"]) for one in out} == {(None, "contaminated")}
    assert {one["near"] for one in out} == {f"bench.jsonl row {number}" for number in range(1, 10)}
    said = manifest(tmp_path / "e")
    (about,) = said["excluded"]
    assert (about["name"], about["rows"], about["rows_left_out"]) == ("bench.jsonl", 9, len(out))
    assert about["sha256"] == read_exclusion(bench).id
    assert "candidates_rejected" not in about
    assert said["left_out"]["rows"] == {"contaminated": len(out)}
    card = (tmp_path / "e" / "README.md").read_text(encoding="utf-8")
    assert (
        f"kept clear of `bench.jsonl` (9 rows, SHA-256 of its texts `{about['sha256'][:16]}...`): {len(out)} rows"
        in card
    )
    assert exported(clean) == whole  # nothing of it stays in the pool
    assert rows(clean, "SELECT COUNT(*) FROM exclusions") == [(0,)]


def test_no_text_makes_it_raise() -> None:
    generator = random.Random(3)
    found = excluded(QUESTION, LONG, CHINESE, "\ud800 \0 lone and broken text here too", "ก" * 60)
    for _ in range(300):
        text = "".join(chr(generator.choice([32, 65, 97, 0x4E00, 0xE01, 0x300, 0xD800, 0, 0x1F600])) for _ in range(60))
        found.near(text)
