"""An OpenAI-compatible endpoint that misbehaves at a stated rate and counts the replies a client pays for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from components.core.data.hashing import sha256_hex

Json = dict[str, Any]
CHAT_FAULTS = (
    "storm",  # this request and the next few meet 429 with Retry-After
    "error",  # 500, 502 or 503
    "hang",  # no reply for longer than the client's patience
    "cut",  # the connection closes in the middle of the body
    "broken_body",  # a body that is no JSON
    "not_json",  # the model's text is no JSON
    "wrong_schema",  # the model's text is JSON of another shape
    "no_choices",  # `choices` is empty
    "wrong_image",  # an answer about another image
)
# Faults that a client cannot see, or that cost one more question to the model: the answer may be another.
CONTENT_FAULTS = ("not_json", "wrong_schema", "wrong_image")
EMBED_FAULTS = ("storm", "error", "hang", "cut", "broken_body", "no_choices")


class Refusal(Exception):
    """What an answering function raises to refuse a request with an HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Faults:
    """How often and how the endpoint misbehaves.

    A request's fault depends on its key, its attempt and the seed alone.
    """

    rate: float = 0.0
    seed: int = 0
    hang_s: float = 1.5
    storm_requests: int = 4
    retry_after: str = "0"
    other_image: bytes = b""

    def draw(self, key: str, attempt: int, kinds: Sequence[str]) -> str:
        """The fault of one attempt; empty for none."""
        digest = sha256_hex(f"{self.seed}:{key}:{attempt}")
        if int(digest[:8], 16) / 0x100000000 >= self.rate:
            return ""
        return kinds[int(digest[8:16], 16) % len(kinds)]


@dataclass
class Counts:
    """What the endpoint saw. A request's key is its `Idempotency-Key`."""

    received: int = 0
    under_way: int = 0
    paid: dict[str, list[float]] = field(default_factory=dict)
    """Key -> when (monotonic seconds) replies of status 200 were delivered.

    Delivered is a reply that was written whole, on a connection that was not reset before the next request. A
    process that dies with a reply unread in its socket resets the connection.
    """
    undelivered: int = 0
    """Replies whose client had gone, or went without reading them."""
    attempts: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
    """SHA-256 of the images in requests that met a content fault."""


class _Connection(asyncio.Protocol):
    """Passes everything on to the server's own protocol, and tells how the connection ended."""

    def __init__(self, inner: Any, counts: Counts) -> None:
        self._inner = inner
        self._counts = counts
        self.last_paid = ""
        """Key of the last reply, until another request comes."""

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.last_paid:
            times = self._counts.paid[self.last_paid]
            times.pop()
            if not times:
                del self._counts.paid[self.last_paid]
            self._counts.undelivered += 1
        self._inner.connection_lost(exc)


