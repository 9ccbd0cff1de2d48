"""`examples/finetune_trl.py` as a job: what it trains, measures, reports and refuses, and that it can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.exports import ROOT, read_lines, selfinstruct, write_lines

pytest.importorskip("trl", reason="TRAINERS NOT TESTED: make test-trainers does")

import torch
from finetune_data import JobError, Row, read_tasks, some
from finetune_measure import encode, exact_match, rouge_l, scores, stops
from finetune_trl import _last_whole, as_markdown, main, read_job
from peft import PeftModel
from rouge_score.rouge_scorer import RougeScorer
from safetensors.torch import load_file
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainers.tiny import CHAT, END, MARKED, START, TEXT_END, THINKING, UPPER, save_tiny

SCRIPT = ROOT / "examples" / "finetune_trl.py"

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]

QUICK = ("--max-new-tokens", "12", "--lr", "0.01", "--accumulation", "1", "--no-gradient-checkpointing")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, each in a folder of the name of its template."""
    folder = tmp_path_factory.mktemp("models")
    for name, template in {"chat": CHAT, "marked": MARKED, "thinking": THINKING, "upper": UPPER, "base": None}.items():
        save_tiny(folder / name, template)
    return folder


def job(*options: str | Path) -> int:
    return main([str(one) for one in options])


def report(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "report.json").read_text(encoding="utf-8")))


LABELS = [(f"Is the number {number} even or odd?", "even" if number % 2 == 0 else "odd") for number in range(2, 10)]
WORDS = [("Repeat this word.", word, word) for word in ("apple", "pear", "plum", "fig")]


def original_form(path: Path) -> Path:
    """The questions of the hand-made rows as a task file in the original's form."""
    rows = [
        {"instruction": question, "is_classification": True, "instances": [{"input": "", "output": label}]}
        for question, label in LABELS
    ]  # fmt: skip
    instances = [{"input": text, "output": answer} for _, text, answer in WORDS]
    return write_lines(path, [*rows, {"instruction": WORDS[0][0], "motivation_app": "none", "instances": instances}])


def superni_form(path: Path, categories: Sequence[str] = ("Answerability Classification",)) -> Path:
    instances = [
        {"id": f"i{n}", "input": question, "output": [label, f"{label}."]} for n, (question, label) in enumerate(LABELS)
    ]
    task = {"Definition": ["Answer in one word."], "Categories": list(categories), "Instances": instances}
    path.write_text(json.dumps(task), encoding="utf-8")
    return path


def by_hand(folder: Path, held_out: bool = True) -> Path:
    """An export of few short rows, in two forms."""
    asked = [*LABELS, *((f"{instruction}\n\n{text}", answer) for instruction, text, answer in WORDS)]
    for side, rows in {"-train": asked, "-test": asked[::3]}.items() if held_out else {"": asked}.items():
        user = [[{"role": "user", "content": question}] for question, _ in rows]
        said = [[{"role": "assistant", "content": answer}] for _, answer in rows]
        write_lines(folder / f"messages{side}.jsonl", [{"messages": a + b} for a, b in zip(user, said, strict=True)])
        plain = [{"prompt": f"{question}\n\n", "completion": answer} for question, answer in rows]
        write_lines(folder / f"prompt-completion-plain{side}.jsonl", plain)
    return folder


# --- a whole job ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def done(exported: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job on a real export, with settings from a file and from options."""
    folder = tmp_path_factory.mktemp("done")
    config = folder / "job.toml"
    config.write_text(
        f"model = {json.dumps(str(models / 'chat'))}\nsteps = 99\nlora_r = 8\naccumulation = 1\nlr = 0.01\n"
        f"tasks = [{json.dumps(str(original_form(folder / 'original.jsonl')))}]\nmax_new_tokens = 6\nmerge = true\n",
        encoding="utf-8",
    )
    assert job("--data", exported, "--out", folder / "out", "--config", config, "--steps", "25") == 0
    return folder / "out"


