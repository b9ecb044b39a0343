"""The interface of engines: what runs the model that is evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Parts = Sequence[bytes | str]
"""A question as the model sees it: encoded pictures and texts in the order in which the prompt shows them."""


class Decoding(NamedTuple):
    """How responses are drawn."""

    samples: int
    """Responses to each question."""
    temperature: float
    """0 decodes greedily."""
    seed: int


class Response(NamedTuple):
    """A model's words, how many tokens they took (the end token included), and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Engine(ABC):
    """Something that answers questions about pictures."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Engine, versions and device, as recorded in the settings of the scores."""

    @abstractmethod
    def answer(
        self, items: Sequence[Parts], decoding: Decoding, on_batch: Callable[[int], object]
    ) -> list[list[Response]]:
        """The responses to each question, in order.

        `on_batch` is called with the number of questions answered since the last call.
        """


def split_parts(parts: Parts) -> tuple[list[bytes], list[dict[str, str]]]:
    """The pictures of a question, and its content parts with a placeholder where each of them goes."""
    pictures = [part for part in parts if isinstance(part, bytes)]
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts
    ]
    return pictures, content
