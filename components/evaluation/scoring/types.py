"""What scoring gives."""

from __future__ import annotations

from typing import Literal, NamedTuple

Stage = Literal["exact", "rules", "judge", "none"]
"""exact: the response is its answer, or marks it; rules: found in running text; judge: a model read it; none: not found."""


class Scored(NamedTuple):
    """A response's extracted answer, how it was found, and its score in [0, 1]."""

    extracted: str
    stage: Stage
    score: float


UNREAD = Scored("", "none", 0.0)
"""A response in which no answer was found is wrong."""


class Unit(NamedTuple):
    """What counts once: an item, or all rotations of a circular one."""

    indices: tuple[int, ...]
    """Places of its items in the list of all items."""
    benchmark: str
    role: str
    kind: str
    unit_id: str
    image_group: str
    category: str
    score: float
