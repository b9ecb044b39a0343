"""Teachers: another tiny checkpoint of the student's vocabulary, and a server that does as vLLM does."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.components.conftest import write_tiny_checkpoint
from tests.serving import QuietHandler, serving


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the student's vocabulary and opinions of its own; read-only."""
    from components.core.vlm import load_model

    path = write_tiny_checkpoint(tmp_path_factory.mktemp("teacher"), seed=7)
    model: Any = load_model(path, "float32", device="cpu")
    model.get_output_embeddings().weight.data *= 10  # untrained logits hardly differ
    model.save_pretrained(path)
    return path


@dataclass
class VLLM:
    """vLLM's replies about a checkpoint, computed by transformers: `prompt_logprobs` and `/detokenize`."""

    checkpoint: Path
    asked: list[str] = field(default_factory=list)
    """The conversations that were scored, in order."""
    change: Callable[[dict[str, Any]], Any] = lambda reply: None
    """Applied to every reply with log-probabilities."""
    url: str = ""

    def __post_init__(self) -> None:
        from components.core.vlm import load_model, load_processor

        self.model: Any = load_model(self.checkpoint, "float32", device="cpu")
        self.processor = load_processor(self.checkpoint)

    def reply(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path == "/detokenize":
            return {"prompt": self.processor.tokenizer.decode(request["tokens"])}
        assert path == "/v1/chat/completions" and request["prompt_logprobs"] == 0
        self.asked.append(json.dumps(request["messages"]))
        user, assistant = request["messages"]
        uri, text = user["content"]
        picture = Image.open(io.BytesIO(base64.b64decode(uri["image_url"]["url"].partition(",")[2])))
        turns = [
            {"role": "user", "content": [{"type": "image"}, text]},
            {"role": "assistant", "content": [{"type": "text", "text": assistant["content"]}]},
        ]
        written = self.processor.apply_chat_template(turns, add_generation_prompt=False)
        inputs = self.processor(images=[picture.convert("RGB")], text=[written], return_tensors="pt")
        with torch.no_grad():
            logps = self.model(**inputs).logits[0].log_softmax(-1)
        ids = inputs["input_ids"][0].tolist()
        entries: list[Any] = [None]
        entries += [{str(token): {"logprob": float(logps[n, token])}} for n, token in enumerate(ids[1:])]
        reply = {
            "prompt_logprobs": entries,
            "choices": [{"message": {"content": "."}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": len(ids), "completion_tokens": 1},
        }
        self.change(reply)
        return reply


@pytest.fixture
def vllm(other_checkpoint: Path) -> Iterator[VLLM]:
    """A server of the other checkpoint; `vllm.url` is its base URL."""
    served = VLLM(other_checkpoint)

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.send(200, served.reply(self.path, json.loads(self.body())))

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield served
