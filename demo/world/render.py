"""Draw a scene as a small RGB picture. The same scene always gives the same pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from demo.world.scene import FUEL_LEVELS, TEMPERATURES, Light, Scene

SIZE_PX = 128
LIGHT_PX = 27
SCALE = 2
"""Pictures are drawn this many times larger and averaged down, which smooths the icons' edges."""

RGB = {"red": (235, 40, 40), "amber": (250, 160, 10), "green": (40, 210, 80), "blue": (60, 120, 250)}
BAR_RGB = {**RGB, "white": (235, 238, 240)}
THEMES = ((14, 16, 22), (28, 22, 18), (10, 26, 28), (34, 34, 40))
INK = (235, 238, 240)
DIM = (84, 88, 98)
FAINT = (140, 144, 152)

ROW_TOP_PX = {"top": 3, "bottom": 98}
COLUMN_LEFT_PX = tuple(3 + 32 * c for c in range(4))
FUEL_BAR = dict(
    zip(FUEL_LEVELS, ((0.12, "red"), (0.3, "amber"), (0.58, "white"), (1.0, "green")), strict=True)
)
TEMPERATURE_BAR = dict(zip(TEMPERATURES, ((0.2, "blue"), (0.55, "white"), (1.0, "red")), strict=True))
"""How far a gauge is filled, and in which colour: it warns as well."""

Pen = ImageDraw.ImageDraw
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


@lru_cache
def _font(size_px: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size_px)


def _digit(pen: Pen, x: float, y: float, digit: int, width: float, height: float, colour: Colour) -> None:
    """Seven segments; coordinates in picture pixels."""
    t = width / 4
    middle = y + (height - t) / 2
    bars: dict[str, Box] = {
        "a": (x, y, x + width, y + t),
        "b": (x + width - t, y, x + width, y + height / 2),
        "c": (x + width - t, y + height / 2, x + width, y + height),
        "d": (x, y + height - t, x + width, y + height),
        "e": (x, y + height / 2, x + t, y + height),
        "f": (x, y, x + t, y + height / 2),
        "g": (x, middle, x + width, middle + t),
    }
    for name in SEGMENTS[digit]:
        left, top, right, bottom = (v * SCALE for v in bars[name])
        pen.rectangle((left, top, right - 1, bottom - 1), fill=colour)


def _icon(pen: Pen, light: Light, x: float, y: float, background: Colour) -> None:
    """One of the eight symbols, in a square of LIGHT_PX: plain shapes, whose meaning has to be known."""
    colour = RGB[light.colour]
    unit = LIGHT_PX * SCALE

    def at(*points: float) -> list[tuple[float, float]]:
        pairs = zip(points[::2], points[1::2], strict=True)
        return [(x * SCALE + px * unit, y * SCALE + py * unit) for px, py in pairs]

    def engine() -> None:  # a block
        pen.rectangle(at(0.08, 0.18, 0.92, 0.98), fill=colour)
        pen.rectangle(at(0.34, 0.02, 0.66, 0.12), fill=colour)

    def oil() -> None:  # a drop
        pen.polygon(at(0.5, 0.0, 0.84, 0.5, 0.5, 1.0, 0.16, 0.5), fill=colour)

    def battery() -> None:  # its positive pole
        pen.rectangle(at(0.36, 0.02, 0.64, 0.98), fill=colour)
        pen.rectangle(at(0.02, 0.36, 0.98, 0.64), fill=colour)

    def brake() -> None:  # a drum
        pen.ellipse(at(0.02, 0.02, 0.98, 0.98), outline=colour, width=round(unit * 0.2))
        pen.rectangle(at(0.44, 0.34, 0.56, 0.66), fill=colour)

    def door() -> None:  # it points to the side
        pen.rectangle(at(0.02, 0.36, 0.55, 0.64), fill=colour)
        pen.polygon(at(0.5, 0.08, 0.98, 0.5, 0.5, 0.92), fill=colour)

    def belt() -> None:  # a buckle
        pen.polygon(at(0.5, 0.02, 0.0, 0.96, 1.0, 0.96), fill=colour)

    def tyre() -> None:  # a wheel
        pen.ellipse(at(0.04, 0.04, 0.96, 0.96), fill=colour)

    def lamp() -> None:  # a reflector
        pen.ellipse(at(0.02, 0.02, 0.98, 0.98), fill=colour)
        pen.ellipse(at(0.36, 0.02, 1.32, 0.74), fill=background)

    draw: dict[str, Callable[[], None]] = {
        "engine": engine,
        "oil": oil,
        "battery": battery,
        "brake": brake,
        "door": door,
        "belt": belt,
        "tyre": tyre,
        "lamp": lamp,
    }
    draw[light.name]()


def _gauge(pen: Pen, x: float, bar: tuple[float, str], ticks: int) -> None:
    """A vertical bar between y 36 and 92, filled from below."""
    fill, colour = bar[0], BAR_RGB[bar[1]]
    top, bottom, width = 36.0, 92.0, 11.0
    pen.rectangle((x * SCALE, top * SCALE, (x + width) * SCALE, bottom * SCALE), outline=DIM, width=SCALE)
    level = bottom - fill * (bottom - top)
    pen.rectangle(
        ((x + 2) * SCALE, (level + 1) * SCALE, (x + width - 2) * SCALE, (bottom - 1) * SCALE), fill=colour
    )
    for tick in range(ticks + 1):
        y = bottom - tick * (bottom - top) / ticks
        pen.line(((x + width) * SCALE, y * SCALE, (x + width + 3) * SCALE, y * SCALE), fill=DIM, width=SCALE)


def render(scene: Scene) -> Image.Image:
    """Draw `scene` as an RGB picture of SIZE_PX × SIZE_PX."""
    picture = Image.new("RGB", (SIZE_PX * SCALE, SIZE_PX * SCALE), THEMES[scene.theme])
    pen = ImageDraw.Draw(picture)
    dx, dy = scene.shift_x, scene.shift_y

    pen.ellipse([v * SCALE for v in (24 + dx, 32 + dy, 104 + dx, 97 + dy)], outline=DIM, width=SCALE)
    digits = str(scene.speed)
    width, height, gap = 18, 30, 6
    left = 64 + dx - (len(digits) * width + (len(digits) - 1) * gap) / 2
    for i, digit in enumerate(digits):
        _digit(pen, left + i * (width + gap), 35 + dy, int(digit), width, height, INK)
    pen.text(
        ((64 + dx) * SCALE, (77 + dy) * SCALE),
        scene.gear,
        font=_font(28 * SCALE),
        fill=INK,
        anchor="mm",
        stroke_width=1,
    )
    _gauge(pen, 5 + dx, FUEL_BAR[scene.fuel], ticks=3)
    _gauge(pen, 109 + dx, TEMPERATURE_BAR[scene.temperature], ticks=2)
    if scene.odometer is not None:
        text = f"{scene.odometer:05d} km"
        pen.text(((64 + dx) * SCALE, (93 + dy) * SCALE), text, font=_font(8 * SCALE), fill=FAINT, anchor="mm")
    for light in scene.lights:
        _icon(pen, light, COLUMN_LEFT_PX[light.column] + dx, ROW_TOP_PX[light.row] + dy, THEMES[scene.theme])

    return picture.reduce(SCALE)


def png_bytes(picture: Image.Image) -> bytes:
    """Encode as PNG, without metadata: equal pixels give equal bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
