"""Pools in other languages, and pools kept to some."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.checks.instruction_language import language_names, wrong_language
from selfinstruct.checks.output_language import plain_language
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError
from selfinstruct.exports.manifest import languages_of_rows
from selfinstruct.pool.reader import status
from selfinstruct.runner.run import grow_blocking
from selfinstruct.seeds import read_seeds
from selfinstruct.similarity.common import mark_common
from selfinstruct.types import canonical_json
from tests.builders import ROOT, grow, jsonl, rows, seed_row
from tests.servers import ScriptedServer, completion

FRAMES = [
    ("Explain to a curious child", "Erkläre einem neugierigen Kind"),
    ("Say yes or no whether you know", "Sage mit Ja oder Nein, ob du weißt"),
    ("List for a village newspaper", "Zähle für eine Dorfzeitung auf"),
    ("Tell your grandmother in a letter", "Erzähle deiner Großmutter in einem Brief"),
    ("Summarise for busy travellers", "Fasse für eilige Reisende zusammen"),
]
SUBJECTS = [
    ("how bees find their way home in dense fog.", "wie Bienen bei dichtem Nebel nach Hause finden."),
    ("why old bridges hum when strong winds blow.", "warum alte Brücken bei starkem Wind zu summen beginnen."),
    ("what bakers do before the first customers arrive.", "was Bäcker tun, bevor die erste Kundschaft kommt."),
    ("which spices sailors once carried across the ocean.", "welche Gewürze Seeleute einst über das Meer brachten."),
    ("where mountain goats shelter during a thunderstorm.", "wo Bergziegen während eines Gewitters Schutz suchen."),
    ("when gardeners should prune their oldest apple trees.", "wann man die ältesten Apfelbäume schneiden sollte."),
]


def obedient() -> ScriptedServer:
    """A model that writes the same things in German where its prompt asks for German, and in English otherwise.

    What the prompt shows, seeds that speak of German among it, is no wish.
    """
    count = iter(range(10_000))

    def task(number: int, german: bool) -> dict[str, Any]:
        frame, subject = number % len(FRAMES), number % len(SUBJECTS)
        joined = (", " if german else " ").join((FRAMES[frame][german], SUBJECTS[subject][german]))
        return {"instruction": joined, "is_classification": frame == 1}

    async def answer(_: int, path: str, body: dict[str, Any], __: web.Request) -> web.Response:
        turns = [one["content"] for one in body.get("messages", []) if one["role"] != "assistant"]
        text = body["prompt"] if "prompt" in body else "\n".join(turns)
        said = "\n".join(line for line in text.splitlines() if not re.match(r"\{|\d+\. |Task: |Input: |Output: ", line))
        german = "in German" in said
        place = next(count)
        done = f"Das ist die Antwort Nummer {place}." if german else f"This is answer number {place}."
        if path == "completions":
            if number := re.search(r"(\d+)\.$", text):
                new = [task(4 * place + more, german)["instruction"] for more in range(4)]
                return completion(" " + "".join(f"{int(number[1]) + at}. {one}\n" for at, one in enumerate(new))[3:])
            return completion(" no" if text.endswith("Fixed labels:") else f"Output: {done}")
        form = body.get("response_format", {}).get("json_schema", {}).get("name")
        if form == "new_tasks":
            return completion(canonical_json({"tasks": [task(4 * place + more, german) for more in range(4)]}))
        if form == "task_inputs":
            return completion('{"missing": "nothing", "inputs": []}')
        if form == "labelled_inputs":
            labels = ["Ja", "Nein"] if german else ["Yes", "No"]
            return completion(canonical_json({"labels": labels, "inputs": []}))
        if form == "verdict":
            doubt = {
                "reason": "It could be more.",
                "score": 2 if "answer number" in text or "Antwort Nummer" in text else 5,
            }
            fine = {"reason": "It is fine.", "score": 5}
            return completion(canonical_json({"valid_task": fine, "suitable_input": fine, "correct_output": doubt}))
        if form == "revision":
            better = f"Nun besser, Stück {place}." if german else f"Now better, piece {place}."
            return completion(canonical_json({"critique": "", "input": "", "output": better}))
        return completion(("Ja" if german else "Yes") if "Ja oder Nein" in text or "yes or no" in text else done)

    return ScriptedServer(answer)


def test_the_seeds_are_recognised_as_what_they_are() -> None:
    for code in ("en", "zh"):
        rule = wrong_language((code,))
        wrong = [task.instruction for task in read_seeds(ROOT / "seeds" / f"{code}.jsonl") if rule(task.instruction)]
        assert wrong == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Schreibe eine kurze Geschichte über einen alten Leuchtturm am Meer.", "de"),
        ("Écris une courte histoire à propos d'un vieux phare au bord de la mer.", "fr"),
        ("用三句话介绍一座古老的灯塔。", "zh"),
        ("古い灯台について短い物語を書いてください。", "ja"),
        ("오래된 등대에 대한 짧은 이야기를 써 주세요.", "ko"),
        ("Напиши короткую историю о старом маяке у моря.", "ru"),
        ("اكتب قصة قصيرة عن منارة قديمة على البحر.", "ar"),
    ],
)
def test_an_instruction_in_another_language_is_rejected_and_in_its_own_is_not(text: str, code: str) -> None:
    fault = wrong_language(("en",))(text)
    assert fault is not None
    assert fault.reason == "wrong_language"
    assert wrong_language((code,))(text) is None
    assert wrong_language(("en", code))(text) is None


def test_short_english_is_not_taken_for_german_nor_german_with_english_words_for_english() -> None:
    rule = wrong_language(("de",))
    texts = ["How much is 31 degrees Celsius in degrees Fahrenheit?", "Is the noun Singular or Plural?"]
    texts += [task.instruction for task in read_seeds(ROOT / "seeds" / "en.jsonl")]
    assert [text for text in texts if rule(text) is None] == []
    for text in (
        "Schreibe ein Python Script, das Dateien umbenennt.", "Nenne drei Tools für Online Meetings.",
        "Finde den Fehler im SQL Query.", "Plane ein Meeting mit dem Team in London.", "Vergleiche Java und Python.",
        "Schreibe einen Tweet über das neue Smartphone.", "Ist das Wort Singular oder Plural?",
    ):  # fmt: skip
        assert rule(text) is None, text


@pytest.mark.parametrize(
    "text",
    [
        'Translate "Wo ist der Bahnhof?" into English.',
        "What does the Latin phrase carpe diem mean?",
        "def f(x): return x * 2 - what does f(4) give?",
        "Solve 3x + 7 = 25.",
        "Plan a week in Reykjavík.",
        "Is Müller a German name?",
        "List the stations of the Chūō line between Shinjuku and Mitaka.",
    ],
)
def test_an_english_instruction_about_another_language_is_english(text: str) -> None:
    assert wrong_language(("en",))(text) is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("xx", "'xx'; known: af, ar, "),
        ("German", "'german'; did you mean de?"),
        ("zh-CN", "'zh-cn'; did you mean zh?"),
        ("Swedish", "did you mean sv?"),
    ],
)
def test_an_unknown_code_is_named(code: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        pool_settings(load(None, {"language": [code]}), "m")


@pytest.mark.parametrize(
    ("recipe", "stages"),
    [
        ("chat", {"propose", "inputs", "respond", "judge", "revise"}),
        ("paper", {"propose", "classify", "instances", "judge", "revise"}),
    ],
)
def test_a_model_that_obeys_is_accepted_as_often_in_german_as_in_english(
    tmp_path: Path, recipe: str, stages: set[str]
) -> None:
    """With the English seeds of the project. Every stored prompt of every stage asks for German, in words."""
    config = tmp_path / "c.toml"
    config.write_text("[judge]\nenabled = true\nrevise = true\n", encoding="utf-8")
    found = {}
    for name, wanted in (("en", []), ("de", ["--language", "de"])):
        with obedient() as server:
            arguments = ["--base-url", server.base_url, "--recipe", recipe, "--target", "20", "--concurrency", "1"]
            pool = ["--pool", str(tmp_path / name), "--config", str(config)]
            assert cli.run(["generate", *pool, *arguments, *wanted]) == 0
        found[name] = status(tmp_path / name)
    assert found["de"]["acceptance_rate"] >= found["en"]["acceptance_rate"] - 0.05
    assert "wrong_language" not in found["de"]["rejections"]
    asked = {name: rows(tmp_path / name, "SELECT DISTINCT stage, messages FROM questions") for name in found}
    assert {stage for stage, _ in asked["de"]} == stages
    shown = r'\{\\"instruction.*?\}|\\n\d+\. .*?(?=\\n)|Task: .*?(?=\\n)'
    assert [stage for stage, text in asked["de"] if "in German" not in re.sub(shown, "", text)] == []
    assert [stage for stage, text in asked["en"] if "in German" in re.sub(shown, "", text)] == []
    query = "SELECT output FROM instances i JOIN tasks t ON t.id = i.task_id WHERE t.origin = 'generated'"
    outputs = [one for (one,) in rows(tmp_path / "de", query)]
    assert all("besser" in one or one == "Ja" for one in outputs)


def test_prompts_of_the_users_own_have_a_place_for_the_language(tmp_path: Path) -> None:
    config, own = tmp_path / "c.toml", tmp_path / "own"
    own.mkdir()
    (own / "respond.txt").write_text("[user]\nIn {{language}}: {{instruction}} {{input}}", encoding="utf-8")
    config.write_text(f'[recipe]\nprompts = "{own}"\n[filters]\nlanguages = ["DE", "fr", "de"]', encoding="utf-8")
    found = pool_settings(load(config, {}), "m")
    assert found.filters.languages == ("de", "fr")
    assert found.prompts["respond"] == "[user]\nIn German or French: {{instruction}} {{input}}"
    assert "Write in German or French." in found.prompts["propose"]
    (own / "propose.txt").write_text("[user]\n{{demonstrations}}\nMore of these, please.", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"propose\.txt: --language is not asked for; write \{\{language\}\}"):
        pool_settings(load(config, {}), "m")


def test_every_language_that_is_known_has_a_name() -> None:
    lingua = pytest.importorskip("lingua", reason="NAMES NOT TESTED: the extra languages is not installed")
    codes = [language.iso_code_639_1.name for language in lingua.Language.all()]
    names = language_names(codes)
    assert len(names) == len(set(names.values())) == len(codes)
    assert (names["de"], names["nb"]) == ("German", "Norwegian Bokmål")


def test_a_pool_kept_to_a_language_rejects_the_rest_and_says_why_it_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The built-in model writes English whatever it is asked for."""
    told: list[str] = []
    seeds = ROOT / "seeds" / "en.jsonl"
    outcome = grow(tmp_path / "p", tell=told, target=5, seeds=seeds, language=["zh"], round_size=1)
    assert outcome.exit_code == 4
    assert "(mostly rejected: wrong_language " in outcome.reason
    assert "): the model writes in another language than it is asked for" in outcome.reason
    assert [line for line in (*told, outcome.reason) if "repeats itself" in line] == []
    assert any(line.startswith("0% of candidates were accepted") and "another language" in line for line in told)
    assert cli.run(["status", str(tmp_path / "p")]) == 0
    assert "repeats itself" not in capsys.readouterr().out
    assert cli.run(["explain", str(tmp_path / "p"), "wrong_language"]) == 0


