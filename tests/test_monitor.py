"""The diversity monitor and `--diversify auto`: windows, warnings, steering, and that a kill changes none of them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct import algorithm
from selfinstruct.algorithm import known_to
from selfinstruct.cli.commands import run
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.diversity import lexicon
from selfinstruct.diversity.figures import diversity
from selfinstruct.diversity.monitor import Tally, Window, close, warning_text, warnings_of
from selfinstruct.diversity.steering import POOL, Seen, Steering, covered, least, raised, steering
from selfinstruct.diversity.verbs import Reading, read
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status, watched
from selfinstruct.runner.forecast import forecast
from selfinstruct.runner.watch import Watch
from selfinstruct.seeds import read_seeds
from selfinstruct.settings import MonitorSettings
from selfinstruct.sources.demonstrations import draw_demonstrations_by_weight
from selfinstruct.types import Task
from tests.builders import ROOT, SEEDS, changed, exported, grow, proposals, rows, settings
from tests.processes import generate, kills
from tests.servers import ScriptedServer, completion

OURS = read_seeds(SEEDS)
TIGHT = """\
round_size = 3
[monitor]
window = 2
min_acceptance = 0.9
"""
"""A monitor that warns after the second round of a model that repeats itself."""
TARGET = 110


def tallied(*accepted: str, rejected: int = 0) -> Tally:
    tally = Tally()
    for place, text in enumerate(accepted):
        tally.accept(text, place / 10)
    for number in range(rejected):
        tally.reject(f"Write a poem about thing {number}.", "near_duplicate")
    return tally


# --- windows --------------------------------------------------------------------------------------------------------


def test_the_figures_of_a_window_are_those_computed_by_hand() -> None:
    tally = tallied("Write a poem.", "Write a story.", "Name a river.", rejected=6)
    tally.reject('{"tasks": [', "unreadable")
    found = close(tally, {Reading("write", "poem"): 3}, (10, 19), 0, MonitorSettings())
    assert (found.first_round, found.last_round, found.screened, found.accepted) == (10, 19, 10, 3)
    assert found.acceptance == 0.3
    assert found.nearest == 0.1  # of 0, 0.1 and 0.2
    assert found.openings == 1.0  # of nine that could be read: "write a poem" seven times, two more
    assert found.new_pairs == 2
    # Of the three accepted: write a poem story name river, 6 of 9 words; "write a" twice, 5 of 6 pairs.
    assert (found.distinct_1, found.distinct_2, found.verb_noun_entropy) == (0.6667, 0.8333, 1.585)
    varied = diversity((text, None) for text in ("Write a poem.", "Write a story.", "Name a river."))
    assert (found.compression_ratio, found.vendi_score) == (varied.compression_ratio, varied.vendi_score)
    assert (found.warnings, found.level) == ((), 0)  # ten candidates say nothing


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("acceptance", {"acceptance": 0.2499}),
        ("nearest", {"nearest": 0.6501}),
        ("openings", {"openings": 0.5001}),
        ("new_pairs", {"new_pairs": 4}),
    ],
)
def test_a_figure_beyond_its_bound_is_a_warning(name: str, figures: dict[str, float]) -> None:
    at_the_bounds = Window(0, 9, 400, 100, 0.25, 0.65, 0.5, 5)
    assert warnings_of(at_the_bounds, MonitorSettings()) == ()
    beyond = replace(at_the_bounds, **figures)
    assert warnings_of(beyond, MonitorSettings()) == (name,)
    off = MonitorSettings(min_acceptance=0, max_nearest=1, max_openings=1, min_new_pairs=0)
    assert warnings_of(beyond, off) == ()
    said = warning_text(replace(beyond, warnings=(name,)), MonitorSettings(), acts=False)
    assert "rounds 0 to 9" in said
    assert "--diversify auto" in said


def test_the_level_goes_up_with_warnings_and_down_without() -> None:
    bad, good = (
        MonitorSettings(min_acceptance=1),
        MonitorSettings(min_acceptance=0, min_new_pairs=0, max_openings=1, max_nearest=1),
    )
    level, levels = 0, []
    for bounds in [bad] * 6 + [good] * 5:
        level = close(tallied("Write a poem.", rejected=30), {}, (0, 9), level, bounds).level
        levels.append(level)
    assert levels == [1, 2, 3, 4, 4, 4, 3, 2, 1, 0, 0]


# --- steering -------------------------------------------------------------------------------------------------------

SEEN = Seen(
    1,
    Counter({Reading("write", "poem"): 50, Reading("name", "river"): 1}),
    [frozenset({"write", "poem"})] * 40,
    Counter(),
)


def test_demonstrations_come_from_where_the_pool_is_thin() -> None:
    crowd = [Task(f"t{number}", f"Write a poem about thing {number}.", False) for number in range(50)]
    rare = Task("t50", "Name a river of Norway.", False)
    found = steering(SEEN, settings(), OURS)
    requests = algorithm.plan_round(20, settings(), OURS, [*crowd, rare], found)
    usual = algorithm.plan_round(20, settings(), OURS, [*crowd, rare])
    assert sum("t50" in request.demonstrations for request in requests) > 2 * sum(
        "t50" in request.demonstrations for request in usual
    )
    for request in requests:
        assert len(set(request.demonstrations)) == 8
        assert sum(one.startswith("t") for one in request.demonstrations) == 2


def test_a_task_shown_often_is_shown_less() -> None:
    one, other = Task("t1", "Name a river.", False), Task("t2", "Name a river.", False)
    found = steering(replace(SEEN, uses=Counter(t1=4)), settings(), OURS)
    assert found.weight(other) == 5 * found.weight(one)


def test_a_draw_by_weight_follows_the_weights() -> None:
    generator = random.Random(1)
    weights = [1.0, 2.0, 4.0, 8.0]
    drawn = Counter(
        draw_demonstrations_by_weight(generator, 4, 0, 1, 0, lambda _, place: weights[place], 4)[0][1]
        for _ in range(15_000)
    )
    for place, weight in enumerate(weights):
        assert abs(drawn[place] / 1000 - weight) < 0.5
    everything = draw_demonstrations_by_weight(generator, 2, 3, 8, 2, lambda *_: 1.0, 4)
    assert sorted(everything) == [(False, 0), (False, 1), (True, 0), (True, 1), (True, 2)]


def test_requests_name_rare_verbs_and_topics() -> None:
    chosen = settings(topics=("poems", "rivers", "law", "soil"))
    found = steering(SEEN, chosen, OURS)
    assert found.topics == ("rivers", "law")
    assert 0 < len(found.verbs) <= POOL
    assert "write" not in found.verbs
    for request in algorithm.plan_round(20, chosen, OURS, [], found):
        text = request.messages[-1].content
        (line,) = [one for one in text.splitlines() if one.startswith("The collection has too much")]
        assert set(line.partition("begin some of the new ones with: ")[2].split(", ")) <= set(found.verbs)
        assert "in some way: rivers" in text or "in some way: law" in text
    paper = algorithm.plan_round(20, changed(settings("paper")), OURS, [], found)[0].messages[0].content
    assert "Some of the next ones begin with: " in paper


def test_words_and_topics_of_our_own_are_for_english_pools_without_guidance() -> None:
    assert steering(SEEN, settings(), OURS).topics
    assert steering(SEEN, settings(guidance="Tasks for nurses."), OURS).topics == ()
    chinese = read_seeds(ROOT / "seeds" / "zh.jsonl")
    for found in (steering(SEEN, settings(), chinese), steering(SEEN, settings(languages=("de",)), OURS)):
        assert (found.verbs, found.topics) == ((), ())
    assert steering(SEEN, settings(languages=("en",)), chinese).topics
    request = algorithm.plan_round(20, settings(), chinese, [], steering(SEEN, settings(), chinese))[0]
    assert "too much of the same" not in request.messages[-1].content


def test_the_least_covered_are_half_at_most_in_their_order() -> None:
    assert least(["a", "b", "c", "d"], lambda name: {"a": 3, "b": 1, "c": 1, "d": 9}[name]) == ("b", "c")
    assert least(["only"], lambda _: 5) == ("only",)
    assert least([], lambda _: 0) == ()


@pytest.mark.parametrize(
    ("topic", "by"),
    [("Night-shift rivers", 1), ("rivers", 2), ("first aid", 0), ("天文学", 2), ("医学", 0), ("天文学 史", 1)],
)
def test_a_topic_is_covered_by_instructions_that_hold_all_of_its_words(topic: str, by: int) -> None:
    tally = tallied(
        "Name a river for the night shift.",
        "First name the rivers.",
        "请写一篇关于天文学的短文。",
        "列出三个天文学史家。",
    )
    assert covered(topic, tally.words) == by


def test_topics_of_a_language_without_spaces_are_drawn_from_all_of_them() -> None:
    topics = ("天文学", "医学", "法律", "烹饪")
    asked: set[str] = set()
    words: list[frozenset[str]] = []
    for _ in range(2):
        found = steering(replace(SEEN, words=words), settings(topics=topics), read_seeds(ROOT / "seeds" / "zh.jsonl"))
        words += tallied(*(f"请介绍一下{topic}。" for topic in found.topics)).words
        asked.update(found.topics)
    assert asked == set(topics)


@pytest.mark.parametrize(
    ("recipe", "usual", "level", "bound", "raised_to"),
    [("chat", 1.0, 1, 1.3, 1.1), ("chat", 1.0, 4, 1.3, 1.3), ("paper", 0.7, 4, 1.3, 1.1), ("chat", 1.0, 2, 0.9, 1.0),
     ("chat", 1.0, 0, 1.3, 1.0)],
)  # fmt: skip
def test_the_temperature_is_raised_within_its_bound(
    recipe: str, usual: float, level: int, bound: float, raised_to: float
) -> None:
    before = settings(recipe, monitor=MonitorSettings(max_temperature=bound))
    after = raised(before, level)
    assert before.stages["propose"].sampling["temperature"] == usual
    assert after.stages["propose"].sampling["temperature"] == raised_to
    assert {name: stage for name, stage in after.stages.items() if name != "propose"} == {
        name: stage for name, stage in before.stages.items() if name != "propose"
    }
    request = algorithm.plan_round(20, before, OURS, [])[0]
    assert (algorithm.plan_again(request, before, level).id != request.id) == (raised_to != usual)


def test_diversify_is_an_option_a_variable_and_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text('diversify = "auto"\n', encoding="utf-8")
    assert pool_settings(load(tmp_path / "c.toml", {}), "m").diversify == "auto"
    assert load(tmp_path / "c.toml", {"diversify": "off"}).diversify == "off"
    monkeypatch.setenv("SELFINSTRUCT_DIVERSIFY", "auto")
    assert load(None, {}).diversify == "auto"
    with pytest.raises(ConfigError, match="--diversify"):
        load(None, {"diversify": "on"})
    with pytest.raises(ConfigError, match="diversify"):
        load(None, {"recipe": "original", "diversify": "auto"})


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[OfflineServer]:
    with OfflineServer(latency="fixed:0.02", quirk="rut=95%") as running:
        yield running


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tight.toml"
    path.write_text(TIGHT, encoding="utf-8")
    return path


def steered(pool: Path, server: OfflineServer, config: Path, **options: object) -> list[str]:
    told: list[str] = []
    chosen = {"target": TARGET, "base_url": [server.base_url], "model": "offline", "diversify": "auto", **options}
    assert grow(pool, tell=told, config=config, **chosen).exit_code == 0
    return told


@pytest.fixture(scope="module")
def reference(server: OfflineServer, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("reference") / "pool"
    told = steered(pool, server, config)
    assert sum("the model repeats itself" in line for line in told) == 1
    return pool


def contents(pool: Path) -> list[Any]:
    """All of a pool that must not depend on how it was grown."""
    return [
        rows(pool, "SELECT number, steering FROM rounds WHERE state = 'settled' ORDER BY number"),
        rows(pool, "SELECT * FROM windows ORDER BY last_round"),
        rows(pool, "SELECT * FROM verb_nouns"),
        rows(pool, "SELECT r.id, r.sampling FROM requests r JOIN rounds o ON o.number = r.round "
                   "WHERE o.state = 'settled' AND r.stage = 'propose' ORDER BY r.round, r.position"),
        exported(pool),
    ]  # fmt: skip


def test_rounds_after_a_warning_are_steered_and_that_is_stored(reference: Path) -> None:
    levels = [json.loads(steering)["level"] if steering else 0
              for _, steering in rows(reference, "SELECT number, steering FROM rounds ORDER BY number")]  # fmt: skip
    assert levels[:3] == [0, 0, 0]  # window 0 ends with round 1; lookahead is 2
    assert levels[3] == 1
    assert len(levels) > 9
    temperatures = rows(
        reference,
        "SELECT round, sampling ->> '$.temperature' FROM requests WHERE stage = 'propose' GROUP BY 1 ORDER BY 1",
    )
    assert temperatures == [(place, round(min(1 + level / 10, 1.3), 1)) for place, level in enumerate(levels)]


def test_windows_say_what_the_tables_say(reference: Path) -> None:
    windows = rows(reference, "SELECT first_round, last_round, screened, accepted, nearest, new_pairs FROM windows")
    assert [(first, last) for first, last, *_ in windows] == [(2 * n, 2 * n + 1) for n in range(len(windows))]
    known = {read(seed.instruction) for seed in OURS}
    for first, last, screened, accepted, nearest, new in windows:
        found = rows(reference, f"SELECT instruction, nearest_score FROM tasks WHERE round BETWEEN {first} AND {last}")
        rejected = rows(
            reference,
            f"SELECT COUNT(*) FROM rejections WHERE kind = 'instruction' AND round BETWEEN {first} AND {last}",
        )
        assert (accepted, screened) == (len(found), len(found) + rejected[0][0])
        assert nearest == pytest.approx(sum(score for _, score in found) / len(found), abs=1e-4)
        pairs = {read(text) for text, _ in found}
        assert new == len(pairs - known)
        known |= pairs
    until = windows[-1][1]
    counted = Counter(
        read(text) for (text,) in rows(reference, f"SELECT instruction FROM tasks WHERE round <= {until}")
    )
    assert {Reading(verb, noun): n for verb, noun, n in rows(reference, "SELECT * FROM verb_nouns")} == counted


@pytest.mark.parametrize(
    ("targets", "options"),
    [([TARGET], {"concurrency": 1}), ([5, 43, 44, 81, TARGET], {"concurrency": 64})],
    ids=["one at a time", "some and then more"],
)
def test_neither_concurrency_nor_targets_change_a_steered_pool(
    tmp_path: Path, reference: Path, server: OfflineServer, config: Path, targets: list[int], options: dict[str, Any]
) -> None:
    for target in targets:
        steered(tmp_path / "pool", server, config, target=target, **options)
    _same(tmp_path / "pool", reference)


def test_open_requests_of_steered_rounds_are_asked_as_they_were_planned(
    tmp_path: Path, reference: Path, server: OfflineServer, config: Path
) -> None:
    """Each run ends after 40 requests, some of them amid a round; none is planned again by the next run."""
    pool, exit_codes, left_open = tmp_path / "pool", [3], 0
    options = {"target": TARGET, "base_url": [server.base_url], "model": "offline", "diversify": "auto"}
    while exit_codes[-1] == 3:
        assert len(exit_codes) < 60
        exit_codes.append(grow(pool, config=config, max_requests=40, **options).exit_code)
        open_ = "SELECT COUNT(*) FROM requests r JOIN rounds o ON o.number = r.round WHERE r.state = 'open' "
        left_open += rows(pool, open_ + "AND r.stage = 'propose' AND o.steering IS NOT NULL")[0][0]
    assert exit_codes[-1] == 0
    assert left_open > 0
    assert rows(pool, "SELECT COUNT(*) FROM requests WHERE state = 'superseded'") == [(0,)]
    _same(pool, reference)


def _same(pool: Path, reference: Path) -> None:
    found, wanted = contents(pool), contents(reference)
    assert len(wanted[0]) > 8
    for one, other in zip(found, wanted, strict=True):
        assert one == other


@pytest.mark.timeout(600)
def test_a_steered_pool_killed_and_resumed_is_the_same(
    tmp_path: Path, reference: Path, server: OfflineServer, config: Path
) -> None:
    """Four kills once steered rounds are being answered; some of them leave requests of such rounds open."""
    generator = random.Random(3)
    steered_rounds = "FROM requests q JOIN rounds r ON r.number = q.round WHERE r.steering IS NOT NULL"
    answered = f"SELECT COUNT(*) {steered_rounds} AND q.stage = 'propose' AND q.state = 'answered'"
    left_open = f"SELECT COUNT(*) > 0 {steered_rounds} AND q.stage = 'propose' AND q.state = 'open'"
    options = ["--diversify", "auto", "--config", config, "--concurrency", 4]
    killed = in_a_steered_round = pools = 0
    while killed < 4:
        pools += 1
        assert pools < 8, "runs end before they can be killed"
        pool = tmp_path / f"pool{pools}"
        for _ in kills(generate(pool, server.base_url, TARGET, *options), pool, 4 - killed, generator, answered, 5):
            killed += 1
            in_a_steered_round += rows(pool, left_open)[0][0]
        _same(pool, reference)
    assert in_a_steered_round > 0


def test_without_diversify_a_warning_is_said_once_and_changes_nothing(
    tmp_path: Path, server: OfflineServer, config: Path
) -> None:
    told = steered(tmp_path / "pool", server, config, diversify="off")
    (said,) = [line for line in told if "the model repeats itself" in line]
    assert "--diversify auto" in said
    assert rows(tmp_path / "pool", "SELECT COUNT(*) FROM rounds WHERE steering IS NOT NULL") == [(0,)]
    assert rows(tmp_path / "pool", "SELECT COUNT(*) > 1 FROM windows WHERE warnings != '[]'") == [(1,)]


def test_a_replay_has_the_windows_of_what_it_replays(tmp_path: Path, reference: Path, config: Path) -> None:
    assert run(["replay", str(reference), "--pool", str(tmp_path / "new"), "--config", str(config)]) == 0
    windows = (
        "SELECT first_round, last_round, screened, accepted, acceptance, openings, new_pairs FROM windows ORDER BY 1"
    )
    before = rows(reference, windows)
    assert rows(tmp_path / "new", windows)[: len(before)] == before  # a replay also judges what was waiting
    counted = rows(tmp_path / "new", "SELECT SUM(tasks) = (SELECT SUM(accepted) FROM windows) FROM verb_nouns")
    assert counted == [(1,)]


def test_a_dry_run_shows_how_the_next_round_is_steered(tmp_path: Path, server: OfflineServer, config: Path) -> None:
    pool = tmp_path / "pool"
    steered(pool, server, config, target=80)
    options = {"pool": pool, "target": TARGET, "base_url": [server.base_url], "model": "offline", "diversify": "auto"}
    planned = forecast(load(config, options)).first_round
    assert any("too much of the same" in request.messages[-1].content for request in planned)
    assert {request.sampling["temperature"] for request in planned} == {1.3}


def test_status_says_that_the_model_repeats_itself(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(reference)]) == 0
    assert "the model repeats itself" in capsys.readouterr().out
    found = status(reference)["monitor"]
    assert found["warnings"]
    assert found["last_round"] == rows(reference, "SELECT MAX(last_round) FROM windows")[0][0]


def test_what_is_watched_does_not_depend_on_how_far_back_it_is_read(reference: Path) -> None:
    last = rows(reference, "SELECT MAX(last_round) FROM windows")[0][0]
    chosen = settings(diversify="auto", round_size=3, monitor=MonitorSettings(window=2, min_acceptance=0.9))

    next_round = next(number for number in range(last, 2 * last) if known_to(number, chosen) >= last)

    def said(until: int) -> Steering | None:
        return Watch(OURS, watched(reference, until), lambda _: None).steering(next_round, chosen, OURS)

    assert said(last) is not None
    assert said(last) == said(1) == said(-1)


VERBS = sorted(lexicon.ALL_VERBS)[::9]
NOUNS = [f"{first}{second}" for first in ("lan", "mar", "ped", "sor", "tul", "ver", "win", "bro") for second in (
    "der", "ket", "lock", "mond", "pel", "ridge", "ton", "vane", "well", "yard")]  # fmt: skip


def stuck(body: dict[str, Any]) -> str:
    """What a model says that knows sixty tasks by heart, and writes new ones seldom or where told how to begin."""
    rng = random.Random(json.dumps(body["messages"]) + str(body.get("seed")))
    if "response_format" not in body:
        return f"The {rng.choice(NOUNS)} of {rng.choice(NOUNS)} is kept beside the {rng.choice(NOUNS)}."
    if body["response_format"]["json_schema"]["name"] != "new_tasks":
        return '{"missing": "nothing", "inputs": []}'
    asked = re.search(r"ones (?:begin )?with: (.+)$", body["messages"][-1]["content"], re.MULTILINE)
    texts = []
    for _ in range(6):
        wanted = asked is not None and rng.random() < 0.5
        own = rng if wanted or rng.random() < 0.05 else random.Random(rng.randrange(60))
        verb = rng.choice(asked[1].split(", ")) if asked and wanted else own.choice(VERBS)
        texts.append(f"{verb.capitalize()} the {own.choice(NOUNS)} {own.choice(NOUNS)} of a {own.choice(NOUNS)}.")
    return proposals(*texts)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_in_a_rut_brings_more_for_its_requests_with_diversify(tmp_path: Path) -> None:
    """With the default monitor, seed by seed."""

    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.Response:
        return completion(stuck(body))

    rates: dict[str, list[float]] = {"off": [], "auto": []}
    with ScriptedServer(answer) as server:
        for seed in (11, 12, 13, 14):
            for diversify, found in rates.items():
                pool = tmp_path / f"{seed}{diversify}"
                grow(pool, target=320, seed=seed, diversify=diversify, base_url=[server.base_url], model="m")
                asked = rows(pool, "SELECT COUNT(*) FROM requests WHERE stage = 'propose' AND candidates NOT NULL")
                accepted = rows(pool, "SELECT COUNT(*) FROM tasks WHERE origin = 'generated'")
                found.append(1000 * accepted[0][0] / asked[0][0])
    gains = [auto / off for off, auto in zip(rates["off"], rates["auto"], strict=True)]
    assert min(gains) > 1, rates
    assert sum(gains) / len(gains) > 1.1, rates
