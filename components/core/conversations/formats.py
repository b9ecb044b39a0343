"""Records to conversations: ChatML, OpenAI's parts, LLaVA's and ShareGPT's turns. Examples: README.md.

`<image>` in a text, and a part of type `image` without a picture, stand for the record's next image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.core.conversations.base import BadRecord, ImageId, Reference
from components.core.conversations.media import (
    is_blank,
    refuse_other_media,
    refuse_spelled_media,
)
from components.core.vlm.messages import IMAGE, IMAGE_MARKER, Part, images_in, split_at_images

ROLES = ("system", "user", "assistant")
SPEAKERS = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant",
    "assistant": "assistant",
}  # fmt: skip
"""Who speaks in LLaVA's and ShareGPT's records -> ChatML's role."""
_COLUMNS = ("images", "image", "image_ids", "image_id")
_IN_PLACE = ("image", "path", "url", "image_url")


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


def read(record: Mapping[str, Any]) -> Conversation:
    """A record as a conversation: `from` in its first turn makes it LLaVA's or ShareGPT's.

    Raises:
        BadRecord: it has no turns, or they cannot be trained on.
    """
    listed = _listed(record)
    refuse_other_media(record, bool(listed))
    turns = next((record[key] for key in ("messages", "conversations") if record.get(key)), None)
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError) as error:
            raise _bad(f"its turns are no JSON ({error}); correct them") from error
    if isinstance(turns, Mapping) and all(isinstance(column, list) for column in turns.values()):
        # Hugging Face's older list of structs: a struct of lists.
        turns = [dict(zip(turns, values, strict=False)) for values in zip(*turns.values(), strict=False)]
    if not isinstance(turns, Sequence) or not turns or isinstance(turns, str):
        raise _bad("no turns; give a list of them under messages or conversations")
    if not isinstance(turns[0], Mapping) or turns[0].get("from") is None:
        return _conversation([_message(turn, n) for n, turn in enumerate(turns, 1)], listed)
    spoken = [_speech(turn, n) for n, turn in enumerate(turns, 1)]
    system = record.get("system")
    if isinstance(system, str) and system:
        spoken.insert(0, Turn("system", text_parts(system)))
    return _conversation(spoken, listed)


def _bad(detail: str) -> BadRecord:
    return BadRecord("bad_messages", detail)


def text_parts(text: str) -> list[Part]:
    """A text as content parts: each `<image>` in it is a placeholder, and the line breaks around it go."""
    if IMAGE_MARKER not in text:
        return [{"type": "text", "text": text}]
    pieces = [part if isinstance(part, int) else part.strip("\n") for part in split_at_images(text)]
    return [dict(IMAGE) if isinstance(p, int) else {"type": "text", "text": p} for p in pieces if p != ""]


def _message(message: Any, number: int) -> Turn:
    """A turn of ChatML: its content is a text or a list of parts."""
    if not isinstance(message, Mapping) or "role" not in message:
        raise _bad(f"turn {number} has no role; give it role and content")
    role, content = message["role"], message.get("content")
    if role not in ROLES:
        known = ", ".join(ROLES)
        raise _bad(f"turn {number} has the role {role!r}; known are {known}: rename it or remove the turn")
    if isinstance(content, str):
        return Turn(role, text_parts(content))
    if not isinstance(content, list | tuple):
        found = type(content).__name__
        raise _bad(f"the content of turn {number} is {found}; give a text or a list of parts")
    return Turn(role, [part for given in content for part in _parts(given, number)])


def _parts(given: Any, number: int) -> list[Part]:
    """Content parts of one given part; null fields count as absent, since tables fill all fields."""
    if isinstance(given, str):
        return text_parts(given)
    part = {k: v for k, v in given.items() if v is not None} if isinstance(given, Mapping) else {}
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return [{"type": "text", "text": part["text"]}]
    if kind not in ("image", "image_url"):
        known = "text (with a text), image and image_url"
        raise _bad(f"turn {number} holds a part of type {kind!r}; known are {known}")
    if "image_id" in part:
        return [{"type": "image", "reference": _reference(part["image_id"], is_id=True)}]
    value = next((part[key] for key in _IN_PLACE if key in part), None)
    if is_blank(value):
        return [dict(IMAGE)]
    return [{"type": "image", "reference": _reference(value)}]


