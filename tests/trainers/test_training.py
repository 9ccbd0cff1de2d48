"""TRL trains on exports as they are: on the answers' tokens and no others, to a lower loss, with LoRA or without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.exports import read_lines, write_lines

pytest.importorskip("trl", reason="TRAINERS NOT TESTED: make test-trainers does")

import torch
from datasets import load_dataset
from peft import LoraConfig, PeftModel
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from tests.trainers.tiny import CHAT, END, MARKED, START, TEXT_END, make_model, make_tokenizer

pytestmark = pytest.mark.filterwarnings("default")

HARD = [
    ("Name a fruit.", "", "pear"),
    ("Say it in Chinese.", "Good morning, 世界 🌍", "早上好，世界 🌍"),
    ("Write a table.", "a\tb\r\n\u2028c", 'x\t"y"\n\n  z\\n  ends here \u00a0!'),
    ("Show the marks.", "### Response:\n<|im_start|>system", "### Response:\n<|im_end|> and <|im_start|>assistant\nno"),
    ("Be long.", "", "word " * 400 + "end"),
    ("Begin in the middle", "of a", " lemon\nwith a space before and a line after\n"),
]
"""Instruction, input and answer of rows that tempt a tokenizer."""


def hard_rows(folder: Path) -> None:
    asked = [(f"{instruction}\n\n{text}" if text else instruction, answer) for instruction, text, answer in HARD]
    user = [[{"role": "user", "content": question}] for question, _ in asked]
    said = [[{"role": "assistant", "content": answer}] for _, answer in asked]
    write_lines(folder / "messages-train.jsonl", [{"messages": a + b} for a, b in zip(user, said, strict=True)])
    both = [{"prompt": a, "completion": b} for a, b in zip(user, said, strict=True)]
    write_lines(folder / "prompt-completion-train.jsonl", both)
    plain = [{"prompt": f"{question}\n\n", "completion": answer} for question, answer in asked]
    write_lines(folder / "prompt-completion-plain-train.jsonl", plain)


@pytest.fixture(params=["hard", "exported"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "exported":
        return Path(request.getfixturevalue("exported"))
    hard_rows(tmp_path)
    return tmp_path


def trainer_for(
    path: Path, template: str | None, out: Path, peft: LoraConfig | None = None, **options: Any
) -> SFTTrainer:
    """TRL's trainer on an exported file, exactly as `datasets` loads it."""
    tokenizer = make_tokenizer(template)
    settings = {
        "per_device_train_batch_size": 4, "learning_rate": 5e-3, "lr_scheduler_type": "constant", "logging_steps": 1,
        "max_length": None, "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True,
        "save_strategy": "no", "gradient_checkpointing": False, "output_dir": str(out), **options,
    }  # fmt: skip
    rows = load_dataset("json", data_files=str(path), split="train", cache_dir=str(out / "cache"))
    model = make_model(len(tokenizer))
    return SFTTrainer(
        model, args=SFTConfig(**settings), train_dataset=rows, processing_class=tokenizer, peft_config=peft
    )


def asserted_labels(trainer: SFTTrainer, rows: Sequence[tuple[str, str, str]]) -> None:
    """Each row, as (before, learned, after), is tokenized as a whole, and exactly the tokens of `learned` are labels.

    Where a token begins before the learned text and ends in it, no cut is exact, so there must be none.
    """
    tokenizer = trainer.processing_class
    assert len(rows) == len(trainer.train_dataset) > 0
    for (before, learned, after), made in zip(rows, trainer.train_dataset, strict=True):
        text = before + learned + after
        whole = tokenizer(text, return_offsets_mapping=True)
        assert made["input_ids"] == whole["input_ids"]
        start, end = len(before), len(before) + len(learned)
        wanted = []
        for token, (first, last) in zip(whole["input_ids"], whole["offset_mapping"], strict=True):
            inside = first >= start and last <= end
            assert inside or last <= start or first >= end, (
                f"a token is half learned in {text[first - 20 : last + 20]!r}"
            )
            wanted.append(token if inside else -100)
        assert made["labels"] == wanted
        assert tokenizer.decode([label for label in made["labels"] if label != -100]) == learned


def rendered(turns: Sequence[dict[str, str]]) -> str:
    return "".join(f"{START}{turn['role']}\n{turn['content']}{END}\n" for turn in turns)


def test_of_messages_the_answer_and_its_end_are_learned(folder: Path, tmp_path: Path) -> None:
    path = folder / "messages-train.jsonl"
    trainer = trainer_for(path, MARKED, tmp_path, assistant_only_loss=True)
    turns = [row["messages"] for row in read_lines(path)]
    rows = [(rendered(some) + f"{START}assistant\n", last["content"] + END, "\n") for *some, last in turns]
    asserted_labels(trainer, rows)


def test_of_prompt_and_completion_the_completion_and_its_end_are_learned(folder: Path, tmp_path: Path) -> None:
    path = folder / "prompt-completion-train.jsonl"
    trainer = trainer_for(path, CHAT, tmp_path)
    found = [(row["prompt"], row["completion"][0]["content"]) for row in read_lines(path)]
    asserted_labels(trainer, [(rendered(some) + f"{START}assistant\n", last + f"{END}\n", "") for some, last in found])


def test_of_plain_prompt_and_completion_the_completion_and_its_end_are_learned(folder: Path, tmp_path: Path) -> None:
    path = folder / "prompt-completion-plain-train.jsonl"
    trainer = trainer_for(path, None, tmp_path)
    asserted_labels(trainer, [(row["prompt"], row["completion"] + TEXT_END, "") for row in read_lines(path)])


FORMS = {
    "messages": (MARKED, {"assistant_only_loss": True}),
    "prompt-completion": (CHAT, {}),
    "prompt-completion-plain": (None, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_falls_on_rows_that_can_be_learned(exported: Path, tmp_path: Path, form: str) -> None:
    """Eight rows of an export, seen whole in every step, are nearly known by heart after sixty."""
    template, options = FORMS[form]
    lines = (exported / f"{form}-train.jsonl").read_bytes().split(b"\n")[:8]
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    steps = {"max_steps": 60, "per_device_train_batch_size": 8, "learning_rate": 1e-2}
    trainer = trainer_for(tmp_path / "some.jsonl", template, tmp_path, **steps, **options)
    trainer.train()
    losses = [one["loss"] for one in trainer.state.log_history if "loss" in one]
    assert len(losses) == 60
    assert losses[-1] < 0.3 * losses[0]


def test_an_adapter_is_saved_and_loaded_with_the_same_logits(exported: Path, tmp_path: Path) -> None:
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    path = exported / "prompt-completion-train.jsonl"
    trainer = trainer_for(path, CHAT, tmp_path, lora, max_steps=15, learning_rate=2e-2)
    trainer.train()
    losses = [one["loss"] for one in trainer.state.log_history if "loss" in one]
    assert losses[-1] < losses[0]
    trainer.save_model(str(tmp_path / "adapter"))
    tokens = torch.tensor([trainer.train_dataset[0]["input_ids"]])
    tokenizer: PreTrainedTokenizerFast = trainer.processing_class
    base = make_model(len(tokenizer)).eval()
    with torch.inference_mode():
        bare = base(tokens).logits
        trained = trainer.model.eval()(tokens).logits
        again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(tokens).logits
    assert torch.equal(again, trained)
    assert (trained - bare).abs().max() > 0.1
