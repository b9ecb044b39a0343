"""A chat request and its reply, as OpenAI's chat completions have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from components.core.data.data_uri import data_uri


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


def chat_payload(model: str, request: ChatRequest) -> dict[str, Any]:
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
        "model": model,
        "messages": messages,
        "temperature": request.temperature,
        "seed": request.seed,
        "max_tokens": request.max_tokens,
    }
    if (form := request.schema) is not None:
        schema = {"name": form.__name__, "schema": form.model_json_schema(), "strict": True}
        payload["response_format"] = {"type": "json_schema", "json_schema": schema}
    return payload


def repair_messages(text: str, error: str) -> list[dict[str, str]]:
    """The messages after an answer that does not fit its schema: the answer, and its fault."""
    repair = "Answer again with JSON that fits the schema, and nothing else."
    asked = f"Your last answer was not valid: {error}\n{repair}"
    return [{"role": "assistant", "content": text}, {"role": "user", "content": asked}]


def by_images(requests: Sequence[ChatRequest]) -> list[int]:
    """Positions of the requests, those with equal images together, in the order of each image's first."""
    groups: dict[Any, list[int]] = {}
    for position, request in enumerate(requests):
        shown = request.images or tuple(part for part in request.parts if isinstance(part, bytes))
        groups.setdefault(shown or position, []).append(position)
    return [position for group in groups.values() for position in group]


def read_chat(body: Any) -> dict[str, Any]:
    """The reply's text and tokens, as they are journalled; `cut` if the answer met its token limit.

    Raises:
        ValueError, TypeError, LookupError: the body is no chat completion.
    """
    choice = body["choices"][0]
    text = choice["message"]["content"] or ""
    if not isinstance(text, str):
        raise TypeError("the message's content is no text")
    usage = body.get("usage") or {}
    reply: dict[str, Any] = {
        "text": text.encode("utf-8", "replace").decode(),  # a lone surrogate is no text that can be stored
        "prompt_tokens": int(usage.get("prompt_tokens") or 0),
        "completion_tokens": int(usage.get("completion_tokens") or 0),
    }
    return {**reply, "cut": True} if choice.get("finish_reason") == "length" else reply
