"""What LLaMA-Factory, axolotl and OpenAI document of the data they take, as checks that give the faults they find.

LLaMA-Factory: data/README.md ("Alpaca Format", "Sharegpt Format", "OpenAI Format", the table of dataset_info.json), and
for what it says in code alone src/llamafactory/data/parser.py and converter.py of github.com/hiyouga/LLaMA-Factory.
Axolotl: docs/dataset-formats/inst_tune.qmd ("alpaca"), conversation.qmd ("chat_template", "Migrating from sharegpt"),
docs/dataset_loading.qmd ("Local dataset"), and src/axolotl/utils/schemas/{model,training,datasets,validation}.py of
github.com/axolotl-ai-cloud/axolotl. OpenAI: "Format validation" in examples/Chat_finetuning_data_prep.ipynb of
github.com/openai/openai-cookbook; at least ten examples by the guide developers.openai.com/docs/guides/distillation.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Faults = list[str]

SOURCES = {"hf_hub_url", "ms_hub_url", "script_url", "file_name"}
ABOUT = SOURCES | {"file_sha1", "formatting", "ranking", "subset", "split", "folder", "num_samples", "columns", "tags"}
SHARED_COLUMNS = {"system", "tools", "images", "videos", "audios", "chosen", "rejected", "kto_tag"}
COLUMNS = {
    "alpaca": SHARED_COLUMNS | {"prompt", "query", "response", "history"},
    "sharegpt": SHARED_COLUMNS | {"messages"},
}
TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
READABLE = {".json", ".jsonl", ".csv", ".parquet", ".arrow", ".txt"}


def rows_of(path: Path) -> list[Any]:
    """The rows of a file of any exported kind."""
    if path.suffix == ".csv":
        from datasets import Dataset

        with tempfile.TemporaryDirectory() as cache:  # as trainers read it: no options
            return list(Dataset.from_csv(str(path), cache_dir=cache).to_list())
    if path.suffix == ".parquet":
        from pyarrow.parquet import read_table

        return list(read_table(path).to_pylist())
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


# --- LLaMA-Factory --------------------------------------------------------------------------------------------------


def llama_factory(folder: Path) -> Faults:
    """Faults of a folder given as `dataset_dir`: its dataset_info.json, and the files that this describes."""
    try:
        datasets = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"dataset_info.json: {error}"]
    if not isinstance(datasets, dict) or not datasets:
        return ["dataset_info.json: wanted an object of at least one dataset"]
    return [f"{name}: {fault}" for name, about in datasets.items() for fault in _dataset(folder, about)]


def _dataset(folder: Path, about: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"unknown key {key}" for key in about.keys() - ABOUT)
    formatting = about.get("formatting", "alpaca")
    if formatting not in COLUMNS:
        yield f"unknown formatting {formatting}"
        return
    columns, tags = about.get("columns", {}), about.get("tags", {})
    yield from (f"column {key} is not of formatting {formatting}" for key in columns.keys() - COLUMNS[formatting])
    yield from (f"unknown tag {key}" for key in tags.keys() - TAGS.keys())
    if tags and formatting != "sharegpt":
        yield "tags are of formatting sharegpt"
    if "file_name" not in about:
        yield "no file_name, and nothing else to load from is expected in an export"
        return
    path = folder / about["file_name"]
    if path.parent != folder or path.suffix not in READABLE or not path.is_file():
        yield f"{about['file_name']}: no readable file of this folder"
        return
    rows = rows_of(path)
    if not rows:
        yield f"{path.name}: no rows"
    # The parser takes named columns alone as soon as any is named, and its defaults otherwise.
    default = ALPACA if formatting == "alpaca" else {"messages": "conversations"}
    names = columns or default
    check = _ranked_row if about.get("ranking") else _alpaca_row if formatting == "alpaca" else _sharegpt_row
    for number, row in enumerate(rows, 1):
        missing = [column for column in names.values() if column not in row]
        faults = [f"no column {column}" for column in missing] or check(row, names, {**TAGS, **tags})
        yield from (f"{path.name}:{number}: {fault}" for fault in faults)


def _alpaca_row(row: Mapping[str, Any], names: Mapping[str, str], tags: Mapping[str, str]) -> Faults:
    del tags
    faults = [f"{kind} is required" for kind in ("prompt", "response") if not _text(row.get(names.get(kind, "")))]
    optional = [kind for kind in ("query", "system") if kind in names]
    if "kto_tag" in names and not isinstance(row[names["kto_tag"]], bool):
        faults.append("kto_tag is neither true nor false")
    return faults + [f"{kind} is no text" for kind in optional if not isinstance(row[names[kind]], str | None)]


def _ranked_row(row: Mapping[str, Any], names: Mapping[str, str], tags: Mapping[str, str]) -> Faults:
    """A preference in the formatting alpaca ("Preference Dataset"), the only one that exports use."""
    del tags
    wanted = ("prompt", "chosen", "rejected")
    return [f"{kind} is required" for kind in wanted if not _text(row.get(names.get(kind, "")))]


def _sharegpt_row(row: Mapping[str, Any], names: Mapping[str, str], tags: Mapping[str, str]) -> Faults:
    turns = row[names["messages"]]
    if not isinstance(turns, list):
        return ["messages are no list"]
    role, content = tags["role_tag"], tags["content_tag"]
    if not all(isinstance(turn, dict) and {role, content} <= turn.keys() for turn in turns):
        return [f"a message without {role} or {content}"]
    if not all(_text(turn[content]) for turn in turns):
        return ["a message without text"]
    if turns and turns[0][role] == tags["system_tag"]:
        turns = turns[1:]
    odd, even = {tags["user_tag"], tags["observation_tag"]}, {tags["assistant_tag"], tags["function_tag"]}
    faults = [
        f"{turn[role]} at place {place}"
        for place, turn in enumerate(turns, 1)
        if turn[role] not in (even, odd)[place % 2]
    ]
    return faults + (["an uneven number of messages, or none"] if len(turns) % 2 or not turns else [])


# --- axolotl --------------------------------------------------------------------------------------------------------

AXOLOTL_DATASET = {
    "path", "split", "type", "shards", "shards_idx", "preprocess_shards", "chat_template", "chat_template_jinja",
    "data_files", "name", "ds_type", "field", "field_messages", "field_tools", "message_property_mappings",
    "message_field_training", "message_field_training_detail", "roles", "roles_to_train", "train_on_eos",
    "drop_system_message", "revision", "trust_remote_code",
}  # fmt: skip
AXOLOTL_TYPE = {
    "system_prompt", "system_format", "field_system", "field_instruction", "field_input", "field_output", "format",
    "no_input_format",
}  # fmt: skip
AXOLOTL_ROLES = {"user": ["human", "user"], "assistant": ["gpt", "assistant"], "system": ["system"], "tool": ["tool"]}


def axolotl(config: Path) -> Faults:
    """Faults of a configuration, started from its own folder, and of the files that it names."""
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        return [f"{config.name}: {error}"]
    faults = []
    if not _text(settings.get("base_model")):
        faults.append("base_model is required")
    if not isinstance(settings.get("learning_rate"), float | str):
        faults.append("learning_rate is required")
    if sum(bool(settings.get(key)) for key in ("micro_batch_size", "gradient_accumulation_steps", "batch_size")) < 2:
        faults.append("at least two of micro_batch_size, gradient_accumulation_steps, batch_size")
    if settings.get("gradient_accumulation_steps") and settings.get("batch_size"):
        faults.append("only one of gradient_accumulation_steps and batch_size")
    if settings.get("warmup_steps") and settings.get("warmup_ratio"):
        faults.append("warmup_steps and warmup_ratio exclude each other")
    if settings.get("test_datasets") and settings.get("val_set_size"):
        faults.append("val_set_size is not for use with test_datasets")
    if not settings.get("datasets"):
        faults.append("datasets is required")
    datasets = [*settings.get("datasets", ()), *settings.get("test_datasets", ())]
    return faults + [
        f"{one.get('path')}: {fault}" for one in datasets for fault in _axolotl_dataset(config.parent, one)
    ]


def _axolotl_dataset(folder: Path, dataset: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"unknown key {key}" for key in dataset.keys() - AXOLOTL_DATASET)
    path = folder / str(dataset.get("path"))
    if not path.is_file():
        yield "no such file"
        return
    kinds = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
    if dataset.get("ds_type", kinds[path.suffix]) != kinds[path.suffix]:
        yield f"is no {dataset['ds_type']}"
    kind = dataset.get("type")
    rows = rows_of(path)
    if not rows:
        yield "no rows"
    for number, row in enumerate(rows, 1):
        yield from (f"row {number}: {fault}" for fault in _axolotl_row(row, kind, dataset))


def _axolotl_row(row: Mapping[str, Any], kind: Any, dataset: Mapping[str, Any]) -> Faults:
    if kind == "alpaca":
        faults = [f"{key} is required" for key in ("instruction", "output") if not _text(row.get(key))]
        return faults if isinstance(row.get("input", ""), str) else [*faults, "input is no text"]
    if isinstance(kind, dict):
        faults = [f"unknown key {key} of type" for key in kind.keys() - AXOLOTL_TYPE]
        named = [kind.get("field_instruction", "instruction"), kind.get("field_output", "output")]
        if "{input}" in kind.get("no_input_format", ""):
            faults.append("no_input_format cannot include {input}")
        return faults + [f"{key} is required" for key in named if not _text(row.get(key))]
    if kind != "chat_template":
        deprecated = str(kind).startswith("sharegpt")
        return ["type sharegpt is deprecated; chat_template is wanted" if deprecated else f"unknown type {kind}"]
    turns = row.get(dataset.get("field_messages", "messages"))
    names = {"role": "role", "content": "content", **dataset.get("message_property_mappings", {})}
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict) and set(names.values()) <= turn.keys() for turn in turns
    ):
        return [f"no list of messages with {' and '.join(names.values())}"]
    roles = {source: role for role, sources in dataset.get("roles", AXOLOTL_ROLES).items() for source in sources}
    found = [roles.get(turn[names["role"]]) for turn in turns]
    faults = [f"unknown role {turn[names['role']]}" for turn, role in zip(turns, found, strict=True) if role is None]
    trained = dataset.get("roles_to_train", ["assistant"])
    if not set(found) & set(trained):
        faults.append(f"no message of {' or '.join(trained)} to train on")
    return faults + ["a message without text" for turn in turns if not _text(turn[names["content"]])]


# --- OpenAI ---------------------------------------------------------------------------------------------------------


def openai(path: Path) -> Faults:
    """Faults of a file for OpenAI's fine-tuning of chat models, by the names of OpenAI's own check."""
    faults: Faults = []
    count = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        count += 1
        try:
            faults += [f"line {number}: {fault}" for fault in _openai_row(json.loads(line.decode("utf-8")))]
        except ValueError:
            faults.append(f"line {number}: no JSON")
    return faults if count >= 10 else [*faults, f"{count} examples; at least 10 are wanted"]


def _openai_row(row: Any) -> Faults:
    if not isinstance(row, dict):
        return ["data_type"]
    turns: Sequence[Mapping[str, Any]] = row.get("messages") or ()
    if not turns:
        return ["missing_messages_list"]
    faults = []
    for turn in turns:
        if not {"role", "content"} <= turn.keys():
            faults.append("message_missing_key")
        if turn.keys() - {"role", "content", "name", "function_call", "weight"}:
            faults.append("message_unrecognized_key")
        if turn.get("role") not in {"system", "user", "assistant", "function"}:
            faults.append("unrecognized_role")
        if not isinstance(turn.get("content"), str) or not turn["content"]:
            faults.append("missing_content")
    if not any(turn.get("role") == "assistant" for turn in turns):
        faults.append("example_missing_assistant_message")
    return faults
