"""Every form of question about an instrument cluster: wordings, slots and the rule that answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from demo.world.scene import ACTIONS, COLOURS, FUEL_LEVELS, LIGHTS, MEANINGS, ROWS, Light, Scene

OFF = "off"
"""The true answer to a question about a property of a light that is not lit."""

Slots = dict[str, str]
Solve = Callable[[Scene, Slots], tuple[str, str]]
"""From a scene and the filled slots to (answer, reasoning)."""
SLOTS = {"light": LIGHTS, "other": LIGHTS, "colour": COLOURS, "row": ROWS, "end": ("leftmost", "rightmost")}
SPEED_LIMITS = ("30", "60")


@dataclass(frozen=True)
class Form:
    """One form of question."""

    kind: str
    """Groups questions of one skill."""
    level: int
    """0 for a seed question, 1 to 3 for harder ones (more objects, more steps)."""
    answer_type: str
    skills: tuple[str, ...]
    wordings: tuple[str, ...]
    solve: Solve
    choices: tuple[str, ...] = ()
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self) -> Iterator[Slots]:
        """Every way to fill the slots; two lights of one question are different lights."""
        for combination in product(*self.slots.values()):
            slots = dict(zip(self.slots, combination, strict=True))
            if slots.get("light") is None or slots.get("light") != slots.get("other"):
                yield slots


def yes_no(truth: bool) -> str:
    """The answer to a yes/no question."""
    return "yes" if truth else "no"


def _off(name: str) -> str:
    return f"The {name} light is off."


def _names(lights: list[Light]) -> str:
    return "I see " + (" and ".join(light.name for light in lights) if lights else "none") + "."


def _of_light(answer: Callable[[Light], str], reasoning: str) -> Solve:
    """A question about a named light; the reasoning may name its attributes."""

    def solve(scene: Scene, slots: Slots) -> tuple[str, str]:
        light = scene.light(slots["light"])
        return (answer(light), reasoning.format(**vars(light))) if light else (OFF, _off(slots["light"]))

    return solve


def _of_end(answer: Callable[[Light], str], seen: str) -> Solve:
    """A question about the light at one end; the reasoning names the attribute `seen` of it."""

    def solve(scene: Scene, slots: Slots) -> tuple[str, str]:
        if not scene.lights:
            return "none", _names([])
        light = scene.lights[0 if slots["end"] == "leftmost" else -1]
        return answer(light), f"The {slots['end']} light is {getattr(light, seen)}."

    return solve


def _count(scene: Scene, slots: Slots) -> tuple[str, str]:
    lights = [
        light
        for light in scene.lights
        if slots.get("colour") in (None, light.colour) and slots.get("row") in (None, light.row)
    ]
    return str(len(lights)), _names(lights)


def _exists(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    seen = f"The {light.name} light is {light.colour}." if light else _off(slots["light"])
    return yes_no(light is not None), seen


def _left_of(scene: Scene, slots: Slots) -> tuple[str, str]:
    light, other = scene.light(slots["light"]), scene.light(slots["other"])
    if light is None or other is None:
        return "no", _off(slots["light"] if light is None else slots["other"])
    first, second = sorted((light, other), key=lambda one: one.column)
    return yes_no(light is first), f"From left to right: {first.name}, {second.name}."


def _next_right(scene: Scene, slots: Slots) -> tuple[str, str]:
    light = scene.light(slots["light"])
    if light is None:
        return OFF, _off(slots["light"])
    place = scene.lights.index(light)
    if place + 1 == len(scene.lights):
        return "none", f"The rightmost light is {light.name}."
    after = scene.lights[place + 1]
    return after.name, f"The next light is {after.colour}."


_LIGHT, _END = {"light": LIGHTS}, {"end": SLOTS["end"]}
_SPATIAL = "spatial relationship"

FORMS = (
    Form("speed", 0, "number", ("ocr",), ("What is the speed?", "What speed is shown?", "Read the speed."),
         lambda scene, _: (str(scene.speed), f"The display shows {scene.speed}.")),
    Form("gear", 0, "span", ("ocr",), ("Which gear is selected?", "What is the gear?"),
         lambda scene, _: (scene.gear, f"The letter is {scene.gear}.")),
    Form("fuel", 0, "choice", ("gauge reading",), ("What is the fuel level?", "How much fuel is left?"),
         lambda scene, _: ("ABCD"[FUEL_LEVELS.index(scene.fuel)], f"The left bar is {scene.fuel}."),
         choices=FUEL_LEVELS),
    Form("temperature", 0, "span", ("gauge reading",),
         ("What is the temperature?", "How warm is the engine?"),
         lambda scene, _: (scene.temperature, f"The right bar is {scene.temperature}.")),
    Form("count", 0, "number", ("counting",), ("How many lights are on?", "Count the lights."), _count),
    Form("existence", 0, "yes_no", ("existence",),
         ("Is the {light} light on?", "Is there any {light} light?", "Do you see the {light} light?"),
         _exists, slots=_LIGHT),
    Form("colour", 0, "span", ("colour",),
         ("What colour is the {light} light?", "What is the colour of the {light} light?"),
         _of_light(lambda light: light.colour, "It is in the {row} row."), slots=_LIGHT),
    Form("end", 0, "span", (_SPATIAL,), ("Which light is {end}?", "Name the {end} light."),
         _of_end(lambda light: light.name, "colour"), slots=_END),
    Form("row", 2, "span", (_SPATIAL,), ("Which row is the {light} light in?",),
         _of_light(lambda light: light.row, "The {name} light is {colour}."), slots=_LIGHT),
    Form("action", 1, "span", ("colour", "knowledge"),
         ("What does the {light} light ask for?", "What to do about the {light} light?"),
         _of_light(lambda light: ACTIONS[light.colour], "The {name} light is {colour}."), slots=_LIGHT),
    Form("meaning", 1, "span", (_SPATIAL, "knowledge"),
         ("What does the {end} light mean?", "What is wrong if the {end} light is on?"),
         _of_end(lambda light: MEANINGS[light.name], "name"), slots=_END),
    Form("refuel", 2, "yes_no", ("gauge reading", "knowledge"), ("Is it time to refuel?",),
         lambda scene, _: (yes_no(scene.fuel in ("empty", "quarter")), f"The left bar is {scene.fuel}.")),
    Form("count_colour", 2, "number", ("counting", "colour"),
         ("How many {colour} lights are on?", "Count the {colour} lights."), _count,
         slots={"colour": COLOURS}),
    Form("end_colour", 2, "span", (_SPATIAL, "colour"), ("What colour is the {end} light?",),
         _of_end(lambda light: light.colour, "name"), slots=_END),
    Form("count_row", 3, "number", ("counting", _SPATIAL), ("How many lights are in the {row} row?",), _count,
         slots={"row": ROWS}),
    Form("left_of", 2, "yes_no", (_SPATIAL, "comparison"),
         ("Is the {light} light left of the {other} light?",), _left_of,
         slots={"light": LIGHTS, "other": LIGHTS}),
    Form("above", 2, "yes_no", ("ocr", "comparison"), ("Is the speed above {limit}?",),
         lambda scene, slots: (yes_no(scene.speed > int(slots["limit"])),
                               f"The display shows {scene.speed}."),
         slots={"limit": SPEED_LIMITS}),
    Form("end_action", 3, "span", (_SPATIAL, "colour", "knowledge"),
         ("What does the {end} light ask for?", "What to do about the {end} light?"),
         _of_end(lambda light: ACTIONS[light.colour], "colour"), slots=_END),
    Form("next_right", 3, "span", (_SPATIAL, "comparison"),
         ("Which light is next after the {light} light?",), _next_right, slots=_LIGHT),
)  # fmt: skip
