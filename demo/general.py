"""The general task: handwritten digits (the real scans inside scikit-learn) and simple shapes in colours.

A picture shows a number of one or two scanned digits and one to three coloured shapes, in random places.
Training and benchmark pictures use disjoint scans (Alpaydin & Kaynak, "Optical Recognition of Handwritten
Digits", UCI 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

Split = Literal["train", "test"]

SIZE_PX = 128
SCALE = 2
DIGIT_PX = 32
TEST_SHARE = 0.25

SHAPES = ("circle", "square", "triangle", "cross", "ring", "star")
RGB = {
    "red": (225, 45, 45),
    "green": (45, 185, 75),
    "blue": (60, 110, 240),
    "yellow": (245, 215, 50),
    "white": (240, 240, 240),
}
COLOURS = tuple(RGB)
LABELS = ("", *"0123456789", *SHAPES)
"""Everything that a patch can show; "" is the background."""
OUTLINES = {
    "triangle": ((0.5, 0.0), (0.0, 1.0), (1.0, 1.0)),
    "star": ((0.5, 0.0), (0.62, 0.36), (1.0, 0.38), (0.7, 0.6), (0.81, 0.97),
             (0.5, 0.75), (0.19, 0.97), (0.3, 0.6), (0.0, 0.38), (0.38, 0.36)),
}  # fmt: skip
"""Corners of the shapes that are polygons, in a unit square."""
BACKGROUNDS = ((18, 20, 26), (40, 34, 30), (20, 38, 40), (52, 52, 60))
COLUMNS_PX = (4, 46, 88)
BANDS_PX = (4, 48, 92)


@dataclass(frozen=True)
class Shape:
    """One coloured shape; its place is a column (0 is the left end) and a band (0 is the top)."""

    name: str
    colour: str
    column: int
    band: int
    size_px: int


@dataclass(frozen=True)
class GeneralScene:
    """A picture of the general task. `digits` index scans; `shapes` go from left to right."""

    digits: tuple[int, ...]
    values: tuple[int, ...]
    digits_left_px: int
    digits_band: int
    shapes: tuple[Shape, ...]
    background: int

    @property
    def text(self) -> str:
        """The number that is written."""
        return "".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Box:
    """An object's place (px), index in LABELS (0 is nothing), and 1 + index in COLOURS (0 is none)."""

    left: float
    top: float
    right: float
    bottom: float
    label: int
    colour: int


@dataclass(frozen=True)
class GeneralQA:
    """A question about a picture of the general task, with its true answer."""

    question: str
    answer: str
    answer_type: str
    reasoning: str
    kind: str


@lru_cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.images, data.target


@lru_cache
def scan_split(split: Split) -> tuple[int, ...]:
    """Row numbers of scikit-learn's digits that belong to a split."""
    order = np.random.default_rng(0).permutation(len(_scans()[1]))
    tests = int(len(order) * TEST_SHARE)
    return tuple(int(i) for i in (order[:tests] if split == "test" else order[tests:]))


def sample_scene(rng: np.random.Generator, split: Split) -> GeneralScene:
    """Draw a picture's content, with digits from `split` only."""
    pool = scan_split(split)
    digits = tuple(pool[int(i)] for i in rng.integers(len(pool), size=int(rng.integers(1, 3))))
    band = int(rng.integers(3))
    left = int(rng.integers(2, SIZE_PX - DIGIT_PX * len(digits) - 1))
    count = int(rng.integers(1, 4))
    columns = sorted(int(c) for c in rng.choice(len(COLUMNS_PX), size=count, replace=False))
    names = rng.choice(len(SHAPES), size=count, replace=False)
    free = [b for b in range(3) if b != band]
    shapes = tuple(
        Shape(
            name=SHAPES[int(n)],
            colour=COLOURS[int(rng.integers(len(COLOURS)))],
            column=column,
            band=free[int(rng.integers(2))],
            size_px=int(rng.integers(26, 35)),
        )
        for n, column in zip(names, columns, strict=True)
    )
    return GeneralScene(
        digits=digits,
        values=tuple(int(_scans()[1][i]) for i in digits),
        digits_left_px=left,
        digits_band=band,
        shapes=shapes,
        background=int(rng.integers(len(BACKGROUNDS))),
    )


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape) -> None:
    colour = RGB[shape.colour]
    x, y = COLUMNS_PX[shape.column] * SCALE, BANDS_PX[shape.band] * SCALE
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
    else:
        pen.polygon([(x + px * s, y + py * s) for px, py in OUTLINES[shape.name]], fill=colour)


