"""The commands as a user meets them: what they print, and one clear line for each bad input."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import selfinstruct as si
from selfinstruct.cli import commands as cli
from selfinstruct.cli.options import GROUPS
from selfinstruct.diversity.reasons import MEANINGS
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from tests.builders import ROOT, grow, jsonl, rows, seed_row


def run(*arguments: str | Path) -> int:
    return cli.run([str(one) for one in arguments])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("demo") / "pool"
    assert run("generate", "--pool", pool, "--target", "30") == 0
    return pool


def test_generate_ends_with_a_summary_samples_files_and_the_way_to_real_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", "--pool", tmp_path / "p", "--target", "12") == 0
    out, err = capsys.readouterr()
    for wanted in ("seeds", "rounds", "requests", "accepted tasks", "rejections", "tokens", "instruction  ", "output  ",
                   "alpaca.jsonl", "messages.jsonl", "--backend vllm", "Ollama", "OPENAI_API_KEY"):  # fmt: skip
        assert wanted in out
    assert "the target of 12 tasks is reached" in err
    rows = [json.loads(line) for line in (tmp_path / "p/export/alpaca.jsonl").read_text("utf-8").splitlines()]
    assert len({row["instruction"] for row in rows}) == 12


@pytest.mark.parametrize("width", [80, 40])
def test_the_summary_fits_the_terminal_and_says_how_it_went_and_what_each_reason_means(
    tmp_path: Path, width: int
) -> None:
    command = [sys.executable, "-m", "selfinstruct", "generate", "--pool", "p", "--target", "40", "--seeds", "en"]
    environment = {**os.environ, "COLUMNS": str(width), "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    lines = found.stdout.splitlines()
    figures = lines[: next(place for place, line in enumerate(lines) if line.startswith("The built-in"))]
    assert max(map(cell_len, figures if width == 40 else lines)) <= width
    said = " ".join(found.stdout.split())
    reasons = status(tmp_path / "p")["rejections"]
    assert len(reasons) > 3
    for reason, count in reasons.items():
        assert f" {reason} {count} {MEANINGS[reason]} " in said
    (verdict,) = [line for line in found.stderr.splitlines() if "went well" in line]
    assert "the target of 40 tasks is reached" in verdict
    assert " Next: " in verdict


def test_a_run_that_does_not_end_well_says_so_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", "--pool", tmp_path / "p", "--target", "40", "--max-requests", "10") == 3
    shown = capsys.readouterr()
    verdict = next(line for line in shown.err.splitlines() if " Next: " in line)
    assert "--model" not in shown.out, "a real model is not the way on from here"
    assert "--max-requests" in verdict
    assert "well" not in verdict
    with OfflineServer(quirk="rut=95%") as server:
        arguments = ["--base-url", server.base_url, "--model", "offline", "--target", "130", "--round-size", "4"]
        assert run("generate", "--pool", tmp_path / "q", *arguments) == 0
    verdict = next(line for line in capsys.readouterr().err.splitlines() if "is reached" in line)
    assert "not without trouble" in verdict
    assert f" explain {tmp_path / 'q'} near_duplicate" in verdict


def test_a_preview_shows_rows_and_keeps_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    wanted = [*si.preview(2).rows[["instruction", "input", "output"]].to_dict("records")]
    # what else the command says of pool and goal does not matter
    assert run("generate", "--preview", "2", "--pool", "p", "--target", "90", "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == (wanted, "")
    assert run("generate", "--preview", "2") == 0
    out, err = capsys.readouterr()
    assert out.count("instruction  ") == out.count("output       ") == len(wanted)
    assert "nothing is kept" in err
    assert not [*tmp_path.iterdir()]
    assert run("generate", "--preview", "2", "--dry-run") == 2
    assert run("generate", "--preview", "2", "--max-requests", "1") == 3
    assert "--max-requests" in capsys.readouterr().err


BROKEN = {"2>&-": 1, ">&-": 1, ">/dev/full": 1, "| true": 141}
"""What the shell does with the streams of a command, and the exit code that says so."""


def broken(stream: str, *arguments: str | Path) -> tuple[int, str]:
    """(exit code, what came to standard error where that is left) of a command whose streams are broken so."""
    command = shlex.join([sys.executable, "-m", "selfinstruct", *map(str, arguments)])
    shell = ["bash", "-o", "pipefail", "-c", f"{command} {stream}"]
    found = subprocess.run(shell, cwd=ROOT, check=False, capture_output=True, text=True)
    return found.returncode, found.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("stream", BROKEN)
def test_a_broken_stream_changes_neither_pool_nor_export_and_shows_in_the_exit_code(
    tmp_path: Path, demo: Path, stream: str
) -> None:
    code, told = broken(stream, "generate", "--pool", tmp_path / "p", "--target", "30")
    assert (code, "Traceback" in told) == (BROKEN[stream], False)
    for name in ("alpaca.jsonl", "messages.jsonl", "manifest.json"):
        assert (tmp_path / "p/export" / name).read_bytes() == (demo / "export" / name).read_bytes()
    now = status(tmp_path / "p")
    assert (now["tasks"], now["last_run"]["exit_code"]) == (30, 0)
    if stream.startswith(">/dev/full"):
        assert told.splitlines()[-1].startswith("error: standard output cannot be written (No space left on device)")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_no_command_breaks_over_a_broken_stream(tmp_path: Path, demo: Path) -> None:
    for arguments in (["status", demo, "--json"], ["seeds", "check"], ["export", demo, "--out", tmp_path / "x"]):
        faulty = arguments == ["seeds", "check"]  # wrong use: what is said goes to standard error
        for stream in (">/dev/full", "2>/dev/full" if faulty else ">&-"):
            code, told = broken(stream, *arguments)
            assert (code, "Traceback" in told) == (2 if faulty else 1, False), (arguments, stream, told)


def test_what_the_encoding_of_the_terminal_lacks_is_written_as_an_escape(demo: Path) -> None:
    command = [sys.executable, "-m", "selfinstruct", "explain", str(demo), "near_duplicate"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    found = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert "\\u2039" in found.stdout  # the sign before words in common


def test_generate_and_status_print_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--pool", tmp_path / "p", "--target", "5", "--json") == 0
    grown = json.loads(capsys.readouterr().out)
    assert run("status", tmp_path / "p", "--json") == 0
    assert json.loads(capsys.readouterr().out) == grown
    wanted = """
        pool seeds tasks tasks_pending tasks_without_instances classification_tasks instances waiting rounds requests
        completions failed candidates rejections acceptance_rate prompt_tokens completion_tokens recipe models
    """
    assert set(wanted.split()) <= grown.keys()
    assert (grown["tasks"], grown["recipe"], grown["models"]) == (5, "chat", ["offline"])


def test_status_says_how_many_requests_have_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--pool", tmp_path / "p", "--target", "40", "--max-requests", "10", "--quiet") == 3
    capsys.readouterr()
    assert run("status", tmp_path / "p", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["requests_open"] == found["requests"] - found["completions"] > 0
    assert run("status", tmp_path / "p") == 0
    assert f"{found['requests_open']} planned and not answered" in " ".join(capsys.readouterr().out.split())


def test_explain_tells_where_a_task_came_from_and_why_a_candidate_was_rejected(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((identity, instruction),) = rows(demo, "SELECT id, instruction FROM tasks WHERE origin = 'generated' LIMIT 1")
    for wanted in (identity, instruction[:30].upper()):
        assert run("explain", demo, wanted) == 0
        out = capsys.readouterr().out
        assert instruction in out
        assert out.count("  shown ") % 8 == 0
        assert "nearest" in out
    ((request, score),) = rows(demo, "SELECT request_id, score FROM rejections WHERE reason = 'near_duplicate' LIMIT 1")
    assert run("explain", demo, request[:12]) == 0
    out = capsys.readouterr().out
    assert "near_duplicate" in out
    assert f"{score:.4f}" in out


def test_what_waits_to_be_judged_is_explained_in_plain_words(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = rows(demo, "SELECT text FROM waiting")
    assert waiting
    assert run("status", demo) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f" waiting {len(waiting)} read, not decided yet; no loss: the next run begins with them " in said
    assert run("explain", demo, waiting[0][0]) == 0
    out = capsys.readouterr().out
    assert out.startswith("waiting candidate ")
    assert waiting[0][0] in out


def test_help_answers_quickly_and_names_every_command() -> None:
    before = os.times()
    found = subprocess.run(
        [sys.executable, "-m", "selfinstruct", "--help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    after = os.times()
    worked_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert worked_s < 3
    for command in ("generate", "replay", "status", "explain", "export", "seeds", "offline-server", "schedule"):
        assert command in found


def test_the_help_of_generate_is_grouped_and_names_how_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["generate", "--help"], "python -m selfinstruct") == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n{one}") for one in (
        "Pool:", "  --seeds ", "Model:", "  --base-url ", "What is asked for:", "  --target ", "  --config ",
        "Limits and pace:", "  --max-usd ", "  --dry-run ", "Output:", "  --json ", "Exit codes:", "  130 ",
    )]  # fmt: skip
    assert places == sorted(places)


def every_command() -> Iterator[tuple[list[str], Any]]:
    """Each command with the words that call it."""
    for name, command in cli.commands().items():
        for more, inner in getattr(command, "commands", {"": command}).items():
            yield [name, *filter(None, [more])], inner


@pytest.mark.parametrize("program", ["selfinstruct", "python -m selfinstruct"])
def test_every_help_is_in_groups_fits_80_columns_and_ends_with_an_example_that_holds(
    program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words, command in every_command():
        assert cli.run([*words, "--help"], program) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80, out
        titles = re.findall(r"^(\w.*):$", out, re.MULTILINE)
        assert [one for one in titles if one not in GROUPS] == ["Example", *(["Exit codes"] * ("Exit codes" in titles))]
        for option in command.params:
            assert option.opts[0] in out or option.param_type_name == "argument"
        assert not re.search(r"<\w|\bint\b|\bstr\b|\bfloat\b|list\[|Literal|None", out), out
        (example,) = re.findall(rf"^  {program} {' '.join(words)} (.+)$", out, re.MULTILINE)
        command.make_context(words[-1], shlex.split(example))


def test_help_says_what_holds_for_the_command_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """`replay` keeps seeds and recipe of its sources; `publish` and `finetune` read other tables of the file."""
    shown = {}
    for command in ("replay", "publish", "finetune"):
        assert run(command, "--help") == 0
        shown[command] = " ".join(capsys.readouterr().out.split())
    assert "[default: chat]" not in shown["replay"]
    assert "175" not in shown["replay"]
    assert "[publish]" in shown["publish"]
    assert "[finetune]" in shown["finetune"]
    assert "Exit codes: 6 " in shown["publish"]
    assert "Exit codes: 1 " in shown["finetune"]


def test_status_imports_neither_prefect_nor_openai_nor_pandas(demo: Path) -> None:
    code = (
        "import sys; from selfinstruct.cli.commands import run; run(['status', sys.argv[1]]);"
        "heavy = ('prefect', 'openai', 'pandas', 'pyarrow', 'aiohttp', 'selfinstruct.algorithm');"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(demo)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert found.stdout.splitlines()[-1] == "[]"


GOOD = [seed_row("Explain how tides work.", 1), seed_row("Name three uses of vinegar at home.", 2)]


def bad_seeds(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    yield tmp_path / "missing.jsonl", "missing.jsonl"
    (tmp_path / "empty.jsonl").write_text("")
    yield tmp_path / "empty.jsonl", "empty"
    (tmp_path / "torn.jsonl").write_text(json.dumps(GOOD[0]) + "\n{oops\n")
    yield tmp_path / "torn.jsonl", "torn.jsonl:2"
    yield jsonl(tmp_path / "types.jsonl", [GOOD[0], {**GOOD[1], "instruction": 7}]), "types.jsonl:2"
    (tmp_path / "latin.jsonl").write_bytes(b'{"instruction": "Erkl\xe4re das."}\n')
    yield tmp_path / "latin.jsonl", "UTF-8"
    yield jsonl(tmp_path / "none.jsonl", [{**GOOD[0], "instances": []}]), "instances"


def test_each_bad_seed_file_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, wanted in bad_seeds(tmp_path):
        assert run("generate", "--pool", tmp_path / "p", "--seeds", path) == 2, path
        err = capsys.readouterr().err
        assert err.startswith("error: "), err
        assert err.count("\n") == 1, err
        assert wanted in err
    assert not (tmp_path / "p" / "pool.db").exists()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--target", "0"], "--target"),
        (["--target", "-3"], "--target"),
        (["--more", "0"], "--more"),
        (["--target", "3", "--more", "3"], "target and more"),
        (["--recipe", "soup"], "known: chat, paper"),
        (["--backend", "magic"], "--backend"),
        (["--rouge-threshold", "1.5"], "1.5 is no number between 0 and 1"),
        (["--rouge-threshold", "much"], "--rouge-threshold"),
        (["--rouge-threshold", "nan"], "nan is no number between 0 and 1"),
        (["--min-acceptance", "nan"], "--min-acceptance: nan is no number between 0 and 1"),
        (["--min-acceptance", "2"], "--min-acceptance: 2 is no number between 0 and 1"),
        (["--base-url", ""], "--base-url: the value is empty"),
        (["--model", ""], "--model: the value is empty"),
        (["--model="], "--model: the value is empty"),
        (["--seeds", ""], "--seeds: the value is empty"),
        (["--pool", ""], "--pool: the value is empty"),
        ([""], "an argument: the value is empty"),
        (["--base-url", "localhost:8000"], "http://"),
        (["--backend", "vllm"], "--model Qwen/Qwen3-8B"),
        (["--backend", "vllm", "--model", "m", "--base-url", "http://localhost:8000/v1"], "--base-url alone"),
        (["--concurrency", "0"], "--concurrency"),
        (["--config", "missing.toml"], "missing.toml"),
    ],
)
def test_each_bad_option_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: str
) -> None:
    assert run("generate", "--pool", tmp_path / "p", *arguments) == 2
    err = capsys.readouterr().err
    assert wanted in err
    assert err.count("\n") == 1, err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("taget = 5", "unknown key 'taget'"),
        ("[recipe]\nguidence = 'x'", "unknown key 'recipe.guidence'"),
        ("[stages.propose]\nheat = 1", "heat"),
        ("[stages.classify]\ntemperature = 1", "no such stage"),
        ("target = 'many'", "--target"),
        ("this is not toml", "not TOML"),
        (f"a = {'[' * 5000}{']' * 5000}", "c.toml: this is TOML nested too deeply"),
        (f"a = {'{b = ' * 2000}1{'}' * 2000}", "c.toml: this is TOML nested too deeply"),
        (f"model.extra_body.{'a.' * 5000}b = 1", "c.toml: this is TOML nested too deeply"),
        ('[vllm]\nargs = "--dtype \'auto"', "no command line"),
        ("[vllm]\nport = 8000", "unknown key 'vllm.port'"),
        ("[model]\nbackend = 'vllm'\nname = 'a'\n[stages.respond]\nname = 'b'", "give stages.respond a base_url"),
        ("[model]\nbackend = 'vllm'\nname = 'a'\n[vllm]\ncommand = '/no/such/vllm'", "no program /no/such/vllm"),
        ("[model]\nbackend = 'vllm'\nname = 'a'\n[vllm]\ncommand = 'true'\nargs = '--host 0'", "--host cannot be set"),
        ("[model]\nbackend = 'vllm'\nname = './no/such'\n[vllm]\ncommand = 'true'", "no folder ./no/such"),
    ],
)
def test_each_bad_config_file_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, wanted: str
) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert run("generate", "--pool", tmp_path / "p", "--config", tmp_path / "c.toml") == 2
    err = capsys.readouterr().err
    assert wanted in err
    assert err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("genrate", "did you mean generate?"),
        ("run", "did you mean generate?"),
        ("stats outputs/pool", "did you mean status?"),
        ("version", "did you mean --version?"),
        ("seeds chek x", "did you mean check?"),
        ("--target 5 generate", "comes after it: generate --target"),
        ("generate --tagret 5", "did you mean --target?"),
        ("generate --base_url http://localhost:8000/v1", "did you mean --base-url?"),
        ("generate --max_tokens 256", "the length of one answer is max_tokens under [model]"),
        ("generate --max-new-tokens 256", "the length of one answer is max_tokens under [model]"),
        ("generate --temperature 0.7", "temperature under [model]"),
        ("generate --top_p 0.9", "top_p under [model]"),
        ("generate --judge", "the table [judge]"),
        ("generate --compat", "did you mean --recipe original?"),
        ("replay outputs/pool --pool x --compat", "did you mean --recipe original?"),
        ("generate --num_instructions_to_generate 5", "did you mean --target?"),
        ("generate --seed_tasks_path my.jsonl", "did you mean --seeds?"),
        ("generate --seed my.jsonl", "did you mean --seeds my.jsonl?"),
        ("generate --output_dir x", "did you mean --pool?"),
        ("generate --format alpaca", "it goes with export"),
        ("generate --backend ollama", "--base-url http://localhost:11434/v1"),
        ("generate --target 99999999999999999999", "--target: this number is too large"),
        ("generate --target -5", "--target: should be greater than or equal to 1"),
        ("generate a --pool b", "POOL is a and --pool is b"),
        ("generate --target", "requires an argument"),
        ("export --format alpca", "did you mean alpaca?"),
        ("export --limit 1e99", "a whole number is wanted"),
        ("explain x", "name the pool and X"),
        ("replay x", "--pool"),
        ("offline-server --quirk duup=3%", "did you mean dup?"),
        ("offline-server --tasks none.jsonl", "none.jsonl"),
        ("offline-server --tasks none.jsonl --style words", "--tasks"),
        ("offline-server --port 99999", "--port"),
        ("offline-server --port -1", "--port"),
    ],
)
def test_what_is_nearly_a_command_or_an_option_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err.startswith("error: ")) == ("", 1, True), err
    assert meant in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--api-key", "sk-4f9d2c"], ["--api_key=sk-4f9d2c"], ["--token", "sk-4f9d2c"]])
def test_a_key_on_the_command_line_is_never_said_again(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run("generate", *arguments) == 2
    err = capsys.readouterr().err
    assert "OPENAI_API_KEY" in err
    assert "4f9d2c" not in err


def test_the_pool_is_an_argument_and_an_option_alike(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = rows(demo, "SELECT id FROM tasks WHERE origin = 'generated'")[0][0]
    shown: dict[str, set[str]] = {}
    for named in ([demo], ["--pool", demo], [demo, "--pool", f"{demo}/"]):
        for command, more in {
            "generate": ["--target", "30", "--dry-run"], "status": ["--json"], "explain": [task],
            "remove": [task, "--reason", "why", "--dry-run"], "restore": ["--all", "--dry-run"],
            "export": ["--out", tmp_path / "x"], "report": ["--out", tmp_path / "r.html"],
        }.items():  # fmt: skip
            assert run(command, *named, *more) == 0, (command, named)
            shown.setdefault(command, set()).add(capsys.readouterr().out)
        assert run("judge", *named) == 2
        assert f"{demo}: no instance of this pool was judged" in capsys.readouterr().err
    assert {command: len(found) for command, found in shown.items()} == dict.fromkeys(shown, 1)
    monkeypatch.setenv("SELFINSTRUCT_POOL", str(demo))
    assert run("status", "--json") == 0
    assert {capsys.readouterr().out} == shown["status"]
    assert run("report", "--pool", demo, demo, tmp_path) == 2


def called(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as it is found on PATH under this name, or as a module."""
    code = f"import sys; sys.argv[0] = {name!r}; from selfinstruct.__main__ import main; main()"
    start = ["-m", "selfinstruct"] if name == "-m" else ["-c", code]
    command = [sys.executable, *start, *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)


