"""Metadata removal (EXIF, XMP, IPTC, comments) that leaves the compressed pixels as they are, byte for byte.

Everything that a decoder needs for the right colours is kept: colour profile, gamma, Adobe transform,
transparency. Everything else is removed, thumbnails, text and bytes after the picture included. So are colour
chunks of a PNG that decoders refuse: damaged ones, and profiles above Pillow's limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import PngImagePlugin

_JPEG_SOI, _JPEG_EOI, _JPEG_SOS = 0xD8, 0xD9, 0xDA
_JPEG_APP0, _JPEG_APP2, _JPEG_APP14, _JPEG_COM = 0xE0, 0xE2, 0xEE, 0xFE
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs".split())
_PNG_SIZES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}  # bytes of chunks of one size (W3C PNG, 11.3)
_PNG_RAW_EXIF = b"Raw profile type exif\0"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_WEBP_DROPPED = {b"EXIF", b"XMP "}
_WEBP_FLAGS = 0x08 | 0x04  # EXIF and XMP bits of the VP8X header


def strip_metadata(data: bytes, image_format: str) -> bytes | None:
    """The file without its metadata; `data` itself if it had none; None if its structure is not understood.

    `data` is a complete file that decodes, of Pillow's format JPEG, PNG or WEBP; others are not understood.
    """
    strip = {"JPEG": _strip_jpeg, "PNG": _strip_png, "WEBP": _strip_webp}.get(image_format)
    try:
        stripped = strip(data) if strip else None
    except (struct.error, IndexError):
        return None
    return data if stripped == data else stripped


def _strip_jpeg(data: bytes) -> bytes | None:
    """Filter the segments before the first scan; copy the scans up to the last end marker (ITU T.81, B.1)."""
    out = [data[:2]]
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == _JPEG_SOS:
            stop = data.rfind(b"\xff\xd9")
            return b"".join([*out, data[at : stop + 2]]) if stop > at else None
        if _keeps(marker, data[at + 4 : end]):
            out.append(data[at:end])
        at = end
    return None


def _keeps(marker: int, payload: bytes) -> bool:
    if marker == _JPEG_APP2:
        return payload.startswith(b"ICC_PROFILE\0")
    if marker in (_JPEG_APP0, _JPEG_APP14):
        return payload.startswith((b"JFIF\0", b"Adobe"))
    return not (_JPEG_APP0 <= marker <= 0xEF or marker == _JPEG_COM)


def _strip_png(data: bytes) -> bytes | None:
    """The chunks that are kept. Unknown critical chunks must not be dropped."""
    out = [data[:8]]
    for kind, chunk in _png_chunks(data):
        if kind in _PNG_KEPT:
            if not kind[0] & 0x20 or _is_sound(kind, chunk):
                out.append(chunk)
        elif not kind[0] & 0x20:
            return None
        if kind == b"IEND":
            return b"".join(out)
    return None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and whole bytes of each chunk: length, type, data, CRC (W3C PNG, 5.3)."""
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        yield kind, data[at:end]
        at = end


def _is_sound(kind: bytes, chunk: bytes) -> bool:
    """Whether a decoder takes a colour chunk: its checksum and size are right, its profile unfolds."""
    body = chunk[8:-4]
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    if kind != b"iCCP":
        return len(body) == _PNG_SIZES.get(kind, len(body))
    name, _, packed = body.partition(b"\0")
    unfolding = zlib.decompressobj()
    try:
        unfolding.decompress(packed[1:], PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:
        return False
    return bool(name) and unfolding.eof and not unfolding.unconsumed_tail


def _strip_webp(data: bytes) -> bytes | None:
    """The VP8X header says which metadata follows."""
    out = []
    for kind, chunk in _webp_chunks(data):
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_FLAGS]) + chunk[9:]
        if kind not in _WEBP_DROPPED:
            out.append(chunk)
    body = b"".join(out)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and whole bytes of each RIFF chunk, padded to even length."""
    size = struct.unpack_from("<I", data, 4)[0] + 8
    at = 12
    while at < size:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + (length & 1)
        yield kind, data[at:end]
        at = end


@dataclass(frozen=True)
class Tags:
    """What a PNG or WebP file says beside its pixels; of other formats only the JPEG's name."""

    format: str = ""
    """JPEG, PNG, WEBP or ""."""
    exif: bytes = b""
    """TIFF structure of its EXIF chunk."""
    xmp: bytes = b""


def read_tags(data: bytes) -> Tags:
    """Format, EXIF and XMP of a file, wherever in it they stand; damaged chunks say nothing."""
    if data.startswith(b"\xff\xd8\xff"):
        return Tags("JPEG")
    exif = xmp = b""
    try:
        if data.startswith(_PNG_SIGNATURE):
            for kind, chunk in _png_chunks(data):
                if kind == b"eXIf":
                    exif = chunk[8:-4]
                elif kind == b"zTXt" and chunk[8:].startswith(_PNG_RAW_EXIF):
                    exif = exif or _raw_profile(chunk[8 + len(_PNG_RAW_EXIF) + 1 : -4])
                elif kind == b"iTXt" and chunk[8:].startswith(_PNG_XMP):
                    xmp = chunk[8:-4]
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            for kind, chunk in _webp_chunks(data):
                exif = chunk[8:] if kind == b"EXIF" else exif
                xmp = chunk[8:] if kind == b"XMP " else xmp
    except (struct.error, zlib.error, ValueError):
        pass  # the file is cut, its pixels with it, or the profile is damaged
    if data.startswith(_PNG_SIGNATURE):
        return Tags("PNG", exif, xmp)
    return Tags("WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else "", exif, xmp)


def _raw_profile(packed: bytes) -> bytes:
    """EXIF as ImageMagick wrote it before PNG had a chunk for it: three lines of heading, then hex digits."""
    text = zlib.decompressobj().decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK)
    return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
