from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from pydantic import BaseModel

from components.core.data.data_uri import data_uri
from components.core.stage.log import get_logger
from components.core.stage.settings import Embedder, Endpoint, TextEndpoint
from components.preflight.questions import ask as ask_once
from components.qa_synthesis.schemas import QAEvolved, QAItems, QAJudged, QAPaths
from components.voting_filter.ask import VoteAnswers
from demo.teachers.background import Running
from demo.world.index import WorldIndex


def call(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def chat_body(
    prompt: str, schema: str = "", image: str = "", model: str = "oracle", **more: Any
) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": image}}] if image else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [*parts, {"type": "text", "text": prompt}]},
        ],
        **more,
    }
    if schema:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": schema, "schema": {}, "strict": True},
        }
    return body


def ask(server: Running, prompt: str, schema: str, image: bytes | None, model: str = "oracle") -> Any:
    status, reply = call(
        f"{server.base_url}/chat/completions",
        chat_body(prompt, schema, data_uri(image) if image else "", model),
    )
    assert status == 200, reply
    assert (
        reply["usage"]["total_tokens"]
        == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
        > 0
    )
    return json.loads(reply["choices"][0]["message"]["content"])


def test_lists_its_models(server):
    _, reply = call(f"{server.base_url}/models")
    assert {"teacher", "voter-a", "voter-b", "voter-c", "embedder"} <= {
        entry["id"] for entry in reply["data"]
    }


@pytest.mark.parametrize(
    ("schema", "prompt"),
    [
        (QAItems, "Write 3 items."),
        (QAEvolved, "1. [reasoning] What is the speed? => 5"),
        (QAJudged, "1. [reasoning] before: What is the speed? => 5\n   after: What is the gear? => P"),
        (QAPaths, "1. What is the speed?"),
        (VoteAnswers, "1. What is the speed?\n2. Something unheard of?"),
    ],
)
def test_answers_fit_the_stages_schemas(server, picture_bytes, schema: type[BaseModel], prompt):
    for image in (picture_bytes[0], None):
        schema.model_validate(ask(server, prompt, schema.__name__, image))


def test_recognises_a_picture_and_reads_it(server, picture_bytes, scenes):
    given = ask(server, "1. What is the speed?", "VoteAnswers", picture_bytes[2])["answers"]
    assert given[0]["answer"].rstrip(".") == str(scenes[2].speed)


def test_text_instead_of_a_schema(server, picture_bytes, scenes):
    body = chat_body("Describe.", image=data_uri(picture_bytes[0]))
    _, reply = call(f"{server.base_url}/chat/completions", body)
    assert f"speed {scenes[0].speed}" in reply["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"not json", 400, "JSON"),
        ([], 400, "object"),
        (chat_body("x", model="gpt-9"), 404, "gpt-9"),
        (chat_body("x", model="embedder"), 404, "does not chat"),
        (chat_body("x", "Unknown"), 400, "Unknown"),
        (chat_body("x", "VoteAnswers", "https://example.org/a.png"), 400, "data:"),
        (chat_body("x", "VoteAnswers", "data:image/png;base64,AAAA"), 400, "image"),
        (chat_body("x", "VoteAnswers", "data:image/png;base64,*"), 400, "base64"),
        ({"model": "oracle", "messages": []}, 400, "messages"),
        (
            {"model": "oracle", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            400,
            "content part",
        ),
    ],
)
def test_bad_requests_are_told_what_is_wrong(server, body, status, words):
    code, reply = call(f"{server.base_url}/chat/completions", body)
    assert code == status and words in reply["error"]["message"]


def test_embeddings(server):
    status, reply = call(f"{server.base_url}/embeddings", {"model": "embedder", "input": ["red", "blue"]})
    assert status == 200 and [entry["index"] for entry in reply["data"]] == [0, 1]
    assert len(reply["data"][0]["embedding"]) == 384
    assert call(f"{server.base_url}/embeddings", {"model": "embedder", "input": []})[0] == 400
    assert call(f"{server.base_url}/embeddings", {"model": "teacher", "input": "x"})[0] == 404


def test_stats_count_requests_and_repetitions(server, picture_bytes):
    for image in (picture_bytes[0], picture_bytes[1], picture_bytes[0]):
        ask(server, "1. What is the speed?", "VoteAnswers", image, model="voter-a")
    _, stats = call(server.base_url.removesuffix("/v1") + "/stats")
    assert (
        stats["requests"]["voter-a"] == {"VoteAnswers": 3} and stats["total"] == 3 and stats["repeated"] == 1
    )


def test_command_line(tmp_path, index: WorldIndex):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "demo.teachers", "--world", str(tmp_path), "--port", str(port)]
    missing = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert missing.returncode == 66 and "index.jsonl" in missing.stderr
    index.save(tmp_path / "index.jsonl")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert "6 pictures known" in server.stdout.readline()
        assert "Running on" in server.stdout.readline()
        assert call(f"http://127.0.0.1:{port}/v1/models")[0] == 200
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("kind", "model"), [(Endpoint, "teacher"), (TextEndpoint, "voter-a"), (Embedder, "embedder")]
)
def test_preflight_s_questions_are_answered(server, kind, model):
    found = ask_once(kind(base_url=server.base_url, model=model), 60, get_logger("preflight"))
    assert found.works and not found.problem and not found.note
