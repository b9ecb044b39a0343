"""The address that stays: hands requests on to the model server behind it, which may be replaced.

A request belongs to the server that was current when it came. A server that is replaced is ended when its
last request is. While no server may run beside another, requests wait for the next one.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

LARGEST_REQUEST = 64 * 2**20
"""Bytes; a larger request gets a 413."""
WAIT_S = 120.0
"""How long a request waits for a server while one is replaced by the next."""
_HANDED_BACK = ("Content-Type", "X-Request-Id", "Retry-After")


@dataclass(eq=False)
class Backend:
    """A model server: its address, the model's name there, and the requests that it works on."""

    url: str
    model: str
    busy: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()


class Front:
    """The application; `alias` is a name that always means the current model."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.app = web.Application(client_max_size=LARGEST_REQUEST)
        self.app.router.add_post("/v1/chat/completions", self._chat)
        self.app.router.add_get("/v1/models", self._models)
        self.app.router.add_get("/health", self._health)
        self.app.cleanup_ctx.append(self._with_session)
        self._current: Backend | None = None
        self._changed = asyncio.Condition()

    @property
    def current(self) -> Backend | None:
        """The server that gets new requests."""
        return self._current

    async def switch(self, backend: Backend | None) -> Backend | None:
        """New requests go to `backend` from now on, or wait; returns the server before."""
        async with self._changed:
            before, self._current = self._current, backend
            self._changed.notify_all()
        return before

    @staticmethod
    async def drained(backend: Backend, limit_s: float) -> bool:
        """Wait until the server works on nothing; False if it still does after `limit_s` seconds."""
        try:
            await asyncio.wait_for(backend.idle.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    async def _with_session(self, _: web.Application) -> Any:
        async with ClientSession(timeout=ClientTimeout(total=None, connect=10)) as self._session:
            yield

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = _checked(await request.read())
        backend = await self._acquire()
        try:
            names = {self.alias, backend.model}
            if body.get("model", self.alias) not in names:
                known = " or ".join(sorted(names))
                return _refused(404, f"no model {body['model']!r} is served here; there is {known}")
            return await self._hand_on(request, backend, {**body, "model": backend.model})
        finally:
            backend.busy -= 1
            if not backend.busy:
                backend.idle.set()

    async def _acquire(self) -> Backend:
        """The current server, with one request more to work on; waits for one."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self._current is not None), WAIT_S)
            except TimeoutError:
                raise _error(web.HTTPServiceUnavailable, "no model is served at the moment") from None
            backend = self._current
            assert backend is not None
            backend.busy += 1
            backend.idle.clear()
            return backend

    async def _hand_on(
        self, request: web.Request, backend: Backend, body: dict[str, Any]
    ) -> web.StreamResponse:
        answer: web.StreamResponse | None = None
        try:
            async with self._session.post(f"{backend.url}/chat/completions", json=body) as given:
                headers = {name: given.headers[name] for name in _HANDED_BACK if name in given.headers}
                answer = web.StreamResponse(status=given.status, headers=headers)
                await answer.prepare(request)
                async for chunk in given.content.iter_any():
                    await answer.write(chunk)
        except ClientError as error:
            if answer is None or not answer.prepared:
                return _refused(502, f"the model server did not answer: {error!r}")
            raise  # half an answer is out: the connection ends, which tells the client
        await answer.write_eof()
        return answer

    async def _models(self, _: web.Request) -> web.Response:
        names = [self.alias, self._current.model] if self._current else []
        data = [{"id": name, "object": "model", "owned_by": "vlm-posttrain"} for name in dict.fromkeys(names)]
        return web.json_response({"object": "list", "data": data})

    async def _health(self, _: web.Request) -> web.Response:
        if self._current is None:
            return web.json_response({"status": "no model"}, status=503)
        return web.json_response({"status": "ok", "model": self._current.model, "busy": self._current.busy})


def _checked(raw: bytes) -> dict[str, Any]:
    """The request, if it is one and its pictures come with it.

    An address would let a request read whatever this machine reaches: its files, its network.
    """
    try:
        body = json.loads(raw)
    except ValueError:
        raise _error(web.HTTPBadRequest, "the request is not JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise _error(web.HTTPBadRequest, "the request has no list of messages")
    for message in body["messages"]:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else []:
            if not isinstance(part, dict) or part.get("type") not in ("text", "image_url"):
                raise _error(web.HTTPBadRequest, "a message's content is text and image_url alone")
            shown = part.get("image_url")
            url = shown.get("url") if isinstance(shown, dict) else shown
            if part["type"] == "image_url" and not str(url).startswith("data:image/"):
                raise _error(web.HTTPBadRequest, "a picture has to come as a data:image/... URI")
    return body


def _described(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


def _refused(status: int, message: str) -> web.Response:
    return web.json_response(_described(message), status=status)


def _error(kind: type[web.HTTPException], message: str) -> web.HTTPException:
    return kind(text=json.dumps(_described(message)), content_type="application/json")
