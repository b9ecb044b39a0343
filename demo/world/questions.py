"""Every question that the demo asks about an instrument cluster, with its true answer.

`FORMS` is the single source: the wordings that the simulated teachers write, the parser that recognises them in a
prompt, and the rule that answers them are one entry, so a question can always be answered for any scene - also one
about a light that is off.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

from demo.world.scene import ACTIONS, COLOURS, FUEL_LEVELS, LIGHTS, MEANINGS, ROWS, Light, Scene

OFF = "off"
"""The true answer to a question about a property of a light that is not lit."""

Slots = dict[str, str]
SLOTS = {"light": LIGHTS, "other": LIGHTS, "colour": COLOURS, "row": ROWS, "end": ("leftmost", "rightmost")}
SPEED_LIMITS = ("30", "60")


@dataclass(frozen=True)
class TruthQA:
    """A question, its true answer, and how one gets there.

    Attributes: `kind` groups questions of one skill; `level` is 0 for a seed question and 1 to 3 for harder ones (more
    objects, more steps); `present` is False where the question is about a light that is off.
    """

    question: str
    answer: str
    answer_type: str
    choices: tuple[str, ...]
    reasoning: str
    kind: str
    skills: tuple[str, ...]
    objects: tuple[str, ...]
    level: int
    present: bool = True


@dataclass(frozen=True)
class Form:
    """One form of question. `solve(scene, slots)` gives (answer, reasoning)."""

    kind: str
    level: int
    answer_type: str
    skills: tuple[str, ...]
    wordings: tuple[str, ...]
    solve: Callable[[Scene, Slots], tuple[str, str]]
    choices: tuple[str, ...] = ()
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self) -> Iterator[Slots]:
        """Every way to fill the slots; two lights of one question are different lights."""
        for combination in product(*self.slots.values()):
            slots = dict(zip(self.slots, combination, strict=True))
            if slots.get("light") is None or slots.get("light") != slots.get("other"):
                yield slots


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _off(name: str) -> str:
    return f"The {name} light is off."


def _end(scene: Scene, end: str) -> Light | None:
    return (scene.lights[0] if end == "leftmost" else scene.lights[-1]) if scene.lights else None


def _speed(scene: Scene, _: Slots) -> tuple[str, str]:
    return str(scene.speed), f"The display shows {scene.speed}."


def _above(scene: Scene, slots: Slots) -> tuple[str, str]:
    return _yes(scene.speed > int(slots["limit"])), f"The display shows {scene.speed}."


def _gear(scene: Scene, _: Slots) -> tuple[str, str]:
    return scene.gear, f"The letter is {scene.gear}."


def _fuel(scene: Scene, _: Slots) -> tuple[str, str]:
    return "ABCD"[FUEL_LEVELS.index(scene.fuel)], f"The left bar is {scene.fuel}."


def _refuel(scene: Scene, _: Slots) -> tuple[str, str]:
    return _yes(scene.fuel in ("empty", "quarter")), f"The left bar is {scene.fuel}."


def _temperature(scene: Scene, _: Slots) -> tuple[str, str]:
    return scene.temperature, f"The right bar is {scene.temperature}."


def _names(lights: list[Light]) -> str:
    return "I see " + (" and ".join(light.name for light in lights) if lights else "none") + "."


def _count(scene: Scene, slots: Slots) -> tuple[str, str]:
    lights = [
        light
        for light in scene.lights
        if slots.get("colour") in (None, light.colour) and slots.get("row") in (None, light.row)
    ]
    return str(len(lights)), _names(lights)


def _exists(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    return _yes(light is not None), f"The {light.name} light is {light.colour}." if light else _off(
        slots["light"]
    )


def _colour(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    return (light.colour, f"It is in the {light.row} row.") if light else (OFF, _off(slots["light"]))


def _row(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    return (light.row, f"The {light.name} light is {light.colour}.") if light else (OFF, _off(slots["light"]))


def _which_end(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = _end(scene, slots["end"])
    return (light.name, f"The {slots['end']} light is {light.colour}.") if light else ("none", _names([]))


def _end_colour(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = _end(scene, slots["end"])
    return (light.colour, f"The {slots['end']} light is {light.name}.") if light else ("none", _names([]))


def _end_meaning(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = _end(scene, slots["end"])
    return (
        (MEANINGS[light.name], f"The {slots['end']} light is {light.name}.")
        if light
        else ("none", _names([]))
    )


def _end_action(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = _end(scene, slots["end"])
    return (
        (ACTIONS[light.colour], f"The {slots['end']} light is {light.colour}.")
        if light
        else ("none", _names([]))
    )


def _action(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    if light is None:
        return OFF, _off(slots["light"])
    return ACTIONS[light.colour], f"The {light.name} light is {light.colour}."


def _left_of(scene: Scene, slots: Slots) -> tuple[str, str]:
    light, other = scene.light(slots["light"]), scene.light(slots["other"])
    if light is None or other is None:
        return "no", _off(slots["light"] if light is None else slots["other"])
    first, second = sorted((light, other), key=lambda one: one.column)
    return _yes(light is first), f"From left to right: {first.name}, {second.name}."


def _next_right(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    if light is None:
        return OFF, _off(slots["light"])
    place = scene.lights.index(light)
    if place + 1 == len(scene.lights):
        return "none", f"The rightmost light is {light.name}."
    after = scene.lights[place + 1]
    return after.name, f"The next light is {after.colour}."


FORMS = (
    Form(
        "speed",
        0,
        "number",
        ("ocr",),
        ("What is the speed?", "What speed is shown?", "Read the speed."),
        _speed,
    ),
    Form("gear", 0, "span", ("ocr",), ("Which gear is selected?", "What is the gear?"), _gear),
    Form(
        "fuel",
        0,
        "choice",
        ("gauge reading",),
        ("What is the fuel level?", "How much fuel is left?"),
        _fuel,
        choices=FUEL_LEVELS,
    ),
    Form(
        "temperature",
        0,
        "span",
        ("gauge reading",),
        ("What is the temperature?", "How warm is the engine?"),
        _temperature,
    ),
    Form("count", 0, "number", ("counting",), ("How many lights are on?", "Count the lights."), _count),
    Form(
        "existence",
        0,
        "yes_no",
        ("existence",),
        ("Is the {light} light on?", "Is there any {light} light?", "Do you see the {light} light?"),
        _exists,
        slots={"light": LIGHTS},
    ),
    Form(
        "colour",
        0,
        "span",
        ("colour",),
        ("What colour is the {light} light?", "What is the colour of the {light} light?"),
        _colour,
        slots={"light": LIGHTS},
    ),
    Form(
        "end",
        0,
        "span",
        ("spatial relationship",),
        ("Which light is {end}?", "Name the {end} light."),
        _which_end,
        slots={"end": SLOTS["end"]},
    ),
    Form(
        "row",
        2,
        "span",
        ("spatial relationship",),
        ("Which row is the {light} light in?",),
        _row,
        slots={"light": LIGHTS},
    ),
    Form(
        "action",
        1,
        "span",
        ("colour", "knowledge"),
        ("What does the {light} light ask for?", "What to do about the {light} light?"),
        _action,
        slots={"light": LIGHTS},
    ),
    Form(
        "meaning",
        1,
        "span",
        ("spatial relationship", "knowledge"),
        ("What does the {end} light mean?", "What is wrong if the {end} light is on?"),
        _end_meaning,
        slots={"end": SLOTS["end"]},
    ),
    Form("refuel", 2, "yes_no", ("gauge reading", "knowledge"), ("Is it time to refuel?",), _refuel),
    Form(
        "count_colour",
        2,
        "number",
        ("counting", "colour"),
        ("How many {colour} lights are on?", "Count the {colour} lights."),
        _count,
        slots={"colour": COLOURS},
    ),
    Form(
        "end_colour",
        2,
        "span",
        ("spatial relationship", "colour"),
        ("What colour is the {end} light?",),
        _end_colour,
        slots={"end": SLOTS["end"]},
    ),
    Form(
        "count_row",
        3,
        "number",
        ("counting", "spatial relationship"),
        ("How many lights are in the {row} row?",),
        _count,
        slots={"row": ROWS},
    ),
    Form(
        "left_of",
        2,
        "yes_no",
        ("spatial relationship", "comparison"),
        ("Is the {light} light left of the {other} light?",),
        _left_of,
        slots={"light": LIGHTS, "other": LIGHTS},
    ),
    Form(
        "above",
        2,
        "yes_no",
        ("ocr", "comparison"),
        ("Is the speed above {limit}?",),
        _above,
        slots={"limit": SPEED_LIMITS},
    ),
    Form(
        "end_action",
        3,
        "span",
        ("spatial relationship", "colour", "knowledge"),
        ("What does the {end} light ask for?", "What to do about the {end} light?"),
        _end_action,
        slots={"end": SLOTS["end"]},
    ),
    Form(
        "next_right",
        3,
        "span",
        ("spatial relationship", "comparison"),
        ("Which light is next after the {light} light?",),
        _next_right,
        slots={"light": LIGHTS},
    ),
)


def _pattern(form: Form, wording: str) -> re.Pattern[str]:
    text = re.escape(wording)
    for name, values in form.slots.items():
        text = text.replace(re.escape("{" + name + "}"), f"(?P<{name}>{'|'.join(values)})")
    return re.compile(text, re.IGNORECASE)


_PARSERS = tuple((_pattern(form, wording), form) for form in FORMS for wording in form.wordings)


def _solve(form: Form, scene: Scene, slots: Slots, question: str) -> TruthQA:
    result, reasoning = form.solve(scene, slots)
    named = tuple(slots[name] for name in ("light", "other") if name in slots)
    present = all(scene.light(name) is not None for name in named) and (
        "end" not in slots or bool(scene.lights)
    )
    return TruthQA(
        question=question,
        answer=result,
        answer_type=form.answer_type,
        choices=form.choices,
        reasoning=reasoning,
        kind=form.kind,
        skills=form.skills,
        objects=named or (form.kind,),
        level=form.level,
        present=present,
    )


def _all(scene: Scene, rng: random.Random | None) -> Iterator[TruthQA]:
    for form in FORMS:
        for slots in form.values():
            wording = rng.choice(form.wordings) if rng else form.wordings[0]
            yield _solve(form, scene, slots, wording.format(**slots))


def catalogue(scene: Scene, rng: random.Random | None = None) -> list[TruthQA]:
    """Every question about what the scene shows, plus the existence questions about what it does not show.

    With `rng` each question is asked in one of its wordings, drawn at random; without, in the first.
    """
    return [qa for qa in _all(scene, rng) if qa.present or qa.kind == "existence"]


def absent_questions(scene: Scene, rng: random.Random | None = None) -> list[TruthQA]:
    """The questions that suppose something the scene does not show: what a hallucinating teacher asks about."""
    return [qa for qa in _all(scene, rng) if not qa.present]


def answer(scene: Scene, question: str, choices: tuple[str, ...] | list[str] = ()) -> TruthQA | None:
    """The true answer to any catalogue question, or None for a question that is not of the catalogue.

    `choices` are the options as they were offered, in any order: the answer is the letter of the true one there. Other
    words around the question (an instruction, for instance) do not matter; the first question found is answered.
    """
    found = [(match.start(), -match.end(), index) for index, (pattern, _) in enumerate(_PARSERS)
             if (match := pattern.search(question))]  # fmt: skip
    if not found:
        return None
    pattern, form = _PARSERS[min(found)[2]]
    match = pattern.search(question)
    assert match is not None
    slots = {name: value.lower() for name, value in match.groupdict().items()}
    qa = _solve(form, scene, slots, question)
    if form.answer_type != "choice" or not choices:
        return qa
    truth = form.choices["ABCD".index(qa.answer)]
    offered = [choice.strip().lower() for choice in choices]
    if truth not in offered:
        return None
    return TruthQA(**{**qa.__dict__, "answer": "ABCDEFGH"[offered.index(truth)], "choices": tuple(choices)})
