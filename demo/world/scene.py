"""What an instrument cluster shows: the truth behind every picture of the demo's domain."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Row = Literal["top", "bottom"]

LIGHTS = ("engine", "oil", "battery", "brake", "door", "belt", "tyre", "lamp")
COLOURS = ("red", "amber", "green", "blue")
GEARS = ("P", "R", "N", "D")
FUEL_LEVELS = ("empty", "quarter", "half", "full")
TEMPERATURES = ("cold", "normal", "hot")
ROWS: tuple[Row, ...] = ("top", "bottom")
COLUMNS = 4
"""Places for a light from left to right, each for at most one light: the order is total."""
MAX_LIGHTS = 4

MEANINGS = {
    "engine": "engine fault",
    "oil": "low oil pressure",
    "battery": "not charging",
    "brake": "brake failure",
    "door": "door open",
    "belt": "belt not fastened",
    "tyre": "low tyre pressure",
    "lamp": "lamp failure",
}
ACTIONS = {"red": "stop now", "amber": "check soon", "green": "no action", "blue": "no action"}


@dataclass(frozen=True)
class Light:
    """One lit warning light: name, colour and place (column 0 is the left end)."""

    name: str
    colour: str
    row: Row
    column: int


@dataclass(frozen=True)
class Scene:
    """One instrument cluster. `lights` is ordered from left to right; names and columns are unique."""

    speed: int
    gear: str
    fuel: str
    temperature: str
    lights: tuple[Light, ...]
    odometer: int | None = None
    theme: int = 0
    shift_x: int = 0
    shift_y: int = 0

    def light(self, name: str) -> Light | None:
        """The lit light of this name, or None where it is off."""
        return next((light for light in self.lights if light.name == name), None)

    def to_json(self) -> str:
        """One line of JSON; `from_json` gives an equal scene back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        fields["lights"] = tuple(Light(**light) for light in fields["lights"])
        return cls(**fields)


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene: 0 to 4 lights, any colour for any light, a speed of one or two digits.

    Densities vary on purpose: empty clusters and crowded ones with an odometer are both common. So scores of
    information density differ.
    """
    count = int(rng.choice(MAX_LIGHTS + 1, p=(0.05, 0.25, 0.3, 0.25, 0.15)))
    columns = sorted(int(c) for c in rng.choice(COLUMNS, size=count, replace=False))
    names = rng.choice(len(LIGHTS), size=count, replace=False)
    lights = tuple(
        Light(LIGHTS[int(n)], COLOURS[int(rng.integers(len(COLOURS)))], ROWS[int(rng.integers(2))], column)
        for n, column in zip(names, columns, strict=True)
    )
    return Scene(
        speed=int(rng.integers(5, 100)),
        gear=GEARS[int(rng.integers(len(GEARS)))],
        fuel=FUEL_LEVELS[int(rng.integers(len(FUEL_LEVELS)))],
        temperature=TEMPERATURES[int(rng.integers(len(TEMPERATURES)))],
        lights=lights,
        odometer=int(rng.integers(1_000, 100_000)) if rng.random() < 0.5 else None,
        theme=int(rng.integers(4)),
        shift_x=int(rng.integers(-2, 3)),
        shift_y=int(rng.integers(-2, 3)),
    )
