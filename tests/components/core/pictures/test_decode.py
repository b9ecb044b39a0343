"""Pictures are read in one way: transparency, depths, palettes, CMYK, orientation, animation, metadata."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from components.core.pictures import UnreadablePicture, check_whole, decode, header_size, sendable

COMPONENTS = Path(__file__).parents[4] / "components"
RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def half_transparent(mode: str) -> Image.Image:
    """40 x 20 px: the left half opaque black, the right half transparent, its hidden colour black."""
    image = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 20, 20))
    return image.convert(mode)


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (40, 20), 0)
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.paste(1, (20, 0, 40, 20))
    return image


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "RGBA PNG": lambda: encoded(half_transparent("RGBA"), "PNG"),
    "grey PNG with alpha": lambda: encoded(half_transparent("LA"), "PNG"),
    "palette PNG": lambda: encoded(palette_with_transparency(), "PNG", transparency=1),
    "palette PNG with bytes": lambda: encoded(palette_with_transparency(), "PNG", transparency=b"\xff\x00"),
    "WebP": lambda: encoded(half_transparent("RGBA"), "WEBP", lossless=True),
    "TIFF": lambda: encoded(half_transparent("RGBA"), "TIFF"),
    "GIF": lambda: encoded(palette_with_transparency(), "GIF", transparency=1),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_parts_are_white(name: str) -> None:
    shown = decode(TRANSPARENT[name]())
    assert (shown.mode, shown.size) == ("RGB", (40, 20))
    assert (shown.getpixel((5, 5)), shown.getpixel((35, 5))) == (BLACK, WHITE)


def test_a_transparent_colour_of_an_opaque_mode_is_white() -> None:
    image = Image.new("RGB", (40, 20), (9, 9, 9))
    image.paste((7, 7, 7), (20, 0, 40, 20))
    shown = decode(encoded(image, "PNG", transparency=(7, 7, 7)))
    assert (shown.getpixel((5, 5)), shown.getpixel((35, 5))) == ((9, 9, 9), WHITE)
    grey = decode(encoded(image.convert("L"), "PNG", transparency=7))
    assert (grey.getpixel((5, 5)), grey.getpixel((35, 5))) == ((9, 9, 9), WHITE)


def test_deep_grey_keeps_its_scale_and_floats_are_stretched() -> None:
    ramp = np.tile(np.array([0, 128 * 257, 65535], np.uint16), (3, 1))
    sixteen = decode(encoded(Image.fromarray(ramp), "PNG"))
    assert [sixteen.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    tiff = decode(encoded(Image.fromarray(ramp), "TIFF"))
    assert [tiff.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    floats = np.tile(np.array([-1.0, 0.0, 1.0], np.float32), (3, 1))
    assert [decode(encoded(Image.fromarray(floats), "TIFF")).getpixel((x, 0))[0] for x in range(3)] == [
        0,
        127,
        255,
    ]


def test_floats_that_are_no_numbers_do_not_spoil_the_rest() -> None:
    floats = np.tile(np.array([np.nan, np.inf, 2.0, 4.0], np.float32), (3, 1))
    shown = decode(encoded(Image.fromarray(floats), "TIFF"))
    assert [shown.getpixel((x, 0))[0] for x in range(4)] == [0, 0, 0, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "RGBA", "I", "F", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    white = Image.new("RGB", (40, 20), WHITE)
    made = {
        "I;16": lambda: Image.fromarray(np.full((20, 40), 65535, np.uint16)),
        "LAB": lambda: Image.new("LAB", (40, 20)),
        "I": lambda: white.convert("L").convert("I"),
        "F": lambda: white.convert("L").convert("F"),
    }
    image = made[mode]() if mode in made else white.convert(mode)
    shown = decode(image)
    assert (shown.mode, shown.size) == ("RGB", (40, 20))


def test_cmyk_colours() -> None:
    data = encoded(Image.new("CMYK", (40, 20), (0, 255, 255, 0)), "JPEG", quality=100, subsampling=0)
    assert np.abs(np.asarray(decode(data), np.int16) - RED).max() <= 4


def upper_left_red() -> Image.Image:
    image = Image.new("RGB", (48, 32), WHITE)
    image.paste(RED, (0, 0, 16, 16))
    return image


# EXIF orientation -> the corner in which the red square is shown, and whether width and height swap. Derived
# from CIPA DC-008: the value names what row 0 and column 0 of the stored pixels are.
CORNERS = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}


@pytest.mark.parametrize("turn", CORNERS)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turns_and_the_header_tells_the_turned_size(image_format: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(upper_left_red(), image_format, exif=exif, **options)
    shown = decode(data)
    assert header_size(data) == shown.size == ((32, 48) if turn > 4 else (48, 32))
    right, lower = CORNERS[turn]
    x, y = (shown.width - 4 if right else 4), (shown.height - 4 if lower else 4)
    assert np.abs(np.array(shown.getpixel((x, y))) - RED).max() < 30


def png_with(*chunks: tuple[bytes, bytes], before: bytes = b"IDAT", sound: bool = True) -> bytes:
    """A PNG with chunks put in before the first `before`."""
    data = encoded(upper_left_red(), "PNG")
    at = data.index(before) - 4
    made = b""
    for kind, body in chunks:
        crc = zlib.crc32(kind + body) if sound else 0
        made += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return data[:at] + made + data[at:]


def webp_with(kind: bytes, body: bytes, flag: int) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "x"
    data = encoded(upper_left_red(), "WEBP", lossless=True, exif=exif)
    at = data.index(b"EXIF", 20)
    chunk = kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)
    made = data[12:at] + chunk
    made = made[:8] + bytes([flag]) + made[9:]
    return b"RIFF" + struct.pack("<I", len(made) + 4) + b"WEBP" + made


def jpeg_with(marker: int, body: bytes) -> bytes:
    data = encoded(upper_left_red(), "JPEG", quality=95)
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def test_orientation_behind_the_pixels_of_a_png_is_the_same_in_header_and_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png_with((b"eXIf", exif.tobytes()[6:]), before=b"IEND")
    assert header_size(data) == decode(data).size == (32, 48)


HUGE = b"x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1)
BAD_METADATA: dict[str, Callable[[], bytes]] = {
    "PNG, EXIF that is none": lambda: png_with((b"eXIf", b"garbage")),
    "PNG, EXIF with a wild offset": lambda: png_with((b"eXIf", b"II*\0\xff\xff\xff\x7f")),
    "PNG, EXIF of no bytes": lambda: png_with((b"eXIf", b"")),
    "PNG, large compressed text": lambda: png_with((b"zTXt", b"Comment\0\0" + zlib.compress(HUGE))),
    "PNG, large international text": lambda: png_with((b"iTXt", b"C\0\1\0\0\0" + zlib.compress(HUGE))),
    "PNG, large text behind the pixels": lambda: png_with(
        (b"zTXt", b"Comment\0\0" + zlib.compress(HUGE)), before=b"IEND"
    ),
    "PNG, large ICC profile": lambda: png_with((b"iCCP", b"icc\0\0" + zlib.compress(HUGE))),
    "PNG, ICC profile that does not unfold": lambda: png_with((b"iCCP", b"icc\0\0notzlib")),
    "PNG, damaged text": lambda: png_with((b"tEXt", b"Comment\0hello"), sound=False),
    "PNG, short gamma": lambda: png_with((b"gAMA", b"\0")),
    "PNG, short density": lambda: png_with((b"pHYs", b"\0\0")),
    "PNG, raw profile that is none": lambda: png_with(
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nzz"))
    ),
    "WebP, EXIF that is none": lambda: webp_with(b"EXIF", b"garbage", 0x08),
    "WebP, EXIF with a wild offset": lambda: webp_with(b"EXIF", b"II*\0\xff\xff\xff\x7f", 0x08),
    "WebP, large XMP": lambda: webp_with(b"XMP ", HUGE * 4, 0x04),
    "JPEG, EXIF that is none": lambda: jpeg_with(0xE1, b"Exif\0\0garbage"),
    "JPEG, EXIF with a wild offset": lambda: jpeg_with(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f"),
    "JPEG, multi-picture index that is none": lambda: jpeg_with(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
    "JPEG, IPTC that is none": lambda: jpeg_with(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
    "JPEG, ICC without its parts": lambda: jpeg_with(0xE2, b"ICC_PROFILE\0\x05\x09" + b"y" * 64),
}


@pytest.mark.parametrize("name", BAD_METADATA)
def test_bad_metadata_never_costs_the_picture(name: str) -> None:
    data = BAD_METADATA[name]()
    check_whole(data)
    assert header_size(data) == (48, 32)
    assert np.abs(np.array(decode(data).getpixel((4, 4))) - RED).max() < 30


def test_the_first_picture_of_an_animation_is_shown() -> None:
    frames = [Image.new("RGB", (40, 20), colour) for colour in (RED, WHITE)]
    for image_format in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        assert np.abs(np.array(decode(data).getpixel((5, 5))) - RED).max() < 30, image_format


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_a_cut_file_is_told(image_format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encoded(noise, image_format)
    for damaged in (data[: len(data) * 2 // 3], b"", b"no picture at all"):
        for read in (decode, check_whole):
            with pytest.raises(UnreadablePicture):
                read(damaged)


def test_servers_are_sent_plain_pictures_as_they_are_and_others_decoded() -> None:
    for image_format in ("JPEG", "PNG", "WEBP"):
        plain = encoded(upper_left_red(), image_format)
        assert sendable(plain) is plain
    exif = Image.Exif()
    exif[0x0112] = 6
    others = [make() for make in TRANSPARENT.values()]
    others += [encoded(upper_left_red(), "BMP"), encoded(upper_left_red(), "JPEG", exif=exif)]
    for data in others:
        sent = Image.open(io.BytesIO(sendable(data)))
        assert (sent.format, sent.mode) == ("PNG", "RGB")
        assert (np.asarray(sent) == np.asarray(decode(data))).all()


def test_no_stage_opens_pictures_in_another_way() -> None:
    found = [
        path.relative_to(COMPONENTS).as_posix()
        for path in COMPONENTS.rglob("*.py")
        if "Image.open(" in path.read_text(encoding="utf-8")
    ]
    assert found == ["core/pictures/decode.py"]
