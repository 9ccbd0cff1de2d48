"""The policy of our HTML pages: no browser runs or uses anything in them but what is named by its digest."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str, *scripts: str) -> str:
    """The policy by which a page uses nothing but this style and these scripts."""
    run = " ".join(f"'{_hash(one)}'" for one in scripts)
    return f"default-src 'none'; script-src {run}; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
