"""Questions about a user's own photographs that pixel measurements can answer, each with its rule."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demo.teachers.knowledge.photo import COLOURS, QUARTERS, Photo, measure
from demo.teachers.replies.noise import words_of
from demo.world.forms import yes_no
from demo.world.questions import TruthQA, offered

_ORIENTATIONS = ("landscape", "portrait", "square")


@dataclass(frozen=True)
class PhotoForm:
    """One form of question; `solve(photo, slot)` gives (answer, reasoning, whether the thing is there)."""

    kind: str
    level: int
    answer_type: str
    wording: str
    skills: tuple[str, ...]
    solve: Callable[[Photo, str], tuple[str, str, bool]]
    slots: tuple[str, ...] = ("",)
    choices: tuple[str, ...] = ()


def _has_colour(photo: Photo, colour: str) -> tuple[str, str, bool]:
    there = colour in photo.colours
    return yes_no(there), f"The visible colours are {', '.join(photo.colours)}.", there


def _quarter(photo: Photo, name: str) -> tuple[str, str, bool]:
    colour = photo.quarter_colours[QUARTERS.index(name)]
    return colour, f"Most of the {name} quarter is {colour}.", True


def _brighter(photo: Photo, pair: tuple[int, int], names: tuple[str, str]) -> tuple[str, str, bool]:
    first, second = photo.halves[pair[0]], photo.halves[pair[1]]
    return (
        "A" if first >= second else "B",
        f"Brightness is {first:.2f} on the {names[0]}, {second:.2f} on the {names[1]}.",
        True,
    )


def _busiest(photo: Photo, _: str) -> tuple[str, str, bool]:
    best = int(np.argmax(photo.quarter_detail))
    return "ABCD"[best], f"The {QUARTERS[best]} quarter has the most edges.", True


def _same_colour(photo: Photo, _: str) -> tuple[str, str, bool]:
    left, right = photo.quarter_colours[0], photo.quarter_colours[3]
    return yes_no(left == right), f"The upper left is {left}, the lower right {right}.", True


FORMS = (
    PhotoForm("dominant", 0, "span", "What is the dominant colour of the picture?", ("colour",),
              lambda p, _: (p.dominant, f"{p.dominant} covers the most pixels.", True)),
    PhotoForm("orientation", 0, "choice", "What is the orientation of the picture?", ("layout",),
              lambda p, _: ("ABC"[_ORIENTATIONS.index(p.orientation)],
                            f"It is {p.width} by {p.height} pixels.", True),
              choices=_ORIENTATIONS),
    PhotoForm("dark", 0, "yes_no", "Is the picture mostly dark?", ("brightness",),
              lambda p, _: (yes_no(p.brightness < 0.35),
                            f"The mean brightness is {p.brightness:.2f}.", True)),
    PhotoForm("colourful", 0, "yes_no", "Is the picture colourful?", ("colour",),
              lambda p, _: (yes_no(p.saturation > 0.15),
                            f"The mean saturation is {p.saturation:.2f}.", True)),
    PhotoForm("existence", 0, "yes_no", "Is there any {} in the picture?", ("existence", "colour"),
              _has_colour, slots=COLOURS),
    PhotoForm("quarter", 1, "span", "What is the main colour of the {} quarter?",
              ("colour", "spatial relationship"), _quarter, slots=QUARTERS),
    PhotoForm("sides", 1, "choice", "Which side of the picture is brighter?", ("brightness", "comparison"),
              lambda p, _: _brighter(p, (0, 1), ("left", "right")), choices=("left", "right")),
    PhotoForm("halves", 1, "choice", "Which half of the picture is brighter?", ("brightness", "comparison"),
              lambda p, _: _brighter(p, (2, 3), ("upper", "lower")), choices=("upper", "lower")),
    PhotoForm("count", 1, "number", "How many different colours cover a visible part of the picture?",
              ("counting", "colour"),
              lambda p, _: (str(len(p.colours)), f"They are {', '.join(p.colours)}.", True)),
    PhotoForm("busiest", 2, "choice", "Which quarter of the picture has the most detail?",
              ("detail", "comparison"), _busiest, choices=QUARTERS),
    PhotoForm("centre", 2, "yes_no", "Is the centre brighter than the picture as a whole?",
              ("brightness", "comparison"),
              lambda p, _: (yes_no(p.centre > p.brightness),
                            f"The centre has {p.centre:.2f}, all {p.brightness:.2f}.", True)),
    PhotoForm("same", 3, "yes_no", "Do the upper left and the lower right quarter have the same main colour?",
              ("colour", "spatial relationship", "comparison"), _same_colour),
)  # fmt: skip

_PARSERS = tuple(
    (re.compile(re.escape(form.wording.format(slot)), re.IGNORECASE), form, slot)
    for form in FORMS
    for slot in form.slots
)


def _find(question: str) -> tuple[PhotoForm, str] | None:
    return next(((form, slot) for pattern, form, slot in _PARSERS if pattern.search(question)), None)


def _ask(photo: Photo, form: PhotoForm, slot: str) -> TruthQA:
    result, reasoning, present = form.solve(photo, slot)
    return TruthQA(
        question=form.wording.format(slot),
        answer=result,
        answer_type=form.answer_type,
        choices=form.choices,
        reasoning=reasoning,
        kind=form.kind,
        skills=form.skills,
        objects=(slot,) if slot else (form.kind,),
        level=form.level,
        present=present,
    )


def usual_answers(question: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Every answer that a known question could have, () for an unknown one."""
    found = _find(question)
    if found is None:
        return ()
    form = found[0]
    if form.answer_type == "choice":
        return tuple("ABCDEFGH"[: len(choices or form.choices)])
    return {"yes_no": ("yes", "no"), "number": ("2", "3", "4", "5")}.get(form.answer_type, COLOURS)


