"""Values inside a page: as JSON that no parser of HTML can take for markup, and as compressed lists of rows."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import IO, Any

_GROUP = 3
"""Base64 is written in groups of so many bytes."""


def harmless_json(value: Any) -> str:
    """JSON without `<`, `>` and `&`, so that nothing in it ends a script element or begins a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_packed(file: IO[str], rows: Iterable[Any]) -> int:
    """Write rows as a JSON list, gzipped, in base64; how many there were. One row is held at a time."""
    squeeze = zlib.compressobj(5, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    rest, count = b"", 0

    def write(data: bytes, *, last: bool = False) -> bytes:
        end = len(data) if last else len(data) - len(data) % _GROUP
        file.write(base64.b64encode(data[:end]).decode("ascii"))
        return data[end:]

    for row in rows:
        text = ("," if count else "[") + json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        # Text from a database has no lone surrogates; what has is replaced as JSON in UTF-8 cannot hold it.
        rest = write(rest + squeeze.compress(text.encode("utf-8", "replace")))
        count += 1
    end = b"]" if count else b"[]"
    write(rest + squeeze.compress(end) + squeeze.flush(), last=True)
    return count
