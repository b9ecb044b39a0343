"""ChatML and OpenAI messages: `{"messages": [{"role": ..., "content": ...}], "images": [...]}`.

Content is a string, in which `<image>` stands for the record's next image, or a list of parts: `text`; `image_url`
with the picture in place (OpenAI); `image` with the picture in place (`image`, `path`, `url`, `image_id`), or without
one, for the record's next image (TRL, transformers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.conversations.base import BadRecord, Reference
from components.core.conversations.turns import (
    Conversation,
    Part,
    Turn,
    conversation,
    listed_images,
    reference,
    text_parts,
)

ROLES = ("system", "user", "assistant")
_IN_PLACE = ("image", "path", "url", "image_url")


def read(record: Mapping[str, Any], turns: Sequence[Any]) -> Conversation:
    """A record as a conversation.

    Args:
        record: the whole record.
        turns: its messages.

    Raises:
        BadRecord: unknown roles or kinds of content, and what `turns.conversation` refuses.
    """
    return conversation([_turn(turn, n) for n, turn in enumerate(turns)], listed_images(record))


def _turn(message: Any, number: int) -> Turn:
    if not isinstance(message, Mapping) or "role" not in message:
        raise BadRecord("bad_messages", f"turn {number + 1} has no role; give it role and content")
    role, content = message["role"], message.get("content")
    if role not in ROLES:
        raise BadRecord(
            "bad_messages",
            f"turn {number + 1} has the role {role!r}; known are {', '.join(ROLES)}: rename it or remove the turn",
        )
    if isinstance(content, str):
        return Turn(role, text_parts(content))
    if not isinstance(content, list | tuple):
        raise BadRecord(
            "bad_messages",
            f"the content of turn {number + 1} is {type(content).__name__}; give a text or a list of parts",
        )
    return Turn(role, [part for given in content for part in _parts(given, number)])


def _parts(given: Any, number: int) -> list[Part]:
    """Content parts of one given part; fields that are null, as tables write what does not apply, count as absent."""
    if isinstance(given, str):
        return text_parts(given)
    part = {k: v for k, v in given.items() if v is not None} if isinstance(given, Mapping) else {}
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return [{"type": "text", "text": part["text"]}]
    if kind in ("image", "image_url"):
        found = _picture(part)
        return [{"type": "image"} if found is None else {"type": "image", "reference": found}]
    raise BadRecord(
        "bad_messages",
        f"turn {number + 1} holds a part of type {kind!r}; known are text (with a text), image and image_url",
    )


def _picture(part: Mapping[str, Any]) -> Reference | None:
    """The picture that a part carries, None for a bare placeholder."""
    if "image_id" in part:
        return reference(part["image_id"], is_id=True)
    value = next((part[key] for key in _IN_PLACE if key in part), None)
    empty = value is None or (isinstance(value, Mapping) and not any(value.values()))
    return None if empty else reference(value)
