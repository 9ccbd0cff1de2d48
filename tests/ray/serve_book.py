"""A deployment of Ray Serve whose replicas answer as the built-in model does, in OpenAI's form, behind one URL.

    python serve_book.py PORT LOG

Each line on stdin is a number of replicas to scale to; "scaled" is printed once they are there. Each replica writes a
line to LOG when a question comes and one when it is answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import sys
import tempfile
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from selfinstruct.models.offline.protocol import CARD, Model, answer_chat

LATENCY_S = 0.4


@serve.deployment(max_ongoing_requests=8, ray_actor_options={"num_cpus": 0.1}, graceful_shutdown_wait_loop_s=0.2)
class Book:
    """One replica."""

    def __init__(self, log: str) -> None:
        self._log, self._model = log, Model()

    async def __call__(self, request: Request) -> Response:
        """The list of models, or an answer."""
        if request.method == "GET":
            return JSONResponse({"object": "list", "data": [CARD]})
        asked = await request.body()
        question = hashlib.sha256(asked).hexdigest()
        self._note("asked", question)
        await asyncio.sleep(LATENCY_S)
        answer = answer_chat(json.loads(asked), self._model)
        self._note("answered", question)
        return JSONResponse(answer)

    def _note(self, what: str, question: str) -> None:
        with open(self._log, "a", encoding="utf-8") as log:  # noqa: PTH123 - one write, so that lines stay whole
            log.write(f"{what} {question} {os.getpid()}\n")


def main(port: int, log: str) -> None:
    options: dict[str, Any] = {"include_dashboard": False, "num_cpus": 4, "object_store_memory": 100_000_000}
    with tempfile.TemporaryDirectory(prefix="ray") as temporary:
        ray.init(**options, _temp_dir=temporary, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        for replicas in itertools.chain([1], map(int, sys.stdin)):
            serve.run(Book.options(num_replicas=replicas).bind(log), route_prefix="/")
            print("scaled", flush=True)
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
