"""A limited number of questions, drawn evenly over the kinds of answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from components.core.answers import AnswerType, normalise
from components.core.data.hashing import rng_for

T = TypeVar("T")


def answer_kind(answer_type: AnswerType, answer: str) -> str:
    """The answer's type; "yes" and "no" are types of their own.

    A model that learns on questions that mostly have one of them as the answer learns to give it always.
    """
    return f"yes_no {normalise(answer, 'yes_no', ())}" if answer_type == "yes_no" else answer_type


def draw_evenly(
    items: Iterable[T],
    limit: int,
    *,
    kind: Callable[[T], str],
    key: Callable[[T], str],
    seed: tuple[Any, ...],
) -> list[T]:
    """At most `limit` items, as many of one kind as of another as long as they last.

    Args:
        items: in any order; the same items give the same draw.
        limit: most items.
        kind: of an item.
        key: of an item, unlike any other's.
        seed: parts of the draw's seed.

    Returns:
        One of each kind in turn, kinds in alphabetical order.
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
