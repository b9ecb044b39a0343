from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.stage.settings import Endpoint
from components.qa_synthesis.config import Config
from components.qa_synthesis.plan import ANYTHING, ASPECTS, absent, answer_types, apportion, aspects

SHARES = st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda shares: sum(shares) > 1e-3)
OFFSET = st.floats(0, 1, exclude_max=True)
EVEN = dict.fromkeys(ASPECTS, 5.0)


@given(SHARES, st.integers(0, 40), OFFSET)
def test_parts_sum_to_the_total_and_are_within_one_of_their_share(shares, total, offset):
    counts = apportion(shares, total, offset)
    assert sum(counts) == total and min(counts) >= 0
    for share, count in zip(shares, counts, strict=True):
        assert abs(count - total * share / sum(shares)) < 1 + 1e-9


def test_parts_are_unbiased_over_offsets():
    """Three items over shares of 1/2, 1/3, 1/6: on average 1.5, 1 and 0.5, which no fixed rounding gives."""
    counts = np.array([apportion([3, 2, 1], 3, (i + 0.5) / 600) for i in range(600)])
    assert counts.mean(axis=0) == pytest.approx([1.5, 1.0, 0.5])


@pytest.mark.parametrize("shares", [[0, 0], [1, -1]])
def test_shares_without_meaning_are_refused(shares):
    with pytest.raises(ValueError, match="not be negative"):
        apportion(shares, 3, 0.5)


def test_much_text_asks_for_questions_about_text():
    """Half of 8 items are steered, by shares 1 : 1 : 6 : 0 of 4 items = 0.5, 0.5, 3, 0.

    Cumulated with u = 0.5: floor(1.0), floor(1.5), floor(4.5), floor(4.5) -> 1, 0, 3, 0.
    """
    scores = dict(zip(ASPECTS, (1.0, 1.0, 6.0, 0.0), strict=True))
    assert aspects(scores, 8, 0.5, 0.5) == {
        ASPECTS["subject_diversity"]: 1,
        ASPECTS["ocr_text_richness"]: 3,
        ANYTHING: 4,
    }


def test_nothing_is_steered_where_no_score_or_share_says_so():
    assert aspects(dict.fromkeys(ASPECTS, 0.0), 8, 0.5, 0.5) == {}
    assert aspects(EVEN, 8, 0.0, 0.5) == {}


def test_all_items_can_be_steered():
    assert ANYTHING not in aspects(EVEN, 8, 1.0, 0.5)


def test_answer_types_follow_the_mix():
    assert answer_types({"number": 3, "choice": 1}, 8, 0.0) == {"number": 6, "choice": 2}
    assert answer_types({}, 8, 0.0) == {}


def test_absent_items_are_their_share_on_average():
    assert [absent(0.25, 6, u) for u in (0.0, 0.5, 0.75)] == [1, 2, 2]
    assert absent(0.0, 6, 0.99) == 0 and absent(1.0, 6, 0.0) == 6


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"answer_mix": {"number": -1, "open": 2}}, "negative"),
        ({"answer_mix": {"number": 0}}, "all 0"),
        ({"answer_mix": {"open": 1}, "answer_types": ["number"]}, "open"),
        ({"absent_share": 0.1, "answer_types": ["number"]}, "yes/no"),
    ],
)
def test_bad_mixes_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Config(endpoint=Endpoint(base_url="http://localhost/v1", model="m"), **settings)
