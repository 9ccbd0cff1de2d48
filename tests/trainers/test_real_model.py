"""TRL's trainers take steps with the weights of a real small model, SmolLM2 of 135 million parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.rewards import keeps_constraints, same_answer
from tests.trainers.exports import SPLIT, grown, selfinstruct

pytest.importorskip("trl", reason="TRAINERS NOT TESTED: make test-trainers does")
if not os.environ.get("REAL_MODELS"):
    pytest.skip("REAL MODELS NOT TRAINED: make test-trainers does", allow_module_level=True)

from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    SFTConfig,
    SFTTrainer,
)

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]

MODEL = Path(os.environ["REAL_MODELS"]) / "smollm2"
STEPS = {
    "max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1, "use_cpu": True, "bf16": False,
    "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "gradient_checkpointing": False,
    "learning_rate": 1e-5,
}  # fmt: skip
CONFIG = """
[recipe]
steps = ["default", "sample"]

[agreement]
answers = 3

[judge]
enabled = true

[constraints]
share = 0.5
"""
Trained = Callable[[Any, Dataset, Path], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = grown(tmp_path_factory.mktemp("real"), CONFIG, "wrong=35%", 40)
    forms = [word for form in ("messages", "preference", "kto", "grpo") for word in ("--format", form)]
    selfinstruct("export", pool, *forms, "--out", pool.parent / "export", *SPLIT)
    return pool.parent / "export"


def weights() -> Any:
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype="float32")


def sft(tokenizer: Any, data: Dataset, out: Path) -> Any:
    settings = SFTConfig(output_dir=str(out), max_length=128, **STEPS)
    return SFTTrainer(weights(), args=settings, train_dataset=data, processing_class=tokenizer)


def dpo(tokenizer: Any, data: Dataset, out: Path) -> Any:
    settings = DPOConfig(output_dir=str(out), max_length=128, **STEPS)
    return DPOTrainer(weights(), weights(), args=settings, train_dataset=data, processing_class=tokenizer)


def kto(tokenizer: Any, data: Dataset, out: Path) -> Any:
    settings = KTOConfig(output_dir=str(out), max_length=128, **STEPS)
    return KTOTrainer(weights(), weights(), args=settings, train_dataset=data, processing_class=tokenizer)


def grpo(tokenizer: Any, data: Dataset, out: Path) -> Any:
    settings = GRPOConfig(output_dir=str(out), num_generations=2, max_completion_length=16, **STEPS)
    return GRPOTrainer(
        weights(), reward_funcs=[same_answer, keeps_constraints], args=settings, train_dataset=data,
        processing_class=tokenizer,
    )  # fmt: skip


@pytest.mark.parametrize(("form", "trained"), [("messages", sft), ("preference", dpo), ("kto", kto), ("grpo", grpo)])
def test_a_real_model_takes_steps(folder: Path, tmp_path: Path, form: str, trained: Trained) -> None:
    data = load_dataset(str(folder), form, split="train", cache_dir=str(tmp_path / "cache"))
    trainer = trained(AutoTokenizer.from_pretrained(MODEL), data, tmp_path)
    before = {name: one.detach().clone() for name, one in trainer.model.named_parameters()}
    trainer.train()
    logged = [one for one in trainer.state.log_history if "loss" in one]
    assert len(logged) == 2
    assert all(one["grad_norm"] == one["grad_norm"] for one in logged), "no gradient is NaN"
    if form == "messages":
        assert logged[0]["loss"] < 4, "real weights know the language"
    if form != "grpo":  # whose rewards may all be the same in a few steps
        assert any((one != before[name]).any() for name, one in trainer.model.named_parameters())
