"""What is checked and made alike in every format: turns with content parts, and the pictures that they show. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.core.conversations.base import BadRecord, ImageId, Reference

PLACEHOLDER = "<image>"
Part = dict[str, Any]
_COLUMNS = ("images", "image", "image_ids", "image_id")


@dataclass(frozen=True)
class Turn:
    """One turn; a part of type `image` may carry its own picture under `reference`."""

    role: str
    parts: list[Part]


@dataclass(frozen=True)
class Conversation:
    """A record as ChatML."""

    messages: str
    """JSON, as in the table `samples`."""
    images: tuple[Reference, ...]
    """One picture for each placeholder, in order."""


def text_parts(text: str) -> list[Part]:
    """A text as content parts: each `<image>` in it is a placeholder, and the line breaks around it go."""
    pieces = text.split(PLACEHOLDER)
    if len(pieces) == 1:
        return [{"type": "text", "text": text}]
    parts: list[Part] = []
    for number, piece in enumerate(pieces):
        if number:
            parts.append({"type": "image"})
        if piece := piece.strip("\n"):
            parts.append({"type": "text", "text": piece})
    return parts


def reference(value: Any, *, is_id: bool = False) -> Reference:
    """A picture as records write it: a path, a `data:` URI, bytes, `{"bytes": ..., "path": ...}`, or an id."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("bytes", "url", "path") if value.get(key)), None)
    if isinstance(value, bytes | bytearray | memoryview) and not is_id:
        return bytes(value)
    if not isinstance(value, str) or not value:
        raise BadRecord(
            "bad_messages",
            f"a picture is given as {type(value).__name__}; give a path, a data: URI, bytes or an id",
        )
    if value.startswith(("http://", "https://")):
        raise BadRecord(
            "image_missing",
            f"the picture {value[:200]} is on the web, and nothing is downloaded here; fetch it and give its path",
        )
    return ImageId(value) if is_id else value


def listed_images(record: Mapping[str, Any]) -> list[Reference]:
    """The pictures that a record lists beside its turns: under the first of `images`, `image`, `image_ids` and
    `image_id` that says something (sets with pictures often number them in `image_id` too)."""
    name = next((name for name in _COLUMNS if record.get(name) not in (None, "", [])), None)
    if name is None:
        return []
    values = record[name] if isinstance(record[name], list | tuple) else [record[name]]
    return [reference(value, is_id=name.startswith("image_id")) for value in values]


def conversation(turns: Sequence[Turn], listed: Iterable[Reference]) -> Conversation:
    """Check the turns and give every placeholder its picture: the part's own, else the next one of those listed.

    Raises:
        BadRecord: turns that do not alternate, an empty answer, a picture inside an answer, or another number of
            placeholders than of pictures.
    """
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    roles = [turn.role for turn in spoken]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise BadRecord(
            "bad_messages",
            f"turns must be user, assistant, user, assistant …, after one system turn at most, and end with an answer; "
            f"got {', '.join(turn.role for turn in turns) or 'none'}",
        )
    waiting = list(listed)
    bare = sum(part["type"] == "image" and "reference" not in part for turn in turns for part in turn.parts)
    if bare != len(waiting):
        raise BadRecord(
            "placeholder_mismatch",
            f"{bare} image placeholders, {len(waiting)} images; write one {PLACEHOLDER} (or one part of type image) "
            "where each image belongs",
        )
    shown: list[Reference] = []
    messages = []
    for number, turn in enumerate(turns):
        if turn.role == "assistant":
            messages.append({"role": turn.role, "content": [_answer(turn, number)]})
            continue
        parts = []
        for part in turn.parts:
            if part["type"] == "image":
                shown.append(part["reference"] if "reference" in part else waiting.pop(0))
                part = {"type": "image"}
            parts.append(part)
        messages.append({"role": turn.role, "content": parts})
    return Conversation(json.dumps(messages, ensure_ascii=False), tuple(shown))


def _answer(turn: Turn, number: int) -> Part:
    """The one text of an answer. White space around it goes: a line break would merge with the turn's header."""
    if any(part["type"] == "image" for part in turn.parts):
        raise BadRecord(
            "bad_messages", f"turn {number + 1} is an answer that shows an image; remove the placeholder"
        )
    text = "".join(part["text"] for part in turn.parts).strip()
    if not text:
        raise BadRecord("no_answer", f"turn {number + 1} is an empty answer; fill it or remove the record")
    return {"type": "text", "text": text}
