"""A chat request and its reply, as OpenAI's chat completions have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from components.core.data.data_uri import data_uri
from components.core.data.hashing import canonical_json
from components.core.mllm.replies.json_text import without_thoughts
from components.core.mllm.schema_forms import strict
from components.core.stage.settings import Endpoint

_MAX_REPEATED = 8000
"""Characters of a faulty answer that its repair is shown."""


@dataclass(frozen=True)
class ChatRequest:
    """One question to the model, with the pydantic class that its answer must fit (None: any text)."""

    key: str
    prompt: str
    schema: type[BaseModel] | None
    images: tuple[bytes, ...] = ()
    parts: tuple[bytes | str, ...] = ()
    """The turn's pictures and texts in order, in place of `images` and `prompt`, where they alternate."""
    system: str = ""
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 1024


@dataclass(frozen=True)
class Answer:
    """A validated `value` (the text, without a schema), or an `error`: `malformed: ...`, `endpoint: ...`."""

    key: str
    value: Any
    error: str | None
    prompt_tokens: int
    completion_tokens: int
    finished: bool = True
    """False where the answer was cut at `max_tokens`."""


def chat_payload(endpoint: Endpoint, request: ChatRequest) -> dict[str, Any]:
    """Body of a chat completions request: images first, then the prompt, and the schema of the answer."""
    content: list[dict[str, Any]] = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_uri(part)}}
        for part in request.parts or (*request.images, request.prompt)
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    messages.append({"role": "user", "content": content})
    payload: dict[str, Any] = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": request.temperature,
        "seed": request.seed,
        endpoint.token_limit: request.max_tokens,
    }
    for name in endpoint.omit:
        payload.pop(name, None)
    if (form := request.schema) is None:
        return payload
    schema = form.model_json_schema()
    if endpoint.answer_format in ("json_schema", "strict_json_schema"):
        sent = strict(schema) if endpoint.answer_format == "strict_json_schema" else schema
        named = {"name": form.__name__, "schema": sent, "strict": True}
        payload["response_format"] = {"type": "json_schema", "json_schema": named}
        return payload
    asked = f"Answer with JSON that fits this schema, and nothing else:\n{canonical_json(schema)}"
    content.append({"type": "text", "text": asked})
    if endpoint.answer_format == "json_object":
        payload["response_format"] = {"type": "json_object"}
    return payload


def repair_messages(text: str, error: str) -> list[dict[str, str]]:
    """The messages after an answer that does not fit its schema: the answer, and its fault."""
    repair = "Answer again with JSON that fits the schema, and nothing else."
    asked = f"Your last answer was not valid: {error}\n{repair}"
    said = without_thoughts(text)[:_MAX_REPEATED] or "(no answer)"  # some servers refuse an empty turn
    return [{"role": "assistant", "content": said}, {"role": "user", "content": asked}]


def by_images(requests: Sequence[ChatRequest]) -> list[int]:
    """Positions of the requests, those with equal images together, in the order of each image's first."""
    groups: dict[Any, list[int]] = {}
    for position, request in enumerate(requests):
        shown = request.images or tuple(part for part in request.parts if isinstance(part, bytes))
        groups.setdefault(shown or position, []).append(position)
    return [position for group in groups.values() for position in group]