def _speech(turn: Any, number: int) -> Turn:
    """A turn of LLaVA's or ShareGPT's: who speaks, and a text."""
    if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
        raise _bad(f"turn {number} has no text; give it from and value")
    speaker = turn.get("from")
    if speaker not in SPEAKERS:
        known = ", ".join(SPEAKERS)
        raise _bad(f"turn {number} is from {speaker!r}; known are {known}: rename it or remove the turn")
    return Turn(SPEAKERS[speaker], text_parts(turn["value"]))


def _reference(value: Any, *, is_id: bool = False) -> Reference:
    """A picture as records write it: path, `data:` URI, bytes, `{"bytes": ..., "path": ...}`, or id."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("bytes", "url", "path") if value.get(key)), None)
    if isinstance(value, bytes | bytearray | memoryview) and not is_id:
        return bytes(value)
    if not isinstance(value, str) or not value:
        found = type(value).__name__
        raise _bad(f"a picture is given as {found}; give a path, a data: URI, bytes or an id")
    if value.startswith(("http://", "https://")):
        fault = f"the picture {value[:200]} is on the web, and nothing is downloaded here"
        raise BadRecord("image_missing", f"{fault}; fetch it and give its path")
    return ImageId(value) if is_id else value


def _listed(record: Mapping[str, Any]) -> list[Reference]:
    """The pictures that a record lists beside its turns, under the first column that says something.

    Sets with pictures often number them in `image_id` too, so that column comes last.
    """
    name = next((name for name in _COLUMNS if not is_blank(record.get(name))), None)
    if name is None:
        return []
    values = record[name] if isinstance(record[name], list | tuple) else [record[name]]
    # Tables fill the field of a row without pictures with a null, an empty text or an empty struct.
    return [_reference(value, is_id=name.startswith("image_id")) for value in values if not is_blank(value)]


def _conversation(turns: Sequence[Turn], listed: list[Reference]) -> Conversation:
    """Check the turns and give every placeholder its picture: the part's own, else the next one listed.

    Raises:
        BadRecord: the turns do not alternate, an answer is empty or shows a picture, or placeholders and
            pictures differ in number.
    """
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    roles = [turn.role for turn in spoken]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise _bad(
            "turns must be user, assistant, user, assistant …, after one system turn at most, and end with "
            f"an answer; got {', '.join(turn.role for turn in turns) or 'none'}"
        )
    bare = sum(part["type"] == "image" and "reference" not in part for turn in turns for part in turn.parts)
    if bare != len(listed):
        raise BadRecord(
            "placeholder_mismatch",
            f"{bare} image placeholders, {len(listed)} images; write one {IMAGE_MARKER} (or one part of "
            "type image) where each image belongs",
        )
    for turn in turns:
        if turn.role != "assistant":
            refuse_spelled_media(turn.parts)
    waiting = iter(listed)
    shown: list[Reference] = []
    messages = []
    for number, turn in enumerate(turns, 1):
        parts = [_answer(turn, number)] if turn.role == "assistant" else turn.parts
        pictures = [part for part in parts if part["type"] == "image"]
        shown += [part["reference"] if "reference" in part else next(waiting) for part in pictures]
        content = [dict(IMAGE) if part["type"] == "image" else part for part in parts]
        messages.append({"role": turn.role, "content": content})
    return Conversation(json.dumps(messages, ensure_ascii=False), tuple(shown))


def _answer(turn: Turn, number: int) -> Part:
    """The one text of an answer, stripped: a line break would merge with the turn's header."""
    if images_in(turn.parts):
        raise _bad(f"turn {number} is an answer that shows an image; remove the placeholder")
    text = "".join(part["text"] for part in turn.parts).strip()
    if not text:
        raise BadRecord("no_answer", f"turn {number} is an empty answer; fill it or remove the record")
    return {"type": "text", "text": text}
