"""Chance that depends on nothing but its arguments, so that every run meets the same errors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")
_NORMAL = NormalDist()


def uniform(*parts: object) -> float:
    """A number in (0, 1), uniform over different `parts`."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) / (1 << 53)


def pick(options: Sequence[T], *parts: object) -> T:
    """One of `options`, each equally likely."""
    return options[int(uniform(*parts) * len(options))]


def gauss(deviation: float, *parts: object) -> float:
    """A normal draw around 0."""
    return deviation * _NORMAL.inv_cdf(uniform(*parts)) if deviation else 0.0


def misread(number: str, *parts: object) -> str:
    """A misread number: one digit off, or one more or less."""
    value = int(number)
    if value < 10:
        return str(value + 1 if value == 0 or uniform("up", *parts) < 0.5 else value - 1)
    place = int(uniform("place", *parts) * len(number))
    others = [d for d in "0123456789" if d != number[place] and not (place == 0 and d == "0")]
    return number[:place] + pick(others, "digit", *parts) + number[place + 1 :]


def words_of(text: str) -> set[str]:
    """The words of a text, as a new set."""
    return set(text.split())
