"""`vlm-posttrain serve` with transformers on CPU: asked by openai's client, rolled back meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.core.data.data_uri import data_uri
from components.core.vlm import generate, load_model, load_processor
from pipelines.serving.child import free_port
from tests.pipelines.serving.conftest import promote

openai = pytest.importorskip("openai", reason="the extra `serve` is not installed")
pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
ROOT = Path(__file__).resolve().parents[3]
QUESTION = "Is there a red square?"


class Served:
    """The command as a process, and a client of it."""

    def __init__(self, promoted, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        folder.mkdir()
        self.log = folder / "serve.log"
        command = [
            sys.executable,
            "-m",
            "pipelines",
            "serve",
            "--registry",
            str(promoted.root),
            "-d",
            "lamps",
        ]
        command += ["--port", str(port), "--watch", "0.5", "--cache", str(folder)]
        started = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, env=environment)
        while self.health().get("status") != "ok":
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        self.start_s = time.monotonic() - started
        self.client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=600)

    def health(self) -> dict:
        try:
            return json.load(urllib.request.urlopen(f"{self.url}/health", timeout=5))
        except OSError:
            return {}

    def ask(self, png: bytes, tokens: int, model: str = "lamps", **more):
        shown = {"type": "image_url", "image_url": {"url": data_uri(png)}}
        content = [shown, {"type": "text", "text": QUESTION}]
        messages = [{"role": "user", "content": content}]
        return self.client.chat.completions.create(model=model, messages=messages, max_tokens=tokens, **more)


@pytest.fixture
def served(promoted, tmp_path) -> Iterator[Served]:
    running = Served(promoted, tmp_path / "served")
    yield running
    running.process.terminate()
    assert running.process.wait(60) == 0, running.log.read_text()


def promote_damaged(promoted) -> None:
    """Make a version current whose chat template is not the one that training sealed."""
    folder = promoted.root.parent / "damaged"
    shutil.copytree(promoted.checkpoint(1), folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    promote(promoted.registry, folder, "run 3")
    assert promoted.registry.pointer().version == 3


def until(true: Callable[[], bool], log: Path, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def answer_of(checkpoint: Path, png: bytes, tokens: int) -> str:
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    return generate(model, processor, [(png, QUESTION)], max_new_tokens=tokens)[0][0].text


def test_answers_are_those_of_evaluation_and_a_rollback_loses_no_request(served, promoted, png):
    """One process for both: it takes its time to start."""
    asked = time.monotonic()
    said = served.ask(png, 40)
    rate = said.usage.completion_tokens / (time.monotonic() - asked)
    assert said.choices[0].message.content.strip() == answer_of(promoted.checkpoint(2), png, 40)
    assert [model.id for model in served.client.models.list()] == ["lamps", "lamps@2"]

    with pytest.raises(openai.NotFoundError, match="lamps@2"):
        served.ask(png, 1, model="other")
    with pytest.raises(openai.BadRequestError, match="data:image"):
        messages = [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}
        ]
        served.client.chat.completions.create(model="lamps", messages=messages)

    tokens = int(min(10_000, max(200, 3 * rate * served.start_s)))
    stream = served.ask(png, tokens, stream=True, stream_options={"include_usage": True})
    chunks = [next(stream)]
    promoted.registry.rollback()
    moved = time.monotonic()
    while served.health()["model"] != "lamps@1":
        assert time.monotonic() - moved < max(60, 4 * served.start_s), served.log.read_text()
        time.sleep(0.1)
    switched = time.monotonic() - moved
    print(f"started in {served.start_s:.1f} s, switched in {switched:.1f} s, {rate:.0f} tokens/s")
    assert served.ask(png, 40).choices[0].message.content.strip() == answer_of(
        promoted.checkpoint(1), png, 40
    )
    promote_damaged(promoted)
    until(lambda: "error: " in served.log.read_text(), served.log)
    assert served.health()["model"] == "lamps@1"
    assert served.log.read_text().count("error: ") == 1
    chunks += list(stream)
    ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    counted = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert ends == ["length"] and counted == [tokens]