class FaultyEndpoint:
    """Serves `chat(body)` and `embed(body)` on loopback, from a thread of its own.

    Args:
        chat: chat request to reply; may raise `Refusal`.
        embed: embeddings request to reply.
        faults: what goes wrong; nothing by default.
        delay_s: time that every good reply takes.
    """

    def __init__(
        self,
        chat: Callable[[Json], Json],
        embed: Callable[[Json], Awaitable[Json]],
        faults: Faults | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.faults = faults or Faults()
        self.counts = Counts()
        self.chat = chat
        self._embed, self._delay_s = embed, delay_s
        self._storm = 0
        self._watched: tuple[int, threading.Event] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Close every connection and end the thread."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reset(self) -> None:
        """Count from nothing again."""
        self.counts = Counts()

    def once_paid(self, requests: int) -> threading.Event:
        """An event that is set when so many different requests are paid for."""
        event = threading.Event()
        self._watched = (requests, event)
        if len(self.counts.paid) >= requests:
            event.set()
        return event

    async def _start(self) -> str:
        app = web.Application(client_max_size=2**27)
        app.router.add_post("/v1/chat/completions", self._on_chat)
        app.router.add_post("/v1/embeddings", self._on_embed)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _on_chat(self, request: web.Request) -> web.StreamResponse:
        async def answer(body: Json) -> Json:
            return self.chat(body)

        return await self._serve(request, answer, CHAT_FAULTS)

    async def _on_embed(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._embed, EMBED_FAULTS)

    async def _serve(
        self, request: web.Request, answer: Callable[[Json], Awaitable[Json]], kinds: Sequence[str]
    ) -> web.StreamResponse:
        counts = self.counts
        connection = _watch(request, counts)
        raw = await request.read()
        key = request.headers.get("Idempotency-Key", "")
        counts.received += 1
        counts.attempts[key] += 1
        counts.under_way += 1
        try:
            fault = self._fault(key, counts.attempts[key], kinds)
            asked = json.loads(raw)
            if fault:
                counts.injected[fault] += 1
            if fault in CONTENT_FAULTS:
                counts.touched.update(sha256_hex(image) for image in images_in(asked))
            status, headers, body = await self._reply(asked, fault, answer)
            response = await self._write(request, status, headers, body, cut=fault == "cut")
            if request.transport is None or request.transport.is_closing():
                counts.undelivered += 1
            elif status == 200:
                self._count_paid(counts, key)
                connection.last_paid = key
            return response
        finally:
            counts.under_way -= 1

    def _fault(self, key: str, attempt: int, kinds: Sequence[str]) -> str:
        if self._storm:
            self._storm -= 1
            return "storm"
        fault = self.faults.draw(key, attempt, kinds)
        if fault == "storm":
            self._storm = self.faults.storm_requests - 1
        return fault

    async def _reply(
        self, body: Json, fault: str, answer: Callable[[Json], Awaitable[Json]]
    ) -> tuple[int, dict[str, str], bytes]:
        if fault == "storm":
            return 429, {"Retry-After": self.faults.retry_after}, b"slow down"
        if fault == "error":
            return (500, 502, 503)[self.counts.received % 3], {}, b"out of order"
        if fault == "hang":
            await asyncio.sleep(self.faults.hang_s)
        if fault == "broken_body":
            return 200, {}, b'{"choices": [{"message": '
        if fault == "no_choices":
            return 200, {}, b'{"choices": [], "data": []}'
        if fault == "wrong_image":
            body = _about_another(body, self.faults.other_image)
        await asyncio.sleep(self._delay_s)
        try:
            reply = await answer(body)
        except Refusal as refusal:
            return refusal.status, {}, str(refusal).encode()
        if fault in ("not_json", "wrong_schema"):
            text = '{"items": [{"question": "What' if fault == "not_json" else '{"unexpected": [1, 2, 3]}'
            reply = {**reply, "choices": [{"message": {"role": "assistant", "content": text}}]}
        return 200, {}, json.dumps(reply).encode()

    def _count_paid(self, counts: Counts, key: str) -> None:
        counts.paid.setdefault(key, []).append(time.monotonic())
        if self._watched is not None and len(counts.paid) >= self._watched[0]:
            self._watched[1].set()

    async def _write(
        self, request: web.Request, status: int, headers: dict[str, str], body: bytes, *, cut: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json", **headers})
        response.content_length = len(body)
        with contextlib.suppress(ConnectionError):  # the caller looks whether the client is still there
            await response.prepare(request)
            await response.write(body[: len(body) // 2] if cut else body)
            if cut and request.transport is not None:
                request.transport.abort()
            else:
                await response.write_eof()
        return response


def _watch(request: web.Request, counts: Counts) -> _Connection:
    """The connection that a request came over, watched from its first request on."""
    transport = request.transport
    if transport is None:  # gone already
        return _Connection(None, counts)
    known = transport.get_protocol()
    if not isinstance(known, _Connection):
        known = _Connection(known, counts)
        transport.set_protocol(known)
    known.last_paid = ""
    return known


def _image_parts(body: Json) -> Iterator[Json]:
    for message in body["messages"]:
        content = message["content"]
        yield from (
            part for part in (content if isinstance(content, list) else []) if part["type"] == "image_url"
        )


def images_in(body: Json) -> list[bytes]:
    """The encoded images of a chat request."""
    return [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in _image_parts(body)]


def _about_another(body: Json, image: bytes) -> Json:
    body = copy.deepcopy(body)
    for part in _image_parts(body):
        part["image_url"]["url"] = "data:image/png;base64," + base64.b64encode(image).decode()
    return body