def loss_by_hand(model: Any, tokenizer: Any, rows: Sequence[tuple[str, str]]) -> float:
    """Mean negative log-likelihood of the tokens of answers, as the chat template renders them."""
    total, count = 0.0, 0
    for question, answer in rows:
        before = tokenizer(f"{START}user\n{question}{END}\n{START}assistant\n")["input_ids"]
        learned = tokenizer(f"{answer}{END}\n")["input_ids"]
        with torch.inference_mode():
            likely = model(torch.tensor([before + learned])).logits.log_softmax(-1)[0]
        total -= sum(float(likely[len(before) - 1 + place, token]) for place, token in enumerate(learned))
        count += len(learned)
    return total / count


def test_the_figures_are_those_of_the_model_that_was_saved(done: Path, exported: Path, models: Path) -> None:
    found = report(done)
    tokenizer = AutoTokenizer.from_pretrained(models / "chat")
    base = AutoModelForCausalLM.from_pretrained(models / "chat").eval()
    held_out = [
        (row["prompt"][0]["content"], row["completion"][0]["content"])
        for row in read_lines(exported / "prompt-completion-test.jsonl")
    ]
    assert found["before"]["held-out"]["rows"] == len(held_out)
    assert found["before"]["held-out"]["loss"] == pytest.approx(loss_by_hand(base, tokenizer, held_out), abs=2e-4)
    whole = AutoModelForCausalLM.from_pretrained(done / "model").eval()
    assert found["after"]["held-out"]["loss"] == pytest.approx(loss_by_hand(whole, tokenizer, held_out), abs=2e-3)
    adapted = PeftModel.from_pretrained(base, done / "adapter").eval()
    assert found["after"]["held-out"]["loss"] == pytest.approx(loss_by_hand(adapted, tokenizer, held_out), abs=2e-4)
    assert found["after"]["held-out"]["loss"] < found["before"]["held-out"]["loss"] - 0.1
    answers = [one for one in read_lines(done / "answers.jsonl") if one["set"] == "held-out"]
    assert [one["right"] for one in answers] == [[answer] for _, answer in held_out]
    ids = tokenizer(f"{START}user\n{held_out[0][0]}{END}\n{START}assistant\n", return_tensors="pt")
    made = adapted.generate(
        **ids, max_new_tokens=6, do_sample=False, eos_token_id=tokenizer.convert_tokens_to_ids([END, TEXT_END])
    )
    text = tokenizer.decode(made[0][ids["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert answers[0]["after"] == text


def test_the_report_says_what_was_done(done: Path, exported: Path) -> None:
    found = report(done)
    assert found["settings"]["steps"] == found["steps"] == 25
    assert (found["settings"]["lora_r"], found["form"]) == (8, "prompt-completion")
    assert found["rows"] == len(read_lines(exported / "prompt-completion-train.jsonl"))
    assert 0 < found["tokens_in_loss"] < found["tokens"]
    assert found["around_each_answer"] == ["", f"{END}\n"]
    assert found["parameters_trained"] < found["parameters"] / 2
    assert set(found["after"]) == {"held-out", "original.jsonl"}
    assert found["after"]["original.jsonl"]["classification_rows"] == len(LABELS)
    assert found["after"]["original.jsonl"]["rows"] == len(LABELS) + len(WORDS)
    text = (done / "report.md").read_text(encoding="utf-8")
    for name, scored in found["after"].items():
        assert f"| {name} | {scored['rows']} | after | {scored['loss']} | {scored['rouge_l']} |" in text
    assert not (done / "checkpoints").exists()


def test_classifications_of_the_held_out_rows_are_told_apart(done: Path, exported: Path) -> None:
    from pyarrow.parquet import read_table

    flags = read_table(exported / "dataset-test.parquet").column("is_classification").to_pylist()
    assert report(done)["after"]["held-out"]["classification_rows"] == sum(flags) > 0


def test_a_job_that_is_done_is_not_done_again_and_its_folder_is_its_own(
    done: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((done / "job.json").read_text(encoding="utf-8"))["settings"]
    config = done.parent / "again.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in record.items()), encoding="utf-8")
    before = (done / "report.json").stat().st_mtime_ns
    assert job("--config", config, "--out", done) == 0
    assert "this job is done" in capsys.readouterr().err
    assert (done / "report.json").stat().st_mtime_ns == before
    assert job("--config", config, "--out", done, "--lr", "0.5") == 2
    said = capsys.readouterr().err
    assert "belongs to a job with another lr (0.01, not 0.5); name another --out" in said
    assert said.count("\n") == 1


# --- what is learned ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "model"), [("messages", "marked"), ("messages", "chat"), ("prompt-completion-plain", "base")]
)
def test_what_can_be_learned_is_learned(tmp_path: Path, models: Path, form: str, model: str) -> None:
    """Rows that are few and short are known by heart in the end, and asked for in task files are answered exactly."""
    tasks = original_form(tmp_path / "tasks.jsonl")
    options = ("--data", by_hand(tmp_path / "data"), "--format", form, "--model", models / model, "--tasks", tasks)
    assert job(*options, "--out", tmp_path / "out", "--no-lora", "--steps", "80", "--batch-size", "12", *QUICK) == 0
    found = report(tmp_path / "out")
    for name in ("held-out", "tasks.jsonl"):
        assert found["before"][name]["exact_match"] == 0
        assert found["after"][name]["exact_match"] == 100
        assert found["after"][name]["rouge_l"] == 100
        assert found["after"][name]["loss"] < 0.1 * found["before"][name]["loss"]
    assert found["after"]["tasks.jsonl"]["classification_exact_match"] == 100
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()
    assert not (tmp_path / "out" / "adapter").exists()


def test_a_template_that_reasons_first_is_told_not_to(models: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models / "thinking")
    row = Row(({"role": "user", "content": "Say yes."},), ("yes",), None, "x")
    one = encode(tokenizer, row)
    assert tokenizer.decode(one.whole[one.start :]) == f"yes{END}\n"
    assert one.asked == one.whole[: one.start]
    assert tokenizer.decode(one.asked).endswith("<think>\n\n</think>\n\n")


def test_rows_that_a_template_changes_or_that_are_too_long_are_left_out_and_counted(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = by_hand(tmp_path / "data")
    long = {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "and on " * 200}]}
    shouted = {"messages": [{"role": "user", "content": "Shout."}, {"role": "assistant", "content": "NO 1!"}]}
    train = data / "messages-train.jsonl"
    rows = read_lines(train)
    write_lines(train, [*rows, long, shouted])
    options = (
        "--data",
        data,
        "--format",
        "messages",
        "--steps",
        "2",
        "--max-length",
        "100",
        "--eval-rows",
        "2",
        *QUICK,
    )
    assert job(*options, "--model", models / "upper", "--out", tmp_path / "out") == 0
    found = report(tmp_path / "out")
    assert found["left_out"] == {"too_long": 1, "changed_by_template": len(rows)}
    assert found["rows"] == 1
    assert (found["after"]["held-out"]["rows"], found["after"]["held-out"]["loss_rows"]) == (2, 0)
    assert found["after"]["held-out"]["loss"] is None
    write_lines(train, rows)
    capsys.readouterr()
    assert job(*options, "--model", models / "upper", "--out", tmp_path / "none") == 2
    assert f"none of {len(rows)} rows can be trained on" in capsys.readouterr().err


def test_rows_that_are_not_measured_are_counted_and_an_answer_needs_only_its_prompt_to_fit(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, words = by_hand(tmp_path / "data"), " ".join(["word"] * 300)
    test = data / "messages-test.jsonl"
    unread = {"messages": [{"role": "user", "content": words}, {"role": "assistant", "content": "yes"}]}
    unlearned = {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": words}]}
    write_lines(test, [*(rows := read_lines(test)), unread, unlearned])
    bench = [{"instruction": words, "instances": [{"input": "", "output": "yes"}]}] * 3
    write_lines(tmp_path / "bench.jsonl", [*bench, {**bench[0], "instruction": "Say yes."}])
    options = ("--data", data, "--model", models / "chat", "--steps", "1", "--max-length", "100", *QUICK)
    assert job(*options, "--tasks", tmp_path / "bench.jsonl", "--out", tmp_path / "out") == 0
    said, found = capsys.readouterr().err, report(tmp_path / "out")
    assert f"held-out: 1 of {len(rows) + 2} rows are not measured: prompts of more than max_length tokens" in said
    assert "bench.jsonl: 3 of 4 rows are not measured" in said
    assert found["not_measured"] == {"held-out": 1, "bench.jsonl": 3}
    assert found["after"]["bench.jsonl"]["rows"] == 1
    held_out = found["after"]["held-out"]
    assert (held_out["rows"], held_out["loss_rows"]) == (len(rows) + 1, len(rows))
    answers = [one for one in read_lines(tmp_path / "out" / "answers.jsonl") if one["set"] == "held-out"]
    assert answers[-1]["right"] == [words]
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "Not measured, since the prompt has more than max_length tokens: 1 of held-out, 3 of bench.jsonl." in text
    assert f"| {held_out['loss']} ({len(rows)} rows) |" in text


def test_an_answer_ends_where_a_turn_does_and_not_at_white_space_that_is_a_token(models: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models / "chat")
    model = AutoModelForCausalLM.from_pretrained(models / "chat")
    row = Row(({"role": "user", "content": "Say yes."},), ("yes",), None, "x")
    ends = sorted(tokenizer.convert_tokens_to_ids([END, TEXT_END]))
    assert stops(tokenizer, model, row) == ends
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in ("\n", "yes")])  # as Gemma's
    assert stops(tokenizer, model, row) == ends


def test_a_job_that_failed_at_its_first_checks_can_be_tried_again_with_other_settings(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chat.jinja").write_text(CHAT, encoding="utf-8")
    options = ("--data", by_hand(tmp_path / "data"), "--out", tmp_path / "out", "--steps", "1", "--format", "messages")
    assert job(*options, *QUICK, "--model", tmp_path / "mistyped") == 2
    assert job(*options, *QUICK, "--model", models / "base") == 2
    assert "no chat template; name one by --chat-template" in capsys.readouterr().err
    cured = ("--model", models / "base", "--chat-template", tmp_path / "chat.jinja")
    assert job(*options, *QUICK, *cured, "--max-length", "8") == 2
    assert "rows can be trained on" in capsys.readouterr().err
    assert job(*options, *QUICK, *cured) == 0
    assert job(*options, *QUICK, *cured, "--max-length", "99") == 2
    assert "belongs to a job with another max_length" in capsys.readouterr().err


def test_without_a_held_out_side_all_rows_are_trained_on_and_it_says_so(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = by_hand(tmp_path / "data", held_out=False)
    assert job("--data", data, "--model", models / "chat", "--steps", "1", "--out", tmp_path / "out", *QUICK) == 0
    assert "no held-out rows; export with --split train=0.9,test=0.1" in capsys.readouterr().err
    assert report(tmp_path / "out")["after"] == {}


# --- killed ---------------------------------------------------------------------------------------------------------


def test_a_job_that_is_killed_goes_on_and_ends_with_the_same_adapter(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = by_hand(tmp_path / "data")
    options = [
        "--data", data, "--model", models / "chat", "--steps", "90", "--save-steps", "6", "--lora-dropout", "0.1",
        "--batch-size", "4", *QUICK,
    ]  # fmt: skip
    assert job(*options, "--out", tmp_path / "whole") == 0
    out = tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), *map(str, options), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        while _last_whole(out / "checkpoints") is None:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not (out / "report.json").exists()
    (out / "checkpoints" / "checkpoint-89").mkdir()  # as if it had been killed while it wrote this one
    capsys.readouterr()
    assert job(*options, "--out", out) == 0
    assert f"goes on from {out / 'checkpoints' / 'checkpoint-'}" in capsys.readouterr().err
    assert report(out)["steps"] == 90
    whole, again = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    for key in ("before", "after", "train_loss"):
        assert report(out)[key] == report(tmp_path / "whole")[key]


def test_it_is_a_command_for_each_version(pool: Path, models: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    options = f"--model {models / 'chat'} --steps 2 --max-new-tokens 4"
    command = f"{sys.executable} {SCRIPT} --data {{data}} --out {{out}} {options}"
    config.write_text(
        '[publish]\nformats = ["messages", "parquet"]\nsplit = "train=0.8,test=0.2"\n'
        f"[finetune]\ncommand = {json.dumps(command)}\n",
        encoding="utf-8",
    )
    selfinstruct("publish", pool, "--config", config)
    selfinstruct("finetune", pool, "--config", config)
    found = report(pool / "versions" / "latest" / "finetune" / "out")
    assert (found["form"], found["steps"]) == ("messages", 2)
    assert found["after"]["held-out"]["classification_rows"] > 0


# --- bad input ------------------------------------------------------------------------------------------------------

GOOD = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD, {"messages": []}], "messages-train.jsonl:2: wanted"),
        ([GOOD, {"messages": GOOD["messages"][:1]}], "messages-train.jsonl:2: wanted"),
        ([GOOD, {"messages": GOOD["messages"] * 2 + GOOD["messages"][:1]}], ":2: the last message is no answer"),
        ([GOOD, {"messages": [GOOD["messages"][0], {"role": "assistant", "content": " "}]}], ":2: the last message"),
        ([GOOD, {"messages": [{"role": "user"}, {}]}], ":2: wanted"),
        ([GOOD, ["x"]], ":2: wanted"),
        ([], "messages-train.jsonl: no rows"),
    ],
)
def test_bad_rows_are_one_clear_line(
    tmp_path: Path, rows: list[Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "data" / "messages-train.jsonl", rows)
    assert job("--data", tmp_path / "data", "--out", tmp_path / "out") == 2
    found = capsys.readouterr().err
    assert said in found
    assert found.startswith("error: ")
    assert found.count("\n") == 1
    assert not (tmp_path / "out").exists()


CHATTY = ["--data", "{tmp}/data", "--out", "{tmp}/o", "--model", "{models}/chat"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "{tmp}/none", "--out", "{tmp}/o"], "no such folder"),
        (["--data", "{tmp}", "--out", "{tmp}/o"], "export with --format prompt-completion --split train=0.9,test=0.1"),
        (["--data", "{tmp}/data"], "--out is missing"),
        (["--out", "{tmp}/o"], "--data is missing"),
        (["--data", "{tmp}/data", "--out", "{tmp}/data"], "is not empty and holds no job"),
        (["--data", "{tmp}/data", "--out", "{tmp}/data/messages-train.jsonl"], "cannot be written"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--batch-size", "0"], "batch_size = 0: wanted 1 or more"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--model", "{tmp}/none"], "cannot be loaded"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--model", "{models}/base"], "no chat template; name one by"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--format", "prompt-completion"], "no prompt-completion in it"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--tasks", "{tmp}/none.jsonl"], "none.jsonl: no such file"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--tasks", "{tmp}/bad.jsonl"], "bad.jsonl:1: wanted"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--tasks", "{tmp}/bad.json"], "bad.json: wanted a task of Super"),
        ([*CHATTY, "--tasks", "{tmp}/train"], "train: there is another set named train"),
        ([*CHATTY, "--steps", "many"], "argument --steps: invalid int value: 'many'"),
        ([*CHATTY, "--format", "alpaca"], "argument --format: invalid choice: 'alpaca'"),
        ([*CHATTY, "--learning-rate", "1"], "unrecognized arguments: --learning-rate 1; --help has the options"),
        (["--config", "{tmp}/none.toml"], "none.toml: cannot be read"),
        (["--config", "{tmp}/wrong.toml"], "wrong.toml: lr = 'fast': wanted float"),
        (["--config", "{tmp}/unknown.toml"], "unknown key 'learning_rate'"),
        ([*CHATTY, "--chat-template", "{tmp}/no"], "/no: cannot be read"),
        ([*CHATTY, "--chat-template", "{tmp}/latin.jinja"], "latin.jinja: cannot be read ('utf-8' codec"),
        ([*CHATTY, "--lora-dropout", "2"], "lora_dropout = 2.0: wanted 0 to 1"),
        ([*CHATTY, "--seed", "-1"], "seed = -1: wanted 0 to 4294967295"),
        ([*CHATTY, "--lr", "nan"], "lr = nan: wanted 0 or more"),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--model", "{tmp}/cut"], "cut': cannot be loaded ("),
        (["--data", "{tmp}/data", "--out", "{tmp}/o", "--model", "{tmp}/torn"], "torn': cannot be loaded ("),
    ],
)  # fmt: skip
def test_wrong_use_is_one_clear_line(
    tmp_path: Path, models: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "data" / "messages-train.jsonl", [GOOD])
    write_lines(tmp_path / "bad.jsonl", [{"instruction": "a"}])
    (tmp_path / "bad.json").write_text('{"Definition": "a"}', encoding="utf-8")
    (tmp_path / "wrong.toml").write_text('lr = "fast"', encoding="utf-8")
    (tmp_path / "latin.jinja").write_bytes(b"\xe9")
    for folder, name in (("cut", "model.safetensors"), ("torn", "tokenizer.json")):
        shutil.copytree(models / "chat", tmp_path / folder)
        os.truncate(tmp_path / folder / name, 1000)
    (tmp_path / "unknown.toml").write_text("learning_rate = 1", encoding="utf-8")
    capsys.readouterr()
    assert job(*(one.format(tmp=tmp_path, models=models) for one in options)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]


