"""The mixture of domain and general samples: shares of sources, and the ratio of text to vision tokens. Pure.

Kimi-VL (arXiv 2504.07491, section 2.4) trains on text and image tokens at about 1 : 1, next to shares of
sources. One factor meets both: the side that the shares leave too large (text or vision) is drawn less often,
by the same factor in every source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress

from components.core.data.hashing import rng_for
from components.core.stage.errors import ConfigError, DataError
from components.curriculum_sft.config import Mixture
from components.curriculum_sft.data.samples import Row, count_answers

DOMAIN, GENERAL = "domain", "general"
Measure = Callable[[Row], float]
MEASURES: dict[str, Measure] = {
    "answers": count_answers,
    "samples": lambda row: 1,
    "tokens": lambda row: row["length"],
}
"""`mixture.by` -> how much of it a sample has."""
_ROUNDING = 1e-9
_HALVINGS = 100
_JUST_MET = 1e-12


def mix(
    domain: list[Row],
    general: list[Row],
    *,
    domain_share: float,
    max_general_samples: int = 0,
    seed: int = 0,
    mixture: Mixture | None = None,
) -> list[Row]:
    """Draw samples so that about `domain_share` of what `mixture.by` counts comes from the domain.

    Sources that are too large for their share are thinned by a seeded draw of whole samples. With
    `mixture.max_passes` above 1 the others are repeated instead: no sample comes again before all of its
    source came once. A source reaches its share, or misses it by less than one sample.

    Args:
        domain: domain samples.
        general: general samples; `set` names the set of each, where weights are given.
        domain_share: wanted share of the domain, in [0, 1]; 1 leaves the general samples out, 0 the domain's.
        max_general_samples: most different general samples; 0 for no limit.
        seed: of the draw.
        mixture: measure of the shares, weights of the general sets, wanted ratio. Rows need `length` for
            shares of tokens, and `vision_tokens` too for a ratio.

    Returns:
        The drawn samples, in one seeded order.

    Raises:
        ConfigError: weights of unknown sets, or a ratio that these samples cannot have.
        DataError: a source that should have a share has no samples.
    """
    mixture = mixture or Mixture()
    weights = mixture.weights or {GENERAL: 1.0}
    total = sum(weights.values())
    shares = {DOMAIN: domain_share}
    shares |= {name: (1 - domain_share) * weight / total for name, weight in weights.items()}
    pools = {DOMAIN: shuffled(domain, seed, DOMAIN)}
    if domain_share < 1:
        pools |= _sets(capped(general, max_general_samples, seed), mixture)
    pools = {name: rows for name, rows in pools.items() if shares[name] > 0}
    if empty := [name for name, rows in pools.items() if not rows]:
        raise DataError(
            f"no samples of {', '.join(empty)}, which should have a share of the mixture; add some, or set "
            "domain_share"
        )
    return shuffled(_drawn(pools, shares, mixture, seed), seed, "mixture")


def capped(general: list[Row], max_samples: int, seed: int) -> list[Row]:
    """At most `max_samples` of the general samples (0: all), in seeded order."""
    general = shuffled(general, seed, GENERAL)
    return general[:max_samples] if max_samples else general


def answer_share(rows: list[Row], source: str = DOMAIN) -> float:
    """Share of the supervised answers of `rows` that come from `source`."""
    counts = [(row["source"] == source, count_answers(row)) for row in rows]
    total = sum(count for _, count in counts)
    return sum(count for own, count in counts if own) / total if total else 0.0


def token_ratio(rows: Sequence[Row]) -> float:
    """Text tokens for one vision token; 0 without any vision token."""
    vision = sum(row["vision_tokens"] for row in rows)
    return sum(row["length"] for row in rows) / vision - 1 if vision else 0.0


def shuffled(rows: list[Row], seed: int, name: str) -> list[Row]:
    """The rows in an order that depends on the seed, the name and their number alone."""
    return [rows[i] for i in rng_for("mixture", seed, name).permutation(len(rows))]


def _sets(general: list[Row], mixture: Mixture) -> dict[str, list[Row]]:
    """General samples by set, as the weights name them; one pool without weights."""
    if not mixture.weights:
        return {GENERAL: general}
    pools: dict[str, list[Row]] = {}
    for row in general:
        pools.setdefault(row["set"], []).append(row)
    if set(pools) != set(mixture.weights):
        raise ConfigError(
            f"curriculum_sft.mixture.weights names {', '.join(mixture.weights)}; the general data has the "
            f"sets {', '.join(sorted(pools))}: give each of them a weight, 0 to leave it out"
        )
    return pools


def _drawn(pools: dict[str, list[Row]], shares: dict[str, float], mixture: Mixture, seed: int) -> list[Row]:
    """Samples of every pool at its share."""
    ratio, cost = mixture.text_image_ratio, MEASURES[mixture.by]

    def excess(row: Row) -> float:
        return row["length"] - row["vision_tokens"] - ratio * row["vision_tokens"] if ratio else 0.0

    halves: dict[Group, list[Row]] = {}
    for name, rows in pools.items():
        for heavy in (False, True):
            if half := [row for row in rows if (excess(row) > 0) == heavy]:
                halves[Group(name, heavy, sum(map(cost, half)), sum(map(excess, half)))] = half
    try:
        plan = plan_rates(list(halves), shares, max_passes=mixture.max_passes)
    except UnreachableError as error:
        found = ", ".join(f"{name} {token_ratio(rows):.3g}" for name, rows in pools.items())
        raise ConfigError(
            f"curriculum_sft.mixture.text_image_ratio: {ratio:g} text tokens a vision token cannot be had at "
            f"these shares, there is too much {'text' if error.excess > 0 else 'vision'} whatever is left "
            f"out (whole, they have: {found}); add data of the other kind, or change the ratio, domain_share "
            "or weights"
        ) from error
    rates = dict(zip(halves, plan.rates, strict=True))
    thinned = list(compress(halves, plan.thinned))
    taken = [
        _take(rows, rates[group] * group.cost, cost, seed, group)
        for group, rows in halves.items()
        if group not in thinned
    ]
    # Whole samples miss the plan a little: the thinned sides make up for it.
    left = sum(sum(map(excess, part)) for part in taken)
    planned = sum(rates[group] * group.excess for group in thinned)
    correction = max(0.0, -left / planned) if planned else 0.0
    for group in thinned if correction else ():
        target = abs(rates[group] * group.excess) * correction
        taken.append(_take(halves[group], target, lambda row: abs(excess(row)), seed, group))
    return list(chain.from_iterable(taken))


def _take(rows: list[Row], target: float, measure: Measure, seed: int, group: Group) -> list[Row]:
    """Whole passes over `rows`, then the longest prefix that stays within the target; one sample at least."""

    def in_order(number: int) -> list[Row]:
        return shuffled(rows, seed, f"{group.source} {group.text_heavy} {number}") if number else rows

    total = sum(map(measure, rows))
    rounding = _ROUNDING * max(total, 1.0)
    taken: list[Row] = []
    passes = 0
    while total > 0 and target >= total - rounding:
        taken += in_order(passes)
        target, passes = target - total, passes + 1
    if passes and target <= rounding:
        return taken
    reached = 0.0
    for row in in_order(passes):
        reached += measure(row)
        if taken and reached > target + rounding:
            break
        taken.append(row)
    return taken


@dataclass(frozen=True)
class Group:
    """Samples of one source that lean to one side."""

    source: str
    text_heavy: bool
    """They have more text tokens than the wanted ratio; always False without one."""
    cost: float
    """Sum of the shares' measure: answers, samples or tokens."""
    excess: float = 0.0
    """Σ (text tokens − ratio · vision tokens): at least 0 on the text-heavy side, at most 0 on the other."""


