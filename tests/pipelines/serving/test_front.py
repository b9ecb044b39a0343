"""The front: a request stays with its server, a replaced server ends after its last one, others wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from pipelines.serving import front as fronts
from pipelines.serving.front import Backend, Front

ASKED = {"messages": [{"role": "user", "content": "hello"}]}


class SlowServer:
    """Answers in two parts; the second when it may."""

    def __init__(self, name: str) -> None:
        self.name, self.may_end, self.began = name, asyncio.Event(), asyncio.Event()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        model = (await request.json())["model"]
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(f"{model} begins, ".encode())
        self.began.set()
        await self.may_end.wait()
        await answer.write(b"ends")
        return answer


@asynccontextmanager
async def started(*names: str):
    """A front, and servers behind addresses."""
    async with AsyncExitStack() as stack:
        front, slow, backends = Front("lamps"), [SlowServer(name) for name in names], []
        for server in slow:
            app = web.Application()
            app.router.add_post("/v1/chat/completions", server.chat)
            running = await stack.enter_async_context(TestServer(app))
            backends.append(Backend(str(running.make_url("/v1")), server.name))
        client = await stack.enter_async_context(TestClient(TestServer(front.app)))
        yield front, slow, backends, client


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_request_under_way_ends_at_its_server_and_the_next_goes_to_the_new_one():
    async def test() -> None:
        async with started("one", "two") as (front, (one, two), (first, second), client):
            await front.switch(first)
            early = asyncio.create_task(client.post("/v1/chat/completions", json=ASKED))
            await one.began.wait()
            assert await front.switch(second) is first
            two.may_end.set()
            late = await client.post("/v1/chat/completions", json={**ASKED, "model": "lamps"})
            assert await late.text() == "two begins, ends"
            assert not await front.drained(first, 0.05)
            one.may_end.set()
            assert await (await early).text() == "one begins, ends"
            assert await front.drained(first, 5)

    run(test)


def test_requests_wait_while_no_server_is_there_and_the_wait_has_an_end(monkeypatch):
    async def test() -> None:
        async with started("one") as (front, (one,), (first,), client):
            one.may_end.set()
            waiting = asyncio.create_task(client.post("/v1/chat/completions", json=ASKED))
            await asyncio.sleep(0.05)
            assert (await client.get("/health")).status == 503
            await front.switch(first)
            assert await (await waiting).text() == "one begins, ends"
            await front.switch(None)
            monkeypatch.setattr(fronts, "WAIT_S", 0.05)
            assert (await client.post("/v1/chat/completions", json=ASKED)).status == 503

    run(test)


def shown(*content: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}]}).encode()


def pictured(url: object) -> bytes:
    return shown({"type": "image_url", "image_url": url})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (shown(1), 400),
        (shown({"type": "video_url", "video_url": "x"}), 400),
        (pictured("http://x/y"), 400),
        (pictured({"url": "/etc/passwd"}), 400),
        (pictured({"url": "file:///etc/passwd"}), 400),
        (pictured(None), 400),
        (b'{"messages": [], "model": "three"}', 404),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(body, status):
    async def test() -> None:
        async with started("one") as (front, _, (first,), client):
            await front.switch(first)
            answer = await client.post("/v1/chat/completions", data=body)
            assert answer.status == status
            assert (await answer.json())["error"]["message"]
            assert first.busy == 0

    run(test)


def test_a_server_that_does_not_answer_is_a_502():
    async def test() -> None:
        async with started() as (front, _, _, client):
            await front.switch(Backend("http://127.0.0.1:9/v1", "gone"))
            answer = await client.post("/v1/chat/completions", json=ASKED)
            assert answer.status == 502 and "did not answer" in (await answer.json())["error"]["message"]

    run(test)


def test_health_names_the_model_and_its_requests():
    async def test() -> None:
        async with started("one") as (front, (one,), (first,), client):
            await front.switch(first)
            asked = asyncio.create_task(client.post("/v1/chat/completions", json=ASKED))
            await one.began.wait()
            async with ClientSession() as session, session.get(client.make_url("/health")) as answer:
                assert await answer.json() == {"status": "ok", "model": "one", "busy": 1}
            one.may_end.set()
            await asked

    run(test)
