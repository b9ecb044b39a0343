"""A draw of a limited number of items, spread evenly over their kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, TypeVar

from components.core.data.hashing import rng_for

T = TypeVar("T")


def draw_evenly(
    items: Iterable[T],
    limit: int,
    *,
    kind: Callable[[T], str],
    key: Callable[[T], str],
    seed: tuple[Any, ...],
) -> list[T]:
    """At most `limit` items, as many of one kind as of another as long as they last.

    The same items give the same draw, whatever their order; `key` is unique to each. The result has one item
    of each kind in turn, kinds in alphabetical order.
    """
    by_kind: dict[str, list[T]] = {}
    for item in sorted(items, key=key):
        by_kind.setdefault(kind(item), []).append(item)
    drawn: list[tuple[int, str, T]] = []
    for name, members in by_kind.items():
        order = rng_for(*seed, name).permutation(len(members))
        drawn += [(place, name, members[i]) for place, i in enumerate(order)]
    return [item for _, _, item in sorted(drawn, key=itemgetter(0, 1))[:limit]]
