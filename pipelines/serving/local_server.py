"""transformers' own server for checkpoints of this project: `python -m pipelines.serving.local_server`.

    --model NAME=DIRECTORY ...   checkpoints, each loaded when it is first asked
    --port PORT                  on loopback

Handlers, streaming and wire format are transformers'. Ours is what an answer depends on: processor, decoding
of pictures, and the tokens that no answer may contain are those of training and evaluation.
"""

from __future__ import annotations

import argparse
import binascii
import os
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import HTTPException
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.server import build_server
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerationState, Modality

from components.core.cores import limit_threads
from components.core.data.data_uri import data_of
from components.core.pictures import UnreadablePicture, decode
from components.core.vlm.model import load_model
from components.core.vlm.processor import load_processor
from components.core.vlm.sampling import end_tokens, suppressed_tokens


class Checkpoints(ModelManager):
    """Serves a fixed set of checkpoints; nothing is downloaded, nothing unloaded."""

    def __init__(self, checkpoints: dict[str, Path]) -> None:
        super().__init__(model_timeout=-1)
        self._checkpoints = checkpoints
        self._loaded: dict[str, tuple[Any, Any]] = {}
        self._loading = threading.Lock()

    def process_model_name(self, model_id: str) -> str:
        """Names stay as they are: no revision is added."""
        return model_id

    def load_model_and_processor(self, model_id_and_revision: str, **_: Any) -> tuple[Any, Any]:
        """The model of this name and its processor; 404 for another name."""
        if model_id_and_revision not in self._checkpoints:
            known = ", ".join(self._checkpoints)
            raise HTTPException(404, f"no model {model_id_and_revision!r} is served here; there is {known}")
        with self._loading:
            if model_id_and_revision not in self._loaded:
                path = self._checkpoints[model_id_and_revision]
                model, processor = load_model(path), load_processor(path)
                config = model.generation_config
                config.suppress_tokens = suppressed_tokens(model, processor).tolist()
                config.eos_token_id = end_tokens(model, processor).tolist()
                config.pad_token_id = processor.tokenizer.pad_token_id
                config.do_sample = False
                self._loaded[model_id_and_revision] = (model, processor)
        return self._loaded[model_id_and_revision]

    def get_gen_models(self, cache_dir: str | None = None) -> list[dict[str, Any]]:
        """The names, for `/v1/models`."""
        return [{"id": name, "object": "model", "owned_by": "vlm-posttrain"} for name in self._checkpoints]


class Handler(ChatCompletionHandler):
    """transformers' handler with our pictures: data URIs alone, decoded as in training."""

    @staticmethod
    def get_processor_inputs_from_messages(messages: list[dict], modality: Modality) -> list[dict]:
        """Messages for the processor; 400 for a picture that is no data URI, or cannot be read."""
        try:
            turns = ChatCompletionHandler.get_processor_inputs_from_messages(messages, modality)
        except (KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, f"messages: {error!r}") from error
        for turn in turns:
            for part in turn["content"]:
                if part["type"] == "image":
                    part["image"] = _picture(part.pop("url"))
                elif part["type"] != "text":
                    raise HTTPException(400, f"content of type {part['type']} is not understood here")
        return turns

    def _build_generation_config(self, body: dict, model_generation_config: Any, **kwargs: Any) -> Any:
        """A temperature above 0 samples; without one the likeliest token is taken, as in evaluation."""
        config = super()._build_generation_config(body, model_generation_config, **kwargs)
        if limit := body.get("max_tokens") or body.get("max_completion_tokens"):
            config.max_new_tokens = int(limit)
        config.do_sample = float(body.get("temperature") or 0) > 0
        if not config.do_sample:
            config.temperature = config.top_p = config.top_k = None
        return config


def _picture(url: str) -> Any:
    """The picture of a data URI; an address would let a request read this machine's files or network."""
    try:
        return decode(data_of(url))
    except (ValueError, binascii.Error) as error:
        raise HTTPException(400, "a picture has to come as a data: URI with base64") from error
    except UnreadablePicture as error:
        raise HTTPException(400, f"the picture cannot be read: {error}") from error


def serve(checkpoints: dict[str, Path], port: int) -> None:
    """Serve until SIGTERM; then requests under way are finished."""
    limit_threads()
    manager, state = Checkpoints(checkpoints), GenerationState()
    app = build_server(
        manager,
        Handler(manager, state),
        CompletionHandler(manager, state),
        ResponseHandler(manager, state),
        TranscriptionHandler(manager, state),
        generation_state=state,
    )
    keep = {"/v1/chat/completions", "/v1/models", "/health"}  # the others take files and addresses
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in keep]
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=DIRECTORY")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    named = (text.partition("=") for text in given.model)
    serve({name: Path(path) for name, _, path in named}, given.port)


if __name__ == "__main__":
    main()
