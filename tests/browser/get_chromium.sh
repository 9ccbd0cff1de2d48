#!/usr/bin/env bash
# A Chromium for the browser tests: the one that is there, else Debian's by apt-get, for which one must be root.
# Without either the tests are skipped, or fail where CI=true; the fixture `browser` says so.
set -euo pipefail
for name in "${SELFINSTRUCT_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
  if [ -n "$name" ] && command -v "$name" >/dev/null; then
    exit 0
  fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  exit 0
fi
# apt checks signatures as a user of its own, who cannot write where the temporary files of root may be.
TMPDIR="$(mktemp -d)"
export TMPDIR DEBIAN_FRONTEND=noninteractive
trap 'rm -rf "$TMPDIR"' EXIT
chmod 1777 "$TMPDIR"
echo "installing Debian's chromium for the browser tests" >&2
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
