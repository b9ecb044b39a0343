"""One question to several models at once; their answers as they grow."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.core.data.data_uri import data_uri
from components.core.pictures import UnreadablePicture, decode
from components.core.stage.errors import DataError, NoInputError
from pipelines.serving.targets import Target

NO_KEY = "none"
"""Key for servers that want none."""
_LIMIT_S = 600.0


@dataclass(frozen=True)
class Reply:
    """A model's answer so far."""

    text: str = ""
    tokens: int | None = None
    """As the server counts, in its last message; None where it does not say."""
    seconds: float = 0.0
    done: bool = False
    error: str = ""

    @property
    def cost(self) -> str:
        """Tokens and seconds in words."""
        counted = "" if self.tokens is None else f"{self.tokens} token{'' if self.tokens == 1 else 's'}, "
        return f"{counted}{self.seconds:.1f} s"


def read_picture(path: Path) -> bytes:
    """The bytes of a picture file, if it can be decoded.

    Raises:
        NoInputError: there is no such file.
        DataError: it is no picture that can be read.
    """
    if not path.is_file():
        raise NoInputError(f"{path}: no such picture")
    data = path.read_bytes()
    try:
        decode(data)
    except UnreadablePicture as error:
        raise DataError(f"{path}: {error}") from error
    return data


def ask(
    targets: Sequence[Target], question: str, picture: bytes | None, *, max_tokens: int, api_key: str = NO_KEY
) -> Iterator[list[Reply]]:
    """Ask all targets; yields their replies, in order, each time that one of them has grown.

    A target that cannot answer has an error in its reply; the others go on.
    """
    news: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()

    def listen(place: int, target: Target) -> None:
        for reply in answer(target, question, picture, max_tokens=max_tokens, api_key=api_key):
            news.put((place, reply))

    for place, target in enumerate(targets):
        threading.Thread(target=listen, args=(place, target), daemon=True).start()
    replies = [Reply() for _ in targets]
    while not all(reply.done for reply in replies):
        place, replies[place] = news.get()
        yield list(replies)


def answer(
    target: Target, question: str, picture: bytes | None, *, max_tokens: int, api_key: str = NO_KEY
) -> Iterator[Reply]:
    """One target's answer as it grows; the last reply is `done`."""
    import openai

    parts: list[dict[str, Any]] = []
    if picture is not None:
        parts.append({"type": "image_url", "image_url": {"url": data_uri(picture)}})
    parts.append({"type": "text", "text": question})
    started, reply = time.monotonic(), Reply()
    try:
        client = openai.OpenAI(base_url=target.base_url, api_key=api_key, max_retries=0, timeout=_LIMIT_S)
        model = target.model or client.models.list().data[0].id
        messages: Any = [{"role": "user", "content": parts}]
        stream: Any = client.chat.completions.create(
            model=model,
            messages=messages,
            max_tokens=max_tokens,
            temperature=0.0,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            grown = "".join(choice.delta.content or "" for choice in chunk.choices)
            counted = chunk.usage.completion_tokens if chunk.usage else reply.tokens
            reply = Reply(reply.text + grown, counted, time.monotonic() - started)
            yield reply
        yield replace(reply, done=True, seconds=time.monotonic() - started)
    except (openai.OpenAIError, IndexError) as error:
        seconds = time.monotonic() - started
        yield replace(reply, done=True, seconds=seconds, error=f"{target.name}: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, IndexError):
        return "the endpoint lists no model; name one as ADDRESS#MODEL"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
