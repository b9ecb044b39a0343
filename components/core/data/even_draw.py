"""A draw of a limited number of items, spread evenly over their kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    for item in items:
        by_kind.setdefault(kind(item), []).append(item)
    ranked: list[tuple[int, str, T]] = []
    for name, members in by_kind.items():
        members.sort(key=key)
        order = rng_for(*seed, name).permutation(len(members))
        ranked += [(place, name, members[i]) for place, i in enumerate(order)]
    ranked.sort(key=lambda entry: entry[:2])
    return [item for _, _, item in ranked[:limit]]
