"""How what is sent and what comes back lie in the database: packed by zstd, since much of it is alike.

Each connection of this package has two functions of SQL: `packed(X, TEXT)`, and `unpacked(X, TEXT)`, which gives back
what X was. The views `questions` and `answers` use it. What is packed begins with a byte that says what it was, and one
with the number of a row in `dictionaries` (0: none); the rest is a zstd frame without its magic number. TEXT is the
answer in a body, or empty: where the body holds it as JSON, a NUL stands for it there, which JSON never has.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import zstandard

_TEXT, _BYTES, _WITH_ANSWER = 0, 1, 2
"""What was packed. Bytes with an answer are 2 where it stands as UTF-8, and 3 where it is escaped to ASCII."""
_NUL = b"\0"
_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS
_PARAMETERS = zstandard.ZstdCompressionParameters.from_level(3, format=_FORMAT)
"""Frames without the four bytes with which a file of zstd begins."""
_MESSAGE: Mapping[str, Any] = {
    "role": "assistant", "content": "", "refusal": None, "annotations": [], "tool_calls": [], "reasoning": None,
}  # fmt: skip
_RESPONSE = {
    "id": "chatcmpl-", "object": "chat.completion", "created": 1700000000, "model": "",
    "choices": [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    },
    "service_tier": "default", "system_fingerprint": "fp_",
}  # fmt: skip
_FROM_VLLM = (
    '{"id":"chatcmpl-","object":"chat.completion","created":1700000000,"model":"","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"","refusal":null,"annotations":null,"audio":null,"function_call":null,'
    '"tool_calls":[],"reasoning":null,"reasoning_content":null},"logprobs":null,"finish_reason":"stop",'
    '"stop_reason":null,"token_ids":null}],"service_tier":null,"system_fingerprint":null,"usage":{"prompt_tokens":,'
    '"total_tokens":,"completion_tokens":,"prompt_tokens_details":null},"prompt_logprobs":null,'
    '"prompt_token_ids":null,"kv_transfer_params":null}'
)
_SENT = '{"max_tokens":1536,"model":"","response_format":"json_schema","seed":,"temperature":1.0,"top_p":0.95}'
BODY = json.dumps(_RESPONSE, indent=2) + json.dumps(_RESPONSE) + _FROM_VLLM + _SENT
"""What is the same in most responses of servers, and in most of what is kept of the sending, for a dictionary."""


class Packing:
    """Packs and unpacks for one connection, by the dictionaries in its database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._newest = 0
        self._packers = {0: zstandard.ZstdCompressor(compression_params=_PARAMETERS)}
        self._unpackers = {0: zstandard.ZstdDecompressor(format=_FORMAT)}

    def pack(self, value: str | bytes | None, answer: str = "") -> bytes | None:
        """A text, or bytes that may hold an answer, for the database; None stays None."""
        if value is None:
            return None
        if not self._newest:
            self._learn()
        kind, data = (_TEXT, value.encode()) if isinstance(value, str) else (_BYTES, value)
        for is_ascii in (False, True) if answer and kind == _BYTES and _NUL not in data else ():
            if kind == _BYTES and data.count(written := _as_json(answer, is_ascii)) == 1:
                kind, data = _WITH_ANSWER + is_ascii, data.replace(written, _NUL)
        return bytes((kind, self._newest)) + self._packers[self._newest].compress(data)

    def unpack(self, value: str | bytes | None, answer: str = "") -> str | bytes | None:
        """What was packed with this answer; a text, or nothing, stays as it is."""
        if not isinstance(value, bytes) or not value:
            return value
        kind, number = value[:2]
        if number not in self._unpackers:
            self._learn()
        data = self._unpackers[number].decompress(value[2:])
        if kind >= _WITH_ANSWER:
            return data.replace(_NUL, _as_json(answer, kind > _WITH_ANSWER))
        return data.decode() if kind == _TEXT else data

    def _learn(self) -> None:
        for number, content in self._connection.execute("SELECT number, content FROM dictionaries ORDER BY number"):
            found = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            found.precompute_compress(compression_params=_PARAMETERS)
            self._packers[number] = zstandard.ZstdCompressor(dict_data=found, compression_params=_PARAMETERS)
            self._unpackers[number] = zstandard.ZstdDecompressor(dict_data=found, format=_FORMAT)
            self._newest = number


def _as_json(text: str, is_ascii: bool) -> bytes:
    return json.dumps(text, ensure_ascii=is_ascii).encode()


def with_packing(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, which can say `packed(X, TEXT)` and `unpacked(X, TEXT)` from now on."""
    packing = Packing(connection)
    connection.create_function("packed", 2, packing.pack)
    connection.create_function("unpacked", 2, packing.unpack, deterministic=True)
    return connection
