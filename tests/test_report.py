"""The report's file: its figures against values computed by hand, and every kind of pool. Browsers: tests/browser."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.cli.commands import run
from selfinstruct.cli.status import all_figures
from selfinstruct.diversity.figures import diversity
from selfinstruct.diversity.reasons import MEANINGS
from selfinstruct.errors import PoolError
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.pool.edits import Selection, change
from selfinstruct.pool.reader import instructions, status
from selfinstruct.report.page import harmless_json, write_packed, write_report
from selfinstruct.report.verdict import verdict
from selfinstruct.types import Instance
from tests.builders import SEEDS, grow, rows
from tests.pools import NOW, SMALL_SEEDS, Asked, Proposed, small_pool, task_of, write_pool
from tests.servers import ScriptedServer, error


class Report:
    """What a report's file holds."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.pools: list[dict[str, Any]] = json.loads(self.element("figures"))

    def element(self, identity: str) -> str:
        found = re.search(rf'<script type="[^"]*" id="{identity}">([^<]*)</script>', self.text)
        assert found, identity
        return found[1]

    def rows(self, identity: str) -> list[Any]:
        rows: list[Any] = json.loads(gzip.decompress(base64.b64decode(self.element(identity), validate=True)))
        return rows


def report_of(*pools: Path) -> Report:
    out = pools[0] / "report.html"
    write_report(pools, out)
    return Report(out)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_of(small_pool(tmp_path_factory.mktemp("pools") / "small"))


def test_scores_words_and_generations_are_those_computed_by_hand(small: Report) -> None:
    (pool,) = small.pools
    tasks = small.rows("tasks-0")
    assert [row[6] for row in tasks] == [None, None, 0.5, 0.58, 0.7]
    # Common with the nearest seed: write a about (6 and 6 words); nothing; write a about rain (9 and 6): 8/15.
    assert [row[8] for row in tasks] == [None, None, 0.5, 0.0, 0.5333]
    assert [row[11] for row in tasks] == [5, 6, 6, 7, 9]
    assert [row[12] for row in tasks] == [0, 0, 1, 1, 2]
    assert [row[16] for row in tasks[2:]] == [[[0, 4, 0]], [[2, 1, 0], [2, 1, 0]], []]
    assert (pool["tasks"], pool["rows"], pool["short_outputs"]) == (2, 3, 2 / 3)


def test_growth_and_reasons_are_those_computed_by_hand(small: Report) -> None:
    (pool,) = small.pools
    growth = {"width": 1, "rounds": 2, "accepted": [2, 1], "rejected": [2, 1], "waiting": [0, 0]}
    assert pool["growth"] == growth
    assert pool["reasons"] == [
        {
            "kind": "instruction",
            "reason": "too_short",
            "meaning": "shorter than min_words",
            "count": 2,
            "windows": [[0, 1], [1, 1]],
        },
        {"kind": "instance", "reason": "refusal", "meaning": "the model declines", "count": 1, "windows": [[1, 1]]},
        {
            "kind": "instruction",
            "reason": "near_duplicate",
            "meaning": MEANINGS["near_duplicate"],
            "count": 1,
            "windows": [[0, 1]],
        },
    ]
    assert pool["status"]["acceptance_rate"] == 0.5


def test_kinds_verbs_and_cost_are_those_computed_by_hand(small: Report) -> None:
    (pool,) = small.pools
    assert [row[9:11] for row in small.rows("tasks-0")[2:]] == [
        ["write", "story"],
        ["classify", "review"],
        ["write", "story"],
    ]
    assert [row[4] for row in small.rows("tasks-0")] == [0, 0, 0, 1, 0]
    usage = {(one["stage"], one["requests"], one["prompt_tokens"], one["usd"]) for one in pool["status"]["usage"]}
    assert usage == {("propose", 4, 400, 0.00048), ("inputs", 3, 300, 0.00036)}
    assert pool["languages"]["counts"] == [["en", 2]]


