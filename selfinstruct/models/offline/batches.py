"""Files and batches of the built-in server, in OpenAI's form, with the faults that batches have."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from selfinstruct.models.offline.options import BatchFaults
from selfinstruct.models.offline.protocol import RequestError

Respond = Callable[[str, dict[str, Any]], dict[str, Any]]
"""The answer to a body, by its path. Raises: RequestError."""


@dataclass(slots=True)
class _Batch:
    about: dict[str, Any]
    ends_at: float
    lines: list[dict[str, Any]] = field(default_factory=list)


class Batches:
    """What clients uploaded, and the batches that they began."""

    def __init__(self, respond: Respond, faults: BatchFaults) -> None:
        self.accepted: Counter[str] = Counter()
        """How many batches took a line, by its id."""
        self.answered: Counter[str] = Counter()
        """How many answers a line has had."""
        self._respond, self._faults = respond, faults
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Batch] = {}
        self._numbers = itertools.count(1)

    def forget(self) -> None:
        """Lose all batches, as a server does that was started again."""
        self._batches.clear()

    def routes(self) -> list[web.RouteDef]:
        """Where they are served."""
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._begin),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._show),
        ]

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(file, web.FileField):
            raise RequestError(400, "Wanted a file with the purpose 'batch'.")
        identity = self._store(file.file.read())
        about = {"id": identity, "object": "file", "bytes": len(self._files[identity]), "created_at": int(time.time())}
        return web.json_response({**about, "filename": file.filename, "purpose": "batch", "status": "processed"})

    async def _content(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["id"])
        if found is None:
            raise RequestError(404, "No such file.")
        return web.Response(body=found, content_type="application/octet-stream")

    async def _begin(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        lines = [json.loads(line) for line in self._files.get(wanted["input_file_id"], b"").splitlines()]
        twice = len({line["custom_id"] for line in lines}) < len(lines)
        if not lines or twice or any(line["url"] != wanted["endpoint"] for line in lines):
            raise RequestError(400, "Wanted a file of lines for this endpoint, each with an id of its own.")
        self.accepted.update(line["custom_id"] for line in lines)
        batch = {
            "id": f"batch_{next(self._numbers)}", "object": "batch", "status": "in_progress",
            "endpoint": wanted["endpoint"], "input_file_id": wanted["input_file_id"], "completion_window": "24h",
            "created_at": int(time.time()), "metadata": wanted.get("metadata"),
        }  # fmt: skip
        self._batches[batch["id"]] = _Batch(batch, time.monotonic() + self._faults.seconds, lines)
        await asyncio.sleep(self._faults.slow)
        return web.json_response(self._seen(batch["id"]))

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._seen(request.match_info["id"]))

    async def _list(self, request: web.Request) -> web.Response:
        limit, after = int(request.query.get("limit", 20)), request.query.get("after")
        newest = [*reversed(self._batches)]
        place = newest.index(after) + 1 if after in newest else 0
        page = [self._seen(one) for one in newest[place : place + limit]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return web.json_response({"object": "list", "data": page, "has_more": place + limit < len(newest), **ends})

    def _seen(self, identity: str) -> dict[str, Any]:
        """A batch as it is now."""
        batch = self._batches.get(identity)
        if batch is None:
            raise RequestError(404, "No such batch.")
        if time.monotonic() >= batch.ends_at and batch.about["status"] == "in_progress":
            batch.about |= self._ended(batch)
        return batch.about

    def _ended(self, batch: _Batch) -> dict[str, Any]:
        """Both files of results, in another order than the lines."""
        if 0 < self._faults.most <= len(batch.lines):
            error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}
            self.accepted.subtract(line["custom_id"] for line in batch.lines)
            return {"status": "failed", "errors": {"object": "list", "data": [error]}}
        results, errors = list[dict[str, Any]](), list[dict[str, Any]]()
        generator = random.Random(batch.about["id"])
        is_cut = False
        for line in batch.lines:
            identity, share = line["custom_id"], generator.random()
            if (share := share - self._faults.expired) < 0:
                is_cut = True
                gone = {"code": "batch_expired", "message": "This request could not be executed in time."}
                errors.append({"custom_id": identity, "response": None, "error": gone})
                continue
            if (share := share - self._faults.failed) < 0:
                body = {"error": {"message": "The server had an error.", "type": "server_error"}}
                errors.append({"custom_id": identity, "response": {"status_code": 500, "body": body}, "error": None})
                continue
            try:
                status, answer = 200, self._respond(line["url"].removeprefix("/v1/"), line["body"])
            except RequestError as error:
                status, answer = error.status, {"error": error.error}
            self.answered[identity] += status == 200
            found = {"custom_id": identity, "response": {"status_code": status, "body": answer}, "error": None}
            (results if status == 200 else errors).append(found)
            if share < self._faults.twice:
                results.append(found)
        generator.shuffle(results)
        ends: Mapping[str, Any] = {"output_file_id": self._stored(results), "error_file_id": self._stored(errors)}
        counts = {"total": len(batch.lines), "completed": len({one["custom_id"] for one in results})}
        return {
            **ends, "status": "expired" if is_cut else "completed", "completed_at": int(time.time()),
            "request_counts": {**counts, "failed": counts["total"] - counts["completed"]},
        }  # fmt: skip

    def _stored(self, lines: list[dict[str, Any]]) -> str | None:
        return self._store("\n".join(json.dumps(line) for line in lines).encode()) if lines else None

    def _store(self, content: bytes) -> str:
        identity = f"file-{next(self._numbers)}"
        self._files[identity] = content
        return identity
