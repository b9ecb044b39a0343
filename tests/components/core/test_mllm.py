from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest
from aiohttp import web
from pydantic import BaseModel

from components.core.config import Endpoint
from components.core.errors import EndpointError, StageError
from components.core.log import get_logger
from components.core.mllm import ChatRequest, MLLMClient
from components.core.work import Journal


class Echo(BaseModel):
    text: str
    images: int


class Server:
    """An endpoint that echoes the prompt; a prompt `fail:N:KIND` meets fault KIND the first N times."""

    def __init__(self):
        self.asked: list[str] = []
        self.under_way = self.most_under_way = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    async def _start(self):
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/embeddings", self.embeddings)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def chat(self, request):
        body = await request.json()
        parts = body["messages"][0]["content"]
        prompt, images = parts[-1]["text"], len(parts) - 1
        self.asked.append(prompt)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.01)
            return await self._reply(request, body, prompt, images)
        finally:
            self.under_way -= 1

    async def _reply(self, request, body, prompt, images):
        text = json.dumps({"text": prompt, "images": images})
        if prompt.startswith("fail:"):
            _, times, kind = prompt.split(":")
            if self.asked.count(prompt) <= int(times):
                if kind.isdigit():
                    return web.Response(status=int(kind), headers={"Retry-After": "0"})
                if kind == "cut":
                    request.transport.close()
                    return web.Response()
                if kind == "hang":
                    await asyncio.sleep(1.0)
                text = {"json": "{", "schema": '{"text": 3}', "hang": text, "none": text}[kind]
                if kind == "none":
                    return web.json_response({"choices": []})
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return web.json_response({"choices": [{"message": message}], "usage": usage})

    async def embeddings(self, request):
        texts = (await request.json())["input"]
        self.asked += texts
        data = [{"index": i, "embedding": [float(len(t)), 1.0]} for i, t in enumerate(texts)]
        return web.json_response({"data": data[::-1]})


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def client(server, tmp_path):
    return make_client(server.url, tmp_path)


def make_client(url, tmp_path, **settings):
    endpoint = Endpoint(base_url=url, model="m", timeout_s=0.5, **{"max_retries": 4, **settings})
    return MLLMClient(endpoint, Journal(tmp_path / "journal.jsonl"), get_logger("test"))


def ask(*prompts, images=()):
    return [ChatRequest(key=p, prompt=p, schema=Echo, images=images) for p in prompts]


def test_answers_keep_the_order_and_concurrency_is_bounded(server, tmp_path):
    client = make_client(server.url, tmp_path, max_concurrency=3)
    answers = client.map(ask(*(f"q{i}" for i in range(30)), images=(b"\x89PNG1", b"\xff\xd8")))
    assert [(a.key, a.value.text, a.value.images) for a in answers] == [
        (f"q{i}", f"q{i}", 2) for i in range(30)
    ]
    assert server.most_under_way == 3
    assert (client.usage.requests, client.usage.prompt_tokens) == (30, 300)


def test_a_restart_asks_only_what_is_missing(server, tmp_path):
    first = make_client(server.url, tmp_path).map(ask("a", "b"))
    again = make_client(server.url, tmp_path)
    assert again.map(ask("a", "b", "c"))[:2] == first
    assert sorted(server.asked) == ["a", "b", "c"]
    assert (again.usage.requests, again.usage.replayed) == (1, 2)


@pytest.mark.parametrize("kind", ["429", "500", "503", "cut", "hang", "none"])
def test_passing_faults_are_retried(client, kind):
    (answer,) = client.map(ask(f"fail:1:{kind}"))
    assert answer.error is None


@pytest.mark.parametrize("kind", ["json", "schema"])
def test_malformed_output_is_repaired_by_one_more_question(client, server, kind):
    (answer,) = client.map(ask(f"fail:1:{kind}"))
    assert (answer.error, len(server.asked), answer.completion_tokens) == (None, 2, 4)


def test_output_that_stays_malformed_is_an_error_of_its_row_only(client):
    bad, good = client.map(ask("fail:9:schema", "fine"))
    assert bad.value is None
    assert bad.error.startswith("malformed: text")
    assert good.value.text == "fine"


def test_a_refused_request_is_an_error_of_its_row_only(client):
    bad, good = client.map(ask("fail:9:400", "fine"))
    assert bad.error.startswith("endpoint: HTTP 400")
    assert good.error is None


def test_wrong_credentials_end_the_stage(client):
    with pytest.raises(EndpointError, match="HTTP 401"):
        client.map(ask("fail:9:401"))


def test_an_endpoint_that_is_down_ends_the_stage(tmp_path):
    client = make_client("http://127.0.0.1:9/v1", tmp_path, max_retries=0)
    with pytest.raises(StageError, match="in a row failed"):
        client.map(ask(*(f"q{i}" for i in range(20))))


def test_embeddings_are_normalised_in_order_and_asked_once(client, server):
    vectors = client.embed(["aaa", "b", "aaa"])
    np.testing.assert_allclose(vectors[0], np.array([3, 1]) / 10**0.5, rtol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    client.embed(["b"])
    assert sorted(server.asked) == ["aaa", "b"]
