from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from components.core.data.hashing import sha256_hex
from components.image_ingest.checks.verify import Rejection, Stored, pixel_digest, sniff, verify
from components.image_ingest.config import Config
from components.image_ingest.entry import Reason

CONFIG = Config()


def stored(data: bytes, config: Config = CONFIG) -> Stored:
    outcome = verify(data, config)
    assert isinstance(outcome, Stored), outcome
    assert outcome.image_id == sha256_hex(outcome.data)
    with Image.open(io.BytesIO(outcome.data)) as image:
        assert image.format == outcome.format
        assert image.size == (outcome.width, outcome.height)
        assert not image.getexif()
    return outcome


def reason(data: bytes, config: Config = CONFIG) -> Reason:
    outcome = verify(data, config)
    assert isinstance(outcome, Rejection), outcome
    return outcome.reason


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_clean_file_is_stored_byte_for_byte(photograph, encode, image_format) -> None:
    data = encode(photograph, image_format)
    result = stored(data)
    assert result.data == data
    assert not result.changed


@pytest.mark.parametrize("image_format", ["BMP", "TIFF"])
def test_formats_that_model_servers_do_not_take_become_png_without_loss(
    photograph, encode, image_format
) -> None:
    result = stored(encode(photograph, image_format))
    assert result.format == "PNG"
    assert (pixels(result.data) == np.asarray(photograph)).all()


def test_exif_orientation_is_applied(photograph, encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    result = stored(encode(photograph, "JPEG", quality=95, exif=exif))
    assert (result.width, result.height) == photograph.size[::-1]
    expected = np.asarray(photograph.rotate(-90, expand=True)).astype(int)
    assert np.abs(pixels(result.data) - expected).mean() < 3


def test_metadata_goes_and_the_compressed_pixels_stay(photograph, encode) -> None:
    exif = Image.Exif()
    exif[0x010E] = "description"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    data = encode(photograph, "JPEG", exif=exif, comment=b"a comment")
    result = stored(data)
    assert result.changed
    assert result.data == encode(photograph, "JPEG")
    assert b"comment" not in result.data


def test_large_pictures_are_scaled_to_the_bound(encode) -> None:
    wide = Image.effect_noise((3000, 1500), 40).convert("RGB")
    result = stored(encode(wide, "JPEG"), Config(max_side_px=512))
    assert (result.width, result.height, result.format) == (512, 256, "JPEG")


def test_transparency_is_flattened_onto_white(encode) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert (pixels(stored(encode(clear, "PNG")).data) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "I;16"])
def test_every_mode_ends_as_eight_bit_colour_or_grey(photograph, encode, mode) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photograph.convert("L")).astype(np.uint16) * 257)
    else:
        image = photograph.convert(mode)
    data = stored(encode(image, "JPEG" if mode == "CMYK" else "PNG")).data
    with Image.open(io.BytesIO(data)) as result:
        assert result.mode in ("RGB", "L")
        small = np.asarray(result.convert("L").resize((30, 20), Image.Resampling.BOX)).astype(int)
    expected = np.asarray(photograph.convert("L").resize((30, 20), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - expected).mean() < 6


def test_sixteen_bits_are_scaled_not_cut(encode) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    values = pixels(stored(encode(Image.fromarray(ramp), "PNG")).data)
    assert values.min() == 0
    assert values.max() == 255
    assert abs(values.mean() - 127.5) < 2


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated(photograph, encode, image_format, share) -> None:
    data = encode(photograph, image_format)
    assert reason(data[: int(len(data) * share)]) is Reason.TRUNCATED


@pytest.mark.parametrize("progressive", [False, True])
def test_a_reduced_decode_finds_the_damage_that_a_full_one_finds(photograph, encode, progressive) -> None:
    """Random damage to a JPEG: a stored picture decodes in full, any other is refused."""
    clean = encode(photograph.resize((160, 120)), "JPEG", quality=80, progressive=progressive)
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(150):
        data = bytearray(clean)
        for _ in range(rng.integers(1, 12)):
            data[rng.integers(2, len(data))] = rng.integers(0, 256)
        del data[rng.integers(len(data) // 2, 2 * len(data)) :]
        try:
            with Image.open(io.BytesIO(data), formats=CONFIG.formats) as image:
                image.load()
            whole = True
        except (OSError, SyntaxError, ValueError):
            whole = False
        outcome = verify(bytes(data), CONFIG)
        refused += isinstance(outcome, Rejection)
        assert isinstance(outcome, Stored) is whole
    assert 20 < refused < 140


def test_empty_file() -> None:
    assert reason(b"") is Reason.EMPTY_FILE


@pytest.mark.parametrize("data", [b"PK\x03\x04 a zip named .jpg", b"plain text", b"\x7fELF", b"<svg></svg>"])
def test_renamed_files_are_not_images(data) -> None:
    assert reason(data) is Reason.NOT_AN_IMAGE


def test_formats_outside_the_list_are_refused(photograph, encode) -> None:
    assert reason(encode(photograph, "GIF")) is Reason.UNSUPPORTED_FORMAT
    assert reason(encode(photograph, "TIFF"), Config(formats=("JPEG",))) is Reason.UNSUPPORTED_FORMAT


def test_damage_inside_a_whole_file(photograph, encode) -> None:
    data = bytearray(encode(photograph, "PNG"))
    middle = data.index(b"IDAT") + 200
    data[middle : middle + 400] = bytes(400)
    assert reason(bytes(data)) is Reason.UNREADABLE


def test_too_many_bytes(photograph, encode) -> None:
    assert reason(encode(photograph, "BMP"), Config(max_file_bytes=1000)) is Reason.TOO_LARGE_FILE


def test_too_small(encode) -> None:
    assert reason(encode(Image.new("RGB", (31, 300)), "PNG")) is Reason.TOO_SMALL
    sliver = Image.new("RGB", (9000, 100))  # 2048x23 after scaling
    assert reason(encode(sliver, "PNG")) is Reason.TOO_SMALL


def bomb(side: int) -> bytes:
    """A PNG header that announces side x side pixels, with a few bytes of data behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "side", [8_001, 12_000, 60_000]
)  # above the limit, warned of by Pillow, refused by Pillow
def test_decompression_bombs_are_refused_from_the_header(side) -> None:
    assert reason(bomb(side)) is Reason.TOO_MANY_PIXELS


def test_the_pixel_limit_may_be_raised_above_pillows(encode) -> None:
    big = encode(Image.new("L", (10_000, 9_000)), "PNG")  # 90 million: Pillow's default warns from 89.5 on
    assert stored(big, Config(max_pixels=100_000_000, max_side_px=64)).width == 64


def test_pixel_digest_knows_the_picture_not_the_encoding(photograph, encode) -> None:
    png, bmp = (stored(encode(photograph, kind)) for kind in ("PNG", "BMP"))
    assert pixel_digest(png.pixels) == pixel_digest(bmp.pixels)
    assert pixel_digest(png.pixels) != pixel_digest(photograph.transpose(Image.Transpose.ROTATE_90))


def test_sniff() -> None:
    assert sniff(b"\xff\xd8\xff\xe0abc") == "JPEG"
    assert sniff(b"RIFF\0\0\0\0WEBPVP8 ") == "WEBP"
    assert sniff(b"\0\0\0\x20ftypheic") == "HEIC"
    assert sniff(b"hello") is None
