"""The column `messages` of a training sample taken apart: turns, image placeholders, texts and answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.core.conversations.base import BadRecord
from components.core.vlm.messages import Part, images_in, parts_of


@dataclass(frozen=True)
class Content:
    """A sample's conversation."""

    turns: list[dict[str, Any]]
    """ChatML messages."""
    roles: list[str]
    """Who speaks in each turn."""
    parts: list[list[Part]]
    """Content parts of each turn."""

    @property
    def images(self) -> int:
        """Image placeholders, over all turns."""
        return sum(map(images_in, self.parts))

    @property
    def answers(self) -> list[list[Part]]:
        """The assistant's turns."""
        return [parts for role, parts in zip(self.roles, self.parts, strict=True) if role == "assistant"]

    def spelled(self, tokens: Iterable[str]) -> str:
        """The first of `tokens` that a text spells, "" without any."""
        texts = [part["text"] for parts in self.parts for part in parts if part["type"] == "text"]
        return next((token for token in tokens if any(token in text for text in texts)), "")


def read_content(messages: str) -> Content:
    """Take a sample's messages apart.

    Args:
        messages: JSON list of ChatML messages, each part of type text or image.

    Raises:
        BadRecord: they are no such list.
    """
    try:
        turns = json.loads(messages)
        content = Content(turns, [turn["role"] for turn in turns], [parts_of(turn) for turn in turns])
        for part in (part for parts in content.parts for part in parts):
            if part["type"] not in ("image", "text"):
                raise ValueError(f"content of type {part['type']!r}")
            if part["type"] == "text" and not isinstance(part["text"], str):
                raise ValueError("text that is not a string")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRecord("bad_messages", f"{type(error).__name__}: {error}") from error
    return content
