"""Draw a picture of the general task, and say what each place of it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.general.scene import (
    BACKGROUNDS,
    BULBS,
    CELL_PX,
    COLOURS,
    DIRECTIONS,
    LETTERS,
    SHAPES,
    SIZE_PX,
    GeneralScene,
    Shape,
    scans,
)

SCALE = 2
CHARACTER_PX = 32
DIAL_PX = 38
BULB_PX = 11
RGB = {
    "red": (225, 45, 45),
    "green": (45, 185, 75),
    "blue": (60, 110, 240),
    "yellow": (245, 225, 60),
    "white": (240, 240, 240),
    "orange": (245, 145, 30),
    "purple": (165, 80, 210),
}
INK = (225, 228, 232)
LIT, DARK = (250, 245, 190), (92, 92, 98)
OUTLINES = {
    "triangle": ((0.5, 0.0), (0.0, 1.0), (1.0, 1.0)),
    "diamond": ((0.5, 0.0), (0.82, 0.5), (0.5, 1.0), (0.18, 0.5)),
    "arrow": ((0.0, 0.35), (0.55, 0.35), (0.55, 0.08), (1.0, 0.5), (0.55, 0.92), (0.55, 0.65), (0.0, 0.65)),
    "star": ((0.5, 0.0), (0.62, 0.36), (1.0, 0.38), (0.7, 0.6), (0.81, 0.97),
             (0.5, 0.75), (0.19, 0.97), (0.3, 0.6), (0.0, 0.38), (0.38, 0.36)),
}  # fmt: skip
"""Corners of the shapes that are polygons, in a unit square."""
LABELS = ("", *"0123456789", *LETTERS, *SHAPES, *(f"hand {way}" for way in DIRECTIONS), "lit", "dark")
"""Everything that a patch can show; "" is the background."""


@dataclass(frozen=True)
class Box:
    """An object's place (px), index in LABELS (0 is nothing), and 1 + index in COLOURS (0 is none)."""

    left: float
    top: float
    right: float
    bottom: float
    label: int
    colour: int


@lru_cache
def _font(size_px: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size_px)


def _corner(shape: Shape) -> tuple[int, int]:
    return (
        1 + shape.column * CELL_PX + shape.shift_px[0],
        1 + shape.band * CELL_PX + shape.shift_px[1],
    )


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape, background: tuple[int, int, int]) -> None:
    colour = RGB[shape.colour]
    x, y = (value * SCALE for value in _corner(shape))
    s = shape.size_px * SCALE
    if shape.name == "circle":
        pen.ellipse((x, y, x + s, y + s), fill=colour)
    elif shape.name == "square":
        pen.rectangle((x, y, x + s, y + s), fill=colour)
    elif shape.name == "cross":
        pen.rectangle((x + s * 0.35, y, x + s * 0.65, y + s), fill=colour)
        pen.rectangle((x, y + s * 0.35, x + s, y + s * 0.65), fill=colour)
    elif shape.name == "ring":
        pen.ellipse((x, y, x + s, y + s), outline=colour, width=round(s * 0.2))
    elif shape.name == "moon":
        pen.ellipse((x, y, x + s, y + s), fill=colour)
        pen.ellipse((x + s * 0.34, y, x + s, y + s * 0.72), fill=background)
    else:
        pen.polygon([(x + px * s, y + py * s) for px, py in OUTLINES[shape.name]], fill=colour)


def _dial_box(column: int, band: int) -> tuple[int, int, int, int]:
    left, top = 2 + column * CELL_PX, 2 + band * CELL_PX
    return left, top, left + DIAL_PX, top + DIAL_PX


def _draw_dial(pen: ImageDraw.ImageDraw, column: int, band: int, direction: int) -> None:
    left, top, right, bottom = (value * SCALE for value in _dial_box(column, band))
    pen.ellipse((left, top, right, bottom), outline=INK, width=SCALE)
    x, y, reach = (left + right) / 2, (top + bottom) / 2, (right - left) * 0.42
    angle = math.tau * direction / len(DIRECTIONS)
    tip = (x + reach * math.sin(angle), y - reach * math.cos(angle))
    pen.line((x, y, *tip), fill=INK, width=4 * SCALE)
    pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=INK)


def _bulb_boxes(column: int, band: int) -> list[tuple[int, int, int, int]]:
    top = 16 + band * CELL_PX
    lefts = [3 + column * CELL_PX + place * (BULB_PX + 2) for place in range(len(BULBS))]
    return [(left, top, left + BULB_PX, top + BULB_PX) for left in lefts]


def render(scene: GeneralScene) -> Image.Image:
    """Draw `scene` as an RGB picture of SIZE_PX × SIZE_PX. The same scene always gives the same pixels."""
    background = BACKGROUNDS[scene.background]
    picture = Image.new("RGB", (SIZE_PX * SCALE, SIZE_PX * SCALE), background)
    pen = ImageDraw.Draw(picture)
    for shape in scene.shapes:
        _draw_shape(pen, shape, background)
    if scene.dial:
        _draw_dial(pen, *scene.dial)
    if scene.bulbs:
        column, band, lit = scene.bulbs
        for box, on in zip(_bulb_boxes(column, band), lit, strict=True):
            pen.ellipse([value * SCALE for value in box], fill=LIT if on else DARK)
    written = scene.written
    if written and not written.scans:
        for place, character in enumerate(written.text):
            x = (written.left_px + place * CHARACTER_PX + CHARACTER_PX / 2) * SCALE
            y = (written.top_px + CHARACTER_PX / 2) * SCALE
            pen.text((x, y), character, font=_font(28 * SCALE), fill=INK, anchor="mm", stroke_width=1)
    small = picture.reduce(SCALE)
    if not (written and written.scans):
        return small
    pixels = np.asarray(small, dtype=np.int16).copy()
    for place, row in enumerate(written.scans):
        scan = Image.fromarray((scans()[0][row] * (255 / 16)).astype(np.uint8)).resize(
            (CHARACTER_PX, CHARACTER_PX), Image.Resampling.BILINEAR
        )
        left = written.left_px + place * CHARACTER_PX
        window = pixels[written.top_px : written.top_px + CHARACTER_PX, left : left + CHARACTER_PX]
        height, width = window.shape[:2]
        np.maximum(window, np.asarray(scan, dtype=np.int16)[:height, :width, None], out=window)
    return Image.fromarray(pixels.astype(np.uint8))


def boxes(scene: GeneralScene) -> list[Box]:
    """The boxes of all objects of a picture."""
    found = []
    for shape in scene.shapes:
        left, top = _corner(shape)
        label, colour = LABELS.index(shape.name), 1 + COLOURS.index(shape.colour)
        found.append(Box(left, top, left + shape.size_px, top + shape.size_px, label, colour))
    if scene.dial:
        column, band, direction = scene.dial
        found.append(Box(*_dial_box(column, band), LABELS.index(f"hand {DIRECTIONS[direction]}"), 0))
    if scene.bulbs:
        column, band, lit = scene.bulbs
        for box, on in zip(_bulb_boxes(column, band), lit, strict=True):
            found.append(Box(*box, LABELS.index("lit" if on else "dark"), 0))
    if scene.written:
        top = scene.written.top_px
        for place, character in enumerate(scene.written.text):
            left = scene.written.left_px + place * CHARACTER_PX
            found.append(
                Box(left + 2, top, left + CHARACTER_PX - 2, top + CHARACTER_PX, LABELS.index(character), 0)
            )
    return found
