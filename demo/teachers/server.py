"""The HTTP side: OpenAI's chat completions, embeddings and model list, spoken by the simulated models."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from demo.teachers.embeddings import Embedder
from demo.teachers.knowledge.photo_questions import PhotoKnowledge
from demo.teachers.knowledge.scene import Knowledge, Priors, SceneKnowledge
from demo.teachers.models import ModelSpec
from demo.teachers.replies.topics import Ontology
from demo.teachers.speaker import Request, Speaker
from demo.world.index import WorldIndex
from demo.world.scene import sample_scene

MAX_BODY_BYTES = 64 << 20
CACHED_PICTURES = 4096
PRIOR_SCENES = 48
"""Scenes whose answers a model expects without seeing a picture."""
IMAGE_TOKENS = 64
CHARS_PER_TOKEN = 4

Json = dict[str, Any]


class BadRequest(Exception):
    """The request cannot be answered; the message goes to the caller with HTTP `status`."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Message:
    """The text of a chat request, and its first image if it has one."""

    text: str
    image_url: str


class KnownPictures:
    """Knowledge of pictures by their data URI, decoded once."""

    def __init__(self, index: WorldIndex) -> None:
        self._index = index
        self._known: OrderedDict[str, Knowledge] = OrderedDict()

    def look(self, url: str) -> tuple[str, Knowledge]:
        """The picture's name (a hash of its bytes) and the truth about it."""
        name = hashlib.sha256(url.encode()).hexdigest()
        knowledge = self._known.get(name)
        if knowledge is None:
            knowledge = self._known[name] = self._study(url)
            if len(self._known) > CACHED_PICTURES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(name)
        return name, knowledge

    def _study(self, url: str) -> Knowledge:
        if not url.startswith("data:"):
            raise BadRequest("image_url must be a data: URI; this server fetches nothing")
        try:
            image = base64.b64decode(url.partition(",")[2], validate=True)
            scene = self._index.lookup(image)
            return SceneKnowledge(scene) if scene is not None else PhotoKnowledge(image)
        except binascii.Error as error:
            raise BadRequest(f"image_url: not valid base64 ({error})") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise BadRequest(f"image_url: not a readable image ({error})") from error


