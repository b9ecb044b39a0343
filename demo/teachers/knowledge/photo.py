"""Honest facts about any photograph, measured from its pixels: colours, brightness, orientation, detail."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "grey", "black", "white")
QUARTERS = ("upper left", "upper right", "lower left", "lower right")
_SIDE_PX = 64
_PRESENT_SHARE = 0.05


@dataclass(frozen=True)
class Photo:
    """Measurements of one picture. Shares and means are in [0, 1]."""

    width: int
    height: int
    brightness: float
    contrast: float
    saturation: float
    detail: float
    """Mean absolute difference of neighbouring pixels, 0.1 is busy."""
    colour_shares: tuple[float, ...]
    """By `COLOURS`."""
    quarter_colours: tuple[str, ...]
    """Most frequent colour by `QUARTERS`."""
    quarter_detail: tuple[float, ...]
    halves: tuple[float, float, float, float]
    """Brightness of the left, right, upper and lower half."""
    centre: float
    """Brightness of the middle ninth."""

    @property
    def orientation(self) -> str:
        """landscape, portrait or square (within 5 %)."""
        ratio = self.width / self.height
        return "square" if 0.95 <= ratio <= 1.05 else "landscape" if ratio > 1 else "portrait"

    @property
    def colours(self) -> tuple[str, ...]:
        """Colours that cover a visible part of the picture, most frequent first."""
        order = sorted(range(len(COLOURS)), key=lambda i: -self.colour_shares[i])
        return tuple(COLOURS[i] for i in order if self.colour_shares[i] >= _PRESENT_SHARE)

    @property
    def dominant(self) -> str:
        """The most frequent colour."""
        return COLOURS[int(np.argmax(self.colour_shares))]


def measure(image: bytes) -> Photo:
    """Decode and measure.

    Raises:
        PIL.UnidentifiedImageError: the bytes are no picture.
    """
    with Image.open(io.BytesIO(image)) as picture:
        width, height = picture.size
        small = picture.convert("RGB").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    rgb = np.asarray(small, dtype=np.float32) / 255
    grey = rgb.mean(axis=2)
    names = _name_colours(rgb)
    edges = np.zeros_like(grey)
    edges[:, 1:] += np.abs(np.diff(grey, axis=1)) / 2
    edges[1:, :] += np.abs(np.diff(grey, axis=0)) / 2
    half, third = _SIDE_PX // 2, _SIDE_PX // 3
    quarters = [(slice(0, half), slice(0, half)), (slice(0, half), slice(half, None)),
                (slice(half, None), slice(0, half)), (slice(half, None), slice(half, None))]  # fmt: skip
    return Photo(
        width=width,
        height=height,
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        saturation=float((rgb.max(axis=2) - rgb.min(axis=2)).mean()),
        detail=float(edges.mean()),
        colour_shares=tuple(
            float(x) for x in np.bincount(names.ravel(), minlength=len(COLOURS)) / names.size
        ),
        quarter_colours=tuple(COLOURS[int(np.bincount(names[q].ravel()).argmax())] for q in quarters),
        quarter_detail=tuple(float(edges[q].mean()) for q in quarters),
        halves=(
            float(grey[:, :half].mean()),
            float(grey[:, half:].mean()),
            float(grey[:half].mean()),
            float(grey[half:].mean()),
        ),
        centre=float(grey[third : 2 * third, third : 2 * third].mean()),
    )


def _name_colours(rgb: np.ndarray) -> np.ndarray:
    """Index into `COLOURS` for every pixel, from hue, saturation and value."""
    value, low = rgb.max(axis=2), rgb.min(axis=2)
    chroma = value - low
    saturation = chroma / np.maximum(value, 1e-6)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    safe = np.maximum(chroma, 1e-6)
    hue = (
        np.where(
            value == r, ((g - b) / safe) % 6, np.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
        )
        * 60
    )
    index = np.select(
        [hue < 15, hue < 45, hue < 70, hue < 170, hue < 260, hue < 330], [0, 1, 2, 3, 4, 5], default=0
    )
    index = np.where((index == 1) & (value < 0.6), COLOURS.index("brown"), index)
    plain = saturation < 0.18
    index = np.where(plain, COLOURS.index("grey"), index)
    index = np.where(plain & (value > 0.85), COLOURS.index("white"), index)
    return np.where(value < 0.15, COLOURS.index("black"), index)