class PhotoKnowledge:
    """A photograph that is not of the demo world."""

    def __init__(self, image: bytes) -> None:
        self.photo = measure(image)

    def questions(self, rng: random.Random) -> list[TruthQA]:
        """See `knowledge.Knowledge`; each form has one wording."""
        return [_ask(self.photo, form, slot) for form in FORMS for slot in form.slots]

    def absent(self, rng: random.Random) -> list[TruthQA]:
        """See `knowledge.Knowledge`."""
        return [qa for qa in self.questions(rng) if not qa.present]

    def truth(self, question: str, choices: tuple[str, ...]) -> TruthQA | None:
        """See `knowledge.Knowledge`."""
        found = _find(question)
        if found is None:
            return None
        qa = _ask(self.photo, *found)
        return offered(qa, choices) if qa.choices and choices else qa

    def scores(self) -> dict[str, float]:
        """Signals of the picture that go with information density; no claim about its content."""
        photo = self.photo
        return {
            "subject_diversity": 1.2 * len(photo.colours) + 40 * photo.detail,
            "spatial_relationships": 60 * photo.detail + 40 * float(np.std(photo.quarter_detail)) + 1,
            "ocr_text_richness": 20 * photo.detail * photo.contrast * 4,
            "world_knowledge": 2 + 8 * photo.saturation,
        }

    def caption(self) -> str:
        """The measurements in words."""
        photo = self.photo
        light = "dark" if photo.brightness < 0.35 else "bright" if photo.brightness > 0.65 else "evenly lit"
        detail = "fine detail" if photo.detail > 0.06 else "little detail"
        colours = " and ".join(photo.colours[:3])
        return f"A {photo.orientation} picture, {light}, with {detail}, mostly {colours}."

    def words(self) -> frozenset[str]:
        """Words of the measurements."""
        words = words_of("picture photo image colour color brightness light layout position composition part")
        words |= set(self.photo.colours) | {self.photo.orientation}
        words |= {"detail", "texture", "pattern"} if self.photo.detail > 0.04 else {"plain", "surface"}
        words |= {"compare", "comparison", "contrast", "region"}
        return frozenset(words)
