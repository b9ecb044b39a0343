"""Encoded images as `data:` URIs."""

from __future__ import annotations

import base64

_MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"RIFF", "webp"), (b"BM", "bmp"), (b"GIF8", "gif"))


def data_uri(image: bytes) -> str:
    """A `data:` URI of encoded image bytes, its type told from the first bytes."""
    kind = next((name for magic, name in _MAGIC if image.startswith(magic)), "octet-stream")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def data_of(uri: str) -> bytes:
    """The bytes of a `data:` URI in base64.

    Raises:
        ValueError: it is no such URI.
    """
    head, comma, content = str(uri).partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise ValueError("not a data: URI with base64")
    return base64.b64decode(content, validate=True)
