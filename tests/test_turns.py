"""Conversations: what the user says next, what ends them, what the judge leaves of them, where they are shown."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import selfinstruct as si
from selfinstruct import algorithm
from selfinstruct.ask import at_once
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError
from selfinstruct.exports.chat_template import ChatTemplate
from selfinstruct.exports.formats import Wording
from selfinstruct.exports.writing import export, options_of
from selfinstruct.models.offline import talk
from selfinstruct.models.offline.book import built_in
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.models.offline.voices import Tasks
from selfinstruct.pool.edits import correct
from selfinstruct.pool.explain import explain
from selfinstruct.pool.opening import seeds_digest
from selfinstruct.pool.reader import snapshot, status
from selfinstruct.pool.records import Row
from selfinstruct.seeds import read_seeds
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.steps.turns import KINDS
from selfinstruct.types import Completion, Instance, Prompt, Task, Turn
from tests.builders import ROOT, assert_it_adds_up, exported, grow, jsonl, rows
from tests.chat_models import tokenizer_in
from tests.processes import generate, kills
from tests.reviewing import client_of
from tests.test_judging import TASK, follow, outcome, scores
from tests.test_report import Report
from tests.test_samples import chosen, file, number, says

STEP = '[recipe]\nsteps = ["default", "turns"]\n'
JUDGED = f"{STEP}[judge]\nenabled = true\n[turns]\nmost = 3\n"
QUIRKS = "wrong=0.3,judge_wrong=0.05"


def user(*texts: str) -> Callable[[Prompt], str]:
    """A user who says these texts in turn."""
    return lambda prompt: json.dumps({"message": texts[number(prompt)]})


def reply(*texts: str) -> Callable[[Prompt], str]:
    return lambda prompt: texts[number(prompt)]


def scored(*given: int, whole: int = 5) -> str:
    """The judge's words on a conversation."""
    return json.dumps({
        "turns": [{"reason": f"reason {place}", "score": one} for place, one in enumerate(given, 1)],
        "whole": {"reason": "as a whole", "score": whole},
    })  # fmt: skip


def said(turns: tuple[Turn, ...]) -> list[tuple[str, str]]:
    return [(one.user, one.assistant) for one in turns]


# --- one conversation ------------------------------------------------------------------------------------------------


def test_a_row_goes_on_and_the_model_sees_all_that_was_said(tmp_path: Path) -> None:
    model = says(respond="one", user=user("Make it longer.", "And in French?"), reply=reply("one and a half", "un"))
    end, prompts = follow(model, chosen(tmp_path, STEP), TASK)
    assert outcome(end) == (["one"], [])
    assert said(end.instances[0].turns) == [("Make it longer.", "one and a half"), ("And in French?", "un")]
    assert end.instances[0].ended == "most"
    (respond,) = [prompt for prompt in prompts if prompt.stage == "respond"]
    last = [prompt for prompt in prompts if prompt.stage == "reply"][-1]
    assert last.messages[: len(respond.messages)] == respond.messages
    assert [(one.role, one.content) for one in last.messages[len(respond.messages) :]] == [
        ("assistant", "one"), ("user", "Make it longer."), ("assistant", "one and a half"), ("user", "And in French?"),
    ]  # fmt: skip
    shown = [prompt for prompt in prompts if prompt.stage == "user"][-1].messages[-1].content
    assert [json.loads(line) for line in shown.splitlines()[:4]] == [
        {"user": TASK.instruction}, {"assistant": "one"}, {"user": "Make it longer."}, {"assistant": "one and a half"},
    ]  # fmt: skip


def test_what_the_user_does_is_drawn_by_weight_and_for_each_turn_anew(tmp_path: Path) -> None:
    text = STEP + '[turns]\nmost = 1\nkinds = ["correction", "correction", "correction", "follow_up"]\n'
    settings = chosen(tmp_path, text)
    drawn = []
    for place in range(200):
        task = Task(f"t{place}", TASK.instruction, is_classification=False)
        end, prompts = follow(says(respond="one", user=user("Longer!"), reply="two"), settings, task)
        (turn,) = end.instances[0].turns
        drawn.append(turn.kind)
        (asked,) = [prompt for prompt in prompts if prompt.stage == "user"]
        assert ("corrects a mistake" in asked.messages[-1].content) == (turn.kind == "correction")
    assert 120 < drawn.count("correction") < 180
    assert drawn.count("correction") + drawn.count("follow_up") == 200


