"""A small world that passes every check, to be spoilt by each test, and a run through the command line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.core.data.dataset import DatasetWriter
from components.core.data.hashing import sha256_hex
from components.core.stage.runner import stage_main
from components.preflight.component import IO
from components.preflight.config import Config
from components.preflight.stage import run
from tests.serving import QuietHandler, serving


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    return buffer.getvalue()


IMAGE_ID = sha256_hex(picture())
USER = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour?"}]}
ASSISTANT = {"role": "assistant", "content": [{"type": "text", "text": "red"}]}


def sample(
    messages: list[dict[str, Any]] | None = None, image_ids: list[str] | None = None
) -> dict[str, Any]:
    """One row of general samples."""
    return {
        "sample_id": "s1",
        "messages": json.dumps(messages if messages is not None else [USER, ASSISTANT]),
        "image_ids": [IMAGE_ID] if image_ids is None else image_ids,
        "source": "test",
        "weight": 1.0,
    }


def item(**changes: Any) -> dict[str, Any]:
    """One benchmark row."""
    row = {
        "item_id": "i1",
        "image": picture(),
        "image_group": "g",
        "question": "?",
        "answer": "red",
        "category": "",
    }
    return {**row, "answer_type": "open", "choices": [], **changes}


def write(path: Path, table: str, rows: list[dict[str, Any]]) -> None:
    with DatasetWriter(path, table) as writer:
        writer.write(rows)


def write_safetensors(path: Path, payload: int = 16) -> None:
    """A safetensors file with one tensor of `payload` bytes."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(payload))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """images/, general/, model/, benchmark/: everything a run needs."""
    (tmp_path / "images" / "nested").mkdir(parents=True)
    (tmp_path / "images" / "nested" / "a.PNG").write_bytes(picture())
    row = {"image_id": IMAGE_ID, "bytes": picture(), "format": "PNG", "width": 32, "height": 32, "phash": 0}
    write(tmp_path / "general" / "images", "images", [{**row, "source_uri": "a", "split": "train"}])
    write(tmp_path / "general" / "samples", "samples", [sample()])
    write(tmp_path / "benchmark", "benchmark", [item()])
    model = tmp_path / "model"
    model.mkdir()
    write_safetensors(model / "model.safetensors")
    files = {
        "config.json": {"model_type": "qwen3_vl", "image_token_id": 5},
        "tokenizer.json": {"added_tokens": [{"id": 5, "content": "<|image_pad|>"}]},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
        "preprocessor_config.json": {},
    }
    for name, value in files.items():
        (model / name).write_text(json.dumps(value))
    return tmp_path


@pytest.fixture
def settings(world: Path) -> dict[str, Any]:
    """Preflight settings of that world."""
    return {
        "images": str(world / "images"),
        "general_data": str(world / "general"),
        "base_model": str(world / "model"),
        "benchmarks": [{"name": "colours", "role": "general", "uri": str(world / "benchmark")}],
        "min_free_disk_gib": 0,
    }


THINGS = {"things": [{"number": 1, "name": "square", "colour": "red", "certainty": 9}], "any_text": False}


def good_answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """What a server without faults answers to preflight's question."""
    if path == "/v1/embeddings":
        vectors = [{"index": i, "embedding": [1.0, float(i)]} for i in range(len(body["input"]))]
        return 200, {"data": vectors, "usage": {"prompt_tokens": 1}}
    choice = {"message": {"content": json.dumps(THINGS)}, "finish_reason": "stop"}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}}


class ModelServer(ThreadingHTTPServer):
    """Lists its models and answers questions; asks for a key if it has one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = ["teacher", "voter-1"]
        self.listing: Any = None
        """What `/models` answers in place of an OpenAI list."""
        self.key = ""
        self.asked = 0
        self.bodies: list[dict[str, Any]] = []
        self.answer: Callable[[str, dict[str, Any]], tuple[int, Any]] = good_answer
        """Path and body of a question to status and reply."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(QuietHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self.server.asked += 1
        models = {"data": [{"id": name} for name in self.server.models]}
        status, body = 200, models if self.server.listing is None else self.server.listing
        if self.path != "/v1/models":
            status, body = 404, {}
        elif self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            status, body = 401, {}
        self.send(status, body)

    def do_POST(self) -> None:
        body = json.loads(self.body())
        self.server.bodies.append(body)
        self.send(*self.server.answer(self.path, body))


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with serving(ModelServer()) as server:
        yield server


@pytest.fixture
def preflight(world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    """Run the stage: preflight(settings, ids_scoring={...}, ...) -> (exit code, error message)."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(world / "work"))
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("preflight").addHandler(handler)

    def go(config: dict[str, Any], **sections: dict[str, Any]) -> tuple[int, str]:
        messages.clear()
        argv = ["--config", json.dumps(config)]
        for name, section in sections.items():
            argv += [f"--section-{name.replace('_', '-')}", json.dumps(section)]
        for name in ("images", "general-data", "base-model", "benchmarks", "seen", "teacher"):
            argv += [f"--{name}", str(world / "out" / name)]
        argv += ["--metrics", str(world / "out/metrics.json"), "--report", str(world / "out/report.html")]
        return stage_main("preflight", Config, IO, run, argv), "\n".join(messages)

    yield go
    logging.getLogger("preflight").removeHandler(handler)


@pytest.fixture
def spoil(world: Path) -> dict[str, Callable[..., None]]:
    """Writers that replace a part of the world."""
    return {
        "samples": lambda *rows: write(world / "general" / "samples", "samples", list(rows)),
        "benchmark": lambda *rows: write(world / "benchmark", "benchmark", list(rows)),
        "weights": lambda payload: write_safetensors(world / "model" / "model.safetensors", payload),
    }


@pytest.fixture(scope="session")
def make_sample() -> Callable[..., dict[str, Any]]:
    return sample


@pytest.fixture(scope="session")
def make_item() -> Callable[..., dict[str, Any]]:
    return item


@pytest.fixture(scope="session")
def known_image() -> str:
    """Id of the one image in the general data."""
    return IMAGE_ID
