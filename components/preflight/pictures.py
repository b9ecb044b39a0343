"""Pictures decoded before a run: some of each source, spread evenly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from components.core.pictures import UnreadablePicture, check_whole
from components.core.stage.errors import DataError

T = TypeVar("T")


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, spread evenly, in order."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def damaged(places: Iterable[Any], load: Callable[[Any], bytes]) -> list[str]:
    """A line for each picture that cannot be read or decoded to its end."""
    found = []
    for place in places:
        try:
            check_whole(load(place))
        except (DataError, UnreadablePicture, OSError) as error:
            found.append(f"picture {place}: {error}")
    return found
