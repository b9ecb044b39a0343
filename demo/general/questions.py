"""Every question of the general task about a picture, with its true answer, and the picture in statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from demo.general.scene import BANDS, BULBS, COLOURS, DIRECTIONS, SHAPES, GeneralScene, Shape

T = TypeVar("T")

NOTHING = "none"
"""The true answer to a question about something that the picture does not show."""
LIMITS = (3, 6, *range(10, 100, 10))


@dataclass(frozen=True)
class GeneralQA:
    """A question about a picture of the general task, with its true answer."""

    question: str
    answer: str
    answer_type: str
    reasoning: str
    kind: str
    choices: tuple[str, ...] = ()


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _one(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _shown(scene: GeneralScene) -> str:
    return "I see " + (" and ".join(shape.name for shape in scene.shapes) or NOTHING) + "."


def _is(shape: Shape) -> str:
    return f"The {shape.name} is {shape.colour}."


def _read(scene: GeneralScene, rng: np.random.Generator) -> Iterator[GeneralQA]:
    """What is written; a picture may hold a number, letters or neither."""
    written = scene.written
    number = written.text if written and written.is_number else NOTHING
    letters = written.text if written and not written.is_number else NOTHING
    if number != NOTHING or rng.random() < 0.15:
        asked = _one(rng, ("What number is written?", "Read the number.", "Which number is shown?"))
        yield GeneralQA(asked, number, "number" if number != NOTHING else "span", "", "number")
    if letters != NOTHING or rng.random() < 0.15:
        asked = _one(rng, ("What is written in letters?", "Read the letters.", "Which letters are shown?"))
        yield GeneralQA(asked, letters, "span", "", "letters")
    if number != NOTHING:
        said = f"The number is {number}."
        yield GeneralQA("What is the first digit?", number[0], "number", said, "digit")
        yield GeneralQA("What is the last digit?", number[-1], "number", said, "digit")
        truth = bool(rng.random() < 0.5)
        limits = [limit for limit in LIMITS if (int(number) > limit) == truth]
        if limits:
            asked = f"Is the number above {_one(rng, limits)}?"
            yield GeneralQA(asked, _yes(truth), "yes_no", said, "above")


def _counts(scene: GeneralScene, rng: np.random.Generator) -> Iterator[GeneralQA]:
    asked = _one(rng, ("How many shapes are there?", "Count the shapes."))
    yield GeneralQA(asked, str(len(scene.shapes)), "number", _shown(scene), "count")
    shown = [shape.colour for shape in scene.shapes]
    colour = _one(rng, shown) if rng.random() < 0.7 else _one(rng, COLOURS)
    asked = _one(rng, (f"How many {colour} shapes are there?", f"Count the {colour} shapes."))
    yield GeneralQA(asked, str(shown.count(colour)), "number", _shown(scene), "count colour")


def _ends(scene: GeneralScene) -> Iterator[tuple[str, Shape]]:
    """The shapes at the four ends, where one shape alone is there."""
    keys: dict[str, Callable[[Shape], int]] = {
        "leftmost": lambda shape: shape.column,
        "rightmost": lambda shape: -shape.column,
        "highest": lambda shape: shape.band,
        "lowest": lambda shape: -shape.band,
    }
    for end, key in keys.items():
        first, *rest = sorted(scene.shapes, key=key)
        if not rest or key(rest[0]) > key(first):
            yield end, first


def _places(scene: GeneralScene, rng: np.random.Generator) -> Iterator[GeneralQA]:
    for end, shape in _ends(scene):
        said = f"The {end} shape is {shape.colour}."
        asked = _one(rng, (f"Which shape is {end}?", f"Name the {end} shape."))
        yield GeneralQA(asked, shape.name, "span", said, "end")
        named = f"The {end} shape is {shape.name}."
        yield GeneralQA(f"What colour is the {end} shape?", shape.colour, "span", named, "end colour")
    shape = _one(rng, scene.shapes)
    yield GeneralQA(f"Which row is the {shape.name} in?", BANDS[shape.band], "span", _is(shape), "row")
    for first, second in _pairs(scene, rng):
        if first.column != second.column:
            left = first.column < second.column
            order = (first, second) if left else (second, first)
            said = f"From left to right: {order[0].name}, {order[1].name}."
            yield GeneralQA(
                f"Is the {first.name} left of the {second.name}?", _yes(left), "yes_no", said, "relation"
            )
        if first.band != second.band:
            above = first.band < second.band
            said = f"The {first.name} is in the {BANDS[first.band]} row."
            yield GeneralQA(
                f"Is the {first.name} above the {second.name}?", _yes(above), "yes_no", said, "relation"
            )


def _pairs(scene: GeneralScene, rng: np.random.Generator) -> Iterator[tuple[Shape, Shape]]:
    if len(scene.shapes) > 1:
        first, second = rng.permutation(len(scene.shapes))[:2]
        yield scene.shapes[int(first)], scene.shapes[int(second)]


def _looks(scene: GeneralScene, rng: np.random.Generator) -> Iterator[GeneralQA]:
    shown = _shown(scene)
    for shape in scene.shapes:
        asked = _one(rng, (f"What colour is the {shape.name}?", f"What is the colour of the {shape.name}?"))
        yield GeneralQA(asked, shape.colour, "span", shown, "colour")
        if sum(other.colour == shape.colour for other in scene.shapes) == 1:
            yield GeneralQA(f"Which shape is {shape.colour}?", shape.name, "span", shown, "shape")
    shape = _one(rng, scene.shapes)
    others = [colour for colour in COLOURS if colour != shape.colour]
    options = [shape.colour, *(others[int(i)] for i in rng.permutation(len(others))[:3])]
    choices = tuple(options[int(i)] for i in rng.permutation(4))
    letter = "ABCD"[choices.index(shape.colour)]
    asked = f"Which colour has the {shape.name}?"
    yield GeneralQA(asked, letter, "choice", _is(shape), "choice", choices)


def _exist(scene: GeneralScene, rng: np.random.Generator) -> Iterator[GeneralQA]:
    """Both truths equally often; and questions that suppose something absent."""
    shown, names = _shown(scene), [shape.name for shape in scene.shapes]
    absent = [name for name in SHAPES if name not in names]
    for name in (_one(rng, names), _one(rng, absent)):
        asked = _one(rng, (f"Is there a {name}?", f"Do you see a {name}?", f"Is there any {name}?"))
        yield GeneralQA(asked, _yes(name in names), "yes_no", shown, "existence")
    shape = _one(rng, scene.shapes)
    other = _one(rng, [colour for colour in COLOURS if colour != shape.colour])
    for colour in (shape.colour, other):
        yield GeneralQA(
            f"Is the {shape.name} {colour}?", _yes(colour == shape.colour), "yes_no", _is(shape), "attribute"
        )
    name = _one(rng, absent)
    asked = _one(
        rng,
        (f"What colour is the {name}?", f"Which row is the {name} in?", f"What is the colour of the {name}?"),
    )
    yield GeneralQA(asked, NOTHING, "span", f"There is no {name}.", "absent")


def _devices(scene: GeneralScene, rng: np.random.Generator) -> Iterator[GeneralQA]:
    if scene.dial:
        way = DIRECTIONS[scene.dial[2]]
        asked = _one(rng, ("Where does the hand point?", "Which way does the hand point?"))
        yield GeneralQA(asked, way, "span", "", "dial")
    elif rng.random() < 0.1:
        yield GeneralQA("Where does the hand point?", NOTHING, "span", "There is no hand.", "dial")
    if scene.bulbs:
        lit = scene.bulbs[2]
        said = "The bulbs are " + ", ".join("lit" if on else "dark" for on in lit) + "."
        yield GeneralQA("How many bulbs are lit?", str(sum(lit)), "number", said, "bulbs")
        for truth in (True, False):
            places = [place for place, on in zip(BULBS, lit, strict=True) if on == truth]
            if places:
                place = _one(rng, places)
                yield GeneralQA(f"Is the {place} bulb lit?", _yes(truth), "yes_no", said, "bulb")


def questions(scene: GeneralScene, rng: np.random.Generator) -> list[GeneralQA]:
    """Every question about the picture, in one wording each; yes/no questions are balanced."""
    groups = (_read, _counts, _places, _looks, _exist, _devices)
    return [qa for group in groups for qa in group(scene, rng)]
