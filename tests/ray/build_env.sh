#!/usr/bin/env bash
# The environment of the tests with a real Ray, made once: its packages apart from ours, since it pins much; what it
# lacks, the built-in model among it, is that of .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
env="${1:-.venv-ray}"
if cmp --silent tests/ray/requirements.txt "$env/requirements.txt"; then
  exit 0
fi
rm -rf "$env"
.venv/bin/python -m venv "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/ray/requirements.txt
"$env/bin/python" - "$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')" <<'PYTHON'
import pathlib, site, sys

pathlib.Path(site.getsitepackages()[0], "rest.pth").write_text(f"import site; site.addsitedir({sys.argv[1]!r})\n")
PYTHON
cp tests/ray/requirements.txt "$env/requirements.txt"