@pytest.mark.parametrize(
    ("messages", "replies", "kept", "ended"),
    [
        (["More?", "Thanks, that's all."], ["two"], 1, "closing: Thanks"),
        (["Thanks! Now make it shorter.", "Why?"], ["two", "three"], 2, "most"),
        (["More?", ""], ["two"], 1, "closing"),
        (["非常感谢！"], [], 0, "closing"),
        (["What comes after that?", "What comes after that"], ["two"], 1, "repeated: What comes"),
        ([f"{TASK.instruction}"], [], 0, "repeated"),
        (["one"], [], 0, "repeated"),
        (["What is the sum?", "The sum is 15."], ["The sum of the numbers is 15, no more."], 1, "repeated: The sum"),
        (["More?", "Even more?"], ["two", "Two."], 1, "repeated: the answer"),
        (["More?", "Even more?"], ["two", "one"], 1, "repeated: the answer"),
        (["More?", "Even more?"], ["two", ""], 1, "no_reply: the answer is empty"),
        (["More?", "Even more?"], ["two", "I'm sorry, but I cannot help with that."], 1, "refusal"),
        (["More?", "As an AI language model, I can help you."], ["two", "three"], 1, "refusal"),
        (["More?", "Even more?"], ["two", "three\nUser: And more?"], 1, "leftover_marker"),
        (["More?", "Call me at +49 30 22736711."], ["two", "three"], 1, "personal_data"),
    ],
)
def test_a_conversation_ends_before_the_turn_that_is_no_use(
    tmp_path: Path, messages: list[str], replies: list[str], kept: int, ended: str
) -> None:
    names = '["refusal", "leftover_marker", "personal_data"]'
    settings = pool_settings(load(file(tmp_path, f"{STEP}[filters]\nchecks = {names}\n"), {}), "m")
    end, _ = follow(says(respond="one", user=user(*messages), reply=reply(*replies)), settings, TASK)
    (row,) = end.instances
    assert said(row.turns) == list(zip(messages, replies, strict=False))[:kept]
    assert row.ended.startswith(ended)
    assert end.rejections == ()


@pytest.mark.parametrize(
    ("last", "ended"),
    [
        (Completion("x", "failed", "too long", "x"), "no_reply: too long"),
        (Completion("x", "answer", "It goes on and", "length"), "cut_off"),
    ],
)
def test_an_answer_that_fails_or_is_cut_ends_it(tmp_path: Path, last: Completion, ended: str) -> None:
    def model(prompt: Prompt) -> str | Completion:
        if prompt.stage == "reply":
            return "two" if number(prompt) == 0 else last
        return says(respond="one", user=user("More?", "Even more?"))(prompt)

    settings = pool_settings(load(file(tmp_path, f'{STEP}[filters]\nchecks = ["cut_off"]\n'), {}), "m")
    end, _ = follow(model, settings, TASK)
    assert said(end.instances[0].turns) == [("More?", "two")]
    assert end.instances[0].ended.startswith(ended)


@pytest.mark.parametrize(
    "words", ["no JSON at all", '{"text": "More?"}', '{"message": 3}', Completion("x", "failed", "", "x")]
)
def test_a_user_who_cannot_be_read_ends_it(tmp_path: Path, words: Any) -> None:
    def model(prompt: Prompt) -> str | Completion:
        return words if prompt.stage == "user" else says(respond="one")(prompt)

    end, _ = follow(model, chosen(tmp_path, STEP), TASK)
    assert (end.instances[0].turns, end.instances[0].ended) == ((), "unusable")