def test_the_common_subsequence_is_marked_in_both_texts() -> None:
    assert mark_common("Name three rivers in Spain.", "Please name two rivers of Spain!") == (
        "‹Name› three ‹rivers› in ‹Spain›.", "Please ‹name› two ‹rivers› of ‹Spain›!",
    )  # fmt: skip
    assert mark_common("把句子翻译成英文。", "把段落翻译成法文。") == (
        "‹把›句子‹翻译成›英‹文›。",
        "‹把›段落‹翻译成›法‹文›。",
    )
    assert mark_common("", "a") == ("", "a")
    assert mark_common("?!", "!") == ("?‹!›", "‹!›")


def test_seeds_in_another_language_are_told_of_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = jsonl(tmp_path / "s.jsonl", [seed_row(f"{frame} {text}", 9 * at + number)
                                         for at, (frame, _) in enumerate(FRAMES)
                                         for number, (text, _) in enumerate(SUBJECTS)])  # fmt: skip
    said = "30 of 30 seeds are in another language, mostly English: the model is asked for German all the same"
    with obedient() as server:
        arguments = ["generate", "--pool", str(tmp_path / "p"), "--base-url", server.base_url, "--seeds", str(seeds)]
        arguments += ["--target", "2", "--language", "de"]
        assert cli.run([*arguments, "--dry-run"]) == 0
        assert said in capsys.readouterr().err
        assert server.bodies == []
        options = {"pool": tmp_path / "p", "base_url": [server.base_url], "seeds": seeds, "target": 2}
        sent: dict[str, int] = {}
        grow_blocking(load(None, {**options, "language": ["de"]}), lambda line: sent.update({line: len(server.bodies)}))
        assert [sent[line] for line in sent if line.startswith(said)] == [0]
        assert server.bodies
    assert cli.run(["generate", "--pool", str(tmp_path / "q"), "--language", "zh", "--dry-run"]) == 0
    assert "175 of 175 seeds" in (err := capsys.readouterr().err)
    assert "(--seeds zh, which come with the project)" in err
    assert cli.run(["generate", "--pool", str(tmp_path / "q"), "--language", "en", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""


def test_seeds_check_tells_the_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code, said in (("en", "language: English 9"), ("zh", "language: Chinese 100%")):
        assert cli.run(["seeds", "check", str(ROOT / "seeds" / f"{code}.jsonl")]) == 0
        assert said in capsys.readouterr().out
    both = []
    for at in range(10):
        for language in (1, 0):
            text = " ".join((FRAMES[at % 5][language], SUBJECTS[(at + at // 5) % 5][language]))
            both.append(seed_row(text, 2 * at + language))
    assert cli.run(["seeds", "check", str(jsonl(tmp_path / "s.jsonl", both))]) == 0
    assert "language: German 50%, English 50%" in capsys.readouterr().out


def test_without_the_detector_a_dry_run_is_refused_as_the_run_is(tmp_path: Path) -> None:
    """An installation without the extra: the package cannot be imported."""
    (tmp_path / "lingua.py").write_text("raise ImportError('no lingua here')\n", encoding="utf-8")

    def ran(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "selfinstruct", *map(str, arguments)]
        paths = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=False
        )

    arguments = ["generate", "--pool", tmp_path / "p", "--language", "de", "--target", "2"]
    run, dry = ran(*arguments), ran(*arguments, "--dry-run")
    assert (run.returncode, dry.returncode) == (2, 2)
    assert run.stderr == dry.stderr
    assert 'pip install "selfinstruct[languages]"' in dry.stderr
    checked = ran("seeds", "check", ROOT / "seeds" / "en.jsonl")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert 'language: not told (pip install "selfinstruct[languages]")' in checked.stdout


# --- the language of a card -----------------------------------------------------------------------------------------

SPOKEN = [
    ("en", "The lighthouse stood at the edge of the world, and nobody there knew who had built it."),
    ("de", "Der Leuchtturm stand am Rand der Welt, und niemand wusste, wer ihn gebaut hatte. Er war nicht hoch."),
    ("fr", "Le phare se dressait au bord du monde et les gens ne savaient pas qui avait construit cette tour."),
    (
        "es",
        "El faro estaba al borde del mundo y los pescadores no sabían quién lo había construido, pero era muy alto.",
    ),
    (
        "it",
        "Il faro si trovava sul bordo del mondo e gli abitanti non sapevano chi lo avesse costruito, ma era più alto.",
    ),
    ("nl", "Het was niet bekend wie de vuurtoren van het dorp had gebouwd, maar hij werd met zorg bewaard."),
    ("pt", "Os pescadores não sabiam quem tinha feito o farol, mas era muito alto e uma luz brilhava."),
    ("zh", "用三句话介绍一座古老的灯塔。"),
    ("ja", "古い灯台について短い物語を書いてください。"),
    ("ko", "오래된 등대에 대한 짧은 이야기를 써 주세요."),
    ("el", "Γράψε μια σύντομη ιστορία για έναν παλιό φάρο."),
    (None, "Det var ikke kendt, hvem der har bygget tårnet af røde sten, som vi har med på kortet den dag."),
    (None, "Nikt nie wiedział, kto ją zbudował na końcu świata, ale jest dla ludzi tak samo ważna jak dom."),
    (None, "Mercusuar itu berdiri di ujung dunia dan tidak ada yang tahu siapa yang membangunnya di sana."),
    (
        None,
        "El far era a la vora del món i els pescadors no sabien qui l'havia construït, però era molt alt amb una llum.",
    ),
    (None, "Напиши короткую историю о старом маяке у моря."),
    (None, "print(x)\nfor i in range(3): pass"),
    (None, "12 + 30\n\n42"),
]
"""Rows, each with the language that it is plainly in; None where only a detector would tell."""


@pytest.mark.parametrize(("code", "text"), SPOKEN)
def test_a_language_is_told_by_its_script_or_small_words_and_never_guessed(code: str | None, text: str) -> None:
    assert plain_language(text) == code


def test_a_card_names_the_languages_that_a_tenth_of_the_rows_are_in() -> None:
    text = {code: text for code, text in SPOKEN if code}
    numbers = "12 + 30\n\n42"
    assert languages_of_rows([text["de"]] * 8 + [text["en"]] * 2) == ["de", "en"]
    assert languages_of_rows([text["en"]] * 2 + [text["de"]] * 8) == ["de", "en"]
    assert languages_of_rows([text["de"]] * 30 + [text["en"]] * 3) == ["de"]
    assert languages_of_rows([text["de"]] * 9 + [text["en"]]) == ["de"]  # one row may be a mistake
    assert languages_of_rows([text["de"]] * 5 + [numbers] * 5) == ["de"]
    assert languages_of_rows([text["de"]]) == languages_of_rows([]) == languages_of_rows(["1"] * 9) == []


def test_the_detector_tells_what_small_words_do_not() -> None:
    pytest.importorskip("lingua", reason="DANISH NOT TESTED: the extra languages is not installed")
    danish = next(text for _, text in SPOKEN if "ikke" in text)
    assert languages_of_rows([danish] * 3) == ["da"]


def test_the_language_of_a_card_follows_from_its_rows(tmp_path: Path) -> None:
    text = {code: text for code, text in SPOKEN if code}
    seeds = [seed_row(f"{text[code]} {n}", n) for n, code in enumerate(["de"] * 6 + ["fr"] * 4)]
    command = ["generate", "--pool", str(tmp_path / "p"), "--seeds", str(jsonl(tmp_path / "s.jsonl", seeds))]
    assert cli.run([*command, "--target", "10"]) == 0
    for more, wanted in ((["--origin", "seed"], 'language:\n- "de"\n- "fr"\n'), ([], 'language:\n- "en"\n')):
        command = ["export", str(tmp_path / "p"), "--format", "messages", "--out", str(tmp_path / "out"), *more]
        assert cli.run(command) == 0
        head = (tmp_path / "out" / "README.md").read_text(encoding="utf-8").split("---\n")[1]
        assert wanted + "task_categories:" in head