def render(scene: GeneralScene) -> Image.Image:
    """Draw `scene` as an RGB picture of SIZE_PX × SIZE_PX. The same scene always gives the same pixels."""
    picture = Image.new("RGB", (SIZE_PX * SCALE, SIZE_PX * SCALE), BACKGROUNDS[scene.background])
    pen = ImageDraw.Draw(picture)
    for shape in scene.shapes:
        _draw_shape(pen, shape)
    pixels = np.asarray(picture.reduce(SCALE), dtype=np.int16).copy()
    top = BANDS_PX[scene.digits_band]
    for place, row in enumerate(scene.digits):
        scan = Image.fromarray((_scans()[0][row] * (255 / 16)).astype(np.uint8)).resize(
            (DIGIT_PX, DIGIT_PX), Image.Resampling.BILINEAR
        )
        left = scene.digits_left_px + place * DIGIT_PX
        window = pixels[top : top + DIGIT_PX, left : left + DIGIT_PX]
        np.maximum(window, np.asarray(scan, dtype=np.int16)[:, :, None], out=window)
    return Image.fromarray(pixels.astype(np.uint8))


def boxes(scene: GeneralScene) -> list[Box]:
    """The boxes of all objects of a picture."""
    found = []
    for shape in scene.shapes:
        left, top = COLUMNS_PX[shape.column], BANDS_PX[shape.band]
        label, colour = LABELS.index(shape.name), 1 + COLOURS.index(shape.colour)
        found.append(Box(left, top, left + shape.size_px, top + shape.size_px, label, colour))
    top = BANDS_PX[scene.digits_band]
    for place, character in enumerate(scene.text):
        left = scene.digits_left_px + place * DIGIT_PX
        found.append(Box(left + 2, top, left + DIGIT_PX - 2, top + DIGIT_PX, LABELS.index(character), 0))
    return found


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _one(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def questions(scene: GeneralScene, rng: np.random.Generator) -> list[GeneralQA]:
    """Every question about the picture, in one wording each; yes/no questions are balanced."""
    shapes = scene.shapes
    names = [shape.name for shape in shapes]
    shown = "I see " + " and ".join(names) + "."
    asked = [
        GeneralQA(
            _one(rng, "What number is written?", "Read the number."), scene.text, "number", "", "number"
        ),
        GeneralQA(
            "What is the first digit?", scene.text[0], "number", f"The number is {scene.text}.", "digit"
        ),
        GeneralQA(
            "What is the last digit?", scene.text[-1], "number", f"The number is {scene.text}.", "digit"
        ),
        GeneralQA(
            _one(rng, "How many shapes are there?", "Count the shapes."),
            str(len(shapes)),
            "number",
            shown,
            "count",
        ),
    ]
    for end, shape in (("leftmost", shapes[0]), ("rightmost", shapes[-1])):
        asked.append(
            GeneralQA(
                f"Which shape is {end}?", shape.name, "span", f"The {end} shape is {shape.colour}.", "spatial"
            )
        )
    for shape in shapes:
        asked.append(
            GeneralQA(
                _one(rng, f"What colour is the {shape.name}?", f"What is the colour of the {shape.name}?"),
                shape.colour,
                "span",
                shown,
                "colour",
            )
        )
        if sum(other.colour == shape.colour for other in shapes) == 1:
            asked.append(GeneralQA(f"Which shape is {shape.colour}?", shape.name, "span", shown, "shape"))
    present = shapes[int(rng.integers(len(shapes)))]
    missing = [name for name in SHAPES if name not in names]
    absent = missing[int(rng.integers(len(missing)))]
    for name in (present.name, absent):
        question = _one(rng, f"Is there a {name}?", f"Do you see a {name}?")
        asked.append(GeneralQA(question, _yes(name in names), "yes_no", shown, "existence"))
    return asked


def facts(scene: GeneralScene, rng: np.random.Generator) -> str:
    """The picture in short statements, in random order: every one can only be completed by looking."""
    text, shapes = scene.text, scene.shapes
    names = [shape.name for shape in shapes]
    missing = [name for name in SHAPES if name not in names]
    said = [f"The number is {text}."]
    if len(text) > 1:
        said += [f"The first digit is {text[0]}.", f"The last digit is {text[-1]}."]
    for shape in shapes:
        said.append(f"The {shape.name} is {shape.colour}.")
        if sum(other.colour == shape.colour for other in shapes) == 1:
            said.append(f"The {shape.colour} shape is {shape.name}.")
    said += [f"The leftmost shape is {names[0]}.", f"The rightmost shape is {names[-1]}."]
    for name in (names[int(rng.integers(len(names)))], missing[int(rng.integers(len(missing)))]):
        said.append(f"Is there a {name}? {_yes(name in names)}.")
    return " ".join(said[int(i)] for i in rng.permutation(len(said)))
