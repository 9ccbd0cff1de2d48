"""Batches: questions that a provider answers within a day, at half the price, or vLLM from a folder.

`BatchEndpoint` stands in the place of a server. It puts together what is asked, as a wave, until nothing more comes;
each question gets the reply of its line. A line is named by what is asked, so a batch of an earlier run is found again
by what it holds: nothing is uploaded that a batch holds already.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import openai

from selfinstruct.errors import Halted
from selfinstruct.models.endpoint import Batching, Endpoint, EndpointConfig
from selfinstruct.models.limits import Clock
from selfinstruct.models.statuses import is_spent, said
from selfinstruct.models.wire import Reply, Trouble
from selfinstruct.types import digest

MOST_LINES, MOST_BYTES = 50_000, 200_000_000
"""Of one batch, by OpenAI's rules."""
LONGEST_POLL_S = 60.0
LEFT_S = 120.0
"""A file of results that was not written to for so long is all there will be."""
_MARK = "selfinstruct"
"""The key in a batch's metadata that names what made it."""
_ENDED = {"completed", "expired", "cancelled", "failed"}
_NO_REPLY = b'{"error": {"message": "the batch ended without an answer to this request"}}'

Tell = Callable[[str], None]
Replies = Mapping[str, Reply]
"""By the ids of lines."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Line:
    """One question in a batch."""

    id: str
    path: str
    model: str
    text: bytes

    @staticmethod
    def of(path: str, body: Mapping[str, Any]) -> Line:
        """The line that asks this; the same for the same."""
        identity = digest(path, dict(body))[:32]
        line = {"custom_id": identity, "method": "POST", "url": f"/v1{path}", "body": dict(body)}
        return Line(identity, path, str(body.get("model", "")), json.dumps(line, ensure_ascii=False).encode() + b"\n")


class RefusedError(Exception):
    """What a provider says that will not take or finish a batch."""


class TooMuchError(RefusedError):
    """It would take a smaller one."""


class _GoneError(RefusedError):
    """It knows no such thing, or no longer."""


class Service(Protocol):
    """Where batches are answered."""

    def known(self) -> AsyncIterator[tuple[str, Collection[str]]]:
        """The batches of this pool, each with the ids of its lines."""

    async def hand_in(self, lines: Sequence[Line]) -> str:
        """A new batch. Raises: RefusedError."""

    async def replies(self, batch: str) -> Replies:
        """What came back, once the batch has ended. Raises: RefusedError."""

    async def close(self) -> None:
        """Close the connections."""


class BatchEndpoint(Endpoint):
    """Answers by batches."""

    outlives = True

    def __init__(self, config: EndpointConfig, slots: int, clock: Clock, tell: Tell = lambda _: None) -> None:
        super().__init__(config, slots, clock, tell)
        assert config.batching is not None  # noqa: S101 - for the type checker
        self._batching = config.batching
        self.url = config.key_name if self._batching.folder else self.url
        self._service: Service = (
            InFolder(self._batching.folder, self._batching)
            if self._batching.folder
            else AtProvider(self._client, self._options, self._batching, tell)
        )
        self._wave: dict[str, Line] = {}
        self._asked: dict[str, asyncio.Future[Reply | Trouble]] = {}
        """Who waits for each line that has no reply yet."""
        self._earlier: dict[str, str] | None = None if self._batching.since is not None else {}
        """The batch of each line of earlier runs; None: nobody has looked yet."""
        self._live: set[str] = set()
        """Lines that a batch left without an answer and that are asked live."""
        self._closing: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def wait_s(self, form: tuple[str, str], now: float) -> float:
        """Nothing waits for the first of its form: a wave holds all."""
        del form, now
        return 0.0

    async def ask(self, path: str, body: Mapping[str, Any]) -> Reply | Trouble:
        """The reply to a line with this body. Raises: Halted."""
        line = Line.of(path, body)
        if line.id in self._live:
            return await super().ask(path, body)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply | Trouble] = loop.create_future()
        self._asked[line.id] = future
        self._wave[line.id] = line
        if self._closing is not None:
            self._closing.cancel()
        self._closing = loop.call_later(self._batching.wait_s, self._close_wave)
        return await future

    async def models(self) -> Reply | Trouble:
        """The models of the provider; a folder lists none."""
        return Reply(200, {}, b'{"data": []}') if self._batching.folder else await super().models()

    def halt(self) -> None:
        """Wait for nothing any more; what is handed in goes on."""
        if self._closing is not None:
            self._closing.cancel()
        for task in self._under_way:
            task.cancel()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Halted())

    async def close(self) -> None:
        """Close the connections."""
        self.halt()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._service.close()
        await super().close()

    def _close_wave(self) -> None:
        wave, self._wave = self._wave, {}
        self._start(self._hand_in(wave), wave)

    def _start(self, work: Coroutine[Any, Any, None], lines: Collection[str]) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            error = None if task.cancelled() else task.exception()
            for one in lines if error else ():
                if isinstance(error, RefusedError):
                    self._give(one, Trouble("left", self.without_secrets(f"{self.url}: {error}")))
                elif error and (future := self._asked.pop(one, None)) and not future.done():
                    future.set_exception(error)

        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(ended)

    async def _hand_in(self, wave: dict[str, Line]) -> None:
        """Wait for the earlier batches that hold lines of a wave, and put the rest into new ones."""
        if self._earlier is None:
            self._earlier = {one: batch async for batch, lines in self._service.known() for one in lines}
        held: dict[str, list[str]] = {}
        for one in self._earlier.keys() & wave.keys():  # asked once more, it goes into a batch of its own
            held.setdefault(self._earlier.pop(one), []).append(one)
        for batch, lines in held.items():
            self._tell(f"batch {batch} of an earlier run has {_questions(len(lines))} of these")
            self._start(self._collect(batch, lines), lines)
            for one in lines:
                del wave[one]
        for part in _parts(wave.values()):
            lines = [line.id for line in part]
            self._start(self._collect_new(part), lines)

    async def _collect_new(self, part: Sequence[Line]) -> None:
        """Hand in a batch and wait for it; where it is too large, half of it first, and then the rest."""
        try:
            batch = await self._service.hand_in(part)
            self._tell(f"batch {batch} is handed in, with {_questions(len(part))}")
            await self._collect(batch, [line.id for line in part])
        except TooMuchError as error:
            if len(part) == 1:
                raise
            self._tell(f"{error}; trying half as many")
            for some in (part[: len(part) // 2], part[len(part) // 2 :]):
                await asyncio.sleep(self._batching.wait_s)
                await self._collect_new(some)

    async def _collect(self, batch: str, lines: Sequence[str]) -> None:
        replies = await self._service.replies(batch)
        lost = [one for one in lines if one not in replies or replies[one].status in _AGAIN]
        if lost:
            then = "at once" if self._batching.stragglers == "live" else "by the next batch"
            self._tell(f"batch {batch} left {len(lost):,} of {_questions(len(lines))} unanswered; asked again {then}")
        if self._batching.stragglers == "live":
            self._live.update(lost)
        for one in lines:
            reply = replies.get(one, Reply(_LOST, {}, _NO_REPLY))
            self._give(one, replace(reply, content=self._clean(reply.content, is_error=reply.status >= 300)))

    def _give(self, line: str, reply: Reply | Trouble) -> None:
        future = self._asked.pop(line, None)
        if future and not future.done():
            future.set_result(reply)


_LOST = 408
"""The status that stands for a line without an answer: it costs nothing and is asked again."""
_AGAIN = frozenset((_LOST, 429, *range(500, 600)))


def _file_of(lines: Sequence[Line]) -> tuple[str, bytes]:
    """The name of the file that holds these lines, and what it holds."""
    return digest([line.id for line in lines])[:16], b"".join(line.text for line in lines)


def _questions(count: int) -> str:
    return f"{count:,} question{'' if count == 1 else 's'}"


def _parts(lines: Collection[Line]) -> Iterator[list[Line]]:
    """The lines in batches: those of one path and model together, no more than a provider takes."""
    kinds: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        kinds.setdefault((line.path, line.model), []).append(line)
    for some in kinds.values():
        part, size = list[Line](), 0
        for line in some:
            if part and (len(part) == MOST_LINES or size + len(line.text) > MOST_BYTES):
                yield part
                part, size = [], 0
            part.append(line)
            size += len(line.text)
        yield part


def read_replies(content: bytes) -> dict[str, Reply]:
    """The replies in a file of results, of which a line may come twice, by the ids of lines; the first counts."""
    found: dict[str, Reply] = {}
    for text in content.splitlines():
        with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
            line = json.loads(text)
            response, error = line.get("response") or {}, line.get("error")
            status = int(response.get("status_code") or _LOST)
            body = response.get("body") or {"error": error}
            if error and status < 300:
                status = _LOST
            found.setdefault(line["custom_id"], Reply(status, {}, json.dumps(body).encode()))
    return found


class InFolder:
    """Batches as files of a folder: in-NAME.jsonl is written here, out-NAME.jsonl by `vllm run-batch`."""

    def __init__(self, folder: Path, batching: Batching) -> None:
        self._folder, self._since, self._poll_s = folder, batching.since or 0.0, batching.wait_s

    async def known(self) -> AsyncIterator[tuple[str, Collection[str]]]:
        """The batches whose files are there."""
        for file in sorted(self._folder.glob("in-*.jsonl")):
            if file.stat().st_mtime >= self._since:
                yield file.stem.removeprefix("in-"), _ids(file.read_bytes())

    async def hand_in(self, lines: Sequence[Line]) -> str:
        """Write a file, whole or not at all; results of the same lines from before are no longer those."""
        name, content = _file_of(lines)
        with self._usable():
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"out-{name}.jsonl").unlink(missing_ok=True)
            part = self._folder / f".{name}.part"
            part.write_bytes(content)
            part.replace(self._folder / f"in-{name}.jsonl")
        return name

    async def replies(self, batch: str) -> Replies:
        """What the file of results holds, once it has all that was asked or nobody writes to it any more."""
        results = self._folder / f"out-{batch}.jsonl"
        with self._usable():
            wanted = set(_ids((self._folder / f"in-{batch}.jsonl").read_bytes()))
        found, read = dict[str, Reply](), None
        while True:
            with self._usable():
                now = results.stat() if results.exists() else None
                if now and (now.st_size, now.st_mtime_ns) != read:
                    found, read = read_replies(results.read_bytes()), (now.st_size, now.st_mtime_ns)
                is_left = now is not None and bool(found) and time.time() - now.st_mtime > LEFT_S
            if wanted <= found.keys() or is_left:
                return found
            await asyncio.sleep(min(self._poll_s, LONGEST_POLL_S))

    async def close(self) -> None:
        """There are none."""

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Raises: RefusedError, where a file cannot be read or written."""
        try:
            yield
        except OSError as error:
            raise RefusedError(f"{error.filename}: this file of a batch cannot be used ({error.strerror})") from error