class Teachers:
    """All models of the server, and the counts of their requests."""

    def __init__(self, index: WorldIndex, models: dict[str, ModelSpec]) -> None:
        ontology = Ontology()
        rng = np.random.default_rng(0)
        priors = Priors([sample_scene(rng) for _ in range(PRIOR_SCENES)])
        self.models = models
        self._speakers = {name: Speaker(m, priors, ontology) for name, m in models.items() if not m.embeds}
        self._pictures = KnownPictures(index)
        self._embedder: Embedder | None = None
        self._embed_lock = asyncio.Lock()
        self._asked: set[bytes] = set()
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in models}
        self.repeated = 0

    def chat(self, body: Json) -> Json:
        """Answer one chat completion request.

        Raises:
            BadRequest: unknown model or schema, or a malformed request.
        """
        name = body.get("model", "")
        speaker = self._speakers.get(name)
        if speaker is None:
            raise BadRequest(f"the model '{name}' does not exist or does not chat", 404)
        message = read_messages(body.get("messages"))
        schema = _schema_name(body.get("response_format"))
        seed = int(body.get("seed") or 0) if body.get("temperature") else 0
        picture, knowledge = self._pictures.look(message.image_url) if message.image_url else ("", None)
        request = Request(message.text, picture, knowledge, seed)
        if schema:
            answer = speaker.schemas.get(schema)
            if answer is None:
                raise BadRequest(
                    f"json_schema '{schema}' is not one that this server can fill: {sorted(speaker.schemas)}"
                )
            text = json.dumps(answer(request))
        else:
            text = speaker.caption(request)
        self._count(name, schema or "text", f"{schema}\n{seed}\n{picture}\n{message.text}")
        prompt_tokens = len(message.text) // CHARS_PER_TOKEN + (IMAGE_TOKENS if picture else 0)
        completion_tokens = len(text) // CHARS_PER_TOKEN + 1
        return {
            "id": "chatcmpl-"
            + hashlib.blake2b(f"{name}{picture}{message.text}{seed}".encode(), digest_size=12).hexdigest(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": name,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }

    async def embeddings(self, body: Json) -> Json:
        """Answer one embeddings request; the encoder is loaded with the first."""
        name = body.get("model", "")
        if name not in self.models or not self.models[name].embeds:
            raise BadRequest(f"the model '{name}' does not exist or does not embed", 404)
        texts = [body["input"]] if isinstance(body.get("input"), str) else body.get("input")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or not texts:
            raise BadRequest("input must be a string or a list of strings")
        async with self._embed_lock:
            if self._embedder is None:
                self._embedder = await asyncio.to_thread(Embedder)
            vectors = await asyncio.to_thread(self._embedder.embed, texts)
        for text in texts:
            self._count(name, "embedding", text)
        tokens = sum(len(text) for text in texts) // CHARS_PER_TOKEN
        return {
            "object": "list",
            "model": name,
            "data": [
                {"object": "embedding", "index": i, "embedding": vector.tolist()}
                for i, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def stats(self) -> Json:
        """Requests by model and schema (embeddings: texts), and how many of them had been asked before."""
        return {
            "requests": {name: dict(counts) for name, counts in self.counts.items()},
            "total": sum(sum(counts.values()) for counts in self.counts.values()),
            "repeated": self.repeated,
        }

    def _count(self, model: str, schema: str, content: str) -> None:
        self.counts[model][schema] += 1
        digest = hashlib.blake2b(f"{model}\n{content}".encode(), digest_size=12).digest()
        self.repeated += digest in self._asked
        self._asked.add(digest)


def read_messages(messages: Any) -> Message:
    """The last user message's text and its first image.

    Raises:
        BadRequest: there is no user message, or its content is not text and image parts.
    """
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a non-empty list")
    image_url, text = "", ""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            parts: list[Json] = [{"type": "text", "text": content}]
        elif isinstance(content, list):
            parts = content
        else:
            raise BadRequest("a message's content must be a string or a list of parts")
        if message.get("role") != "user":
            continue
        try:
            words = [part["text"] for part in parts if part["type"] == "text"]
            urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        except (KeyError, TypeError) as error:
            raise BadRequest("a content part needs a type and its text or image_url.url") from error
        text = text or "\n".join(words)
        image_url = image_url or (urls[0] if urls else "")
    if not text:
        raise BadRequest("there is no user message with text")
    return Message(text, image_url)


def _schema_name(response_format: Any) -> str:
    if not isinstance(response_format, dict) or response_format.get("type") != "json_schema":
        return ""
    return str((response_format.get("json_schema") or {}).get("name", ""))


TEACHERS = web.AppKey("teachers", Teachers)


def make_app(index: WorldIndex, models: dict[str, ModelSpec]) -> web.Application:
    """The application; one `Teachers` for all its requests."""
    teachers = Teachers(index, models)

    async def read(request: web.Request) -> Json:
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise BadRequest("the body must be a JSON object")
        return body

    async def chat(request: web.Request) -> web.Response:
        return web.json_response(teachers.chat(await read(request)))

    async def embeddings(request: web.Request) -> web.Response:
        return web.json_response(await teachers.embeddings(await read(request)))

    async def list_models(_: web.Request) -> web.Response:
        entries = [
            {"id": name, "object": "model", "created": 0, "owned_by": "demo"} for name in teachers.models
        ]
        return web.json_response({"object": "list", "data": entries})

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(teachers.stats())

    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors])
    app[TEACHERS] = teachers
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/v1/embeddings", embeddings)
    app.router.add_get("/v1/models", list_models)
    app.router.add_get("/stats", stats)
    return app


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except BadRequest as error:
        kind = "not_found_error" if error.status == 404 else "invalid_request_error"
        return web.json_response({"error": {"message": str(error), "type": kind}}, status=error.status)
