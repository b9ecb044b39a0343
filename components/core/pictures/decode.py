"""One way from an encoded picture to 8-bit RGB: upright, its first frame, transparent parts on white.

Metadata never decides whether a picture can be read: PNG and WebP are opened without theirs, and a JPEG whose
metadata Pillow refuses is opened again without it.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from components.core.pictures.metadata import Tags, read_tags, strip_metadata

_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_SIDEWAYS = (5, 6, 7, 8)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (CIPA DC-008, 4.6.4) -> what turns the picture upright."""
# Pillow turns TIFF itself while it decodes, and gives the upright size from the start.
_TURNED_BY_PILLOW = ("TIFF",)
_PLAIN_MODES = ("RGB", "L")
_PROBE_PX = 64
_TOP_16_BIT = 65535.0


class UnreadablePicture(ValueError):
    """The bytes are no picture, or its pixels cannot be decoded."""


def open_picture(data: bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    """Open an encoded picture; its pixels are not decoded yet, so `size` is that of the file.

    Args:
        data: a whole file.
        formats: Pillow's names of the formats to take, None for all.

    Raises:
        PIL.UnidentifiedImageError: it is no picture.
        Exception: its header is damaged; Pillow's plugins raise nearly anything.
    """
    tags = read_tags(data)
    bare = strip_metadata(data, tags.format) if tags.format in ("PNG", "WEBP") else None
    try:
        image = Image.open(io.BytesIO(bare or data), formats=formats)
    except Exception:
        bare = bare or strip_metadata(data, tags.format)
        if bare is None or bare is data:
            raise
        image = Image.open(io.BytesIO(bare), formats=formats)
    image.info["upright_turn"] = _turn(image, tags)
    return image


def _turn(image: Image.Image, tags: Tags) -> int:
    """EXIF orientation of an opened picture, 1 where none can be read; XMP's counts where EXIF has none."""
    if image.format in _TURNED_BY_PILLOW:
        return 1
    exif, xmp = tags.exif, tags.xmp
    if image.format not in ("PNG", "WEBP"):
        exif, xmp = exif or image.info.get("exif", b""), xmp or image.info.get("xmp", b"")
    found = None
    with contextlib.suppress(Exception):  # an unreadable orientation is none
        parsed = Image.Exif()
        parsed.load(exif)
        found = parsed.get(_ORIENTATION)
    if found is None and (match := _XMP_ORIENTATION.search(xmp)):
        found = int(match[1])
    return found if isinstance(found, int) and found in _TURNS else 1


def orientation(image: Image.Image) -> int:
    """EXIF orientation of a picture that `open_picture` opened; 1 is upright."""
    return int(image.info.get("upright_turn", 1))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height that an opened picture has once it is upright."""
    return image.size[::-1] if orientation(image) in _SIDEWAYS else image.size


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its metadata says; the image itself if it is upright."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def decode(picture: bytes | Path | Image.Image) -> Image.Image:
    """The picture as everyone shows it: 8-bit RGB, upright, its first frame, transparent parts on white.

    A `PIL.Image` is brought to 8-bit RGB; it has no file whose metadata could turn it.

    Raises:
        UnreadablePicture: it cannot be opened or its pixels cannot be decoded.
        OSError: the file cannot be read.
    """
    if isinstance(picture, Image.Image):
        return _rgb(flatten(picture))
    with _opened(picture) as opened:
        opened.load()
        return _rgb(flatten(upright(opened)))


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def is_flat(image: Image.Image) -> bool:
    """Whether a picture is opaque 8-bit RGB or grey."""
    return image.mode in _PLAIN_MODES and "transparency" not in image.info


def flatten(image: Image.Image) -> Image.Image:
    """8-bit RGB or grey, transparent parts over white; the image itself if it is already so.

    16-bit grey keeps its scale: 65535 is white. 32-bit integers and floats are stretched from their smallest
    to their largest finite value; other values become black.
    """
    if is_flat(image):
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _stretched(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _stretched(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    low, span = 0.0, _TOP_16_BIT
    if not image.mode.startswith("I;16"):
        low = float(values.min(where=finite, initial=np.inf)) if finite.any() else 0.0
        high = float(values.max(where=finite, initial=-np.inf)) if finite.any() else 0.0
        span = max(high - low, 1e-12)
    grey = np.clip((np.where(finite, values, low) - low) / span * 255.0, 0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def sendable(picture: bytes) -> bytes:
    """The picture as any model server shows it alike: its own bytes if it is plain, else a PNG of `decode`.

    Plain is one upright, opaque 8-bit frame in JPEG, PNG or WebP: servers differ in what they make of others.

    Raises:
        UnreadablePicture: it cannot be opened, or has to be decoded and cannot be.
    """
    with _opened(picture) as opened:
        single = getattr(opened, "n_frames", 1) == 1
        if (
            single
            and opened.format in ("JPEG", "PNG", "WEBP")
            and is_flat(opened)
            and orientation(opened) == 1
        ):
            return picture
    buffer = io.BytesIO()
    decode(picture).save(buffer, "PNG")
    return buffer.getvalue()


def header_size(picture: bytes | Path) -> tuple[int, int]:
    """Width and height (px) of the decoded picture; its header is read, its pixels are not decoded.

    Raises:
        UnreadablePicture: it is no picture.
        OSError: the file cannot be read.
    """
    with _opened(picture) as opened:
        return upright_size(opened)


def check_whole(picture: bytes | Path) -> None:
    """See that a picture can be decoded to its last bit.

    A JPEG is decoded at reduced size: its entropy coding, where damage shows, is read whole all the same.

    Raises:
        UnreadablePicture: it cannot.
        OSError: the file cannot be read.
    """
    with _opened(picture) as opened:
        if opened.format in ("JPEG", "MPO"):
            opened.draft("L", (_PROBE_PX, _PROBE_PX))
        opened.load()


@contextlib.contextmanager
def _opened(picture: bytes | Path) -> Iterator[Image.Image]:
    """An opened picture; whatever its damage raises becomes `UnreadablePicture`."""
    data = picture.read_bytes() if isinstance(picture, Path) else bytes(picture or b"")  # null in a table
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata and many pixels; a bomb is an error still
            with open_picture(data) as opened:
                yield opened
    except Exception as error:
        raise UnreadablePicture(_told(data, error)) from error


def _told(data: bytes, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"starts with {data[:8].hex()}, as no picture does" if data else "0 bytes"
    return f"{type(error).__name__}: {error}"[:300]