def test_demonstrations_and_pairs_are_those_computed_by_hand(small: Report) -> None:
    (pool,) = small.pools
    # s0 was shown twice and s1 three times, with two tasks each; the first task once with one, the second with none.
    assert pool["demonstrations"] == {
        "shown": 4, "barren_count": 1, "median_shown": 2,
        "fruitful": [{"position": 0, "shown": 2, "bore": 2}, {"position": 1, "shown": 3, "bore": 2}],
        "barren": [{"position": 3, "shown": 1, "bore": 0}],
    }  # fmt: skip
    assert [(pair["score"], pair["positions"], pair["is_seed"]) for pair in pool["pairs"]] == [
        (0.7, [4, 2], False), (0.58, [3, 1], True), (0.5, [2, 1], True),
    ]  # fmt: skip
    assert pool["pairs"][2]["this"] == [["Write a", True], [" story ", False], ["about", True], [" the sea.", False]]


@pytest.mark.parametrize(
    ("tasks", "without", "accepted", "likeness", "openings", "short", "marks", "said"),
    [
        (200, 2, 0.6, 0.24, 0.06, 0.2, "good good good good good",
         ("200 tasks with 200 rows: unlike each other, varied in their wording and seldom answered in a "
          "word or two.")),
        (1000, 300, 0.03, 0.7, 0.4, 0.8, "bad look bad bad look",
         ("1,000 tasks with 1,000 rows: instructions are like each other (0.70); 40% of the instructions begin in one "
          "of ten ways; 80% of the outputs have two words or fewer; only 3% of the instructions were accepted; 23% of "
          "the accepted tasks got no row.")),
        (0, 0, None, None, None, None, "none none none none none", "No task is finished yet."),
    ],
)  # fmt: skip
def test_the_verdict_says_what_the_marks_do(
    tasks: int, without: int, accepted: float | None, likeness: float | None, openings: float | None,
    short: float | None, marks: str, said: str,
) -> None:  # fmt: skip
    found = {
        "status": {"tasks": tasks, "acceptance_rate": accepted, "tasks_without_instances": without},
        "diversity": {"mean_nearest_rouge_l": likeness, "top_openings_share": openings},
        "tasks": tasks, "rows": tasks, "short_outputs": short,
    }  # fmt: skip
    judged = verdict(found, {"nearest": 0.2, "openings": 0.05})
    assert " ".join(one["mark"] for one in judged["marks"]) == marks
    assert judged["said"] == said
    assert judged["marks"][0]["reference"].startswith("seeds 0.20; gpt-4o-mini unsteered ")


def test_the_tables_hold_every_task_and_rejection(small: Report) -> None:
    tasks, details, rejections = (small.rows(f"{name}-0") for name in ("tasks", "details", "rejections"))
    assert [row[0] for row in tasks] == [0, 1, 2, 3, 4]
    assert [row[2] for row in tasks] == ["seed", "seed", "done", "done", "without_instances"]
    assert tasks[3] == [
        3, task_of(0, 1, 0), "done", "Classify the review as good or bad.", 1, 0, 0.58, 1, 0.0, "classify", "review",
        7, 1, None, None, 1, [[2, 1, 0], [2, 1, 0]], "good",
    ]  # fmt: skip
    assert sorted(details)[3] == [3, [["Great food.", "good"], ["Cold soup.", "bad"]], [1]]
    assert [(row[2], row[3], row[5], row[6], row[7], row[8]) for row in rejections] == [
        ("instruction", "too_short", None, None, None, "Sing."),
        ("instance", "refusal", None, None, 4, "I cannot do that."),
        ("instruction", "too_short", None, None, None, "Go."),
        ("instruction", "near_duplicate", 1.0, 0, None, "Name a river in Spain!"),
    ]


def test_diversity_is_that_of_the_status(tmp_path: Path) -> None:
    pool = small_pool(tmp_path / "small")
    (figures,) = report_of(pool).pools
    assert figures["diversity"] == diversity(instructions(pool).pairs()).to_json()
    told = {**status(pool), "pool": "small"}
    assert figures["status"] == {key: told[key] for key in figures["status"]}


