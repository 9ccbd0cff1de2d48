#!/usr/bin/env bash
# The environment of the trainers' tests, made once: TRL and what it needs, apart from ours, with torch for the CPU.
# Without dependencies at first, since those of PyPI's torch for Linux are gigabytes for GPUs. A CPU build that pip is
# told of (find-links, extra-index-url) loads without them and is preferred; only PyPI's own has to get them.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
env="${1:-.venv-trainers}"
if cmp --silent "$here/requirements.txt" "$env/requirements.txt"; then
  exit 0
fi
install=("$env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt")
rm -rf "$env"
"${PYTHON:-python3}" -m venv "$env"
"${install[@]}" --no-deps
if ! "$env/bin/python" -c 'import torch' 2>"$env/torch.txt"; then
  echo "this torch is built for GPUs and needs their libraries too; set PIP_EXTRA_INDEX_URL to PyTorch's CPU builds to be quicker" >&2
  "${install[@]}"
  "$env/bin/python" -c 'import torch'
fi
cp "$here/requirements.txt" "$env/requirements.txt"
