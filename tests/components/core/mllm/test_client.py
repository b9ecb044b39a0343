from __future__ import annotations

import asyncio
import json
import threading
import time

import numpy as np
import pytest
from aiohttp import web
from pydantic import BaseModel

from components.core.mllm import ChatRequest, MLLMClient
from components.core.resume.journal import Journal
from components.core.stage.errors import PERMANENT_EXIT_CODES, BudgetError, EndpointError, StageError
from components.core.stage.log import get_logger
from components.core.stage.settings import Endpoint


class Echo(BaseModel):
    text: str
    images: int


class Server:
    """An endpoint that echoes the prompt; a prompt `fail:N:KIND` meets fault KIND the first N times."""

    def __init__(self):
        self.asked: list[str] = []
        self.keys: list[str] = []
        self.batches: list[list[str]] = []
        self.bodies: list[dict] = []
        self.finish_reason = "stop"
        self.retry_after = "0"
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
        self.bodies.append(body)
        self.keys.append(request.headers["Idempotency-Key"])
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
            times, kind = prompt.split(":")[1:3]
            if self.asked.count(prompt) <= int(times):
                if kind.isdigit():
                    return web.Response(status=int(kind), headers={"Retry-After": self.retry_after})
                if kind == "cut":
                    request.transport.close()
                    return web.Response()
                if kind == "hang":
                    await asyncio.sleep(1.0)
                if kind == "none":
                    return web.json_response({"choices": []})
                if kind == "body":
                    return web.Response(text='{"choices": [')
                surrogate = '{"text": "\ud800", "images": 0}'
                texts = {"json": "{", "schema": '{"text": 3}', "hang": text, "surrogate": surrogate}
                text = texts[kind]
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        choice = {"message": message, "finish_reason": self.finish_reason}
        return web.json_response({"choices": [choice], "usage": usage})

    async def embeddings(self, request):
        texts = (await request.json())["input"]
        self.asked += texts
        self.batches.append(texts)
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


def entries(tmp_path):
    return [json.loads(line) for line in (tmp_path / "journal.jsonl").read_bytes().splitlines()]


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


@pytest.mark.parametrize("kind", ["429", "500", "503", "408", "cut", "hang", "none", "body"])
def test_passing_faults_are_retried(client, kind):
    (answer,) = client.map(ask(f"fail:1:{kind}"))
    assert answer.error is None
    kinds = {"500": "server_error", "503": "server_error", "429": "rate_limited", "cut": "connection"}
    assert client.usage.retries == {
        kinds.get(kind, "timeout" if kind in ("hang", "408") else "invalid_body"): 1
    }


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


def test_attempts_of_one_request_share_a_key_that_is_the_journal_s(client, server, tmp_path):
    client.map(ask("fail:2:500", "other"))
    keys = dict(zip(server.asked, server.keys, strict=True))
    assert len(server.keys) == 4
    assert len(set(server.keys)) == 2
    assert {key for key, _ in entries(tmp_path)} == set(keys.values())


def test_equal_requests_are_asked_once(client, server):
    one, two, three = client.map(ask("same", "same", "same"))
    assert one == two == three
    assert server.asked == ["same"]


def test_requests_of_one_image_go_out_together_and_answers_keep_their_order(server, tmp_path):
    client = make_client(server.url, tmp_path, max_concurrency=1)
    requests = [
        ChatRequest(key=name, prompt=name, schema=Echo, images=images)
        for name, images in [("a1", (b"A",)), ("b1", (b"B",)), ("t", ()), ("a2", (b"A",)), ("b2", (b"B",))]
    ]
    answers = client.map(requests)
    assert [answer.value.text for answer in answers] == ["a1", "b1", "t", "a2", "b2"]
    assert server.asked == ["a1", "a2", "b1", "b2", "t"]


def test_a_429_pauses_the_whole_client(server, tmp_path):
    client = make_client(server.url, tmp_path, max_concurrency=1)
    server.retry_after = "1"
    started = time.monotonic()
    client.map(ask("fail:1:429", "after"))
    assert time.monotonic() - started >= 1
    assert client.usage.retries == {"rate_limited": 1}


