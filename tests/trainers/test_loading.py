"""`datasets` loads every form, and the folder through its card, with the right features and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainers.exports import SPLIT, read_lines, selfinstruct

pytest.importorskip("trl", reason="TRAINERS NOT TESTED: make test-trainers does")

from datasets import Dataset, load_dataset

pytestmark = pytest.mark.filterwarnings("default")

MESSAGE = [{"role": "string", "content": "string"}]
TURN = [{"from": "string", "value": "string"}]
FEATURES: dict[str, Any] = {
    "alpaca": {"instruction": "string", "input": "string", "output": "string"},
    "sharegpt": {"conversations": TURN},
    "messages": {"messages": MESSAGE},
    "prompt-completion": {"prompt": MESSAGE, "completion": MESSAGE},
    "prompt-completion-plain": {"prompt": "string", "completion": "string"},
    "self-instruct": {"prompt": "string", "completion": "string"},
    "gemini-tuning": {"contents": [{"role": "string", "parts": [{"text": "string"}]}]},
    "mlx": {"messages": MESSAGE},
}
TEXTS = {
    **dict.fromkeys(("task_id", "origin", "model", "output_model", "recipe"), "string"), "is_classification": "bool",
    **FEATURES["alpaca"],
}  # fmt: skip
NUMBERS = {"instance": "int", "round": "int", "nearest_score": "float"}
"""Without the scores of a judge, which was not asked."""


def file_of(form: str, side: str) -> str:
    """The name of a file of rows."""
    return f"{side}.jsonl" if form == "mlx" else f"{form}-{side}.jsonl"


def simple(feature: Any) -> Any:
    """A feature by its names alone: {"a": "string"}, [...] for a list."""
    if isinstance(feature, dict):
        return {name: simple(inner) for name, inner in feature.items()}
    if hasattr(feature, "feature"):
        return [simple(feature.feature)]
    return feature.dtype.removeprefix("large_")


def loaded(kind: str, path: Path, cache: Path) -> Dataset:
    return load_dataset(kind, data_files=str(path), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("side", ["train", "test"])
@pytest.mark.parametrize("form", FEATURES)
def test_each_form_has_its_features_and_its_texts(exported: Path, tmp_path: Path, form: str, side: str) -> None:
    path = exported / file_of(form, side)
    found = loaded("json", path, tmp_path)
    assert simple(dict(found.features)) == FEATURES[form]
    assert found.to_list() == read_lines(path)
    assert len(found) > 5


def asserted_table(found: Dataset, alpaca: list[Any], *, parents: Any) -> None:
    features = simple(dict(found.features))
    assert TEXTS.items() <= features.items()
    assert {name: features[name].rstrip("0123456789") for name in NUMBERS} == NUMBERS
    assert features["parents"] == parents
    assert found.select_columns(list(FEATURES["alpaca"])).to_list() == alpaca


@pytest.mark.parametrize("side", ["train", "test"])
def test_parquet_has_lineage_and_the_texts_of_alpaca(exported: Path, tmp_path: Path, side: str) -> None:
    found = loaded("parquet", exported / f"dataset-{side}.parquet", tmp_path)
    asserted_table(found, read_lines(exported / f"alpaca-{side}.jsonl"), parents=["string"])


def configs(folder: Path) -> dict[str, list[str]]:
    head = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    return {one["config_name"]: [each["split"] for each in one["data_files"]] for one in head["configs"]}


def test_the_card_has_a_config_for_every_form(exported: Path) -> None:
    assert configs(exported) == {form: ["train", "test"] for form in FEATURES}


@pytest.mark.parametrize("form", FEATURES)
def test_the_folder_loads_through_its_card(exported: Path, tmp_path: Path, form: str) -> None:
    found = load_dataset(str(exported), form, cache_dir=str(tmp_path))
    assert list(found) == ["train", "test"]
    for side, rows in found.items():
        assert simple(dict(rows.features)) == FEATURES[form]
        assert rows.to_list() == read_lines(exported / file_of(form, side))


def test_the_folder_loads_without_a_name(exported: Path, tmp_path: Path) -> None:
    for side, rows in load_dataset(str(exported), cache_dir=str(tmp_path)).items():
        assert rows.to_list() == read_lines(exported / f"messages-{side}.jsonl")


@pytest.mark.parametrize(("table", "parents"), [("parquet", ["string"]), ("csv", "string")])
def test_a_folder_of_a_table_alone_loads_through_its_card(
    pool: Path, exported: Path, tmp_path: Path, table: str, parents: Any
) -> None:
    folder = tmp_path / "export"
    selfinstruct("export", pool, "--format", table, "--out", folder, *SPLIT)
    assert configs(folder) == {table: ["train", "test"]}
    for side, rows in load_dataset(str(folder), cache_dir=str(tmp_path / "cache")).items():  # its default
        asserted_table(rows, read_lines(exported / f"alpaca-{side}.jsonl"), parents=parents)