def test_the_version_and_the_name_by_which_it_was_called() -> None:
    from selfinstruct import __version__

    assert called("-m", "--version").stdout == f"selfinstruct {__version__}\n"
    assert called("-m", "-h").stdout.startswith("Usage: python -m selfinstruct ")
    assert called("/opt/bin/selfinstruct", "status", "-h").stdout.startswith("Usage: selfinstruct status ")


def test_a_shell_completes_commands_options_and_choices() -> None:
    def completed(*words: str) -> list[str]:
        last = str(len(words) - 1)
        asked = {"_SELFINSTRUCT_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": last}
        return called("selfinstruct", **asked).stdout.split()

    assert completed("selfinstruct", "gen") == ["generate"]
    assert "--base-url" in completed("selfinstruct", "generate", "--ba")
    assert completed("selfinstruct", "generate", "--backend", "v") == ["vllm"]
    assert "alpaca" in completed("selfinstruct", "export", "--format", "")
    quiet = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the shell is then given, not looked for
    script = called("-m", "--show-completion", "bash", **quiet).stdout
    assert "_SELFINSTRUCT_COMPLETE=complete_bash" in script
    assert "python -m" not in script


def test_help_names_files_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("generate", "export", "schedule"):
        assert run(command, "-h") == 0
        assert "FILE.py:NAME" in capsys.readouterr().out


