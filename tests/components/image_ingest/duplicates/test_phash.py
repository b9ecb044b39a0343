from __future__ import annotations

import io

import numpy as np
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageEnhance

from components.image_ingest.duplicates.near_duplicates import hamming
from components.image_ingest.duplicates.phash import luminance_thumbnail, phash, to_signed, to_unsigned


def reference(thumbnail: np.ndarray) -> int:
    """The hash by SciPy's DCT, one bit at a time."""
    low = scipy.fft.dctn(thumbnail.astype(float), type=2)[:8, :8].ravel()
    bits = "".join("1" if value > np.median(low) else "0" for value in low)
    return int(bits, 2)


def of(image: Image.Image) -> np.ndarray:
    return phash(luminance_thumbnail(image)[None])


def test_equals_the_definition_by_scipy(photograph) -> None:
    crops = [photograph.crop((x, 0, x + 200, 200)) for x in range(0, 240, 40)]
    thumbnails = np.stack([luminance_thumbnail(crop) for crop in crops])
    assert phash(thumbnails).tolist() == [reference(thumbnail) for thumbnail in thumbnails]


def test_half_of_the_bits_are_set(photograph) -> None:
    assert int(np.bitwise_count(of(photograph))[0]) == 32  # above the median of 64 distinct values


def test_the_same_picture_in_another_form_is_near_and_another_picture_is_far(photograph) -> None:
    buffer = io.BytesIO()
    photograph.resize((300, 200)).save(buffer, "JPEG", quality=60)
    again = Image.open(buffer)
    brighter = ImageEnhance.Brightness(photograph).enhance(1.1)
    assert hamming(of(photograph), of(again))[0] <= 4
    assert hamming(of(photograph), of(brighter))[0] <= 4
    assert hamming(of(photograph), of(photograph.rotate(180)))[0] > 16


@given(hnp.arrays(np.uint64, st.integers(0, 20)))
def test_signed_form_keeps_every_bit(hashes) -> None:
    assert to_signed(hashes).dtype == np.int64
    assert (to_unsigned(to_signed(hashes)) == hashes).all()
