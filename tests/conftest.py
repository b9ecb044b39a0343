"""A chat endpoint on loopback whose answers a test writes; the order of the test files."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from aiohttp import web

# Tests start stages as their files say.
os.environ.setdefault("VLM_WARM_STAGES", "off")

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Minutes each. Workers that begin with them end at the same time.
LONG = (
    "containers/test_containers", "/test_resume", "integration/test_pipeline", "hybrid_rl/test_stage",
    "/test_distill", "engines/test_endpoint", "promotion/test_stage", "/test_processes", "/test_phases",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; any others in their order."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((n for n, name in enumerate(LONG) if name in path), len(LONG))

    items.sort(key=place)


class ChatServer:
    """Answers chat requests by `say(prompt, images)`; embeds a text as counts of its letters."""

    def __init__(self) -> None:
        self.say: Callable[[str, list[bytes]], str] = lambda prompt, images: "{}"
        self.prompts: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url: str = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def endpoint(self, model: str = "teacher") -> dict:
        return {"base_url": self.url, "model": model, "max_retries": 0}

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> str:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embed)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _chat(self, request: web.Request) -> web.Response:
        content = (await request.json())["messages"][0]["content"]
        images = [part["image_url"]["url"].encode() for part in content if part["type"] == "image_url"]
        self.prompts.append(content[-1]["text"])
        answer = self.say(content[-1]["text"], images)
        if answer.startswith("HTTP "):
            return web.Response(status=int(answer[5:]))
        return web.json_response(
            {
                "choices": [{"message": {"role": "assistant", "content": answer}}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
        )

    async def _embed(self, request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        vectors = [[float(text.lower().count(chr(97 + i))) for i in range(26)] for text in texts]
        return web.json_response({"data": [{"index": i, "embedding": v} for i, v in enumerate(vectors)]})


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.stop()
