"""Pictures, videos and sounds that a record shows in a way that nothing here reads: never trained as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from components.core.conversations.base import BadRecord
from components.core.vlm.messages import IMAGE_MARKER, Part

SOUND_AND_VIDEO = ("videos", "video", "audios", "audio", "sound", "speech")
"""Columns of videos and sounds, which no model here is trained on."""
OTHER_PICTURES = (
    "img", "imgs", "picture", "pictures", "photo", "photos", "frames", "image_path",
    "image_paths", "image_list", "image_file", "image_files", "image_url", "image_urls",
    "image_bytes", "image_name", "img_path",
)  # fmt: skip
"""Columns in which sets of other projects keep pictures; here they are in `images` or `image`."""
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_KIND = r"(?:image|img|picture|photo|video|audio|sound|speech)s?"
_PLACEHOLDER = re.compile(
    rf"<\|?{_KIND}(?:[ _-]?(?:pad|placeholder|here|token|start|soft_token|\d+))*\|?>"
    r"|\[(?:IMG|IMAGE|VIDEO|AUDIO)\]",
    re.IGNORECASE,
)
_INLINE = re.compile(
    r"<(?:img|image|video|audio|source)\s[^>]*\bsrc\s*="
    r"|!\[[^\]]*\]\((?:data:|[^)\s]+\.(?:png|jpe?g|webp|gif|bmp|tiff?)\b)"
    r"|data:(?:image|video|audio)/[\w.+-]+;base64,",
    re.IGNORECASE,
)


def is_blank(value: Any) -> bool:
    """Whether a field says nothing: null, "", an empty list, or a list or struct of nothing but such."""
    if value is None or (isinstance(value, (str, bytes)) and not value):
        return True
    if isinstance(value, Mapping):
        return all(is_blank(inner) for inner in value.values())
    return isinstance(value, (list, tuple)) and all(is_blank(inner) for inner in value)


def refuse_other_media(record: Mapping[str, Any], has_pictures: bool) -> None:
    """Refuse a record whose videos, sounds or pictures are in columns that are not read.

    Raises:
        BadRecord: naming the column.
    """
    for name in SOUND_AND_VIDEO:
        if not is_blank(record.get(name)):
            raise BadRecord("other_media", f"its column {name} holds video or sound; leave such records out")
    for name in OTHER_PICTURES if not has_pictures else ():
        if not is_blank(record.get(name)):
            raise BadRecord("other_media", f"its pictures are in the column {name}; call it images")


def refuse_spelled_media(parts: Iterable[Part]) -> None:
    """Refuse a question whose text stands for a picture, video or sound otherwise than by `<image>`.

    Words in backticks are code and stand for nothing.

    Raises:
        BadRecord: quoting the text.
    """
    for part in parts:
        if part["type"] != "text" or not any(mark in part["text"] for mark in "<[!:"):
            continue
        text = _CODE.sub("", part["text"])
        found = _PLACEHOLDER.search(text) or _INLINE.search(text)
        if found:
            shown = found[0][:40]
            advice = f"give pictures under images, write {IMAGE_MARKER} where each belongs"
            raise BadRecord("other_media", f"its text holds {shown!r}; {advice}, or put code into backticks")
