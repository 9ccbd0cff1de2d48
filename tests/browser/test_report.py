"""The report as people see it: the demo pool, a pool whose texts attack the page, two pools, and pools of nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from selfinstruct.cli.commands import run
from selfinstruct.diversity.monitor import Window
from selfinstruct.pool.edits import Selection, change
from selfinstruct.pool.opening import connect
from selfinstruct.pool.reader import status
from selfinstruct.pool.statements import add_window
from selfinstruct.report.page import write_report
from selfinstruct.types import Instance, Task
from tests.browser.attacks import ATTACKS
from tests.browser.conftest import PHONE, expect, until
from tests.builders import rows
from tests.pools import NOW, SMALL_SEEDS, Asked, Proposed, small_pool, task_of, write_pool

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

NewPage = Callable[..., "Page"]
KeepScreenshot = Callable[["Page", str], Path]
SeriousFaults = Callable[["Page"], list[str]]


def opened(page: Page, *pools: Path) -> Page:
    """The page with the report of a pool, drawn to its end."""
    out = pools[0].parent / f"{pools[0].name}.html"
    write_report(pools, out)
    page.goto(out.as_uri())
    page.wait_for_selector("html[data-whole]")
    return page


def rows_shown(page: Page, section: str) -> list[str]:
    """The first cells of a table, as far as they are in sight."""
    return page.locator(f"#{section} .rows .open").all_inner_texts()


def count_is(page: Page, table: str, wanted: str | re.Pattern[str]) -> None:
    expect(page.locator("#filter .count" if table == "tasks" else f"#{table} .count")).to_have_text(wanted)


def chart(page: Page, title: str) -> Locator:
    """A chart by its title, in sight and drawn."""
    found = page.locator("figure", has=page.get_by_role("heading", name=title, exact=True))
    found.evaluate("node => node.scrollIntoView({behavior: 'instant', block: 'center'})")
    expect(found.locator("svg, canvas")).to_be_visible()
    page.wait_for_timeout(100)  # what a filter changed while it was out of sight is drawn now
    return found


def numbers(page: Page, title: str) -> list[list[str]]:
    """The numbers of a chart, a line each."""
    table = chart(page, title).locator("details")
    if table.get_attribute("open") is None:
        table.locator("summary").click()
    expect(table.locator("table")).to_be_visible()
    return [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]


def closed_by_escape(page: Page) -> None:
    """The page after its dialog was closed by a key."""
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()


def tasks_of(pool: Path) -> int:
    """Seeds and accepted tasks, as the database has them."""
    return int(rows(pool, "SELECT COUNT(*) FROM tasks")[0][0])


def test_the_demo_opens_fast_and_shows_its_figures(page: Page, demo: Path) -> None:
    opened(page, demo)
    taken = []
    for _ in range(3):  # other work on the machine may slow one down
        page.reload()
        page.wait_for_selector("html[data-ready]")
        taken.append(int(page.get_attribute("html", "data-ready") or "9999"))
    assert min(taken) < 3000
    assert page.inner_text("h1") == "demo"
    tiles = page.locator("#summary .tiles > div").all_inner_texts()
    assert tiles[0] == "Finished tasks\n200\ngrown from 175 seeds"
    count_is(page, "tasks", f"{tasks_of(demo)} of {tasks_of(demo)}")
    for image in page.locator("figure [role=img]").all():
        image.scroll_into_view_if_needed()
        expect(image.locator("svg, canvas")).to_be_visible()
        assert len(image.get_attribute("aria-label") or "") > 30
        assert image.locator("path").count() > 2 or image.locator("canvas").count() == 1
    assert page.locator("figure").count() == 14


def test_charts_show_what_is_computed_by_hand(page: Page, tmp_path: Path) -> None:
    opened(page, small_pool(tmp_path / "small"))
    # The third task has no row, so that it is in none of these.
    assert numbers(page, "To the nearest earlier instruction") == [["0.50 to 0.52", "1"], ["0.58 to 0.60", "1"]]
    # Common with the nearest seed: write a about (6 and 6 words); nothing.
    assert numbers(page, "To the nearest seed") == [["0.00 to 0.02", "1"], ["0.50 to 0.52", "1"]]
    assert numbers(page, "Length of instructions") == [["6 words", "1"], ["7 words", "1"]]
    assert numbers(page, "Length of inputs") == [["2 words", "2"]]
    assert numbers(page, "Length of outputs") == [["1 word", "2"], ["4 words", "1"]]
    assert numbers(page, "How deep the pool is") == [["generation 1", "2"]]
    assert numbers(page, "Verbs and what they act on") == [["write", "1", "story"], ["classify", "1", "review"]]
    assert numbers(page, "Kind") == [["generation", "1"], ["classification", "1"]]
    assert numbers(page, "Input") == [["without input", "1"], ["with input", "1"]]
    assert numbers(page, "Rows a task") == [["1 row", "1"], ["2 rows", "1"]]
    assert numbers(page, "Accepted by round") == [["round 0", "2", "2", "0"], ["round 1", "1", "1", "0"]]
    assert numbers(page, "Reasons over the rounds") == [
        ["too short", "instruction", "2"], ["refusal", "instance", "1"], ["near duplicate", "instruction", "1"],
    ]  # fmt: skip


def test_the_first_screen_says_whether_the_data_is_good_and_shows_rows(page: Page, demo: Path) -> None:
    opened(page, demo)
    expect(page.locator("#verdict .said")).to_contain_text("200 tasks with")
    expect(page.locator("#verdict .badge")).to_have_count(5)
    page.get_by_role("link", name="Ten openings").click()
    expect(page.locator("#topics")).to_be_in_viewport()
    cards = page.locator("#samples article")
    expect(cards).to_have_count(6)
    before = cards.locator("h3").all_inner_texts()
    known = {text for (text,) in rows(demo, "SELECT instruction FROM tasks WHERE origin = 'generated'")}
    assert {*before} <= known
    page.get_by_role("button", name="Show others").click()
    assert not {*before} & {*cards.locator("h3").all_inner_texts()}
    cards.first.get_by_role("button").click()
    expect(page.locator("dialog")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_nothing_stands_in_the_way_of_anyone(
    new_page: NewPage,
    keep_screenshot: KeepScreenshot,
    serious_faults: SeriousFaults,
    demo: Path,
    scheme: str,
    device: str,
) -> None:
    """No serious fault of accessibility, nothing wider than the screen, in light and dark, on a desktop and a phone."""
    page = opened(new_page(color_scheme=scheme, **(PHONE if device == "phone" else {})), demo)
    keep_screenshot(page, f"report-{device}-{scheme}")
    for section in ("novelty", "rejected", "shape", "pairs", "tasks"):
        page.locator(f"#{section}").scroll_into_view_if_needed()
        page.evaluate("section => document.getElementById(section).scrollIntoView({behavior: 'instant'})", section)
        keep_screenshot(page, f"report-{device}-{scheme}-{section}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_faults(page) == []
    page.locator("#tasks .open").first.click()
    keep_screenshot(page, f"report-{device}-{scheme}-task")
    assert serious_faults(page) == []


def test_the_ground_is_light_by_day_and_dark_by_night(new_page: NewPage, demo: Path) -> None:
    def brightness(scheme: str) -> int:
        page = opened(new_page(color_scheme=scheme), demo)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour))

    assert brightness("light") > 600
    assert brightness("dark") < 150


def test_tasks_are_searched_filtered_and_sorted(page: Page, demo: Path) -> None:
    opened(page, demo)
    page.fill("#filter input[type=search]", "MARKDOWN table")
    found = rows_shown(page, "tasks")
    assert found
    assert all("markdown table" in text.lower() for text in found)
    count_is(page, "tasks", f"{len(found)} of {tasks_of(demo)}")
    page.get_by_role("button", name="Show all").first.click()
    count_is(page, "tasks", f"{tasks_of(demo)} of {tasks_of(demo)}")
    page.get_by_label("State", exact=True).select_option("seed")
    count_is(page, "tasks", f"175 of {tasks_of(demo)}")
    page.get_by_label("State", exact=True).select_option("generated")
    for least in (0.6, 0.3):
        page.get_by_label("Nearest ROUGE-L", exact=True).select_option(f"{least} and above")
        ((wanted,),) = rows(demo, f"SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND nearest_score >= {least}")
        count_is(page, "tasks", f"{wanted} of {tasks_of(demo)}")
    page.get_by_role("button", name="Nearest", exact=True).click()
    column = page.locator("#tasks .rows tr.row td:nth-child(5)")
    scores = [float(text) for text in column.all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.3
    assert page.locator("#tasks th[aria-sort=descending]").inner_text().startswith("Nearest")
    page.get_by_role("button", name="Nearest", exact=True).click()
    scores = [float(text) for text in column.all_inner_texts()]
    assert scores == sorted(scores)


def test_rejections_are_searched_filtered_and_opened(page: Page, demo: Path) -> None:
    opened(page, demo)
    table = page.locator("#rejections")
    table.get_by_label("Reason", exact=True).select_option("near duplicate")
    found = dict(rows(demo, "SELECT reason, COUNT(*) FROM rejections GROUP BY reason"))
    count_is(page, "rejections", f"{found['near_duplicate']} of {sum(found.values())}")
    assert set(page.locator("#rejections .rows tr.row td:nth-child(2)").all_inner_texts()) == {"near duplicate"}
    assert numbers(page, "Reasons over the rounds") == [["near duplicate", "instruction", str(found["near_duplicate"])]]
    table.locator(".open").first.click()
    dialog = page.locator("dialog")
    assert dialog.locator("h2").inner_text() == "Rejected instruction: near duplicate"
    assert "ROUGE-L" in dialog.inner_text()
    dialog.locator("dd .link").first.click()  # to the task that it resembles
    assert re.match(r"(Seed|Task) \d+", dialog.locator("h2").inner_text())
    assert "Rejected as too like it" in dialog.inner_text()
    closed_by_escape(page)


def test_a_task_shows_where_it_came_from_and_what_it_holds(page: Page, tmp_path: Path) -> None:
    opened(page, small_pool(tmp_path / "small"))
    page.get_by_role("button", name="Classify the review as good or bad.").last.click()
    text = page.inner_text("dialog")
    origin = ("Task 3", "classification", "Write a short poem about rain.", f"explain small {task_of(0, 1, 0)}")
    for part in (*origin, "Great food.", "Cold soup.", "good", "bad"):
        assert part in text
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Write a story about the old sea and rain.").last.click()
    assert "I cannot do that." in page.inner_text("dialog")


def test_the_table_is_walked_by_keys(page: Page, demo: Path) -> None:
    opened(page, demo)
    page.locator("#tasks .rows").focus()
    page.keyboard.press("ArrowDown")
    newest = page.evaluate("document.activeElement.textContent")
    assert newest == rows_shown(page, "tasks")[0]
    for key in ("ArrowDown", "PageDown", "End"):
        page.keyboard.press(key)
    last = page.evaluate("document.activeElement.closest('tr').getAttribute('aria-rowindex')")
    assert last == str(tasks_of(demo) + 1)
    page.keyboard.press("Enter")
    assert page.inner_text("dialog h2") == "Seed 0"
    closed_by_escape(page)
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.textContent") == newest


def test_charts_say_their_values_to_the_pointer_and_lead_to_their_rows(page: Page, tmp_path: Path) -> None:
    opened(page, small_pool(tmp_path / "small"))
    found = chart(page, "Kind")
    found.locator(".mark-rect path").nth(1).hover()
    expect(found.locator(".tip")).to_have_text("classification: 1 (50.0%)")
    found.locator(".mark-rect path").nth(1).click()
    count_is(page, "tasks", "1 of 5, kind: classification")
    expect(page.locator("#tasks")).to_be_in_viewport()
    assert rows_shown(page, "tasks") == ["Classify the review as good or bad."]
    # What a filter leaves is what the charts show.
    assert numbers(page, "Length of outputs") == [["1 word", "2"]]
    assert numbers(page, "Verbs and what they act on") == [["classify", "1", "review"]]
    page.get_by_role("button", name="Show all").first.click()
    assert numbers(page, "Length of outputs") == [["1 word", "2"], ["4 words", "1"]]
    chart(page, "Reasons over the rounds").locator(".mark-rect path").first.click()
    count_is(page, "rejections", "2 of 4, instruction: too short")
    assert rows_shown(page, "rejections") == ["Sing.", "Go."]


def test_what_wants_a_look_leads_to_its_rows(page: Page, tmp_path: Path) -> None:
    opened(page, small_pool(tmp_path / "small"))
    wanted = page.locator("#attention li").all_inner_texts()
    assert wanted == [
        "1 task (33.3%) accepted without a row: no answer passed the checks",
        "2 rejections for the most frequent reason, too short: shorter than min_words",
    ]
    page.get_by_role("button", name="1 task (33.3%)").click()
    assert rows_shown(page, "tasks") == ["Write a story about the old sea and rain."]
    page.get_by_role("button", name="2 rejections").click()
    assert rows_shown(page, "rejections") == ["Sing.", "Go."]


def test_what_is_filtered_is_downloaded(page: Page, tmp_path: Path) -> None:
    formula = Proposed("=HYPERLINK(1) is what?", (Instance('a "b"', "+1, or\n-1"),), nearest=("s0", 0.1))
    opened(page, write_pool(tmp_path / "pool", SMALL_SEEDS, [[Asked(("s0",), (formula,))]]))

    def downloaded(name: str) -> str:
        with page.expect_download() as caught:
            page.locator("#tasks").get_by_role("button", name=name).click()
        return caught.value.path().read_text("utf-8")

    lines = [json.loads(line) for line in downloaded("Download as JSON Lines").splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2]
    page.fill("#filter input[type=search]", "hyperlink")
    (line,) = downloaded("Download as JSON Lines").splitlines()
    task = json.loads(line)
    assert (task["id"], task["instruction"]) == (task_of(0, 0, 0), "=HYPERLINK(1) is what?")
    assert task["rows"] == [{"input": 'a "b"', "output": "+1, or\n-1", "turns": []}]
    (cells,) = csv.DictReader(io.StringIO(downloaded("Download as CSV")))
    # A spreadsheet would run what begins like a formula.
    assert (cells["instruction"], cells["input"], cells["output"]) == (
        "'=HYPERLINK(1) is what?",
        'a "b"',
        "'+1, or\n-1",
    )
    assert run(["remove", str(tmp_path / "pool"), cells["id"], "--reason", "a formula"]) == 0


def test_the_monitor_says_what_went_beyond_its_bounds(
    page: Page, tmp_path: Path, serious_faults: SeriousFaults, keep_screenshot: KeepScreenshot
) -> None:
    pool = small_pool(tmp_path / "small")
    assert opened(page, pool).locator("#growth figure").count() == 2
    seen = [
        Window(0, 9, 80, 40, 0.5, 0.31, 0.2, 30, (), 0, distinct_1=0.81, vendi_score=6.5),
        Window(10, 19, 80, 10, 0.125, 0.4, 0.6, 2, ("acceptance", "openings"), 1),
    ]
    with contextlib.closing(connect(pool / "pool.db")) as connection:
        for window in seen:
            for sql, values in add_window(window, {}):
                connection.execute(sql, values)
    opened(page, pool)
    found = chart(page, "What the diversity monitor watches")
    assert "Beyond their bounds: rounds 10 to 19: acceptance; rounds 10 to 19: ten openings." in found.inner_text()
    said = ["50% acceptance", "13% acceptance", "31% nearest ROUGE-L", "40% nearest ROUGE-L"]
    for place, wanted in enumerate([*said, "20% ten openings", "60% ten openings"]):
        found.locator(".mark-symbol.role-mark path").nth(place).hover(force=True)
        expect(found.locator(".tip")).to_have_text(f"rounds {'10 to 19' if place % 2 else '0 to 9'}: {wanted}")
    (first, _) = numbers(page, "What the diversity monitor watches")
    assert first == ["rounds 0 to 9", "50.0%", "31.0%", "20.0%", "30", "0.81", "", "", "", "6.50", "", "0"]
    (first, _) = numbers(page, "New pairs of verb and noun")
    assert first[4] == "30"
    assert serious_faults(page) == []
    keep_screenshot(page, "report-monitor")


def test_a_verb_and_an_object_show_their_tasks(page: Page, tmp_path: Path) -> None:
    opened(page, small_pool(tmp_path / "small"))
    numbers(page, "Verbs and what they act on")
    page.get_by_role("button", name="show the tasks write story").click()
    count_is(page, "tasks", "1 of 5, with the verb write and the object story")
    assert rows_shown(page, "tasks") == ["Write a story about the sea."]
    change(tmp_path / "small", "remove", Selection(ids=(task_of(0, 0, 0),)), "dull", NOW)
    opened(page, tmp_path / "small")
    assert numbers(page, "Verbs and what they act on") == [["classify", "1", "review"]]
    page.get_by_role("button", name="show the tasks with the verb classify").click()
    count_is(page, "tasks", "1 of 5, with the verb classify")


def test_sources_and_quotas_stand_side_by_side(page: Page, tmp_path: Path) -> None:
    chosen = tmp_path / "c.toml"
    chosen.write_text(
        'recipe.sources = ["demonstrations", "evolve"]\n[draw]\nperson = ["a cook", "a nurse"]\n'
        '[quotas]\nover = ["person"]\neach = 5\n',
        encoding="utf-8",
    )
    pool = ["--pool", str(tmp_path / "p"), "--target", "10", "--config", str(chosen)]
    subprocess.run([sys.executable, "-m", "selfinstruct", "generate", *pool], check=True, capture_output=True)
    opened(page, tmp_path / "p")
    assert [row[0] for row in numbers(page, "What became of the candidates of each source")] == [
        "demonstrations",
        "evolve",
    ]
    assert {row[0] for row in numbers(page, "Drawn: person")} == {"a cook", "a nurse"}
    expect(chart(page, "Quotas")).to_contain_text("2 of 2 are met")
    assert numbers(page, "Quotas")[1][:3] == ["a nurse", "5", "5"]


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with a judge, conversations, other answers, families, and labels of two people."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "c.toml").write_text(
        '[recipe]\nsources = ["demonstrations", "evolve"]\nsteps = ["sample", "default", "turns"]\n'
        "[judge]\nenabled = true\n[sample]\nanswers = 3\n[turns]\nmost = 2\n",
        encoding="utf-8",
    )
    pool = folder / "rich"
    command = ["generate", "--pool", str(pool), "--target", "80", "--config", str(folder / "c.toml")]
    subprocess.run([sys.executable, "-m", "selfinstruct", *command], check=True, capture_output=True)
    judged = rows(
        pool, "SELECT task_id, position FROM instances WHERE request_id IS NOT NULL ORDER BY task_id, position"
    )
    said = [{"task_id": task, "instance": place, "by": by, "label": "remove" if place and by == "Ann" else "keep"}
            for by in ("Ann", "Bea") for task, place in judged[:60]]  # fmt: skip
    (pool / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said), encoding="utf-8")
    return pool


def test_judge_conversations_pairs_and_families_are_shown(
    page: Page, rich: Path, serious_faults: SeriousFaults, keep_screenshot: KeepScreenshot
) -> None:
    assert run(["report", str(rich)]) == 0
    page.goto((rich / "report.html").as_uri())
    page.wait_for_selector("html[data-whole]")
    told = status(rich)
    points = numbers(page, "Points of the rows that were kept")
    assert sum(int(row[2]) for row in points if row[0] == "Is the output correct?") == told["instances"]
    assert [row[1] for row in numbers(page, "Verdicts")] == [
        f"{n}" for name, n in told["judge"].items() if n and name != "judged"
    ]
    people = numbers(page, "Judge and people")
    assert (people[0][0], people[0][1]) == ("all of it", "60")
    assert (people[-1][0], people[-1][1]) == ("Ann and Bea", "60")
    turns = rows(rich, "SELECT json_array_length(COALESCE(NULLIF(turns, ''), '[]')) AS n, COUNT(*) FROM instances "
                       "WHERE request_id IS NOT NULL GROUP BY n ORDER BY n")  # fmt: skip
    assert numbers(page, "Turns after the first answer") == [[f"{n} more", str(count)] for n, count in turns]
    ended = told["conversations"]["ended"]
    assert numbers(page, "Why they ended") == [[reason.replace("_", " "), str(n)] for reason, n in ended.items()]
    assert run(["export", str(rich), "--format", "preference"]) == 0
    pairs = len((rich / "export" / "preference.jsonl").read_text("utf-8").splitlines())
    assert numbers(page, "What says which of two answers is better") == [["the judge gave more points", str(pairs)]]
    parents = rows(rich, "SELECT COUNT(*) FROM tasks WHERE json_array_length(parents) = 1 AND state = 'done'")
    families = numbers(page, "Families")
    assert sum(row[1] != "0" for row in families) == parents[0][0]
    point = chart(page, "Families").locator(".mark-symbol.role-mark path").first
    point.click()
    expect(page.locator("dialog h2")).to_have_text(re.compile(r"^(Seed|Task) \d+$"))
    closed_by_escape(page)
    assert serious_faults(page) == []
    keep_screenshot(page, "report-rich")


def test_the_map_leads_to_rows_and_is_filtered(page: Page, demo: Path, serious_faults: SeriousFaults) -> None:
    opened(page, demo)
    found = chart(page, "What lies near what")
    ((seeds, generated),) = rows(demo, "SELECT SUM(origin = 'seed'), SUM(origin != 'seed') FROM tasks")
    ((refused,),) = rows(demo, "SELECT COUNT(*) FROM rejections WHERE kind = 'instruction'")
    for name in (f"accepted {generated}", f"seed {seeds}", f"rejected {refused}"):
        expect(found.get_by_role("button", name=name)).to_be_visible()
    clusters = numbers(page, "What lies near what")
    assert [sum(int(row[column]) for row in clusters) for column in (1, 2, 3)] == [generated, seeds, refused]
    said = found.get_by_role("img")
    expect(said).to_have_attribute("aria-label", re.compile(f" {seeds + generated + refused} instructions in "))
    found.get_by_role("button", name="seed").click()
    expect(said).to_have_attribute("aria-label", re.compile(f" {generated + refused} instructions in "))
    page.fill("#filter input[type=search]", "markdown table")
    expect(said).to_have_attribute("aria-label", re.compile(r" \d\d\d? instructions in "))
    page.get_by_role("button", name="Show all").first.click()
    page.get_by_label("Colours say").select_option("cluster")
    chart(page, "What lies near what")
    assert serious_faults(page) == []
    # Whatever lies nearest to the left edge is opened by a click there.
    box = found.locator("canvas").bounding_box()
    assert box
    for x in range(0, int(box["width"]), 7):
        for y in range(60, int(box["height"]) - 10, 12):
            page.mouse.move(box["x"] + x, box["y"] + y)
            text = found.locator(".tip").text_content()
            if text:
                page.mouse.click(box["x"] + x, box["y"] + y)
                expect(page.locator("dialog")).to_be_visible()
                assert text.partition(": ")[2].rstrip("…") in page.inner_text("dialog")
                return
    pytest.fail("no point was found")


def test_two_pools_are_compared(page: Page, demo: Path, tmp_path: Path, serious_faults: SeriousFaults,
                                keep_screenshot: KeepScreenshot) -> None:  # fmt: skip
    opened(page, demo, small_pool(tmp_path / "small"))
    first = page.locator("#summary tbody tr").first.locator("td").all_inner_texts()
    assert first == ["Finished tasks", "200", "2", "▼ 198 fewer"]
    assert numbers(page, "To the nearest earlier instruction")[-1] == ["0.58 to 0.60", "0", "1"]
    page.locator("#tasks-pool").select_option("small")
    count_is(page, "tasks", f"demo: {tasks_of(demo)} of {tasks_of(demo)}; small: 5 of 5")
    numbers(page, "Verbs and what they act on")
    page.get_by_role("button", name="show the tasks with the verb write").click()
    count_is(page, "tasks", re.compile("small: 1 of 5, with the verb write$"))
    assert serious_faults(page) == []
    keep_screenshot(page, "report-compared")


@pytest.mark.parametrize("seeds", [(), SMALL_SEEDS], ids=["empty", "seeds alone"])
def test_a_pool_of_nothing_or_of_seeds_alone_is_shown(
    page: Page, tmp_path: Path, serious_faults: SeriousFaults, seeds: tuple[Task, ...]
) -> None:
    opened(page, write_pool(tmp_path / "pool", seeds, []))
    count_is(page, "tasks", f"{len(seeds)} of {len(seeds)}")
    assert numbers(page, "Verbs and what they act on") == []
    expect(page.locator("#samples")).to_contain_text("No task is finished yet.")
    assert serious_faults(page) == []


def hostile_pool(folder: Path) -> Path:
    """A pool each of whose texts is an attack: instructions, inputs, outputs, evidence, seeds, model, and its name."""
    seeds = tuple(
        Task(f"s{place}{text}", f"Write {text} now", False, (Instance(text, text),), "seed", text)
        for place, text in enumerate(ATTACKS)
    )
    candidates: list[Any] = []
    for place, text in enumerate(ATTACKS):
        near = (seeds[place].id, 0.5)
        candidates.append(
            Proposed(text, (Instance(text, text),), nearest=near, lost=((("refusal"), Instance(text, text)),))
        )
        candidates.append(Proposed(f"{text} {text}", nearest=near, reason="near_duplicate", evidence=text))
    return write_pool(folder, seeds, [[Asked(tuple(one.id for one in seeds), tuple(candidates))]], model=ATTACKS[0])


def test_texts_that_attack_are_shown_as_text_and_run_nothing(
    page: Page, tmp_path: Path, serious_faults: SeriousFaults
) -> None:
    pool = hostile_pool(tmp_path / "<b onclick=alert(1)>{style}'&amp;")
    other = small_pool(tmp_path / "small")
    opened(page, pool, other)
    own = page.locator("script").count()
    assert own == 12  # four lists for each of two pools, the map, the figures, the charts, and the page's own
    page.locator("#filter").get_by_label("State", exact=True).select_option("generated")
    page.get_by_role("button", name="Number").first.click()
    shown = [text.split() for text in rows_shown(page, "tasks")]
    assert shown == [text.split() for text in ATTACKS[: len(shown)]]
    page.locator("#tasks .rows").focus()
    for text in ATTACKS:
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert page.locator("dialog pre").all_text_contents() == [text, text, text]
        closed_by_escape(page)
    page.locator("#rejections .rows").focus()
    for _ in range(2 * len(ATTACKS)):
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert page.inner_text("dialog h2").startswith("Rejected")
        closed_by_escape(page)
    for title in set(page.locator("figure h3").all_text_contents()):
        found = page.locator("figure", has=page.get_by_role("heading", name=title, exact=True)).first
        found.evaluate("node => node.scrollIntoView({behavior: 'instant', block: 'center'})")
        expect(found.locator("svg, canvas")).to_be_visible()
        box = found.locator("svg, canvas").bounding_box()
        assert box
        for part in range(1, 9):  # what lies there says its text
            page.mouse.move(box["x"] + box["width"] * part / 9, box["y"] + box["height"] / 2)
        found.locator("summary").click()
    page.wait_for_timeout(200)
    assert page.evaluate("window.attacked") is None
    assert page.locator("script").count() == own
    assert page.locator("img, iframe, object, embed, base, a[href^='javascript']").count() == 0
    assert page.locator("style").count() == 1
    assert page.locator("meta[http-equiv]").count() == 1
    assert page.is_visible("body")
    assert page.title().startswith("<b onclick=alert(1)>{style}'&amp; and small")
    assert serious_faults(page) == []


def test_the_policy_of_the_page_lets_nothing_else_run_or_load(page: Page, tmp_path: Path, faults: list[str]) -> None:
    opened(page, small_pool(tmp_path / "small"))
    page.evaluate("""async () => {
        window.stopped = [];
        document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.attacked = 1";
        document.body.append(script);
        const image = document.createElement("img");
        image.src = "https://example.com/a.png";
        document.body.append(image);
        await fetch("https://example.com/").catch(() => {});
    }""")
    until(page, lambda: bool(page.evaluate("stopped.length >= 3")), "three things are stopped")
    assert page.evaluate("stopped.sort()") == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.attacked") is None
    assert not [fault for fault in faults if fault.startswith("asked for")]
    page.close()  # it says nothing more
    faults.clear()