def test_what_a_reply_is_checked_against_is_what_was_asked_last(tmp_path: Path) -> None:
    """The task wants JSON and one of its labels; what comes later is another question."""
    settings = pool_settings(load(file(tmp_path, STEP), {}), "m")
    task = Task("t", "Is the mood of the sentence happy or sad? Answer with one word.", is_classification=True)
    says_so = json.dumps({"labels": ["happy", "sad"], "inputs": [{"label": "sad", "input": "The dog has died."}]})
    model = says(
        inputs=says_so, user=user("Why is it sad?", "Now give me the two words of the sentence that say it, as JSON."),
        reply=reply("Somebody has lost a dog.", '{"words": ["dog", "died"]}'),
    )  # fmt: skip
    end, _ = follow(model, settings, task)
    assert [len(one.turns) for one in end.instances] == [2], end.instances


# --- the judge -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge", "kept", "ended"),
    [
        (scored(5, 4), [5, 4], "most"),
        (scored(5, 3), [5], "judged: turn 2: 3 of 5: reason 2"),
        (scored(1, 5), [], "judged: turn 1: 1 of 5: reason 1"),
        (scored(5, 5, whole=2), [], "judged: as a whole: 2 of 5: as a whole"),
        (scored(5, 3, whole=2), [5], "judged: turn 2"),
        (scored(5), [], "judge_unreadable"),
        ("no words", [], "judge_unreadable"),
    ],
)
def test_the_judge_cuts_a_conversation_before_its_first_bad_turn(
    tmp_path: Path, judge: str, kept: list[int], ended: str
) -> None:
    settings = chosen(tmp_path, f"{STEP}[judge]\nenabled = true\n")
    model = says(
        respond="one", judge=scores(), user=user("More?", "Even more?"), reply=reply("two", "three"), judge_turns=judge
    )
    end, prompts = follow(model, settings, TASK)
    (row,) = end.instances
    assert [one.score for one in row.turns] == kept
    assert row.ended.startswith(ended)
    assert len([one for one in prompts if one.stage == "judge_turns"]) == (3 if ended == "judge_unreadable" else 1)


