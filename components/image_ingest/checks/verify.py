"""Decode a file's bytes and bring the picture into stored form, or say why it is refused."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from components.core.data.hashing import sha256_hex
from components.core.pictures.decode import flatten, is_flat, open_picture, orientation, upright, upright_size
from components.core.pictures.metadata import strip_metadata
from components.image_ingest.config import Config
from components.image_ingest.duplicates.phash import THUMBNAIL_PX, luminance_thumbnail
from components.image_ingest.entry import Reason, Rejection

_STORED_AS_IS = ("JPEG", "PNG", "WEBP")
_HEAD_BYTES = 16
_DRAFT_PX = 2 * THUMBNAIL_PX  # a reduced decode stays at least this large on each side
_NAMES = {
    b"GIF8": "GIF",
    b"8BPS": "PSD",
    b"\0\0\1\0": "ICO",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL": "JPEG XL",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"%PDF": "PDF",
    b"DDS ": "DDS",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIF",
    b"hevc": "HEIC",
}


@dataclass(frozen=True)
class Stored:
    """An image as the run keeps it."""

    image_id: str
    """SHA-256 of `data`."""
    data: bytes
    """Encoded picture."""
    changed: bool
    """Whether `data` differs from the file's bytes."""
    format: str
    width: int
    height: int
    thumbnail: np.ndarray
    """(32, 32) uint8 luminance, for the perceptual hash."""
    decoded: Image.Image | None
    """The picture, upright and bounded, where its pixels had to be made."""

    @property
    def pixels(self) -> Image.Image:
        """The decoded picture in stored form."""
        if self.decoded is not None:
            return self.decoded
        with open_picture(self.data) as image:
            image.load()
        return image


def verify(data: bytes, config: Config) -> Stored | Rejection:
    """Decode every pixel of a file and bring it into stored form.

    The picture is turned upright (EXIF orientation), scaled to `max_side_px`, flattened onto white where it
    is transparent, and freed of metadata. If only metadata is removed, the compressed pixels stay byte for
    byte. If nothing has to change, the stored bytes are the file's.
    """
    if not data:
        return Rejection(Reason.EMPTY_FILE, "0 bytes")
    if rejection := too_large(len(data), config):
        return rejection
    Image.MAX_IMAGE_PIXELS = config.max_pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with open_picture(data, config.formats) as image:
                return _out_of_bounds(*upright_size(image), config) or _store(image, data, config)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            return Rejection(Reason.TOO_MANY_PIXELS, str(error))
        except UnidentifiedImageError:
            return _unidentified(data, config)
        except Exception as error:  # noqa: BLE001 - damage raises nearly anything; one file must not stop a run
            return Rejection(_damage(data, error), f"{type(error).__name__}: {error}"[:300])


def too_large(size: int, config: Config) -> Rejection | None:
    """Why a file of `size` bytes is refused, None if it is not."""
    limit = config.max_file_bytes
    return Rejection(Reason.TOO_LARGE_FILE, f"{size} bytes, limit {limit}") if size > limit else None


def _out_of_bounds(width: int, height: int, config: Config) -> Rejection | None:
    if width * height > config.max_pixels:
        return Rejection(Reason.TOO_MANY_PIXELS, f"{width}x{height}, limit {config.max_pixels} pixels")
    scale = min(1.0, config.max_side_px / max(width, height))
    if max(1, round(min(width, height) * scale)) < config.min_side_px:
        return Rejection(Reason.TOO_SMALL, f"{width}x{height}, shorter side below {config.min_side_px}")
    return None


def _store(image: Image.Image, data: bytes, config: Config) -> Stored:
    # MPO: a JPEG with more pictures behind it
    jpeg = image.format in ("JPEG", "MPO")
    size, side = image.size, config.max_side_px
    oversize = max(size) > side
    turned = orientation(image) != 1
    stored = None
    if _is_plain(image) and not turned and not oversize:
        stored = strip_metadata(data, str(image.format))
    if stored is not None and jpeg:
        # Every fault of a JPEG's scans shows in their entropy decoding, which a reduced decode does to the
        # last bit too. It leaves out the inverse transforms at full size and colour, which take any input.
        image.draft("L", (_DRAFT_PX, _DRAFT_PX))
    elif oversize and jpeg:
        image.draft(None, (side, side))
    image.load()
    if stored is not None:
        changed, thumbnail = stored is not data, luminance_thumbnail(image)
        decoded = None if jpeg else image
        return Stored(sha256_hex(stored), stored, changed, str(image.format), *size, thumbnail, decoded)
    flat = flatten(upright(image))
    if oversize:
        flat.thumbnail((side, side), Image.Resampling.LANCZOS)
    stored_format = "JPEG" if jpeg else "PNG"
    stored = _encode(flat, stored_format, image.info.get("icc_profile"), config.jpeg_quality)
    thumbnail = luminance_thumbnail(flat)
    return Stored(sha256_hex(stored), stored, True, stored_format, *flat.size, thumbnail, flat)


def _is_plain(image: Image.Image) -> bool:
    """Whether a picture can be stored as it came: one opaque frame, 8-bit colour or grey, a served format."""
    single = getattr(image, "n_frames", 1) == 1
    return single and image.format in _STORED_AS_IS and is_flat(image)


def _encode(image: Image.Image, image_format: str, icc_profile: bytes | None, jpeg_quality: int) -> bytes:
    buffer = io.BytesIO()
    clean = Image.frombytes(image.mode, image.size, image.tobytes())  # without the file's info dictionary
    # A profile describes the source's colour space; after a change of mode it would be a wrong one.
    profile = icc_profile if icc_profile and image.mode == "RGB" and icc_profile[16:20] == b"RGB " else None
    jpeg = {"quality": jpeg_quality, "subsampling": 0}
    options = jpeg if image_format == "JPEG" else {"compress_level": 6}
    clean.save(buffer, image_format, icc_profile=profile, **options)
    return buffer.getvalue()


def pixel_digest(image: Image.Image) -> str:
    """SHA-256 of size and RGB pixels: equal for equal pictures in whatever encoding."""
    return sha256_hex(f"{image.width}x{image.height}:".encode() + image.convert("RGB").tobytes())


def sniff(data: bytes) -> str | None:
    """Name of the image format that the first bytes announce, None where they announce none."""
    head = data[:_HEAD_BYTES]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((name for magic, name in _NAMES.items() if head.startswith(magic)), None)


def _unidentified(data: bytes, config: Config) -> Rejection:
    name = sniff(data)
    if name is None:
        return Rejection(Reason.NOT_AN_IMAGE, f"starts with {data[:8].hex()}")
    if name not in config.formats:
        return Rejection(Reason.UNSUPPORTED_FORMAT, f"{name}; accepted: {', '.join(config.formats)}")
    return Rejection(_damage(data, None), f"{name} header that cannot be read")


def _damage(data: bytes, error: Exception | None) -> Reason:
    """Whether a file that does not decode stops short or is broken inside."""
    ends = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
    name = sniff(data)
    if name in ends:
        cut = ends[name] not in data[-4096:]
    elif name == "WEBP":
        cut = int.from_bytes(data[4:8], "little") + 8 > len(data)
    elif name == "BMP":
        cut = int.from_bytes(data[2:6], "little") > len(data)
    else:
        cut = "truncat" in str(error).lower() or "not enough" in str(error).lower()
    return Reason.TRUNCATED if cut else Reason.UNREADABLE
