"""Values inside a page: as JSON that no parser of HTML can take for markup, and as compressed lists of rows."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import IO, Any

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def harmless_json(value: Any) -> str:
    """JSON without `<`, `>` and `&`, so that nothing in it ends a script element or begins a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_packed(file: IO[str], rows: Iterable[Any]) -> int:
    """Write rows as a JSON list, gzipped, in base64; how many there were. One row at a time is held unpacked."""
    squeeze = zlib.compressobj(4, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed, count = bytearray(), 0
    for count, row in enumerate(rows, start=1):
        text = ("[" if count == 1 else ",") + _JSON.encode(row)
        # Text from a database has no lone surrogates; what has is replaced as JSON in UTF-8 cannot hold it.
        packed += squeeze.compress(text.encode("utf-8", "replace"))
    packed += squeeze.compress(b"]" if count else b"[]") + squeeze.flush()
    file.write(base64.b64encode(packed).decode("ascii"))
    return count