def test_options_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text('target = 4\nround_size = 1\nconcurrency = 2\n[recipe]\nname = "paper"\n')
    monkeypatch.setenv("SELFINSTRUCT_TARGET", "3")
    monkeypatch.setenv("SELFINSTRUCT_ROUND_SIZE", "2")
    assert run("generate", "--pool", tmp_path / "p", "--config", tmp_path / "c.toml", "--target", "2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["tasks"], found["recipe"]) == (2, "paper")


@pytest.mark.parametrize("command", [
    "generate --pool {}", "generate --dry-run --pool {}", "status {}", "explain {} x", "judge {}",
    "remove {} --where 1 --reason x", "restore {} --all", "review {}", "export {}", "report {}", "publish {}",
    "finetune {}", "replay {} --pool new", "replay . --pool {}", "export . --out {}", "report . --out {}",
    "seeds check {}", "seeds check {}.jsonl", "generate --seeds {}", "generate --seeds ./{}", "generate --exclude {}",
    "generate --config {}", "judge . --calibrate {}",
])  # fmt: skip
def test_a_path_that_is_too_long_is_one_clear_line(
    command: str, demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo)
    long, before = "x" * 300, sorted(demo.iterdir())
    assert run(*command.format(long).split()) == 2
    out, err = capsys.readouterr()
    assert (out + err).startswith("error: "), (out, err)
    assert long[:200] in out + err
    assert err.count("\n") <= 1
    assert sorted(demo.iterdir()) == before


@pytest.mark.parametrize("name", ["file:abc", "file:abc?mode=memory", "a?b#c%20d"])
def test_a_pool_may_have_any_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("generate", "--pool", name, "--target", "2") == 0
    assert run("remove", name, "--where", "1", "--reason", "none of them") == 0
    assert run("restore", name, "--all") == 0
    assert run("generate", "--pool", name, "--target", "3") == 0
    capsys.readouterr()
    assert run("status", name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == 3
    assert [path.name for path in tmp_path.iterdir()] == [name]


def refused_everywhere(pool: Path, capsys: pytest.CaptureFixture[str], said: str) -> None:
    """Every command that wants this pool says so in one line, and leaves all as it is."""

    def found() -> dict[Path, object]:
        return {
            path: path.is_file() and path.read_bytes()
            for path in pool.parent.rglob("*")
            if not path.name.endswith(("-shm", "-wal"))
        }

    before = found()
    for command in ("status", "export", "generate", "generate --dry-run", "explain --pool"):
        assert run(*command.split(), pool, *(["x"] if command.startswith("explain") else [])) == 2, command
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1, err
    assert found() == before


@pytest.mark.parametrize("table", ["meta (x)", "meta (key, value)", "other (x)"])
def test_a_database_of_another_program_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    (tmp_path / "p").mkdir()
    with sqlite3.connect(tmp_path / "p" / "pool.db") as connection:
        connection.execute(f"CREATE TABLE {table}")
    connection.close()
    refused_everywhere(tmp_path / "p", capsys, "this database is no pool")


@pytest.mark.parametrize(("version", "said"), [(99, "later version"), (9, "earlier development version")])
def test_a_pool_of_another_version_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int, said: str
) -> None:
    grow(tmp_path / "p", target=1)
    with sqlite3.connect(tmp_path / "p" / "pool.db") as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))
    connection.close()
    refused_everywhere(tmp_path / "p", capsys, said)


