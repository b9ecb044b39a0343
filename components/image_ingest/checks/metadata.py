"""Metadata removal (EXIF, XMP, IPTC, comments) that leaves the compressed pixels as they are, byte for byte.

Everything that a decoder needs for the right colours is kept: colour profile, gamma, Adobe transform,
transparency. Everything else is removed, thumbnails, text and bytes after the picture included.
"""

from __future__ import annotations

import struct

_JPEG_SOI, _JPEG_EOI, _JPEG_SOS = 0xD8, 0xD9, 0xDA
_JPEG_APP0, _JPEG_APP2, _JPEG_APP14, _JPEG_COM = 0xE0, 0xE2, 0xEE, 0xFE
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs".split())
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
    """Chunks: length, type, data, CRC (W3C PNG, 5.3). Unknown critical chunks must not be dropped."""
    out = [data[:8]]
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in _PNG_KEPT:
            out.append(data[at:end])
        elif not kind[0] & 0x20:
            return None
        at = end
        if kind == b"IEND":
            return b"".join(out)
    return None


def _strip_webp(data: bytes) -> bytes | None:
    """RIFF chunks, padded to even length; the VP8X header says which metadata follows."""
    size = struct.unpack_from("<I", data, 4)[0] + 8
    out = []
    at = 12
    while at < size:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + (length & 1)
        chunk = data[at:end]
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_FLAGS]) + chunk[9:]
        if kind not in _WEBP_DROPPED:
            out.append(chunk)
        at = end
    body = b"".join(out)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
