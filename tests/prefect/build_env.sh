#!/usr/bin/env bash
# An environment with the oldest or the newest Prefect that pyproject.toml allows, made once for each such version; all
# else in it is that of .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
end="$1"
env=".venv-prefect/$end"
wanted="$(.venv/bin/python - "$end" <<'PYTHON'
import re, sys, tomllib

with open("pyproject.toml", "rb") as file:
    needed = tomllib.load(file)["project"]["dependencies"]
(prefect,) = (one for one in needed if one.startswith("prefect"))
if sys.argv[1] == "oldest":
    prefect = re.sub(r">=([\d.]+).*", r"==\1", prefect)
print(prefect, *(one for one in needed if re.match("fastapi|sqlalchemy", one)))
PYTHON
)"
if [ "$(cat "$env/made-for" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi
rm -rf "$env"
.venv/bin/python -m venv "$env"
# shellcheck disable=SC2086 - each word is a requirement
"$env/bin/python" -m pip install --quiet --disable-pip-version-check $wanted
"$env/bin/python" - "$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')" <<'PYTHON'
import pathlib, site, sys

pathlib.Path(site.getsitepackages()[0], "rest.pth").write_text(f"import site; site.addsitedir({sys.argv[1]!r})\n")
PYTHON
echo "$wanted" > "$env/made-for"