def test_overload_narrows_the_window_and_changes_no_answer(server, tmp_path):
    prompts = [f"fail:1:{kind}" for kind in ("429", "503")] + [f"q{i}" for i in range(40)]
    calm = make_client(server.url, tmp_path / "a", max_concurrency=1, max_retries=8).map(ask(*prompts))
    server.asked.clear()
    client = make_client(server.url, tmp_path / "b", max_concurrency=16, max_retries=8)
    assert client.map(ask(*prompts)) == calm
    assert client._admission.window < 16


def test_a_final_refusal_is_not_asked_again_once_others_were_answered(server, tmp_path):
    make_client(server.url, tmp_path, max_concurrency=1).map(ask("fail:9:400", "fine"))
    server.asked.clear()
    (again,) = make_client(server.url, tmp_path).map(ask("fail:9:400"))
    assert again.error.startswith("endpoint: HTTP 400")
    assert server.asked == []


def test_an_endpoint_that_refuses_everything_is_asked_again(server, tmp_path):
    with pytest.raises(StageError, match="8 requests in a row"):
        make_client(server.url, tmp_path, max_concurrency=1).map(ask(*(f"fail:1:400:{i}" for i in range(9))))
    (again, *_) = make_client(server.url, tmp_path).map(ask("fail:1:400:0"))
    assert again.error is None


def test_replies_that_stay_unusable_are_not_paid_for_again(server, tmp_path):
    client = make_client(server.url, tmp_path, max_concurrency=1, max_retries=1)
    bad, _ = client.map(ask("fail:9:none", "fine"))
    assert bad.error.startswith("endpoint: unusable reply")
    assert server.asked.count("fail:9:none") == 2
    make_client(server.url, tmp_path).map(ask("fail:9:none"))
    assert server.asked.count("fail:9:none") == 2


def test_malformed_answers_are_replayed_as_malformed(server, tmp_path):
    make_client(server.url, tmp_path).map(ask("fail:9:schema"))
    asked = len(server.asked)
    (again,) = make_client(server.url, tmp_path).map(ask("fail:9:schema"))
    assert again.error.startswith("malformed")
    assert len(server.asked) == asked


def test_text_that_cannot_be_stored_becomes_text_that_can(client):
    (answer,) = client.map(ask("fail:1:surrogate"))
    answer.value.text.encode()


def test_a_budget_stops_cleanly_and_a_larger_one_goes_on(server, tmp_path):
    prompts = ask(*(f"q{i}" for i in range(20)))  # 12 tokens each
    with pytest.raises(BudgetError, match=r"60 tokens are spent, max_tokens_total is 60") as stopped:
        make_client(server.url, tmp_path, max_concurrency=1, max_tokens_total=60).map(prompts)
    assert stopped.value.exit_code in PERMANENT_EXIT_CODES
    assert len(entries(tmp_path)) == len(server.asked) == 5
    with pytest.raises(BudgetError):  # what an earlier attempt spent counts
        make_client(server.url, tmp_path, max_tokens_total=60).map(prompts)
    assert len(server.asked) == 5
    answers = make_client(server.url, tmp_path, max_tokens_total=240).map(prompts)
    assert all(answer.error is None for answer in answers)
    assert len(server.asked) == 20


def test_what_is_under_way_when_the_budget_ends_is_kept(server, tmp_path):
    with pytest.raises(BudgetError):
        make_client(server.url, tmp_path, max_concurrency=4, max_tokens_total=1).map(
            ask(*(f"q{i}" for i in range(20)))
        )
    assert len(entries(tmp_path)) == len(server.asked) == 4


def test_a_budget_that_is_just_enough_is_no_error(server, tmp_path):
    answers = make_client(server.url, tmp_path, max_concurrency=1, max_tokens_total=24).map(ask("a", "b"))
    assert [answer.error for answer in answers] == [None, None]


def test_what_is_under_way_when_the_stage_must_end_is_kept(server, tmp_path):
    with pytest.raises(EndpointError):
        make_client(server.url, tmp_path, max_concurrency=4).map(ask("fail:9:401", "a", "b", "c", "d"))
    assert len(entries(tmp_path)) == 3


