"""The interface of engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

Parts = Sequence[bytes | str]
"""A question as the model sees it: encoded pictures and texts in the order in which the prompt shows them."""


class Response(NamedTuple):
    """What a model said, how many tokens it took (its end token included), and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Engine(Protocol):
    """Something that answers questions about pictures."""

    def describe(self) -> dict[str, Any]:
        """Engine, versions and device, as recorded in the settings of the scores."""
        ...

    def answer(
        self,
        items: Sequence[Parts],
        *,
        samples: int,
        temperature: float,
        seed: int,
        on_batch: Callable[[int], object],
    ) -> list[list[Response]]:
        """`samples` responses to each question, in order; temperature 0 decodes greedily.

        `on_batch` is called with the number of questions answered since the last call.
        """
        ...


def split_parts(parts: Parts) -> tuple[list[bytes], list[dict[str, str]]]:
    """The pictures of a question, and its content parts with a placeholder where each of them goes."""
    pictures = [part for part in parts if isinstance(part, bytes)]
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts
    ]
    return pictures, content