@dataclass(frozen=True)
class Plan:
    """Mean draws of each group's samples, and which groups the ratio thins."""

    rates: list[float]
    thinned: list[bool]


class UnreachableError(ValueError):
    """No choice of samples has the wanted ratio; the sign of `excess` tells the side they all stay on."""

    def __init__(self, excess: float) -> None:
        super().__init__("the ratio cannot be reached")
        self.excess = excess


def plan_rates(groups: Sequence[Group], shares: Mapping[str, float], *, max_passes: float = 1.0) -> Plan:
    """Rates x: Σ_source x·cost in proportion to the source's share, and Σ x·excess = 0.

    Args:
        groups: one or two a source, each with cost > 0.
        shares: of every source, all above 0; they need not sum to 1.
        max_passes: largest rate. 1 thins the larger sources and repeats no sample. Above 1, smaller ones are
            repeated until the larger ones are used whole.

    Raises:
        UnreachableError: the ratio cannot be met with these shares.
    """
    sides = Counter(group.source for group in groups)
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
    just_met = abs(rest) <= _JUST_MET * sum(
        shares[group.source] * abs(group.excess) / group.cost for group in groups
    )
    if rest * lean > 0 and not just_met:
        raise UnreachableError(rest)
    for _ in range(0 if just_met else _HALVINGS):  # the excess grows with the factor, see the tests
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
    """Rates in proportion to `factors` inside a source and to the shares between sources.

    The largest rate is at most `max_passes`, and no larger than needed to use every drawn group whole.
    """
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
