"""Open questions about an instrument cluster. Several answers are right, so a policy can collapse to one.

The demo's own run asks none of them: they are for judges and for rewards of diversity. An answer is read by
the statements in it, so its wording does not matter.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from demo.world.scene import COLOURS, FUEL_LEVELS, GEARS, LIGHTS, MEANINGS, TEMPERATURES, Scene

QUESTIONS = {
    "name": ("Name a light that is on.", "Which light do you see?"),
    "describe": ("What do you see?", "What is shown?"),
    "explain": ("What is wrong?", "What does a light mean?"),
    "list": ("Name the lights that are on.", "Which lights are on?"),
}
"""Wordings by kind."""
MIN_LIGHTS = 2
"""Lights of a scene that is asked about: with fewer, one answer alone would be right."""

_MEANS = {re.compile(rf"\b{text}\b"): name for name, text in MEANINGS.items()}
_LIGHT = re.compile(rf"\b({'|'.join(LIGHTS)})\b(?: light)?(?: is (not|off|{'|'.join(COLOURS)})\b)?")
_SPEED = re.compile(r"\b(\d+)\b")
_GEAR = re.compile(rf"\bgear(?: is)? ([{''.join(GEARS).lower()}])\b")
_FUEL = re.compile(rf"\bfuel(?: level)?(?: is)? ({'|'.join(FUEL_LEVELS)})\b")
_TEMPERATURE = re.compile(rf"\btemperature(?: is)? ({'|'.join(TEMPERATURES)})\b")


@dataclass(frozen=True)
class Reading:
    """What an answer says, held against the scene."""

    true: frozenset[str]
    """True statements that the question asks for: the answer's meaning."""
    false: int
    """False statements, whatever was asked."""
    wanted: int
    """Statements that a complete answer has."""

    @property
    def right(self) -> bool:
        """Whether something asked for is said, all of it if all was asked for, and nothing false."""
        return not self.false and len(self.true) >= self.wanted


def kind_of(question: str) -> str:
    """The kind of an open question, "" for any other."""
    found = (kind for kind, wordings in QUESTIONS.items() for text in wordings if text in question)
    return next(found, "")


def read(scene: Scene, question: str, response: str) -> Reading:
    """Read an answer to an open question of `QUESTIONS`."""
    kind, text = kind_of(question), response.lower()
    said: dict[str, bool] = {}
    for pattern, name in _MEANS.items():
        text, count = pattern.subn(" ", text)
        if count:
            said[f"meaning {name}"] = scene.light(name) is not None
    for match in _LIGHT.finditer(text):
        light, stated = scene.light(match[1]), match[2]
        if stated in ("not", "off"):
            said[f"no {match[1]}"] = light is None
        else:
            said[f"light {match[1]}"] = light is not None and stated in (None, light.colour)
    text = _LIGHT.sub(" ", text)
    for name, pattern, truth in (
        ("speed", _SPEED, str(scene.speed)), ("gear", _GEAR, scene.gear.lower()),
        ("fuel", _FUEL, scene.fuel), ("temperature", _TEMPERATURE, scene.temperature),
    ):  # fmt: skip
        if found := pattern.findall(text):
            said[name] = all(one == truth for one in found)
    asked = {"name": ("light",), "list": ("light",), "explain": ("meaning",)}.get(kind, ("",))
    true = frozenset(name for name, holds in said.items() if holds and name.startswith(asked))
    wanted = len(scene.lights) if kind == "list" else 1
    return Reading(true, sum(not holds for holds in said.values()), wanted)


def example(scene: Scene, kind: str, rng: random.Random) -> str:
    """One right answer, each equally likely."""
    names = [light.name for light in scene.lights]
    if kind == "list":
        rng.shuffle(names)
        return " and ".join(names)
    if kind == "name":
        return rng.choice(names)
    if kind == "explain":
        return MEANINGS[rng.choice(names)]
    facts = [f"The gear is {scene.gear}.", f"The fuel is {scene.fuel}.", f"The speed is {scene.speed}."]
    facts += [f"The temperature is {scene.temperature}."]
    facts += [f"The {light.name} light is {light.colour}." for light in scene.lights]
    return rng.choice(facts)
