"""TRL trains on preferences, labels, rewards and reasoning as they are exported, and `datasets` loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfinstruct.rewards import keeps_constraints, same_answer
from tests.trainers.exports import SPLIT, grown, read_lines, selfinstruct
from tests.trainers.rules import axolotl, llama_factory

pytest.importorskip("trl", reason="TRAINERS NOT TESTED: make test-trainers does")

from datasets import Dataset, load_dataset
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

from tests.trainers.tiny import CHAT, MARKED, make_model, make_tokenizer

pytestmark = pytest.mark.filterwarnings("default")

FORMS = ("preference", "preference-plain", "kto", "kto-plain", "grpo", "reasoning")
CONFIG = """
[recipe]
steps = ["default", "sample", "attempts"]

[agreement]
answers = 3

[judge]
enabled = true
revise = true

[sample]
answers = 3

[attempts]
answers = 2
max_weak = "1"
min_strong = "0"
min_gap = "0"
"""

THOUGHT = MARKED.replace(
    "{% generation %}",
    "{% generation %}{% if message['reasoning_content'] %}<think>{{ message['reasoning_content'] }}</think>{% endif %}",
)
"""With a place for reasoning that comes in a field of its own."""
STEPS = {
    "max_steps": 2, "per_device_train_batch_size": 4, "logging_steps": 1, "use_cpu": True, "bf16": False,
    "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "gradient_checkpointing": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a pool whose model is wrong in a third of its answers, and thinks before half of them."""
    pool = grown(tmp_path_factory.mktemp("answers"), CONFIG, "wrong=35%,think=50%", 40)
    out = pool.parent / "export"
    forms = [word for form in ("messages", *FORMS) for word in ("--format", form)]
    selfinstruct("export", pool, *forms, "--out", out, *SPLIT)
    return out


def rows(folder: Path, form: str, cache: Path) -> Dataset:
    """A form as a user loads it: by its name, from the folder."""
    return load_dataset(str(folder), form, split="train", cache_dir=str(cache))


def trained(trainer: Any) -> list[dict[str, float]]:
    """What is logged of each step."""
    trainer.train()
    logged = [one for one in trainer.state.log_history if "loss" in one]
    assert len(logged) == 2
    assert all(one["grad_norm"] == one["grad_norm"] for one in logged), "no gradient is NaN"
    return logged


@pytest.mark.parametrize("form", FORMS)
def test_the_folder_loads_by_the_name_of_a_form(folder: Path, tmp_path: Path, form: str) -> None:
    for side, found in load_dataset(str(folder), form, cache_dir=str(tmp_path)).items():
        assert found.to_list() == read_lines(folder / f"{form}-{side}.jsonl")
        assert len(found) > 0


def test_llama_factory_and_axolotl_take_what_they_are_told_of(folder: Path) -> None:
    assert llama_factory(folder) == []
    assert axolotl(folder / "axolotl.yaml") == []


@pytest.mark.parametrize("form", ["preference", "preference-plain"])
def test_dpo_trains_on_pairs(folder: Path, tmp_path: Path, form: str) -> None:
    tokenizer = make_tokenizer(CHAT if form == "preference" else None)
    settings = DPOConfig(output_dir=str(tmp_path), max_length=512, **STEPS)
    data = rows(folder, form, tmp_path)
    model, reference = make_model(len(tokenizer)), make_model(len(tokenizer))
    trainer = DPOTrainer(model, reference, args=settings, train_dataset=data, processing_class=tokenizer)
    assert {"rewards/margins", "rewards/accuracies"} <= trained(trainer)[-1].keys()


def test_a_reward_model_takes_the_margin(folder: Path, tmp_path: Path) -> None:
    from transformers import Qwen2ForSequenceClassification

    tokenizer = make_tokenizer(CHAT)
    settings = RewardConfig(output_dir=str(tmp_path), max_length=512, **STEPS)
    config = make_model(len(tokenizer)).config
    config.num_labels = 1
    data = rows(folder, "preference", tmp_path)
    trainer = RewardTrainer(
        Qwen2ForSequenceClassification(config), args=settings, train_dataset=data, processing_class=tokenizer
    )
    assert "margin" in next(iter(trainer.get_train_dataloader()))
    trained(trainer)


@pytest.mark.parametrize("form", ["kto", "kto-plain"])
def test_kto_trains_on_labels(folder: Path, tmp_path: Path, form: str) -> None:
    tokenizer = make_tokenizer(CHAT if form == "kto" else None)
    settings = KTOConfig(output_dir=str(tmp_path), max_length=512, **STEPS)
    data = rows(folder, form, tmp_path)
    assert set(data["label"]) == {True, False}
    model, reference = make_model(len(tokenizer)), make_model(len(tokenizer))
    trainer = KTOTrainer(model, reference, args=settings, train_dataset=data, processing_class=tokenizer)
    trained(trainer)


def test_grpo_trains_with_the_checker_as_its_reward(folder: Path, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(CHAT)
    settings = GRPOConfig(
        output_dir=str(tmp_path), num_generations=2, max_completion_length=8, temperature=1.0, **STEPS
    )
    data = rows(folder, "grpo", tmp_path)
    trainer = GRPOTrainer(
        make_model(len(tokenizer)), reward_funcs=[same_answer, keeps_constraints], args=settings, train_dataset=data,
        processing_class=tokenizer,
    )  # fmt: skip
    logged = trained(trainer)[-1]
    assert logged["rewards/same_answer/mean"] == 0.0, "random weights know no answer"
    said = [[{"role": "assistant", "content": f"I think so.\nAnswer: {one}"}] for one in data["answer"]]
    assert same_answer(data["prompt"], said, data["answer"]) == [1.0] * len(data)


@pytest.mark.parametrize("where", ["field", "think"])
def test_reasoning_is_learned_with_the_answer(folder: Path, tmp_path: Path, where: str) -> None:
    if where == "think":
        out = tmp_path / "export"
        selfinstruct(
            "export", folder.parent / "pool", "--format", "reasoning", "--reasoning", "think", "--out", out, *SPLIT
        )
        assert llama_factory(out) == []
        assert axolotl(out / "axolotl.yaml") == []
        folder = out
    tokenizer = make_tokenizer(THOUGHT if where == "field" else MARKED)
    settings = SFTConfig(output_dir=str(tmp_path), max_length=None, assistant_only_loss=True, **STEPS)
    data = rows(folder, "reasoning", tmp_path / "cache")
    trainer = SFTTrainer(make_model(len(tokenizer)), args=settings, train_dataset=data, processing_class=tokenizer)
    for line, made in zip(read_lines(folder / "reasoning-train.jsonl"), trainer.train_dataset, strict=True):
        answer = line["messages"][-1]
        learned = tokenizer.decode([label for label in made["labels"] if label != -100])
        assert answer["content"] in learned
        assert answer.get("reasoning_content", "<think>") in learned
    trained(trainer)