def _ids(content: bytes) -> list[str]:
    """The ids of the lines of a batch; a line that is none has none."""
    found = []
    for line in content.splitlines():
        with contextlib.suppress(ValueError, LookupError, TypeError):
            found.append(str(json.loads(line)["custom_id"]))
    return found


class AtProvider:
    """Batches in the form of OpenAI's, by its files and batches."""

    def __init__(self, client: openai.AsyncOpenAI, options: Mapping[str, Any], batching: Batching, tell: Tell) -> None:
        # answers of a whole batch are longer than a body may be elsewhere, and what fails is tried again here
        http = openai.DefaultAioHttpClient(trust_env=client._client.trust_env)  # noqa: SLF001 - openai has no other name
        self._client = client.with_options(http_client=http)
        self._headers: Any = {"extra_headers": options.get("headers")}
        self._batching, self._tell = batching, tell
        self._told: deque[str] = deque(maxlen=8)

    async def known(self) -> AsyncIterator[tuple[str, Collection[str]]]:
        """The batches that this pool has at the provider, but those that came to nothing."""
        found = []
        pages = await self._surely(lambda: self._client.batches.list(limit=100, **self._headers))
        while True:
            found += [one for one in pages.data if (one.metadata or {}).get(_MARK) == self._batching.pool]
            if not pages.has_next_page():
                break
            pages = await self._surely(pages.get_next_page)
        for batch in found:
            if batch.status != "failed" and batch.created_at >= (self._batching.since or 0.0):
                yield batch.id, _ids(await self._content(batch.input_file_id))

    async def hand_in(self, lines: Sequence[Line]) -> str:
        """Upload a file and begin a batch of it. If the answer to that is lost, the batch is looked for first."""
        name, content = _file_of(lines)
        file = await self._surely(
            lambda: self._client.files.create(file=(f"{name}.jsonl", content), purpose="batch", **self._headers)
        )
        url: Any = f"/v1{lines[0].path}"
        mark = {_MARK: self._batching.pool, "file": file.id}

        is_begun_perhaps = False

        async def begun() -> str:
            nonlocal is_begun_perhaps
            if is_begun_perhaps:
                async for one in self._client.batches.list(limit=100, **self._headers):
                    if (one.metadata or {}).get("file") == file.id:
                        return one.id
            is_begun_perhaps = True
            made = await self._client.batches.create(
                input_file_id=file.id, endpoint=url, completion_window="24h", metadata=mark, **self._headers
            )
            return made.id

        return await self._surely(begun)

    async def replies(self, batch: str) -> Replies:
        """Ask after the batch, more and more seldom, until it has ended."""
        began, told = asyncio.get_running_loop().time(), ""
        while True:
            try:
                now = await self._surely(lambda: self._client.batches.retrieve(batch, **self._headers))
            except _GoneError:
                return {}
            if now.status in _ENDED:
                break
            counts = now.request_counts
            progress = f"batch {batch}: {now.status}, {counts.completed if counts else 0:,} answered"
            if progress != told:
                self._tell(progress)
                told = progress
            waited_s = asyncio.get_running_loop().time() - began
            await asyncio.sleep(min(LONGEST_POLL_S, self._batching.wait_s + waited_s / 10))
        if now.status == "failed":
            errors = now.errors.data if now.errors and now.errors.data else []
            why = "; ".join(str(one.message or one.code) for one in errors) or "no reason given"
            is_too_much = any("limit" in f"{one.code} {one.message}".lower() for one in errors)
            raise (TooMuchError if is_too_much else RefusedError)(f"batch {batch} failed: {why}")
        found: dict[str, Reply] = {}
        for file in filter(None, (now.output_file_id, now.error_file_id)):
            found = {**read_replies(await self._content(file)), **found}
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _content(self, file: str) -> bytes:
        """What a file holds; one that is gone holds nothing."""
        try:
            return (await self._surely(lambda: self._client.files.content(file, **self._headers))).content
        except _GoneError:
            return b""

    async def _surely(self, send: Callable[[], Awaitable[Result]]) -> Result:
        """What comes back in the end: while the provider cannot be reached or is busy, it is asked again.

        Raises:
            RefusedError: it will not do it.
        """
        wait_s = 0.5
        while True:
            try:
                return await send()
            except openai.APIConnectionError as error:
                why = str(error.__cause__ or error)
            except openai.APIStatusError as error:
                status, heard = error.status_code, said(error.response.content)
                why = f"HTTP {status} {heard.message}".strip()
                if status in {404, 405}:
                    raise _GoneError(f"{why}; it has no batches; leave out --batch") from error
                if (status < 500 and status not in {408, 409, 425, 429}) or is_spent(status, heard):
                    raise RefusedError(why) from error
            if why not in self._told:
                self._told.append(why)
                self._tell(f"batches: {why}; asking again")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_POLL_S)
