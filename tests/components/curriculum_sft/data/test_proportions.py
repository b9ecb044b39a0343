from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curriculum_sft.data.mixture import Group, UnreachableError, plan_rates

SIZES = st.floats(1, 1e6)


def test_shares_without_a_ratio_thin_the_larger_source():
    """30 : 70 of costs 60 and 70: all of the second source, 30/60 of the first."""
    plan = plan_rates([Group("a", False, 60), Group("b", False, 70)], {"a": 0.3, "b": 0.7})
    assert plan.rates == pytest.approx([0.5, 1.0])
    assert plan.thinned == [False, False]


def test_passes_repeat_the_smaller_source_as_far_as_they_go():
    """Equal shares of costs 10 and 40: four passes over the first use the second whole, two use half of
    it."""
    groups, shares = [Group("a", False, 10), Group("b", False, 40)], {"a": 1, "b": 1}
    assert plan_rates(groups, shares, max_passes=9).rates == pytest.approx([4, 1])
    assert plan_rates(groups, shares, max_passes=2).rates == pytest.approx([2, 0.5])
    assert plan_rates(groups, shares).rates == pytest.approx([1, 0.25])


def test_a_ratio_thins_the_side_that_is_too_large():
    """One source with 90 text tokens too many and 30 too few: a third of the text-heavy samples."""
    groups = [Group("a", True, 100, 90), Group("a", False, 50, -30)]
    plan = plan_rates(groups, {"a": 1.0})
    assert plan.rates == pytest.approx([1 / 3, 1])
    assert plan.thinned == [True, False]


def test_a_ratio_that_no_choice_has_is_refused():
    """The domain has vision tokens to spare, must have its share, and nothing balances it."""
    groups = [
        Group("domain", False, 100, -80),
        Group("general", True, 10, 5),
        Group("general", False, 10, -5),
    ]
    with pytest.raises(UnreachableError) as caught:
        plan_rates(groups, {"domain": 0.9, "general": 0.1})
    assert caught.value.excess < 0


def test_a_ratio_that_is_just_reached_leaves_the_thinned_side_out():
    """0.05 of 0.01 too much text a token in one source is 0.05 of 0.01 too little in the other, without its
    texts."""
    groups = [
        Group("0", True, 718588.984375, 7185.88984375),
        Group("1", True, 1, 1),
        Group("1", False, 1, -0.01),
    ]
    plan = plan_rates(groups, {"0": 0.05, "1": 0.05})
    assert plan.rates[1] == 0
    assert plan.rates[0] * 718588.984375 == pytest.approx(plan.rates[2])


@st.composite
def _groups(draw):
    groups = []
    for source in range(draw(st.integers(1, 4))):
        sides = draw(st.sampled_from([(True, False), (True,), (False,)]))
        for heavy in sides:
            cost = draw(SIZES)
            # By tokens, a sample's excess lies between its tokens and minus `ratio` times its tokens.
            excess = cost * draw(st.floats(0.01, 1)) * (1 if heavy else -1)
            groups.append(Group(str(source), heavy, cost, excess))
    return groups


@given(_groups(), st.lists(st.floats(0.05, 1), min_size=4, max_size=4), st.sampled_from([1.0, 2.5, math.inf]))
def test_shares_and_ratio_are_met_together(groups, weights, max_passes):
    sources = sorted({group.source for group in groups})
    shares = dict(zip(sources, weights, strict=False))
    try:
        plan = plan_rates(groups, shares, max_passes=max_passes)
    except UnreachableError as error:
        # Then the side that is to blame outweighs the other even where every source gives all it can against
        # it.
        best = 0.0
        for source in sources:
            own = [group for group in groups if group.source == source]
            against = [group.excess / group.cost for group in own]
            best += shares[source] * (min(against) if error.excess > 0 else max(against))
        assert best * error.excess >= -1e-12  # 0 but for rounding, where it is just out of reach
        return
    costs = {
        s: sum(r * g.cost for g, r in zip(groups, plan.rates, strict=True) if g.source == s) for s in sources
    }
    total = sum(costs.values())
    for source in sources:
        assert costs[source] / total == pytest.approx(shares[source] / sum(shares.values()))
    excess = sum(r * g.excess for g, r in zip(groups, plan.rates, strict=True))
    assert abs(excess) <= 1e-6 * total
    assert max(plan.rates) <= max_passes * (1 + 1e-9)
    drawn = [rate for rate in plan.rates if rate > 0]
    assert max(plan.rates) >= 1 - 1e-9  # some group is used whole
    if max_passes == math.inf:
        assert min(drawn) >= 1 - 1e-9  # nothing that is drawn at all is left out