def test_an_unreadable_judge_may_leave_it_as_it_is(tmp_path: Path) -> None:
    settings = chosen(tmp_path, f'{STEP}[judge]\nenabled = true\nunreadable = "keep"\n')
    model = says(respond="one", judge=scores(), user=user("More?", ""), reply="two", judge_turns="?")
    end, _ = follow(model, settings, TASK)
    assert (said(end.instances[0].turns), end.instances[0].ended) == ([("More?", "two")], "closing")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[turns]\nmost = 3\n", "add 'turns' to recipe.steps"),
        ('[recipe]\nsteps = ["turns", "sample"]\n', "list it after sample"),
        ('[recipe]\nsteps = ["turns", "turns"]\n', "turns is listed twice"),
        ('[recipe]\nsteps = ["turns", "default"]\n', "list it after default"),
        (STEP + '[turns]\nkinds = ["folow_up"]\n', "follow_up"),
        (STEP + "[turns]\nkinds = []\n", "names none; wanted is one at least"),
        (STEP + "[turns]\nmost = 11\n", "less than or equal to 10"),
        ('[recipe]\nname = "original"\nsteps = ["turns"]\n', "has no step turns"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as found:
        chosen(tmp_path, text)
    assert "\n" not in str(found.value)


# --- pools -----------------------------------------------------------------------------------------------------------


def content(pool: Path) -> tuple[bytes, Any]:
    sql = "SELECT task_id, position, turns, ended FROM instances WHERE request_id IS NOT NULL ORDER BY 1, 2"
    return exported(pool), rows(pool, sql)


def test_each_conversation_is_the_same_whatever_the_concurrency(tmp_path: Path) -> None:
    config = file(tmp_path, JUDGED)
    with OfflineServer(quirk=QUIRKS) as server:
        told = {"config": config, "base_url": [server.base_url], "model": "offline", "target": 12}
        assert grow(tmp_path / "p", concurrency=1, **told).exit_code == 0
        assert grow(tmp_path / "q", concurrency=64, **told).exit_code == 0
        assert max(server.seen.values()) == 2, "each question was asked once for each pool"
    assert content(tmp_path / "p") == content(tmp_path / "q")
    for name in ("p", "q"):
        assert_it_adds_up(tmp_path / name)
    why = {ended.partition(":")[0] for *_, ended in content(tmp_path / "p")[1]}
    assert why >= {"most", "judged"}, why
    found = [len(json.loads(turns or "[]")) for *_, turns, _ in content(tmp_path / "p")[1]]
    assert {*found} >= {0, 1, 3}


def test_stopped_at_every_moment_the_bytes_are_the_same(tmp_path: Path) -> None:
    config, ends = file(tmp_path, JUDGED), list[int]()
    while not ends or ends[-1] == 3:
        options: dict[str, Any] = {"config": config, "target": 6, "concurrency": 5, "max_requests": 6}
        ends.append(grow(tmp_path / "p", **options).exit_code)
        assert_it_adds_up(tmp_path / "p")
    grow(tmp_path / "q", target=6, config=config)
    assert (ends[-1], len(ends) > 10) == (0, True)
    assert content(tmp_path / "p") == content(tmp_path / "q")
    assert rows(tmp_path / "p", "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == [(0,)]


FOUR_SOURCES = """
[recipe]
sources = ["demonstrations", "evolve", "documents", "back_translation"]
steps = ["default", "turns"]

[documents]
path = "{documents}"
passage_words = 60

[draw]
person = ["a cook", "a nurse", "a clerk"]

[quotas]
over = ["person"]
each = 8

[judge]
enabled = true
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_sources_with_quotas_and_turns_give_the_same_bytes_after_kills(tmp_path: Path) -> None:
    """At any concurrency, too. Six kills in CI; `make soak` sets KILLS to 20."""
    wanted, documents = int(os.environ.get("KILLS", "6")), tmp_path / "documents"
    documents.mkdir()
    for name in ("pool.md", "judge.md"):
        shutil.copy(ROOT / "docs" / name, documents)
    config = file(tmp_path, FOUR_SOURCES.format(documents=documents))
    generator, killed, pools = random.Random(7), 0, 0
    with OfflineServer(quirk=QUIRKS) as server:
        told: dict[str, Any] = {"config": config, "base_url": [server.base_url], "model": "offline", "target": 20}
        grow(tmp_path / "p", **told, concurrency=64)
        grow(tmp_path / "one by one", **told, concurrency=1)
    assert content(tmp_path / "p") == content(tmp_path / "one by one")
    named = rows(tmp_path / "p", "SELECT COUNT(DISTINCT source_name) FROM requests")
    assert named == [(4,)]
    while killed < wanted:
        pools += 1
        pool = tmp_path / f"p{pools}"
        with OfflineServer(quirk=QUIRKS, latency="fixed:0.05", fault="429=5%:0.1,503=4%,drop=1%") as server:
            command = generate(pool, server.base_url, 20, "--concurrency", 16, "--config", config)
            killed += sum(1 for _ in kills(command, pool, min(7, wanted - killed), generator))
        assert content(pool) == content(tmp_path / "p")
        assert_it_adds_up(pool)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("turns")
    assert grow(folder / "p", config=file(folder, JUDGED), target=20).exit_code == 0
    return folder / "p"


def test_status_says_why_conversations_ended(pool: Path) -> None:
    talks = status(pool)["conversations"]
    stored = rows(pool, "SELECT ended, turns FROM instances WHERE ended != ''")
    assert talks["rows"] == len(stored) == sum(talks["ended"].values())
    assert talks["turns"] == sum(len(json.loads(turns or "[]")) for _, turns in stored)
    assert set(talks["ended"]) == {ended.partition(":")[0] for ended, _ in stored}


def test_exports_and_explanations_show_conversations_whole(pool: Path, tmp_path: Path) -> None:
    forms = ["messages", "sharegpt", "gemini-tuning", "prompt-completion", "alpaca", "prompt-completion-plain"]
    written = export(pool, forms, tmp_path / "out")
    files = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in written.paths}
    with snapshot(pool) as opened:
        found = list(opened.rows())
    long = [place for place, row in enumerate(found) if len(row.turns) > 1]
    assert long
    for place in long:
        row = found[place]
        texts = [row.output, *(text for turn in row.turns for text in (turn.user, turn.assistant))]
        messages = files["messages"][place]["messages"]
        assert [one["content"] for one in messages[1:]] == texts
        assert [one["role"] for one in messages] == ["user", "assistant"] * (1 + len(row.turns))
        assert [one["value"] for one in files["sharegpt"][place]["conversations"]][1:] == texts
        assert [one["parts"][0]["text"] for one in files["gemini-tuning"][place]["contents"]][1:] == texts
        last = files["prompt-completion"][place]
        assert [*last["prompt"], *last["completion"]] == messages
        assert len(last["completion"]) == 1
        assert files["alpaca"][place]["output"] == row.output
        assert files["prompt-completion-plain"][place]["completion"] == row.output
        (told,) = explain(pool, row.task_id)
        assert {turn.user for turn in row.turns} <= {text for _, text in told.lines}
        assert any(label == "ended" for label, _ in told.lines)


def test_tables_pages_and_python_show_them_whole(pool: Path, tmp_path: Path) -> None:
    frame = si.Pool(pool).rows()
    written = export(pool, ["csv", "parquet", "messages"], tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "dataset.parquet").to_pylist()
    with (tmp_path / "out" / "dataset.csv").open(encoding="utf-8", newline="") as file:
        spelled = [json.loads(row["turns"]) for row in csv.DictReader(file)]
    plain = [[{"user": one["user"], "assistant": one["assistant"]} for one in turns] for turns in frame.turns]
    assert [row["turns"] for row in table] == spelled == plain
    assert written.rows == len(plain)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["figures"]["rows_with_turns"] == sum(map(bool, plain)) > 0
    row = next(row for row in frame.itertuples() if len(row.turns) > 1 and len(row.turns[0]["user"]) < 60)
    with client_of(pool) as client:
        shown = [client.get(f"/api/rows/{number}").json() for number in range(len(frame))]
    assert [one["turns"] for one in shown if one["task_id"] == row.task_id][row.instance] == row.turns
    page = tmp_path / "report.html"
    assert cli.run(["report", str(pool), "--out", str(page)]) == 0
    details = Report(page).rows("details-0")
    assert any(row.turns[0]["user"] in texts for _, instances, _ in details for texts in instances)


def test_a_correction_keeps_turns_unless_it_is_of_the_output(pool: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pool, tmp_path / "pool"))
    with snapshot(copy) as opened:
        row, other = [one for one in opened.rows() if one.turns][:2]
    correct(copy, row.id, {"output": "Another one."}, "", "2026-01-01T00:00:00.000Z")
    correct(copy, other.id, {"instruction": "Do it again, please."}, "", "2026-01-01T00:00:00.000Z")
    with snapshot(copy) as opened:
        now = {one.id: one for one in opened.rows()}
    assert now[row.id].turns == ()
    assert now[other.id].turns == other.turns


def test_personal_data_in_turns_is_masked_and_the_model_sees_it_so(tmp_path: Path) -> None:
    text = f'{STEP}[filters]\nchecks = []\npersonal_data = "mask"\n'
    settings = pool_settings(load(file(tmp_path, text), {}), "m")
    model = says(
        respond="one", user=user("Write to k.brandt@posteo.de, please.", "Shorter, please."),
        reply=reply("Sent to k.brandt@posteo.de.", "Sent."),
    )  # fmt: skip
    end, prompts = follow(model, settings, TASK)
    assert said(end.instances[0].turns)[0] == ("Write to [EMAIL_1], please.", "Sent to [EMAIL_1].")
    last = [prompt for prompt in prompts if prompt.stage == "reply"][-1]
    assert not any("brandt" in message.content for message in last.messages)


def test_a_turn_near_an_excluded_text_ends_a_conversation(tmp_path: Path) -> None:
    asked = "Which of the seven hills of Rome lies nearest to the river and carries the oldest bridge of the town?"
    kept_out = jsonl(tmp_path / "bench.jsonl", [{"question": asked}])
    exclusions = read_exclusions([kept_out])
    settings = pool_settings(load(file(tmp_path, f"{STEP}[filters]\nchecks = []\n"), {}), "m", None, exclusions)
    model = says(respond="one", user=user("More?", asked), reply=reply("two", "three"))
    prompts: list[Prompt] = []

    async def ask(prompt: Prompt) -> Completion:
        prompts.append(prompt)
        return Completion(f"{prompt.stage}{prompt.index}", "answer", model(prompt), "stop")

    end = at_once(algorithm.finish(TASK, ask, settings, [], Excluded(exclusions, "0.7")))
    assert said(end.instances[0].turns) == [("More?", "two")]
    assert end.instances[0].ended.startswith("contaminated: bench.jsonl row 1")


def test_a_step_of_the_users_own_sees_turns_and_may_change_them(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from dataclasses import replace\n\n\nasync def short(task, rows, ask):\n"
        "    return [replace(row, turns=row.turns[:1]) for row in rows]\n"
    )
    text = f'[recipe]\nsteps = ["turns", "{own}:short"]\n[turns]\nmost = 2\n'
    model = says(respond="one", user=user("More?", "Even more?"), reply=reply("two", "three"))
    end, _ = follow(model, chosen(tmp_path, text), TASK)
    assert outcome(end) == (["one"], ["changed"])
    assert (said(end.instances[0].turns), end.instances[0].ended) == ([("More?", "two")], "most")


def test_seeds_that_are_conversations_are_stored_and_exported_whole(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river in Spain."},
        {"role": "assistant", "content": "Ebro"}, {"role": "user", "content": "And a longer one?"},
        {"role": "assistant", "content": "Tajo"},
    ]  # fmt: skip
    share = [
        {"from": "human" if one["role"] == "user" else "gpt", "value": one["content"].replace("Spain", "France")}
        for one in turns[1:]
    ]
    seeds = jsonl(tmp_path / "seeds.jsonl", [{"messages": turns}, {"conversations": share}])
    grow(tmp_path / "p", seeds=seeds, target=2)
    options = options_of(origin="seed")
    export(tmp_path / "p", ["messages", "sharegpt"], tmp_path / "out", options)
    messages = [json.loads(line)["messages"] for line in (tmp_path / "out" / "messages.jsonl").read_text().splitlines()]
    assert messages[0] == turns
    assert json.loads((tmp_path / "out" / "sharegpt.jsonl").read_text().splitlines()[1])["conversations"] == share
    again = jsonl(tmp_path / "again.jsonl", [{"messages": one} for one in messages])
    assert seeds_digest(read_seeds(again)) == seeds_digest(read_seeds(seeds))
    shorter = jsonl(tmp_path / "shorter.jsonl", [{"messages": turns[:3]}, {"conversations": share}])
    assert seeds_digest(read_seeds(shorter)) != seeds_digest(read_seeds(seeds))


def test_a_chat_template_is_tried_on_whole_conversations(tmp_path: Path) -> None:
    row = Row("t1", "Name a colour.", Instance("", "Red.", (Turn("And one more?", "Blue."),)), 1, 0)
    checked = ChatTemplate(str(tokenizer_in(tmp_path)), Wording())
    checked.count(row)
    found = checked.to_json()
    texts = ["Name a colour.", "Red.", "And one more?", "Blue."]
    roles = ["user", "assistant"] * 2
    around = [len(f"S{role}\nE\n") for role in roles]
    assert found["tokens"]["total"] == sum(map(len, texts)) + sum(around)
    assert found["share_of_tokens_learned"] == round((4 + 5 + 2 * len("E\n")) / found["tokens"]["total"], 4)
    assert found["faults"] == {}


def test_the_built_in_model_scores_what_it_answers(tmp_path: Path) -> None:
    """Whatever it says as the user, it answers rightly, and its judge knows."""
    entries = built_in().entries
    for place in range(0, len(entries), 9):
        entry, rng = entries[place], random.Random(place)
        first = entry.answers[0]
        talked = [("user", f"{entry.instruction}\n\n{first.input}".strip()), ("assistant", first.output)]
        for kind in [*KINDS, *KINDS]:
            wanted = talk.next_turn(talked, kind, built_in(), rng)
            answered = talk.reply([*talked, ("user", wanted)], Tasks({}), built_in(), rng)
            if wanted == talk.GOODBYE:
                assert answered is None
                continue
            assert answered is not None
            talked += [("user", wanted), ("assistant", answered)]
        given = talk.scores(talked, Tasks({}), built_in(), rng)
        assert {one["score"] for one in (*given["turns"], given["whole"])} == {5}, talked
        talked[-1] = ("assistant", "Nobody knows.")
        assert talk.scores(talked, Tasks({}), built_in(), rng)["turns"][-1]["score"] == 1
