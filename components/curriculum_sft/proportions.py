"""How much of each source a mixture takes, so that shares and the ratio of text to vision tokens are met. Pure.

Kimi-VL (arXiv 2504.07491, section 2.4) trains on text and image tokens at about 1 : 1 next to shares of sources. Both
are met by one factor: samples on the side that the sources' shares leave too large (text or vision) are drawn less
often than the others, by the same factor in every source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HALVINGS = 100
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Group:
    """Samples of one source that lean to one side."""

    source: str
    text_heavy: bool
    """They have more text tokens than the wanted ratio; False throughout where no ratio is wanted."""
    cost: float
    """What shares count, summed: answers, samples or tokens."""
    excess: float = 0.0
    """Σ (text tokens − ratio · vision tokens): at least 0 on the text-heavy side, at most 0 on the other."""


@dataclass(frozen=True)
class Plan:
    """Draws of each group's samples on average, and which groups the ratio thins."""

    rates: list[float]
    thinned: list[bool]


class UnreachableError(ValueError):
    """No choice of samples has the wanted ratio; `excess` says on which side they all stay."""

    def __init__(self, excess: float) -> None:
        super().__init__("the ratio cannot be reached")
        self.excess = excess


def plan_rates(groups: Sequence[Group], shares: Mapping[str, float], *, max_passes: float = 1.0) -> Plan:
    """Rates x with Σ_source x·cost proportional to the source's share, and Σ x·excess = 0 where there is any excess.

    Args:
        groups: one or two a source, each with cost > 0.
        shares: of every source, all above 0; they need not sum to 1.
        max_passes: largest rate. With 1 larger sources are thinned and no sample is repeated; above, smaller ones are
            repeated as far as that lets the larger ones be used whole.

    Raises:
        UnreachableError: the ratio cannot be met with these shares.
    """
    sides = {group.source: 0 for group in groups}
    for group in groups:
        sides[group.source] += 1
    balanced = [1.0] * len(groups)
    lean = _lean(groups, shares, balanced)
    if lean == 0:
        return Plan(_scaled(groups, shares, balanced, max_passes), [False] * len(groups))
    # A source with one side alone has its share of it, whatever the factor.
    thinned = [sides[group.source] == 2 and group.text_heavy == (lean > 0) for group in groups]

    def factors(factor: float) -> list[float]:
        return [factor if thin else 1.0 for thin in thinned]

    low, high = 0.0, 1.0
    rest = _lean(groups, shares, factors(low))
    just_met = abs(rest) <= _ROUNDING * sum(
        shares[group.source] * abs(group.excess) / group.cost for group in groups
    )
    if rest * lean > 0 and not just_met:
        raise UnreachableError(rest)
    for _ in range(0 if just_met else _HALVINGS):  # what is left grows with the factor, see the tests
        middle = (low + high) / 2
        if _lean(groups, shares, factors(middle)) * lean > 0:
            high = middle
        else:
            low = middle
    return Plan(_scaled(groups, shares, factors(low), max_passes), thinned)


def _lean(groups: Sequence[Group], shares: Mapping[str, float], factors: Sequence[float]) -> float:
    """Excess of a mixture of unit size whose groups are drawn in proportion to `factors`."""
    costs = _costs(groups, factors)
    return sum(
        shares[g.source] * f * g.excess / costs[g.source] for g, f in zip(groups, factors, strict=True)
    )


def _scaled(
    groups: Sequence[Group], shares: Mapping[str, float], factors: Sequence[float], max_passes: float
) -> list[float]:
    """Rates in proportion to `factors` inside a source and to the shares between sources: the largest is at most
    `max_passes`, and no more than what uses every drawn group whole."""
    costs = _costs(groups, factors)
    rates = [shares[g.source] * f / costs[g.source] for g, f in zip(groups, factors, strict=True)]
    largest, smallest = max(rates), min(rate for rate in rates if rate > 0)
    passes = min(max_passes, largest / smallest)
    return [rate / largest * passes for rate in rates]


def _costs(groups: Sequence[Group], factors: Sequence[float]) -> dict[str, float]:
    costs: dict[str, float] = {}
    for group, factor in zip(groups, factors, strict=True):
        costs[group.source] = costs.get(group.source, 0.0) + factor * group.cost
    return costs
