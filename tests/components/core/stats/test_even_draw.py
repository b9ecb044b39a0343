from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from components.core.answers import answer_kind
from components.core.stats.even_draw import draw_evenly


def drawn(items: list[tuple[str, int]], limit: int, seed: int = 0) -> list[tuple[str, int]]:
    return draw_evenly(
        items, limit, kind=lambda item: item[0], key=lambda item: f"{item[1]:04d}", seed=("test", seed)
    )


def test_yes_and_no_are_kinds_of_their_own():
    assert answer_kind("yes_no", "Yes.") == answer_kind("yes_no", "yes") == "yes_no yes"
    assert answer_kind("yes_no", "no") == "yes_no no"
    assert answer_kind("number", "no") == "number"


@given(
    counts=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20)),
    limit=st.integers(0, 60),
    seed=st.integers(0, 3),
)
def test_kinds_that_last_get_equal_numbers(counts, limit, seed):
    items = [(kind, i) for kind, count in counts.items() for i in range(count)]
    chosen = drawn(items, limit, seed)
    assert len(chosen) == len(set(chosen)) == min(limit, len(items))
    taken = Counter(kind for kind, _ in chosen)
    unspent = [taken[kind] for kind, count in counts.items() if taken[kind] < count]
    # A kind that has items left lies within one item of the fullest.
    assert all(max(taken.values(), default=0) - number <= 1 for number in unspent)
    assert drawn(items[::-1], limit, seed) == chosen


def test_seeds_draw_differently():
    items = [("a", i) for i in range(50)]
    assert drawn(items, 10, seed=0) != drawn(items, 10, seed=1)