def test_what_is_no_pool_is_left_alone(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    refused_everywhere(tmp_path / "letters", capsys, "no pool")
    (tmp_path / "folder" / "pool.db").mkdir(parents=True)
    refused_everywhere(tmp_path / "folder", capsys, f"{tmp_path / 'folder' / 'pool.db'}: this is a folder")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "pool.db").write_text("Dear diary, " * 100)
    refused_everywhere(tmp_path / "text", capsys, "pool.db")
    refused_everywhere(demo / "pool.db", capsys, f"name {demo}")
    assert run("generate", jsonl(tmp_path / "mine.jsonl", GOOD)) == 2
    assert "--seeds" in capsys.readouterr().err
    for command in ("status", "export"):
        assert run(command, tmp_path / "nowhere") == 2
        assert "nowhere" in capsys.readouterr().err


def test_other_seeds_than_the_pools_are_refused_and_replay_is_named(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = jsonl(tmp_path / "other.jsonl", GOOD)
    assert run("generate", "--pool", demo, "--target", "40", "--seeds", other) == 2
    assert "replay" in capsys.readouterr().err
    assert run("generate", "--pool", demo, "--target", "30", "--seeds", ROOT / "seeds" / "en.jsonl") == 0


def test_a_pool_of_the_offline_model_is_not_grown_by_another(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--pool", demo, "--target", "40", "--base-url", "http://127.0.0.1:9/v1", "--model", "m") == 2
    assert "new --pool" in capsys.readouterr().err


def test_no_run_turns_to_the_built_in_model_where_another_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of a real model needs its name again, and a model that is named for one stage alone is a model."""
    from tests.servers import ScriptedServer, completion

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    pool, one_stage = tmp_path / "real", tmp_path / "one-stage.toml"

    async def answer(*_: object) -> object:
        return completion('{"tasks": [{"instruction": "Name five rivers of Asia.", "is_classification": false}]}')

    with ScriptedServer(answer) as server:  # type: ignore[arg-type]
        arguments = ["generate", "--pool", pool, "--max-requests", "8"]
        run(*arguments, "--model", "m", "--base-url", server.base_url)
        first = capsys.readouterr().err.splitlines()[0]
        assert first.partition("  ")[2] == f"growing {pool} from 0 to 200 tasks with m at {server.base_url}"
        one_stage.write_text(f'[stages.propose]\nname = "m"\nbase_url = "{server.base_url}"\n')
    before = (pool / "pool.db").read_bytes()
    for more in ([], ["--backend", "offline"], ["--model", "offline"]):
        assert run(*arguments, *more) == 2
        assert "holds tasks of a real model; name it by --model" in capsys.readouterr().err
    assert (pool / "pool.db").read_bytes() == before
    assert run("generate", "--pool", tmp_path / "q", "--config", one_stage) == 5
    assert "https://api.openai.com/v1 wants a key" in capsys.readouterr().err
    assert run("generate", "--pool", tmp_path / "q", "--config", one_stage, "--dry-run") == 0
    assert "warning: for the run, https://api.openai.com/v1 wants a key" in capsys.readouterr().err
    assert not (tmp_path / "q").exists()
    monkeypatch.setenv("SELFINSTRUCT_MODEL", "")
    assert run("generate", "--pool", tmp_path / "r", "--model", "", "--target", "3") == 2
    assert "--model" in capsys.readouterr().err
    for name, more in (("s", []), ("t", ["--model", "offline"])):
        assert run("generate", "--pool", tmp_path / name, "--target", "3", *more) == 0
        assert capsys.readouterr().err.splitlines()[0].endswith("with the built-in offline model")


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "p", Path("/proc/p"), tmp_path / "file"):
        assert run("generate", "--pool", place) == 2
        err = capsys.readouterr().err
        assert str(place) in err
        assert err.count("\n") == 1, err


def test_a_read_only_folder_is_one_clear_line() -> None:
    """As root too, who may write anywhere: the process gives up that right for its file accesses after importing."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "outputs").mkdir(mode=0o555)
        folder.chmod(0o755)
        code = (
            "import ctypes, os, sys; from selfinstruct.cli import commands as cli, generate;"
            "from selfinstruct.runner import run;"
            "from selfinstruct.models.offline import server;"
            "os.geteuid() or ctypes.CDLL(None).setfsuid(65534); sys.exit(cli.run(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, "generate", "--pool", str(folder / "outputs" / "p")]
        found = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    finally:
        shutil.rmtree(folder)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1), found.stderr
    assert "cannot be written" in found.stderr


def test_nothing_listening_ends_at_once_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with socket.socket() as silent:  # bound, so that the port stays ours, and not listening
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        assert run("generate", "--pool", tmp_path / "p", "--base-url", url, "--model", "m") == 5
    err = capsys.readouterr().err
    assert "nothing answers there" in err
    assert err.count("\n") == 1, err
    assert time.monotonic() - started < 30


def test_no_key_a_wrong_key_and_an_unknown_model_end_at_once_with_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert run("generate", "--pool", tmp_path / "p", "--model", "gpt-4o-mini") == 5
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    with OfflineServer(api_key="right") as server:
        arguments = ["generate", "--pool", tmp_path / "p", "--base-url", server.base_url, "--target", "3"]
        for key, model, said in (("wrong-key-1234", "offline", "OPENAI_API_KEY"), ("right", "no-such-model", "")):
            monkeypatch.setenv("OPENAI_API_KEY", key)
            assert run(*arguments, "--model", model) == 5
            err = capsys.readouterr().err
            assert (said or model) in err
            assert "wrong-key-1234" not in err
        assert run("generate", "--pool", tmp_path / "q", *arguments[3:]) == 0


@pytest.mark.parametrize("was_there", [False, True])
def test_a_failed_start_leaves_no_folder_behind_and_an_empty_one_as_it_was(tmp_path: Path, was_there: bool) -> None:
    (tmp_path / "c.toml").write_text("taget = 5")
    (tmp_path / "torn.jsonl").write_text("{oops\n")
    pool = tmp_path / "outputs" / "p"
    if was_there:
        pool.mkdir(parents=True)
    for code, arguments in (
        (2, ["--config", tmp_path / "c.toml"]), (2, ["--seeds", tmp_path / "torn.jsonl"]),
        (2, ["--exclude", tmp_path / "missing.jsonl"]), (5, ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]),
    ):  # fmt: skip
        assert run("generate", "--pool", pool, *arguments) == code
        assert [*tmp_path.glob("outputs/**/*")] == ([pool] if was_there else [])
        assert (tmp_path / "outputs").exists() == was_there


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_the_first_question_leaves_no_pool_behind(tmp_path: Path, status: int) -> None:
    from tests.servers import ScriptedServer, completion, error

    answered: list[str] = []

    async def answer(*_: object) -> object:
        return completion(answered.pop()) if answered else error(status, "not for you")

    pool = tmp_path / "outputs" / "p"
    with ScriptedServer(answer) as server:  # type: ignore[arg-type]
        arguments = ["generate", "--pool", pool, "--base-url", server.base_url, "--model", "m", "--target", "3"]
        assert run(*arguments, "--concurrency", "1") == 5
        assert server.bodies
        assert not (tmp_path / "outputs").exists()
        answered.append("1. Something was answered, which is paid for.")
        assert run(*arguments, "--concurrency", "1") == 5
    assert rows(pool, "SELECT COUNT(*) FROM completions") == [(1,)]


def test_a_pool_that_another_run_is_growing_is_one_clear_line(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (demo / "pool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("generate", "--pool", demo, "--target", "40") == 2
    err = capsys.readouterr().err
    assert "another run is growing this pool (process" in err
    assert err.count("\n") == 1, err


def test_a_model_that_brings_nothing_new_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.servers import ScriptedServer, completion

    async def always_the_same(*_: object) -> object:
        return completion('{"tasks": [{"instruction": "Sort it.", "is_classification": false}]}')

    with ScriptedServer(always_the_same) as server:  # type: ignore[arg-type]
        arguments = ["--base-url", server.base_url, "--round-size", "2", "--target", "5"]
        assert run("generate", "--pool", tmp_path / "p", *arguments) == 4
        assert len(server.bodies) <= 2 * 25, "a quarter of the rounds so far is under way"
    out, err = capsys.readouterr()
    assert "0 of 40 candidates were accepted in the last 20 rounds (mostly rejected: too_short 40)" in err
    assert "too_short" in out


def test_a_bound_below_one_question_is_to_be_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for bound, advice in ((100, "Next: raise that bound, then the same"), (12_000, "Next: the same")):
        assert run("generate", "--pool", tmp_path / "p", "--target", 50, "--max-tokens", bound) == 3
        assert advice in " ".join(capsys.readouterr().err.split())


IN_A_FUNCTION_OF_SQLITE = """
import os, signal, sys
from selfinstruct.cli import commands, interruption
from selfinstruct.pool.packed import Packing

unpack = Packing.unpack

def interrupted(self, *values):
    os.kill(os.getpid(), signal.SIGINT)
    return unpack(self, *values)

interruption.hear()
Packing.unpack = interrupted
sys.exit(commands.run(sys.argv[1:]))
"""


def test_a_command_that_is_interrupted_within_the_database_says_so_and_the_same_command_goes_on(
    demo: Path, tmp_path: Path
) -> None:
    command = ["merge", str(demo), "--pool", str(tmp_path / "p")]
    found = subprocess.run(
        [sys.executable, "-c", IN_A_FUNCTION_OF_SQLITE, *command], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (found.stderr.splitlines()[-1], found.returncode) == ("interrupted; the same command does the rest", 130)
    assert run(*command) == 0
    assert status(tmp_path / "p")["instances"] == status(demo)["instances"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_before_it_has_a_model_ends_with_130(tmp_path: Path, number: signal.Signals) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(60)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        process = subprocess.Popen(
            [sys.executable, "-m", "selfinstruct", "generate", "--pool", tmp_path / "p", "--base-url", url],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        connection, _ = listening.accept()
        assert b"/v1/models" in connection.recv(4096)  # it asks what there is, and is not answered
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        connection.close()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


ESCAPES = "\x1b]0;owned\x07 \x1b[31mred \x9b2J \u202eback"


def test_nothing_of_a_model_or_server_reaches_the_terminal_but_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.servers import ScriptedServer, completion, error

    text = f"Describe the {ESCAPES} harbour of a small town."
    shown: list[str] = []

    async def answer(place: int, path: str, body: dict[str, object], request: object) -> object:
        del path, request
        if place > 30:
            return error(404, f"no such model {ESCAPES}")
        if "new_tasks" in str(body):
            told = [{"instruction": f"{text[:-1]} {place}-{n}.", "is_classification": False} for n in range(3)]
            return completion(json.dumps({"tasks": told}))
        return completion('{"missing": "nothing", "inputs": []}')

    with ScriptedServer(answer) as server:  # type: ignore[arg-type]
        arguments = ["--pool", tmp_path / "p", "--base-url", server.base_url, "--target", "500"]
        assert run("generate", *arguments) == 5
        shown += capsys.readouterr()
        assert run("generate", *arguments, "--dry-run", "--show-prompts") == 0
        shown += capsys.readouterr()
    assert run("explain", tmp_path / "p", "harbour") == 0
    shown += capsys.readouterr()
    assert run("status", tmp_path / f"{ESCAPES}") == 2
    shown += capsys.readouterr()
    everything = "".join(shown)
    assert "no such model" in everything
    assert "harbour" in everything
    assert {one for one in everything if not one.isprintable()} == {"\n"}


def test_a_text_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    cli.say("one\n  two\x1b[2J")
    assert capsys.readouterr().err == "one\n  two [2J\n"
