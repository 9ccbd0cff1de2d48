"""Tasks about passages of documents: reading and cutting, coverage, the three uses of a passage, what is refused."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfinstruct as si
from selfinstruct.checks.unsupported import refers_to_passage, unsupported
from selfinstruct.checks.wording import word_count
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.explain import explain
from selfinstruct.runner.forecast import forecast
from selfinstruct.seeds.chunks import Section, passages, sections
from selfinstruct.seeds.document_files import read_documents
from selfinstruct.settings import DocumentSettings
from selfinstruct.types import Instance, Passage, Task
from tests.builders import assert_it_adds_up, exported, grow, jsonl, rows
from tests.processes import generate, kills

ASKED = (
    "SELECT round, position, source_name, json_extract(drawn, '$.document'), json_extract(drawn, '$.passage') "
    "FROM requests WHERE task_id IS NULL AND source_name IN ('documents', 'back_translation') ORDER BY 1, 2"
)
PARTS = ("ka", "lo", "mi", "ren", "tu", "vas", "sel", "dor", "pi", "ghu", "nam", "bek")


def prose(seed: int, sentences: int) -> str:
    """Sentences of made-up words, no two of them alike."""
    rng = random.Random(seed)
    words = ("".join(rng.choices(PARTS, k=3)) for _ in range(12 * sentences))
    return " ".join(" ".join(itertools.islice(words, 12)).capitalize() + "." for _ in range(sentences))


def documents(folder: Path, files: int = 3) -> Path:
    """A folder of Markdown files with two sections each, and things that are no documents."""
    texts = folder / "texts"
    (texts / "inner").mkdir(parents=True, exist_ok=True)
    for number in range(files):
        place = texts / ("inner" if number % 2 else ".") / f"guide-{number}.md"
        parts = (f"## Part {part}\n\n{prose(10 * number + part, 6)}\n" for part in (1, 2))
        place.write_text(f"# Guide {number}\n\n" + "\n".join(parts), encoding="utf-8")
    (texts / ".hidden.md").write_text(prose(77, 5), encoding="utf-8")
    (texts / "picture.png").write_bytes(b"\x89PNG")
    return texts


def config(folder: Path, *sources: str, more: str = "", **settings: object) -> Path:
    given = {"path": str(folder / "texts"), "passage_words": 120, **settings}
    lines = [f"recipe.sources = {json.dumps(sources or ['documents'])}", "recipe.tasks_per_request = 3", more]
    lines += ["[documents]", *(f"{name} = {json.dumps(value)}" for name, value in given.items())]
    path = folder / f"{'-'.join(map(str, settings.values())) or 'c'}.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def read(folder: Path, words: int = 120) -> tuple[Passage, ...]:
    return read_documents(DocumentSettings(path=folder, passage_words=words))


def test_passages_are_used_evenly_and_tasks_know_document_and_passage(tmp_path: Path) -> None:
    texts, pool = documents(tmp_path), tmp_path / "p"
    known = {one.id: one for one in read(texts)}
    assert len(known) == 6
    said: list[str] = []
    assert grow(pool, target=30, config=config(tmp_path), tell=said).exit_code == 0
    assert "documents: 6 passages of 3 files" in said
    coverage = assert_it_adds_up(pool)["passages"]
    asked = [passage for *_, passage in rows(pool, ASKED)]
    for start in range(0, len(asked) - 5, 6):
        assert {*asked[start : start + 6]} == known.keys(), "each comes once before any comes again"
    assert coverage == {"asked_about": 6, "of": 6, "fewest": len(asked) // 6, "most": -(-len(asked) // 6)}
    for drawn in si.Pool(pool).rows().drawn:
        assert drawn["document"] == known[drawn["passage"]].document
        assert drawn["passage_as"] == "input"


def test_the_same_bytes_at_any_concurrency_in_steps_and_after_kills(tmp_path: Path) -> None:
    documents(tmp_path)
    chosen = config(tmp_path, "documents", "back_translation", "demonstrations", passage="closed_book")
    for name, concurrency in (("one", 1), ("many", 64)):
        assert grow(tmp_path / name, target=40, config=chosen, concurrency=concurrency).exit_code == 0
    wanted = exported(tmp_path / "one")
    assert exported(tmp_path / "many") == wanted
    for target in (9, 25, 40):
        assert grow(tmp_path / "steps", target=target, config=chosen).exit_code == 0
    assert exported(tmp_path / "steps") == wanted
    with OfflineServer() as server:
        command = generate(tmp_path / "killed", server.base_url, 40, "--config", chosen, "--concurrency", 4)
        for _ in kills(command, tmp_path / "killed", 3, random.Random(5)):
            pass
        assert max(server.seen.values()) <= 4
    assert exported(tmp_path / "killed") == wanted
    assert_it_adds_up(tmp_path / "killed")
    for name, more in (("again", ()), ("and-again", ("--config", str(chosen)))):
        assert cli.run(["replay", str(tmp_path / "one"), "--pool", str(tmp_path / name), *more]) == 0
        assert exported(tmp_path / name) == wanted


def test_a_changed_folder_changes_nothing_that_is_planned(tmp_path: Path) -> None:
    texts, pool, chosen = documents(tmp_path), tmp_path / "p", config(tmp_path, passage="closed_book")
    assert grow(pool, target=20, config=chosen, max_requests=5).exit_code == 3
    planned = rows(pool, ASKED)
    before = {one.id for one in read(texts)}
    for file in texts.rglob("guide*.md"):
        file.write_text(f"# Other\n\n{prose(len(file.name) + 50, 9)}\n{prose(ord(file.name[6]), 4)}", encoding="utf-8")
    said: list[str] = []
    assert grow(pool, target=45, config=chosen, tell=said).exit_code == 0
    assert any("other passages of documents" in one for one in said)
    asked = rows(pool, ASKED)
    assert asked[: len(planned)] == planned
    after = {one.id for one in read(texts)}
    assert not after & before
    later = [row for row in asked[len(planned) :] if row[0] > planned[-1][0]]
    assert later
    assert {row[-1] for row in later} <= after
    assert {one["passage"] for one in si.Pool(pool).rows().drawn} & before, "open tasks found their passage"


def test_a_passage_is_the_input_or_only_shown_or_the_output(tmp_path: Path) -> None:
    known = {one.id: one for one in read(documents(tmp_path))}
    for use, source in (("input", "documents"), ("closed_book", "documents"), ("output", "back_translation")):
        pool = tmp_path / use
        more = {} if use == "output" else {"passage": use}
        assert grow(pool, target=10, config=config(tmp_path, source, **more)).exit_code == 0
        stages = {stage for (stage,) in rows(pool, "SELECT DISTINCT stage FROM requests")}
        assert stages == {"propose", "respond"}, "there is no question for inputs"
        for row in si.Pool(pool).rows().itertuples():
            passage = known[row.drawn["passage"]]
            assert row.source == source
            assert row.drawn["passage_as"] == use
            assert row.input == (passage.titled if use == "input" else "")
            if use == "output":
                assert row.output == passage.text
            else:
                assert row.output in " ".join(passage.text.split())
        for (messages,) in rows(pool, "SELECT messages FROM questions WHERE stage = 'respond'"):
            assert any(one.text in json.loads(messages)[-1][1] for one in known.values())


def test_the_instruction_of_a_pair_is_asked_for_and_the_pair_is_the_row(tmp_path: Path) -> None:
    pairs = [{"input": f"{word} {word}", "output": word.upper()} for word in ("lamp", "river", "spoon", "candle")]
    jsonl(tmp_path / "pairs.jsonl", pairs)
    config = tmp_path / "c.toml"
    config.write_text(
        f'recipe.sources = ["back_translation"]\n[documents]\npath = "{tmp_path}/pairs.jsonl"\n'
        "[filters]\nchecks = []\n",
        encoding="utf-8",
    )
    grow(tmp_path / "p", target=3, config=config)
    assert_it_adds_up(tmp_path / "p")
    found = rows(tmp_path / "p", "SELECT i.input, i.output FROM instances i JOIN tasks t ON t.id = i.task_id "
                                 "WHERE t.origin = 'generated'")  # fmt: skip
    assert len(found) >= 3
    assert set(found) <= {(one["input"], one["output"]) for one in pairs}
    asked = rows(tmp_path / "p", "SELECT messages FROM questions WHERE stage = 'propose' AND position = 0")
    assert any(one["input"] in asked[0][0] for one in pairs)


def test_several_pairs_of_a_file_get_one_instruction_and_a_row_each(tmp_path: Path) -> None:
    words = ("lamp", "river", "spoon", "candle", "horse")
    jsonl(tmp_path / "pairs.jsonl", [{"input": f"{one} {one}", "output": one.upper()} for one in words])
    config = tmp_path / "c.toml"
    config.write_text(
        f'recipe.sources = ["back_translation"]\n[documents]\npath = "{tmp_path}/pairs.jsonl"\npairs = 3\n'
        "[filters]\nchecks = []\n",
        encoding="utf-8",
    )
    assert grow(tmp_path / "p", target=2, config=config).exit_code == 0
    assert_it_adds_up(tmp_path / "p")
    found = rows(tmp_path / "p", "SELECT i.output FROM tasks t JOIN instances i ON i.task_id = t.id "
                                 "WHERE t.origin = 'generated' ORDER BY t.position, i.position")  # fmt: skip
    assert {output for (output,) in found} == {one.upper() for one in words}
    asked = [
        json.loads(one)[-1][1]
        for (one,) in rows(tmp_path / "p", "SELECT messages FROM questions WHERE stage = 'propose'")
    ]
    assert any("Input: lamp lamp\nOutput: LAMP\n\nInput: river river" in one for one in asked)
    (task,) = {row.task_id for row in si.Pool(tmp_path / "p").rows().itertuples() if row.output == "HORSE"}
    assert cli.run(["explain", str(tmp_path / "p"), task]) == 0


def test_the_judge_sees_the_passage_that_a_row_leaves_out(tmp_path: Path) -> None:
    documents(tmp_path)
    chosen = config(tmp_path, passage="closed_book", more="judge.enabled = true")
    assert grow(tmp_path / "p", target=8, config=chosen).exit_code == 0
    asked = rows(tmp_path / "p", "SELECT messages FROM questions WHERE stage = 'judge'")
    assert asked
    assert all("follows from this passage" in messages and "Guide" in messages for (messages,) in asked)
    assert grow(tmp_path / "q", target=8, config=config(tmp_path, more="judge.enabled = true")).exit_code == 0
    for (messages,) in rows(tmp_path / "q", "SELECT messages FROM questions WHERE stage = 'judge'"):
        assert "follows from this passage" not in messages


def test_tasks_of_a_document_are_explained_and_removed_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents(tmp_path)
    pool = tmp_path / "p"
    assert grow(pool, target=20, config=config(tmp_path)).exit_code == 0
    found = si.Pool(pool).tasks()
    mine = [one.id for one in found.itertuples() if one.drawn.get("document") == "inner/guide-1.md"]
    others = len(found[found.origin == "generated"]) - len(mine)
    assert mine
    told = dict(explain(pool, mine[0])[0].lines)
    assert told["document"] == "inner/guide-1.md"
    assert re.match(r"[0-9a-f]{16}, number [12]: Guide 1 > Part [12]\n\n[A-Z]", told["passage"])
    for condition in (
        "document = 'inner/guide-1.md'", "document=inner/guide-1.md", "drawn.document = inner/guide-1.md",
        "drawn.document = 'inner/guide-1.md' AND origin != 'seed'",
        "drawn.passage IN (SELECT drawn.passage FROM drawn WHERE drawn.document LIKE '%guide-1%')",
    ):  # fmt: skip
        assert cli.run(["remove", str(pool), "--where", condition, "--reason", "r", "--dry-run"]) == 0
        assert f"{len(mine)} tasks would be removed" in capsys.readouterr().out
    assert cli.run(["remove", str(pool), "--where", "passage = nothing", "--reason", "r", "--dry-run"]) == 0
    assert cli.run(["remove", str(pool), "--where", "chapter = 1", "--reason", "r", "--dry-run"]) == 2
    assert "document" in capsys.readouterr().err, "what may be named is listed"
    assert cli.run(["remove", str(pool), "--where", "document = inner/guide-1.md", "--reason", "withdrawn"]) == 0
    assert {one["document"] for one in si.Pool(pool).rows().drawn} == {"guide-0.md", "guide-2.md"}
    assert cli.run(["export", str(pool), "--format", "csv", "--format", "parquet", "--out", str(tmp_path / "e")]) == 0
    table = pq.read_table(tmp_path / "e" / "dataset.parquet").to_pylist()
    assert {json.loads(one["drawn"])["document"] for one in table} == {"guide-0.md", "guide-2.md"}
    assert len({one["task_id"] for one in table}) <= others


def test_each_kind_of_file_is_read(tmp_path: Path) -> None:
    one, two = prose(1, 4), prose(2, 4)
    (tmp_path / "a.txt").write_text(f"# no heading\n{one}", encoding="utf-8")
    (tmp_path / "b.md").write_text(
        f"---\ntitle: x\n---\n# Top\n<!-- hidden -->\n{one}!\n\n## Low ##\n\n```sh\n# no heading\n```\n\n{two}",
        encoding="utf-8",
    )
    (tmp_path / "c.html").write_text(
        f"<html><head><title>t</title><style>p {{}}</style></head><body><nav>Home</nav><h1>Page</h1><p>{one} &amp;\n"
        f"<b>more</b></p><h2>List</h2><ul><li>{two}</li><li>x</li></ul><pre>a\n  b</pre><script>no()</script></body>",
        encoding="utf-8",
    )
    jsonl(tmp_path / "d.jsonl", [{"title": "First", "text": prose(3, 4)}, {"text": prose(4, 4)}])
    pq.write_table(pa.table({"text": [prose(5, 4)], "other": [1]}), tmp_path / "e.parquet")
    found = {(each.document, each.number): each for each in read(tmp_path)}
    heads = {place: each.heading for place, each in found.items()}
    assert heads == {
        ("a.txt", 1): "", ("b.md", 1): "Top", ("b.md", 2): "Top > Low", ("c.html", 1): "Page",
        ("c.html", 2): "Page > List", ("d.jsonl", 1): "First", ("d.jsonl", 2): "", ("e.parquet", 1): "",
    }  # fmt: skip
    assert found["a.txt", 1].text == f"# no heading\n{one}"
    assert found["b.md", 2].text == f"```sh\n# no heading\n```\n\n{two}"
    assert found["c.html", 1].text == f"{one} & more"
    assert found["c.html", 2].text == f"- {two}\n- x\n\n```\na\n  b\n```"
    (tmp_path / "again.txt").write_text(prose(5, 4), encoding="utf-8")
    assert Counter(each.text for each in read(tmp_path)).most_common(1)[0][1] == 1, "a text is there once"
    assert read(tmp_path / "d.jsonl")[0].document == "d.jsonl", "one file will do"


def pdf(*lines: str) -> bytes:
    """A PDF of one page with these lines."""
    shown = "".join(f"({line}) Tj 0 -16 Td " for line in lines)
    stream = f"BT /F 12 Tf 40 700 Td {shown}ET"
    resources = "<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    parts = [
        "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources {resources} >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
    ]  # fmt: skip
    text, places = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(text))
        text += f"{number} 0 obj\n{part}\nendobj\n"
    entries = "".join(f"{place:010} 00000 n \n" for place in places)
    table = (
        f"xref\n0 5\n0000000000 65535 f \n{entries}trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
    )
    return (text + table).encode("ascii")


def test_a_pdf_is_read_and_one_without_text_is_refused(tmp_path: Path) -> None:
    lines = ["The hive is closed before the first frost of the year.", "Nobody opens it again until March comes round."]
    (tmp_path / "hive.pdf").write_bytes(pdf(*lines))
    (found,) = read(tmp_path)
    assert (found.document, found.text.split()) == ("hive.pdf", " ".join(lines).split())
    (tmp_path / "scan.pdf").write_bytes(pdf())
    with pytest.raises(ConfigError, match=r"scan\.pdf: a PDF without text"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"caf\xe9", "a.txt: line 1: not UTF-8: byte 0xe9"),
        ("a.jsonl", b'{"body": "x"}\n', "a.jsonl: line 1: \"{'body': 'x'}\" has no text; wanted is a row with a text"),
        ("a.jsonl", b'{"text": "x"\n', "a.jsonl: line 1: malformed JSON"),
        ("a.parquet", b"PAR1 and no more", "a.parquet: the file: not readable as Parquet"),
        ("a.pdf", b"%PDF-1.4", "a.pdf: "),
        ("a.md", b"# Nothing\n", "there is no text in it; wanted are files such as .txt, .md"),
        ("a.png", b"\x89PNG", "there is no text in it; wanted are files such as .txt, .md"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith("documents.path: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('recipe.name = "paper"\nrecipe.sources = ["documents"]\ndocuments.path = "."', "documents: the recipe"),
        ('recipe.name = "paper"\nrecipe.sources = ["default", "evolve"]', "recipe.sources: evolve: the recipe paper"),
        ('recipe.name = "original"\nrecipe.sources = ["back_translation"]\ndocuments.path = "."', "the recipe chat"),
        ('recipe.sources = ["documents"]', "documents.path: recipe.sources asks for tasks about documents"),
        ('recipe.sources = ["documents"]\ndocuments.path = "no/such"', "documents.path: no/such: no such file"),
        ('documents.path = "."', "[documents] does nothing"),
        ('recipe.sources = ["documents"]\ndocuments.passage = "output"', "documents.passage"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_one_line(tmp_path: Path, given: str, said: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(given, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        grow(tmp_path / "p", target=1, config=path, backend="offline")
    assert said in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_a_forecast_shows_the_first_passages(tmp_path: Path) -> None:
    documents(tmp_path)
    options: dict[str, Any] = {"pool": tmp_path / "p", "backend": "offline", "target": 5}
    first = forecast(load(config(tmp_path), options)).first_round
    assert grow(tmp_path / "p", target=5, config=config(tmp_path)).exit_code == 0
    assert [one.drawn["passage"] for one in first] == [row[-1] for row in rows(tmp_path / "p", ASKED)[: len(first)]]


@given(
    st.lists(
        st.sampled_from(
            ["# A", "## B", "", "", "```", prose(1, 1), prose(2, 7), "- a point", "To wit:", "a" * 900, "很" * 300]
        ),
        max_size=40,
    ),
    st.integers(30, 200),
)
def test_cutting_loses_nothing_and_keeps_to_the_size(lines: list[str], words: int) -> None:
    text = "\n".join(lines)
    found = passages("d", sections(text, is_markdown=True), words)
    assert all(word_count(one.text) <= 1.6 * words + 15 for one in found)
    assert [one.number for one in found] == [*range(1, len(found) + 1)]
    whole = passages("d", [Section("", text)], words)
    if word_count(text) >= 2 * words:
        kept = "".join("".join(one.text.split()) for one in whole).replace("```", "")
        assert kept == "".join(text.split()).replace("```", "")


PASSAGE = (
    "Sedona Bakery on Mill Street opens at 6:30 and sells 1,250 loaves a week. Ms Ortega bought it in 1987 from the "
    "Hartmann family for 40,000 dollars. A large language model now plans its rounds; 12 ovens work in three shifts."
)


@pytest.mark.parametrize(
    ("instruction", "output", "said"),
    [
        ("Who bought the bakery?", "It was bought by Delgado in 1987.", "Delgado"),
        ("When was it bought?", "Ms Ortega bought it in 1978.", "1978"),
        ("Sum up the passage.", "The shop is on Park Avenue and makes 1,520 loaves.", "1,520, Park Avenue"),
        ("What does it sell?", "It sells loaves, as the owner Maria Lopez said.", "Maria Lopez"),
        ("Who bought the bakery?", "It was bought by Ms Ortega in 1987.", None),
        ("Who bought the bakery?", "Ortega's purchase was in the 1980s, from the Hartmanns.", None),
        ("When was it sold?", "They sold it in 1987, about 1,250 loaves a week then.", None),
        ("How many loaves a day?", "That is about 179 loaves a day.", None),
        ("Calculate the weekly flour.", "With 850 g each it takes 1,062.5 kg.", None),
        ("List three facts.", "1. It opens early.\n2. It sells loaves.\n13. It has ovens.", None),
        ("Write a short story set there.", "One night the baker Emil met Anna in 1999.", None),
        ("What plans the rounds?", "It is an LLM, a model of language.", None),
        ("Give the rounded number of loaves.", "It is about 1300, or 1000.", None),
        ("State the ovens.", "**Key Facts and Figures**\n- Twelve Ovens: they bake", None),
        ("Translate into German.", "Die Bäckerei in der Mühlenstraße verkauft Brote an Kunden.", None),
        ("Say when it opens.", "It opens at half past six, that is 6:30.", None),
        ("Explain it with code.", "Use `Foo(99)`:\n```\nBar = 777\n```", None),
    ],
)
def test_what_the_passage_does_not_say_is_unsupported(instruction: str, output: str, said: str | None) -> None:
    about = Passage("p", "d.md", 1, "Shops", PASSAGE)
    for use in ("input", "closed_book", "output"):
        task = Task("t", instruction, False, passage=about, drawn={"passage_as": use})
        fault = unsupported(task, Instance("", output))
        assert (fault and fault.evidence) == (f"not in the passage: {said}" if said and use != "output" else None)
    assert unsupported(Task("t", instruction, False), Instance("", output)) is None


@pytest.mark.parametrize(
    ("text", "refers"),
    [
        ("Summarise the passage in two sentences.", True),
        ("According to the text, who bought the bakery?", True),
        ("Which ovens are named in the document?", True),
        ("List what the guide above says.", True),
        ("Based on the provided article, name the owner.", True),
        ("Explain what a text editor does.", False),
        ("Write the text of an invitation to a bakery.", False),
        ("Describe the passage of time in a bakery at night.", True),
        ("What does the manual of the oven AX-2 say about cleaning?", False),
        ("How is a document signed in Sedona?", False),
        ("In the text of the law, which term is used for bakers?", False),
    ],
)
def test_an_instruction_without_its_passage_may_not_speak_of_it(text: str, refers: bool) -> None:
    assert (refers_to_passage(text) is not None) == refers