def test_help_and_wrong_use_need_no_trainer() -> None:
    code = f"import sys; sys.argv = ['x', '--help']; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
    code += "import finetune_trl\nassert not {'torch', 'transformers', 'trl'} & sys.modules.keys()\n"
    code += "finetune_trl.main(sys.argv[1:])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(
        f"--{name}" in found for name in ("data", "out", "model", "tasks", "lora", "no-lora", "lr", "max-length")
    )


def test_a_missing_library_is_one_clear_line(tmp_path: Path) -> None:
    data = by_hand(tmp_path / "data")
    command = [sys.executable, "-S", str(SCRIPT), "--data", str(data), "--out", str(tmp_path / "out")]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.startswith("error: No module named ")
    assert "pip install torch transformers trl peft datasets rouge-score" in found.stderr
    assert found.stderr.count("\n") == 1


def test_options_come_before_the_file_and_the_file_before_defaults(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text('lr = 1\nsteps = 5\nlora = false\ntasks = ["a"]\n', encoding="utf-8")
    found = read_job(["--config", str(config), "--data", "d", "--out", "o", "--steps", "7", "--tasks", "b"])
    assert (found.lr, found.steps, found.lora, found.tasks, found.seed) == (1.0, 7, False, ("b",), 7)


# --- task files and scores ------------------------------------------------------------------------------------------

LIKE = [Row(({"role": "system", "content": "Be kind."}, {"role": "user", "content": "x"}), ("y",), None, "x")]
LIKE_PLAIN = [Row("x\n\n", ("y",), None, "x")]


def test_task_files_of_both_forms_are_asked_as_the_rows_were(tmp_path: Path) -> None:
    rows = read_tasks(original_form(tmp_path / "a.jsonl"), LIKE)
    assert [row.is_classification for row in rows] == [True] * len(LABELS) + [None] * len(WORDS)
    user = {"role": "user", "content": "Repeat this word.\n\napple"}
    assert rows[len(LABELS)].prompt == ({"role": "system", "content": "Be kind."}, user)
    assert read_tasks(tmp_path / "a.jsonl", LIKE_PLAIN)[0].prompt == f"{LABELS[0][0]}\n\n"
    found = read_tasks(superni_form(tmp_path / "b.json"), LIKE_PLAIN)
    assert found[0].prompt == f"Answer in one word.\n\n{LABELS[0][0]}\n\n"
    assert found[0].answers == ("even", "even.")
    assert all(row.is_classification for row in found)
    other = read_tasks(superni_form(tmp_path / "b.json", ["Title Generation"]), LIKE)
    assert not any(row.is_classification for row in other)
    assert len(read_tasks(tmp_path, LIKE)) == len(rows) + len(found)
    with pytest.raises(JobError, match="no instances with an output"):
        read_tasks(write_lines(tmp_path / "c.jsonl", [{"instruction": "a", "instances": []}]), LIKE)


def test_the_shipped_seeds_are_a_task_file() -> None:
    assert len(read_tasks(ROOT / "seeds" / "en.jsonl", LIKE)) >= 175


def test_some_rows_are_chosen_by_the_seed_and_keep_their_order() -> None:
    rows = [Row("x", ("y",), None, str(number)) for number in range(50)]
    chosen = some(rows, 10, 7)
    assert chosen == some(rows, 10, 7) != some(rows, 10, 8)
    assert [int(row.place) for row in chosen] == sorted(int(row.place) for row in chosen)
    assert some(rows, 0, 7) == some(rows, 99, 7) == rows


def test_rouge_l_is_that_of_the_papers_for_ascii() -> None:
    reference = RougeScorer(["rougeL"], use_stemmer=True)
    texts = [
        "The cats were sitting on 2 mats.",
        "A cat sits on the mat",
        "",
        "!!!",
        "snake_case and don't",
        "word " * 30,
    ]
    for one in texts:
        for other in texts:
            assert rouge_l(one, [other]) == reference.score(other, one)["rougeL"].fmeasure
    assert rouge_l("a cat", ["a dog", "a cat"]) == 1


def test_rouge_l_sees_other_scripts() -> None:
    assert rouge_l("今天天气很好", ["今天天气不好"]) == pytest.approx(5 / 6)
    assert rouge_l("Straße nach Köln", ["strasse nach köln"]) == 1
    assert rouge_l("สวัสดี", ["สวัสดี"]) == 1
    assert rouge_l("привет мир", ["привет дом"]) == 0.5


def test_exact_match_overlooks_case_punctuation_and_white_space() -> None:
    assert exact_match(" Yes.\n", ["no", "yes"])
    assert exact_match("是。", ["是"])
    assert not exact_match("yes or no", ["yes"])
    assert exact_match("?", ["!", "?"])
    assert not exact_match("", ["!"])


def test_scores_are_percentages_and_of_nothing_are_nothing() -> None:
    rows = [Row("a", ("yes",), True, "x"), Row("b", ("no",), True, "x"), Row("c", ("blue sky",), False, "x")]
    assert scores(rows, ["yes", "yes", "blue sea"]) == {
        "rows": 3, "rouge_l": 50.0, "exact_match": 33.33, "classification_rows": 2, "classification_exact_match": 50.0,
    }  # fmt: skip
    assert scores(rows[2:], ["x"])["classification_exact_match"] is None


def test_texts_of_models_are_no_markdown_in_the_report(done: Path) -> None:
    evil = "# Top\n```\n<script>\x1b[31m\u202e"
    shown = [{"set": "held-out", "prompt": evil, "right": [evil], "before": evil, "after": evil}]
    text = as_markdown(report(done), shown)
    assert "\x1b" not in text
    assert "\u202e" not in text
    for line in text.splitlines():
        assert not line.startswith(("# Top", "```", "<script>"))
