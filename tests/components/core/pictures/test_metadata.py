from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from components.core.pictures.metadata import strip_metadata


def exif() -> Image.Exif:
    value = Image.Exif()
    value[0x010E] = "SECRET"
    return value


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_pixels_and_colour_profile_stay_and_the_rest_goes(photograph, encode, image_format) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"exif": exif(), "icc_profile": profile}
    if image_format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", "SECRET")
        options["pnginfo"] = info
    else:
        options["xmp"] = b"<x>SECRET</x>"
    data = encode(photograph, image_format, **options)
    assert b"SECRET" in data
    stripped = strip_metadata(data, image_format)
    assert stripped is not None
    assert b"SECRET" not in stripped
    before, after = opened(data), opened(stripped)
    assert (np.asarray(before) == np.asarray(after)).all()
    assert after.info["icc_profile"] == profile
    assert not after.getexif()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_metadata_is_returned_itself(photograph, encode, image_format) -> None:
    data = encode(photograph, image_format)
    assert strip_metadata(data, image_format) is data


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
def test_every_kind_of_jpeg_scan_survives(photograph, encode, options) -> None:
    data = encode(photograph, "JPEG", comment=b"SECRET", **options)
    stripped = strip_metadata(data, "JPEG")
    assert b"SECRET" not in stripped
    assert (np.asarray(opened(data)) == np.asarray(opened(stripped))).all()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_bytes_after_the_picture_go(photograph, encode, image_format) -> None:
    data = encode(photograph, image_format)
    assert strip_metadata(data + b"appended archive", image_format) == data


def test_a_cmyk_jpeg_keeps_its_transform(photograph, encode) -> None:
    data = encode(photograph.convert("CMYK"), "JPEG", comment=b"SECRET")
    assert (np.asarray(opened(data)) == np.asarray(opened(strip_metadata(data, "JPEG")))).all()


def test_structures_that_are_not_understood_give_none() -> None:
    assert strip_metadata(b"\xff\xd8\xff", "JPEG") is None
    assert strip_metadata(b"\x89PNG\r\n\x1a\n\0\0", "PNG") is None
    assert strip_metadata(b"BM", "BMP") is None
