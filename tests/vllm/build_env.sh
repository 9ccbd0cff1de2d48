#!/usr/bin/env bash
# The environment of the real vLLM tests, made once: the pinned CPU build, apart from ours, since vLLM pins much.
# Without the packages that its list leaves out on purpose (torchvision, triton, ...), hence --no-deps.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
env="${1:-.venv-vllm}"
if cmp --silent "$here/requirements.txt" "$env/requirements.txt"; then
  exit 0
fi
rm -rf "$env"
"${PYTHON:-python3}" -m venv "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
if ! "$env/bin/python" -c 'import torch'; then
  echo "this torch does not load; its CPU build is at PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu" >&2
  exit 1
fi
cp "$here/requirements.txt" "$env/requirements.txt"