def test_the_windows_of_the_monitor_are_those_of_the_pool(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[monitor]\nwindow = 2\nmax_openings = 0.01\n")
    grow(tmp_path / "pool", target=40, round_size=3, config=config)
    (figures,) = report_of(tmp_path / "pool").pools
    keys = ("first_round", "last_round", "acceptance", "new_pairs", "level", "distinct_2", "vendi_score", "warnings")
    stored = rows(tmp_path / "pool", f"SELECT {', '.join(keys)} FROM windows ORDER BY last_round")
    found = [tuple(one[key] for key in keys) for one in figures["windows"]]
    assert found == [(*row[:-1], json.loads(row[-1])) for row in stored]
    assert "openings" in found[0][-1]
    texts = rows(tmp_path / "pool", "SELECT instruction, NULL FROM tasks WHERE round IN (0, 1) ORDER BY position")
    assert stored[0][6] == diversity(texts).to_json()["vendi_score"]


def test_report_card_and_status_count_the_same(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=40)
    rows_of = rows(
        pool, "SELECT task_id, COUNT(*) AS n FROM instances WHERE request_id IS NOT NULL GROUP BY 1 ORDER BY n"
    )
    (one_row, one), (two_rows, two) = rows_of[0], rows_of[-1]
    assert (one, two) == (1, 2)
    change(pool, "remove", Selection(ids=(one_row,)), "dull", NOW)
    change(pool, "remove", Selection(ids=(f"{two_rows}/0",)), "wrong", NOW)
    (figures,) = (found := report_of(pool)).pools
    assert run(["export", str(pool), "--format", "alpaca"]) == 0
    card = json.loads((pool / "export" / "manifest.json").read_text("utf-8"))["figures"]
    told = status(pool)
    assert (figures["tasks"], figures["rows"]) == (card["tasks"], card["rows"])
    assert told["tasks"] - told["removed"] == figures["tasks"] == 39
    assert told["instances"] - one - told["removed_rows"] == figures["rows"]
    assert figures["diversity"] == card["diversity"] == all_figures(pool, told)["diversity"]
    shown = [row for row in found.rows("tasks-0") if row[2] == "done"]
    assert sum(len(row[16]) for row in shown) == figures["rows"]
    assert sum(not one[0] for row in shown for one in row[16]) == card["rows_without_input"]
    assert sum(told["rejections"].values()) == sum(one["count"] for one in figures["reasons"])
    assert figures["verdict"]["said"].startswith(f"{card['tasks']:,} tasks with {card['rows']:,} rows")


def test_removed_tasks_are_marked_and_left_out_of_what_the_pool_holds(tmp_path: Path) -> None:
    pool = small_pool(tmp_path / "small")
    change(pool, "remove", Selection(ids=(task_of(0, 0, 0),)), "dull", NOW)
    found = report_of(pool)
    (figures,) = found.pools
    assert [row[2] for row in found.rows("tasks-0")][2] == "removed"
    assert figures["diversity"]["instructions"] == 1
    assert (figures["tasks"], figures["rows"], figures["status"]["removed"]) == (1, 2, 1)
    assert figures["growth"]["accepted"] == [2, 1]
    # The first task, which is removed, is in two of the three pairs: with a seed, and as what the third task resembles.
    assert [pair["positions"] for pair in figures["pairs"]] == [[3, 1]]


def test_two_pools_stand_side_by_side(tmp_path: Path) -> None:
    one, other = small_pool(tmp_path / "a" / "pool"), write_pool(tmp_path / "b" / "pool", SMALL_SEEDS, [])
    found = report_of(one, other)
    assert [pool["name"] for pool in found.pools] == ["a/pool", "b/pool"]
    assert [len(found.rows(f"tasks-{side}")) for side in (0, 1)] == [5, 2]
    assert "<h1>a/pool and b/pool</h1>" in found.text


def test_a_version_is_shown_as_the_pool_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool, config = tmp_path / "pool", tmp_path / "c.toml"
    config.write_text("round_size = 1\n[monitor]\nwindow = 2\n")
    grow(pool, target=25, config=config)
    (first,) = rows(pool, "SELECT id FROM tasks WHERE origin = 'generated' AND state = 'done' ORDER BY position")[0]
    change(pool, "remove", Selection(ids=(first,)), "dull", NOW)
    then = report_of(pool)
    assert run(["publish", str(pool)]) == 0
    grow(pool, more=15, config=config)
    change(pool, "restore", Selection(ids=(first,)), "mended", NOW)
    assert run(["report", str(pool / "versions" / "latest"), str(pool)]) == 0
    found = Report(pool / "report_version-1_pool.html")
    assert [one["name"] for one in found.pools] == ["pool/versions/1", "pool"]
    version, now = found.pools
    assert found.rows("tasks-0") == then.rows("tasks-0")
    for key in ("tasks", "rows", "short_outputs", "languages", "pairs", "diversity"):
        assert version[key] == then.pools[0][key], key
        assert version[key] != now[key] or key == "languages"
    for key in ("seeds", "tasks", "tasks_without_instances", "removed", "instances"):
        assert version["status"][key] == then.pools[0]["status"][key], key
    assert version["windows"][: len(then.pools[0]["windows"])] == then.pools[0]["windows"]
    assert len(version["windows"]) < len(now["windows"])
    rounds = len(version["growth"]["accepted"])
    assert version["growth"]["accepted"] == then.pools[0]["growth"]["accepted"][:rounds]
    assert version["status"]["requests"] < now["status"]["requests"]
    assert run(["report", str(pool / "versions" / "1"), str(pool / "versions" / "latest")]) == 2
    assert run(["report", str(pool / "versions" / "2")]) == 2
    assert "cannot be compared with itself" in capsys.readouterr().err


def test_an_empty_pool_and_one_with_seeds_alone_have_a_report(tmp_path: Path) -> None:
    for name, seeds in (("empty", ()), ("seeds", SMALL_SEEDS)):
        found = report_of(write_pool(tmp_path / name, seeds, []))
        (figures,) = found.pools
        assert figures["growth"] == {"width": 1, "rounds": 0, "accepted": [], "rejected": [], "waiting": []}
        assert figures["diversity"]["instructions"] == figures["tasks"] == figures["rows"] == 0
        assert len(found.rows("tasks-0")) == len(seeds)
        assert found.rows("rejections-0") == []


def test_while_a_run_is_writing_the_report_is_of_one_moment(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    command = [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--target", "100000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as growing:
        seen: set[int] = set()
        while len(seen) < 2:
            assert growing.poll() is None
            try:
                found = report_of(pool)
            except PoolError as error:
                assert re.search("no such pool|holds no pool", str(error)), error  # noqa: PT017 - it is not there yet
                time.sleep(0.1)
                continue
            (figures,) = found.pools
            told = figures["status"]
            accepted = told["tasks"] + told["tasks_pending"] + told["tasks_without_instances"]
            generated = [row for row in found.rows("tasks-0") if row[2] != "seed"]
            assert accepted == len(generated) == sum(figures["growth"]["accepted"])
            assert sum(told["rejections"].values()) == len(found.rows("rejections-0"))
            assert sum(one["count"] for one in figures["reasons"]) == len(found.rows("rejections-0"))
            if figures["is_running"]:
                seen.add(accepted)
        growing.send_signal(signal.SIGINT)
    assert growing.returncode == 130


def test_the_command_writes_beside_the_pool_or_where_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = small_pool(tmp_path / "one"), small_pool(tmp_path / "other")
    assert run(["report", str(one)]) == 0
    assert capsys.readouterr().out.startswith(f"{one / 'report.html'} ")
    assert run(["report", str(one), str(other)]) == 0
    assert len(Report(one / "report_other.html").pools) == 2
    assert run(["report", str(one), "--out", str(tmp_path / "new" / "r.html")]) == 0
    assert Report(tmp_path / "new" / "r.html").pools[0]["name"] == "one"


def test_what_cannot_be_read_or_written_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = small_pool(tmp_path / "pool")
    (tmp_path / "file").write_text("")
    assert run(["report", str(pool), "--out", str(tmp_path / "file" / "r.html")]) == 2
    assert run(["report", str(pool), "--out", str(tmp_path)]) == 2
    assert run(["report", str(tmp_path / "nothing")]) == 2
    assert run(["report", str(pool), str(tmp_path / "nothing")]) == 2
    assert run(["report", str(pool), str(tmp_path / "file" / ".." / "pool")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["error"] * 5
    assert "the report cannot be written" in said[0]
    assert "cannot be compared with itself" in said[4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pool"]


def test_a_folder_whose_name_is_no_text_has_a_report_for_those_who_may_read_it(tmp_path: Path) -> None:
    pool = small_pool(Path(os.fsdecode(bytes(tmp_path) + b"/one\xff")))
    before = os.umask(0o027)
    try:
        assert "<h1>one\ufffd</h1>" in report_of(pool).text
    finally:
        os.umask(before)
    assert (pool / "report.html").stat().st_mode & 0o777 == 0o640


def test_a_report_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    pool = small_pool(tmp_path / "pool")
    report_of(pool)
    before = (pool / "report.html").read_bytes()
    (page,) = rows(pool, "SELECT rootpage FROM sqlite_master WHERE name = 'rejections'")[0]
    (size,) = rows(pool, "PRAGMA page_size")[0]
    with (pool / "pool.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(PoolError, match="damaged"):
        report_of(pool)
    assert (pool / "report.html").read_bytes() == before
    assert [path.name for path in pool.glob(".report*")] == []


def test_no_address_and_no_key_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-this-test")
    grow(tmp_path / "pool", target=5, seeds=SEEDS)
    found = report_of(tmp_path / "pool")
    everything = found.text + json.dumps([found.rows(f"{name}-0") for name in ("tasks", "details", "rejections")])
    page = re.sub(r"(?s)<script>.*?</script>", "", re.sub(r">[^<]{5000,}</script>", "></script>", found.text))
    assert "://" not in page
    assert "sk-secret" not in everything
    assert str(tmp_path) not in everything
    assert "127.0.0.1" not in everything


def test_no_address_is_in_the_file_after_a_server_refused_the_key(tmp_path: Path) -> None:
    async def refuse(place: int, _: str, body: dict[str, Any], __: web.Request) -> web.StreamResponse:
        return error(401, "bad key") if place else web.json_response(answer_chat(body, Model()))

    with ScriptedServer(refuse) as server:
        ended = grow(tmp_path / "pool", target=5, base_url=[server.base_url], model="offline")
    assert ended.exit_code == 5
    assert server.base_url in str(status(tmp_path / "pool")["last_run"])
    assert "127.0.0.1" not in report_of(tmp_path / "pool").text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_json_in_a_page_holds_no_markup_and_comes_back(value: Any) -> None:
    text = harmless_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=4), max_size=30))
def test_packed_rows_come_back(rows: list[list[str]]) -> None:
    file = io.StringIO()
    write_packed(file, iter(rows))
    assert json.loads(gzip.decompress(base64.b64decode(file.getvalue(), validate=True))) == rows


def test_only_the_newest_and_the_closest_have_all_their_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DETAILED", 4), ("TASKS", 8), ("REJECTIONS", 5), ("WHOLE", 20)):
        monkeypatch.setattr(f"selfinstruct.report.tables.{name}", value)
    near = [0.1, 0.6, 0.2, 0.5, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1]
    said = (Instance("", "Eight or"),)
    tasks = [Proposed(f"Say {place}.", said, nearest=("s0", score)) for place, score in enumerate(near)]
    lost = [
        Proposed("x" * 999, nearest=("s0", score), reason="near_duplicate") for score in (0.1, 0.9, 0.8, 0.95, 0.3, 0.2)
    ]
    pool = write_pool(tmp_path / "pool", SMALL_SEEDS, [[Asked((), (*tasks, *lost))]])
    found = report_of(pool)
    assert [row[0] for row in found.rows("tasks-0")] == [4, 5, 6, 7, 8, 9, 10, 11]
    # The two newest and the two closest, and as many of the next as 20 characters hold.
    assert sorted(row[0] for row in found.rows("details-0")) == [3, 5, 8, 9, 10, 11]
    # The newest five; the newest two of these and the two that are most like a task are whole.
    whole = [(row[5], len(row[8]) == 999) for row in found.rows("rejections-0")]
    assert whole == [(0.2, True), (0.3, True), (0.95, True), (0.8, False), (0.9, True)]
