"""What a picture of the general task holds: written characters, coloured shapes, a dial, a row of bulbs.

Digits are the real scans inside scikit-learn (Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits",
UCI 1998) or printed; training and benchmark pictures use disjoint scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from sklearn.datasets import load_digits

Split = Literal["train", "test"]
Writing = Literal["scanned", "printed", "letters"]

SIZE_PX = 128
CELLS = 3
"""Cells along a side; an object fills one cell, what is written one or two."""
CELL_PX = 42
TEST_SHARE = 0.25

SHAPES = ("circle", "square", "triangle", "cross", "ring", "star", "diamond", "arrow", "moon")
COLOURS = ("red", "green", "blue", "yellow", "white", "orange", "purple")
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
"""Letters that a picture can show; those that look like digits are left out."""
DIRECTIONS = ("up", "upper right", "right", "lower right", "down", "lower left", "left", "upper left")
BULBS = ("left", "middle", "right")
BANDS = ("top", "middle", "bottom")
BACKGROUNDS = ((18, 20, 26), (40, 34, 30), (20, 38, 40), (52, 52, 60))


@dataclass(frozen=True)
class Shape:
    """One coloured shape; its place is a column (0 is the left end) and a band (0 is the top)."""

    name: str
    colour: str
    column: int
    band: int
    size_px: int
    shift_px: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Written:
    """One or two characters. `scans` index scikit-learn's digits and are empty for what is printed."""

    text: str
    scans: tuple[int, ...]
    left_px: int
    top_px: int

    @property
    def is_number(self) -> bool:
        """Whether digits are written."""
        return self.text.isdigit()


@dataclass(frozen=True)
class GeneralScene:
    """A picture's content. No two shapes have one name; dial and bulbs may be missing."""

    written: Written | None
    shapes: tuple[Shape, ...]
    dial: tuple[int, int, int] | None
    """Column, band, and index in DIRECTIONS of the hand."""
    bulbs: tuple[int, int, tuple[bool, ...]] | None
    """Column, band, and which bulbs are lit, from left to right."""
    background: int

    def shape(self, name: str) -> Shape | None:
        """The shape of this name, or None where there is none."""
        return next((shape for shape in self.shapes if shape.name == name), None)


@lru_cache
def scans() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: images (rows, 8, 8) from 0 to 16, and labels (rows,)."""
    data = load_digits()
    return data.images, data.target


@lru_cache
def scan_split(split: Split) -> tuple[int, ...]:
    """Row numbers of scikit-learn's digits that belong to a split."""
    order = np.random.default_rng(0).permutation(len(scans()[1]))
    tests = int(len(order) * TEST_SHARE)
    return tuple(int(i) for i in (order[:tests] if split == "test" else order[tests:]))


def _write(rng: np.random.Generator, split: Split, column: int, band: int, cells: int) -> Written:
    count = int(rng.integers(1, cells + 1))
    kind: Writing = ("scanned", "printed", "letters")[int(rng.choice(3, p=(0.45, 0.2, 0.35)))]
    rows: tuple[int, ...] = ()
    if kind == "scanned":
        pool = scan_split(split)
        rows = tuple(pool[int(i)] for i in rng.integers(len(pool), size=count))
        text = "".join(str(scans()[1][row]) for row in rows)
    elif kind == "printed":
        text = "".join(str(int(digit)) for digit in rng.integers(10, size=count))
    else:
        text = "".join(LETTERS[int(i)] for i in rng.integers(len(LETTERS), size=count))
    free = cells * CELL_PX - 32 * count
    return Written(
        text,
        rows,
        left_px=1 + column * CELL_PX + int(rng.integers(max(1, free))),
        top_px=1 + band * CELL_PX + int(rng.integers(10)),
    )


def sample_scene(rng: np.random.Generator, split: Split) -> GeneralScene:
    """Draw a picture's content, with scans from `split` only: one to four shapes, most often writing."""
    taken: set[tuple[int, int]] = set()
    written = None
    if rng.random() < 0.85:
        band, cells = int(rng.integers(CELLS)), int(rng.integers(1, 3))
        column = int(rng.integers(CELLS + 1 - cells))
        written = _write(rng, split, column, band, cells)
        taken |= {(column + i, band) for i in range(cells)}
    places = [(c, b) for c in range(CELLS) for b in range(CELLS) if (c, b) not in taken]
    order = [places[int(i)] for i in rng.permutation(len(places))]
    dial = (*order.pop(), int(rng.integers(len(DIRECTIONS)))) if rng.random() < 0.3 else None
    bulbs = None
    if rng.random() < 0.3:
        bulbs = (*order.pop(), tuple(bool(on) for on in rng.random(len(BULBS)) < 0.5))
    count = int(rng.integers(1, 5))
    names = rng.choice(len(SHAPES), size=count, replace=False)
    shapes = [
        Shape(
            name=SHAPES[int(name)],
            colour=COLOURS[int(rng.integers(len(COLOURS)))],
            column=column,
            band=band,
            size_px=(size := int(rng.integers(24, 37))),
            shift_px=(int(rng.integers(CELL_PX - size)), int(rng.integers(CELL_PX - size))),
        )
        for name, (column, band) in zip(names, order, strict=False)
    ]
    shapes.sort(key=lambda shape: (shape.column, shape.band))
    return GeneralScene(written, tuple(shapes), dial, bulbs, int(rng.integers(len(BACKGROUNDS))))
