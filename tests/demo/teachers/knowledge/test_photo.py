from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from demo.teachers.knowledge.photo import measure


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def plain(colour: tuple[int, int, int], height: int = 60, width: int = 90) -> np.ndarray:
    return np.full((height, width, 3), colour)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((220, 20, 20), "red"),
        ((250, 150, 20), "orange"),
        ((240, 230, 30), "yellow"),
        ((30, 180, 40), "green"),
        ((30, 60, 220), "blue"),
        ((120, 70, 20), "brown"),
        ((128, 128, 128), "grey"),
        ((250, 250, 250), "white"),
        ((5, 5, 5), "black"),
    ],
)
def test_colours_have_their_names(rgb, name):
    photo = measure(encoded(plain(rgb)))
    assert photo.dominant == name and photo.colours == (name,)


@pytest.mark.parametrize(
    ("height", "width", "name"), [(60, 90, "landscape"), (90, 60, "portrait"), (61, 60, "square")]
)
def test_orientation(height, width, name):
    assert measure(encoded(plain((9, 9, 9), height, width))).orientation == name


def test_halves_and_quarters():
    pixels = plain((10, 10, 10), 64, 64)
    pixels[:32, 32:] = (30, 60, 220)
    photo = measure(encoded(pixels))
    left, right, upper, lower = photo.halves
    assert right > left and upper > lower
    assert photo.quarter_colours == ("black", "blue", "black", "black")


def test_a_checkerboard_has_more_detail_than_a_plain_picture():
    board = plain((0, 0, 0), 64, 64)
    board[::2, ::2] = 255
    assert measure(encoded(board)).detail > 0.1 > measure(encoded(plain((0, 0, 0)))).detail == 0
