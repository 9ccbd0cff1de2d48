"""A server for `load.py`: it answers with the instructions of a file, seven at a time, in order, as fast as told.

    python benchmarks/replay_server.py FILE SLOTS SECONDS     prints its base URL

Inputs are never needed; an output is some lines of the file. GET /v1/stats says how many requests were answered, and
the share of the slots that worked from the time that four propose requests a slot were asked to the last of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any


class Replay:
    """What is answered next, and how busy the slots were."""

    def __init__(self, lines: list[str], slots: int, latency_s: float) -> None:
        self._lines, self._slots, self._latency_s = lines, slots, latency_s
        self._draw, self._slot = random.Random(1), asyncio.Semaphore(slots)
        self._proposed = self._requests = self._active = 0
        self._worked_s, self._last = 0.0, time.monotonic()
        self._marks: list[tuple[float, float]] = []
        """When it was counted first and last: (time, seconds of work until then)."""

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A response to a chat request."""
        async with self._slot:
            self._count(1)
            text = self._text(str((body.get("response_format") or {}).get("json_schema", {}).get("name")))
            if self._latency_s:
                await asyncio.sleep(self._latency_s * self._draw.lognormvariate(-0.125, 0.5))
            self._count(-1)
        self._requests += 1
        message = {"role": "assistant", "content": text}
        return {
            "id": f"chatcmpl-{self._requests}", "object": "chat.completion", "created": 1, "model": "replay",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 900, "completion_tokens": len(text) // 4, "total_tokens": 900 + len(text) // 4},
        }  # fmt: skip

    def _text(self, form: str) -> str:
        if form == "task_inputs":
            return json.dumps({"missing": "nothing", "inputs": []})
        if form != "new_tasks":
            return " ".join(self._draw.sample(self._lines, 12))
        some = [self._lines[(7 * self._proposed + more) % len(self._lines)] for more in range(7)]
        self._proposed += 1
        if self._proposed >= 4 * self._slots:
            self._marks[1:] = [(self._last, self._worked_s)]
            self._marks[:1] = self._marks[:1] or self._marks[1:]
        return json.dumps({"tasks": [{"instruction": one, "is_classification": False} for one in some]})

    def _count(self, change: int) -> None:
        now = time.monotonic()
        self._worked_s += self._active * (now - self._last)
        self._last, self._active = now, self._active + change

    def stats(self) -> dict[str, Any]:
        """What was asked, and the share of the slots that worked; None where too little was."""
        share = None
        if len(self._marks) == 2 and self._marks[1][0] > self._marks[0][0]:
            (begin, before), (end, after) = self._marks
            share = (after - before) / (end - begin) / self._slots
        return {"requests": self._requests, "proposed": self._proposed, "busy_share": share}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                lengths = [int(line.split(b":")[1]) for line in head if line.startswith(b"content-length")]
                body, path = await reader.readexactly(sum(lengths)), head[0].split(b" ")[1]
                found: dict[str, Any] = {"data": [{"id": "replay", "object": "model", "max_model_len": 32768}]}
                if not path.endswith(b"/models"):
                    found = self.stats() if path.endswith(b"/stats") else await self.answer(json.loads(body))
                data = json.dumps(found).encode()
                about = b"content-type: application/json\r\ncontent-length: %d" % len(data)
                writer.write(b"HTTP/1.1 200 OK\r\n" + about + b"\r\n\r\n" + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main(file: str, slots: str, latency_s: str) -> None:
    """Serve until the process is ended."""
    lines = await asyncio.to_thread(lambda: Path(file).read_text("utf-8").splitlines())
    server = await asyncio.start_server(Replay(lines, int(slots), float(latency_s)).serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
