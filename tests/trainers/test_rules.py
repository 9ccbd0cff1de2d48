"""Exports keep to what LLaMA-Factory, axolotl and OpenAI document, and the checks of that find what does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainers.exports import SPLIT, exported_forms, read_lines, write_lines
from tests.trainers.rules import axolotl, llama_factory, openai


@pytest.fixture(scope="module", params=[(), SPLIT], ids=["whole", "split"])
def folder(pool: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_forms(pool, tmp_path_factory.mktemp("rules") / "export", *request.param, "--system", "Be kind.")


def test_llama_factory_takes_all_that_it_is_told_of(folder: Path) -> None:
    assert llama_factory(folder) == []
    forms = ("alpaca", "sharegpt", "messages")
    names = " ".join(json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")))
    assert all(form in names for form in forms)


def test_openai_takes_messages(folder: Path) -> None:
    files = sorted(folder.glob("messages*.jsonl"))
    assert files
    for path in files:
        assert [fault for fault in openai(path) if not fault.endswith("at least 10 are wanted")] == []
    assert openai(files[-1]) == []


AXOLOTL = {
    "messages": {"type": "chat_template", "field_messages": "messages"},
    "sharegpt": {
        "type": "chat_template", "field_messages": "conversations",
        "message_property_mappings": {"role": "from", "content": "value"},
    },
    "alpaca": {"type": "alpaca"},
}  # fmt: skip
"""As docs/dataset-formats of axolotl tells it to read these forms."""


def test_axolotl_takes_the_configuration_that_is_written(folder: Path) -> None:
    assert axolotl(folder / "axolotl.yaml") == []


@pytest.mark.parametrize("form", AXOLOTL)
def test_axolotl_takes_each_of_its_forms_by_its_own_documents(folder: Path, form: str) -> None:
    settings = yaml.safe_load((folder / "axolotl.yaml").read_text(encoding="utf-8"))
    settings.pop("test_datasets", None)
    for path in folder.glob(f"{form}*.jsonl"):
        if path.stem.startswith(f"{form}-") or path.stem == form:
            settings["datasets"] = [{"path": path.name, "ds_type": "json", **AXOLOTL[form]}]
            config = folder / "by_form.yaml"
            config.write_text(yaml.safe_dump(settings), encoding="utf-8")
            assert axolotl(config) == []
            config.unlink()


# --- the checks find what is wrong ----------------------------------------------------------------------------------

ALPACA_ROW = {"instruction": "Say yes.", "input": "", "output": "yes"}
SHAREGPT_ROW = {"conversations": [{"from": "human", "value": "Say yes."}, {"from": "gpt", "value": "yes"}]}
MESSAGES_ROW = {"messages": [{"role": "user", "content": "Say yes."}, {"role": "assistant", "content": "yes"}]}
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
NAMED = {"messages": "messages"}
WITH_SYSTEM = {"messages": "conversations", "system": "system"}
RANKED = {"ranking": True, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}}
LABELLED = {"columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"}}
OPENAI_FORM = {"formatting": "sharegpt", "columns": NAMED, "tags": TAGS}


def described(folder: Path, row: dict[str, Any], about: dict[str, Any]) -> list[str]:
    write_lines(folder / "x.jsonl", [row])
    (folder / "dataset_info.json").write_text(json.dumps({"x": {"file_name": "x.jsonl", **about}}), encoding="utf-8")
    return llama_factory(folder)


def test_the_forms_as_llama_factory_documents_them_pass(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be kind."}
    assert described(tmp_path, ALPACA_ROW, {}) == []
    assert described(tmp_path, SHAREGPT_ROW, {"formatting": "sharegpt"}) == []
    about = {"formatting": "sharegpt", "columns": WITH_SYSTEM}
    assert described(tmp_path, {**SHAREGPT_ROW, "system": "Be kind."}, about) == []
    assert described(tmp_path, MESSAGES_ROW, OPENAI_FORM) == []
    assert described(tmp_path, {"messages": [system, *MESSAGES_ROW["messages"]]}, OPENAI_FORM) == []
    assert described(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "c"}, RANKED) == []
    assert described(tmp_path, {"prompt": "a", "completion": "b", "label": False}, LABELLED) == []


@pytest.mark.parametrize(
    ("row", "about", "fault"),
    [
        ({"instruction": "Say yes.", "input": ""}, {}, "no column output"),
        ({**ALPACA_ROW, "output": " "}, {}, "response is required"),
        ({**ALPACA_ROW, "input": 7}, {}, "query is no text"),
        (ALPACA_ROW, {"columns": {"prompt": "instruction", "query": "input"}}, "response is required"),
        (ALPACA_ROW, {"columns": {"messages": "instruction"}}, "column messages is not of formatting alpaca"),
        (ALPACA_ROW, {"file_name": "y.jsonl"}, "y.jsonl: no readable file"),
        (ALPACA_ROW, {"file_name": "../x.jsonl"}, "no readable file of this folder"),
        (ALPACA_ROW, {"formatting": "chatml"}, "unknown formatting chatml"),
        (ALPACA_ROW, {"tags": {"role_tag": "from"}}, "tags are of formatting sharegpt"),
        (ALPACA_ROW, {"columns_": {}}, "unknown key columns_"),
        (MESSAGES_ROW, {"formatting": "sharegpt"}, "no column conversations"),
        (MESSAGES_ROW, {"formatting": "sharegpt", "columns": NAMED}, "a message without from or value"),
        (MESSAGES_ROW, {**OPENAI_FORM, "tags": {**TAGS, "user_tag": "human"}}, "user at place 1"),
        ({"conversations": SHAREGPT_ROW["conversations"][:1]}, {"formatting": "sharegpt"}, "an uneven number"),
        ({"conversations": SHAREGPT_ROW["conversations"][::-1]}, {"formatting": "sharegpt"}, "gpt at place 1"),
        ({"conversations": []}, {"formatting": "sharegpt"}, "or none"),
        (SHAREGPT_ROW, {"formatting": "sharegpt", "columns": WITH_SYSTEM}, "no column system"),
        ({"prompt": "a", "chosen": "b", "rejected": ["c"]}, RANKED, "rejected is required"),
        ({"prompt": "a", "chosen": "b"}, RANKED, "no column rejected"),
        ({"prompt": "a", "completion": "b", "label": "no"}, LABELLED, "kto_tag is neither"),
    ],
)  # fmt: skip
def test_what_llama_factory_would_not_take_is_found(
    tmp_path: Path, row: dict[str, Any], about: dict[str, Any], fault: str
) -> None:
    assert fault in " ".join(described(tmp_path, row, about))


def test_csv_is_read_as_trainers_do(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="TRAINERS NOT TESTED: make test-trainers does")
    (tmp_path / "x.csv").write_text('"instruction","input","output"\n"Which?","","N/A"\n', encoding="utf-8")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": {"file_name": "x.csv"}}), encoding="utf-8")
    assert llama_factory(tmp_path) == ["x: x.csv:1: response is required"]


TESTED = {"path": "x.jsonl", "type": "alpaca"}


def configured(folder: Path, row: dict[str, Any], dataset: dict[str, Any], **changes: Any) -> list[str]:
    write_lines(folder / "x.jsonl", [row])
    settings = {
        "base_model": "m", "learning_rate": 2e-4, "micro_batch_size": 1, "gradient_accumulation_steps": 1,
        "datasets": [{"path": "x.jsonl", **dataset}], **changes,
    }  # fmt: skip
    (folder / "axolotl.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return axolotl(folder / "axolotl.yaml")


def test_the_forms_as_axolotl_documents_them_pass(tmp_path: Path) -> None:
    for row, form in ((ALPACA_ROW, "alpaca"), (SHAREGPT_ROW, "sharegpt"), (MESSAGES_ROW, "messages")):
        assert configured(tmp_path, row, AXOLOTL[form]) == []
    plain = {"field_instruction": "prompt", "field_output": "completion", "no_input_format": "{instruction}"}
    assert configured(tmp_path, {"prompt": "a", "completion": "b"}, {"type": plain}) == []


@pytest.mark.parametrize(
    ("row", "dataset", "changes", "fault"),
    [
        (ALPACA_ROW, {"type": "alpaca", "ds_type": "csv"}, {}, "is no csv"),
        (ALPACA_ROW, {"type": "sharegpt"}, {}, "deprecated"),
        (ALPACA_ROW, {"type": "alpaka"}, {}, "unknown type alpaka"),
        (ALPACA_ROW, {"type": "alpaca", "file": "x"}, {}, "unknown key file"),
        (ALPACA_ROW, {"type": "alpaca", "path": "y.jsonl"}, {}, "no such file"),
        ({**ALPACA_ROW, "output": ""}, {"type": "alpaca"}, {}, "output is required"),
        (MESSAGES_ROW, {"type": "chat_template", "field_messages": "conversations"}, {}, "no list of messages"),
        (SHAREGPT_ROW, {"type": "chat_template", "field_messages": "conversations"}, {}, "no list of messages with"),
        (MESSAGES_ROW, {"type": "chat_template", "roles": {"user": ["user"]}}, {}, "unknown role assistant"),
        (MESSAGES_ROW, {"type": "chat_template", "roles_to_train": ["tool"]}, {}, "no message of tool to train on"),
        (ALPACA_ROW, {"type": {"field_instruction": "prompt"}}, {}, "prompt is required"),
        (ALPACA_ROW, {"type": {"no_input_format": "{input}"}}, {}, "cannot include {input}"),
        (ALPACA_ROW, {"type": "alpaca"}, {"base_model": None}, "base_model is required"),
        (ALPACA_ROW, {"type": "alpaca"}, {"learning_rate": None}, "learning_rate is required"),
        (ALPACA_ROW, {"type": "alpaca"}, {"micro_batch_size": None}, "at least two of"),
        (ALPACA_ROW, {"type": "alpaca"}, {"warmup_steps": 1, "warmup_ratio": 0.1}, "exclude each other"),
        (ALPACA_ROW, {"type": "alpaca"}, {"val_set_size": 0.1, "test_datasets": [TESTED]}, "val_set_size"),
        (ALPACA_ROW, {"type": "alpaca"}, {"test_datasets": [{"path": "z.jsonl", "type": "alpaca"}]}, "no such file"),
    ],
)  # fmt: skip
def test_what_axolotl_would_not_take_is_found(
    tmp_path: Path, row: dict[str, Any], dataset: dict[str, Any], changes: dict[str, Any], fault: str
) -> None:
    assert fault in " ".join(configured(tmp_path, row, dataset, **changes))


def turned(change: Callable[[dict[str, Any]], Any]) -> Any:
    row = json.loads(json.dumps(MESSAGES_ROW))
    return change(row) or row


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ([], "data_type"),
        ({}, "missing_messages_list"),
        (turned(lambda row: row["messages"][0].pop("role") and row), "message_missing_key"),
        (turned(lambda row: row["messages"][0].update(from_="x")), "message_unrecognized_key"),
        (turned(lambda row: row["messages"][0].update(role="human")), "unrecognized_role"),
        (turned(lambda row: row["messages"][1].update(content="")), "missing_content"),
        (turned(lambda row: row["messages"].pop() and row), "example_missing_assistant_message"),
    ],
)  # fmt: skip
def test_what_openai_would_not_take_is_found(tmp_path: Path, row: Any, fault: str) -> None:
    write_lines(tmp_path / "x.jsonl", [MESSAGES_ROW] * 9 + [row])
    assert f"line 10: {fault}" in openai(tmp_path / "x.jsonl")


def test_openai_wants_ten_examples_of_json(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [MESSAGES_ROW] * 10)
    assert openai(path) == []
    write_lines(path, read_lines(path)[:9])
    assert openai(path) == ["9 examples; at least 10 are wanted"]
    path.write_text("{\n" * 10, encoding="utf-8")
    assert openai(path)[0] == "line 1: no JSON"