def test_embedding_batches_do_not_depend_on_what_is_known(server, tmp_path):
    texts = [f"text {i}" for i in range(150)]
    make_client(server.url, tmp_path / "whole").embed(texts)
    whole = sorted(server.batches)
    server.batches.clear()
    make_client(server.url, tmp_path / "cut", max_concurrency=1).embed(texts)
    path = tmp_path / "cut" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:90]))  # killed in the middle of writing the second batch
    server.batches.clear()
    make_client(server.url, tmp_path / "cut").embed(texts)
    assert sorted(server.batches) == [batch for batch in whole if texts[0] not in batch]


def test_without_a_schema_any_text_is_an_answer(client, server):
    (answer,) = client.map([ChatRequest(key="k", prompt="free", schema=None)])
    assert json.loads(answer.value) == {"text": "free", "images": 0}
    assert "response_format" not in server.bodies[0]


def test_parts_alternate_pictures_and_texts(client, server):
    parts = ("first", b"A", "then", b"B", "which?")
    requests = [ChatRequest(key="k", prompt="", schema=Echo, parts=parts)]
    (answer,) = client.map(requests)
    assert (answer.value.text, answer.value.images) == ("which?", 4)
    content = server.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url", "text"]


@pytest.mark.parametrize(("kind", "finished"), [("length", False), ("stop", True)])
def test_an_answer_says_whether_it_was_cut(server, tmp_path, kind, finished):
    server.finish_reason = kind
    (answer,) = make_client(server.url, tmp_path).map(ask("a"))
    (replayed,) = make_client(server.url, tmp_path).map(ask("a"))
    assert (answer.finished, replayed.finished) == (finished, finished)


def test_latency_is_in_usage_and_not_in_answers(client):
    (answer,) = client.map(ask("a"))
    metrics = client.usage.metrics("teacher")
    assert metrics["teacher_requests"] == 1
    assert 0.01 <= metrics["teacher_latency_p50_s"] < 1
    assert not any("latency" in name for name in vars(answer))


def test_malformed_replies_are_replayed_after_a_kill_and_asked_again_after_an_end(server, tmp_path):
    """The server answers badly twice: the question and its repair. Then it is set right."""
    request = ChatRequest("a", "fail:2:json", Echo)

    def ask(path, end):
        journal = Journal(path)
        client = MLLMClient(Endpoint(base_url=server.url, model="m"), journal, get_logger("test"))
        (answer,) = client.map([request], bar=False)
        if end:
            journal.settle()
        return answer, journal

    first, _ = ask(tmp_path / "j.jsonl", end=False)
    assert (first.value, first.error.partition(":")[0], len(server.asked)) == (None, "malformed", 2)
    again, _ = ask(tmp_path / "j.jsonl", end=True)
    assert (again.error, len(server.asked)) == (first.error, 2), "a killed attempt is replayed"
    mended, journal = ask(tmp_path / "j.jsonl", end=True)
    assert (mended.value.text, mended.error, len(server.asked)) == ("fail:2:json", None, 3)
    spent = [v for v in journal.values() if isinstance(v, dict)]
    assert sum(value["prompt_tokens"] for value in spent) == 30, "what was paid for still counts"
    kept, _ = ask(tmp_path / "j.jsonl", end=True)
    assert (kept.value, len(server.asked)) == (mended.value, 3), "a good answer is kept for ever"


def test_one_flagged_picture_is_set_aside_and_asked_again_by_the_next_run(server, tmp_path):
    prompts = ["fail:1:403", *(f"p{n}" for n in range(5))]
    first = make_client(server.url, tmp_path)
    answers = first.map(ask(*prompts))
    assert [answer.error is None for answer in answers] == [False, *[True] * 5]
    assert answers[0].error.startswith("endpoint: ")
    assert "HTTP 403" in answers[0].error
    assert "check base_url" not in answers[0].error
    first._journal.settle()
    assert make_client(server.url, tmp_path).map(ask(*prompts))[0].error is None
    assert server.asked.count("p0") == 1


@pytest.mark.parametrize("count", [1, 40])
def test_a_key_that_is_refused_with_403_still_ends_the_stage(client, count):
    with pytest.raises(EndpointError, match="HTTP 403"):
        client.map(ask(*(f"fail:9:403:{n}" for n in range(count))))
