"""The files that tell trainers how to read an export: `dataset_info.json` and `axolotl.yaml`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct.exports.formats import Wording
from selfinstruct.exports.row_files import file_name

_ALPACA: Mapping[str, Any] = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}
_PROMPT: Mapping[str, Any] = {"columns": {"prompt": "prompt", "response": "completion"}}
_LLAMA_FACTORY: Mapping[str, Mapping[str, Any]] = {
    "alpaca": _ALPACA,
    "sharegpt": {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
            "system_tag": "system",
        },
    },
    "messages": {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
    "prompt-completion-plain": _PROMPT,
    "parquet": {"columns": {**_ALPACA["columns"], "system": "system"}},
    "preference-plain": {
        "ranking": True, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    },
    "kto-plain": {"columns": {**_PROMPT["columns"], "kto_tag": "label"}},
}  # fmt: skip
"""The entry of each form for LLaMA-Factory, which cannot read the others, or not well.

Trainers read CSV with the defaults of pandas, which takes NA, None, null and empty texts as missing values.
"""

_CHAT = """\
    type: chat_template
    field_messages: {field}
    message_property_mappings:
      role: {role}
      content: {content}
    roles: {{"system": ["system"], "user": ["user", "human"], "assistant": ["assistant", "gpt"]}}
    roles_to_train: ["assistant"]
    train_on_eos: turn
"""
_PLAIN = """\
    type:
      system_prompt: ""
      field_instruction: prompt
      field_output: completion
      format: "{instruction}"
      no_input_format: "{instruction}"
"""
_AXOLOTL: Mapping[str, tuple[str, str]] = {
    "messages": ("json", _CHAT.format(field="messages", role="role", content="content")),
    "sharegpt": ("json", _CHAT.format(field="conversations", role="from", content="value")),
    "alpaca": ("json", "    type: alpaca\n"),
    "parquet": ("parquet", "    type: alpaca\n"),
    "prompt-completion-plain": ("json", _PLAIN),
    "reasoning": ("json", _CHAT.format(field="messages", role="role", content="content")),
}
"""The entry of each form for axolotl, the best first."""

_TRAINING = """\
# For axolotl (axolotl train axolotl.yaml), run from this folder. Everything from base_model to the datasets can be
# used as it is; the rest is a start for a small model on one GPU. Results go beside this folder, not into it.
base_model: Qwen/Qwen3-0.6B  # any model; its tokenizer needs a chat template for datasets of type chat_template
{datasets}
train_on_inputs: false
sequence_len: {sequence_len}
sample_packing: false
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
lora_target_linear: true
micro_batch_size: 4
gradient_accumulation_steps: 4
num_epochs: 3
learning_rate: 0.0002
lr_scheduler: cosine
optimizer: adamw_torch
warmup_ratio: 0.03
bf16: auto
gradient_checkpointing: true
logging_steps: 10
output_dir: ../axolotl-output
dataset_prepared_path: ../axolotl-prepared
"""


def dataset_info(names: Sequence[str], splits: Sequence[str | None], wording: Wording, rows: Mapping[str, int]) -> str:
    """The text of `dataset_info.json` for LLaMA-Factory; `rows` are those of each file."""
    found: dict[str, Any] = {}
    for name in names:
        as_text = name == "reasoning" and wording.reasoning == "think"
        about = _LLAMA_FACTORY.get("messages" if as_text else name)
        if about is None:
            continue
        for split in _filled(name, splits, rows):
            file = file_name(name, split)
            title = "selfinstruct_" + "_".join([name.replace("-", "_"), *([split] if split else [])])
            found[title] = {"file_name": file, **about}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _filled(name: str, splits: Sequence[str | None], rows: Mapping[str, int]) -> list[str | None]:
    """The sides on which a form has rows: trainers fail on empty files."""
    return [split for split in splits if rows[file_name(name, split)]]


def axolotl(
    names: Sequence[str],
    splits: Sequence[str | None],
    rows: Mapping[str, int],
    trained: str | None = None,
    sequence_len: int = 2048,
    *,
    has_systems: bool = False,
) -> str | None:
    """A configuration for axolotl that trains on one side and tests on the others.

    None if it can read none of the forms, or the side to train on has no rows. Where rows have system texts, it is not
    for a table, of which axolotl would not read them.
    """
    readable = [name for name in _AXOLOTL if not (has_systems and name == "parquet")]
    name = next((name for name in readable if name in names), None)
    splits = [] if name is None else _filled(name, splits, rows)
    if name is None or trained not in splits:
        return None
    datasets = "datasets:\n" + _axolotl_dataset(name, trained)
    if tested := [_axolotl_dataset(name, split) for split in splits if split != trained]:
        datasets += "test_datasets:\n" + "".join(f"{each}    split: train\n" for each in tested)
    else:
        datasets += "val_set_size: 0\n"
    return _TRAINING.format(datasets=datasets.rstrip(), sequence_len=sequence_len)


def _axolotl_dataset(name: str, split: str | None) -> str:
    ds_type, about = _AXOLOTL[name]
    return f"  - path: {json.dumps(file_name(name, split))}\n    ds_type: {ds_type}\n{about}"
