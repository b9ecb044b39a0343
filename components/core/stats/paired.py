"""Two models on the same items: difference with interval, exact tests with and without clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.stats.intervals import (
    STANDARD,
    Bootstrap,
    Estimate,
    Floats,
    by_cluster,
    cluster_variance,
    effective_clusters,
    quantile,
)

_RIGHT = 0.5


@dataclass(frozen=True)
class PairedComparison:
    """A candidate against an incumbent on the same items."""

    difference: Estimate
    """Candidate minus incumbent."""
    gained: int
    """Items that only the candidate has right."""
    lost: int
    """Items that only the incumbent has right."""
    p_value: float
    """Exact two-sided McNemar test of "neither is better". It takes items as independent, so with several
    items a picture it rejects far too often."""
    p_value_clustered: float
    """The same by exact sign flips of whole clusters (see `sign_flip_exact`): the test to decide by."""

    def to_json(self) -> dict[str, Any]:
        """As a dictionary; p-values have six significant digits."""
        p_values = {name: float(f"{getattr(self, name):.6g}") for name in ("p_value", "p_value_clustered")}
        counts = {"gained": self.gained, "lost": self.lost}
        return {"difference": self.difference.to_json(), **counts, **p_values}


def paired_comparison(
    incumbent: npt.ArrayLike,
    candidate: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    bootstrap: Bootstrap = STANDARD,
) -> PairedComparison:
    """Compare scores in [0, 1] (shape (n,), right = 1) of two models on the same items in the same order.

    The interval is that of Agresti and Min (2005, Stat. Med. 24(5)): half an item more in each cell of the
    paired table. Counts are divided by the design effect: the variance of the difference under resampling of
    clusters, over that of independent items. It stays honest where few items differ, and where none does.

    For the tests an item is right when its score is at least one half.

    Raises:
        ValueError: no items, or lengths differ.
    """
    before, after = np.asarray(incumbent, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if before.shape != after.shape:
        raise ValueError(f"the runs have {before.shape} and {after.shape} items; compare the same items")
    change = np.sign((after >= _RIGHT).astype(np.float64) - (before >= _RIGHT))
    gained, lost = int(np.sum(change > 0)), int(np.sum(change < 0))
    return PairedComparison(
        _difference(after - before, clusters, bootstrap),
        gained,
        lost,
        mcnemar_exact(gained, lost),
        sign_flip_exact(by_cluster(change, clusters)[0]),
    )


def _difference(change: Floats, clusters: Sequence[str] | None, bootstrap: Bootstrap) -> Estimate:
    """Mean of the items' differences in [-1, 1], with its interval."""
    sums, counts = by_cluster(change, clusters)
    value, n, groups = float(sums.sum() / counts.sum()), int(counts.sum()), len(sums)
    if groups == 1:
        return Estimate(value, -1.0, 1.0, n)
    naive = float(np.var(change)) / n
    effect = max(1.0, cluster_variance(sums, counts, bootstrap) / naive) if naive > 0 else n / groups
    effective, total = n / effect, float(change.sum()) / effect
    squares = float(np.square(change).sum()) / effect  # of 0/1 scores: the discordant items
    centre = total / (effective + 2)
    spread = math.sqrt(squares + 1 - total**2 / (effective + 2)) / (effective + 2)
    reach = quantile(bootstrap, effective_clusters(counts)) * spread
    low, high = max(-1.0, centre - reach), min(1.0, centre + reach)
    return Estimate(value, min(value, low), max(value, high), n)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact McNemar p-value: if neither is better, each discordant item is a fair coin's toss."""
    tosses, fewer = gained + lost, min(gained, lost)
    tail, term = 0, 1  # integers: exact for any number of items
    for i in range(fewer + 1):
        tail += term
        term = term * (tosses - i) // (i + 1)
    # Both sides are halved until the quotient fits a float.
    shift = max(0, tosses - 1000)
    return min(1.0, (2 * tail >> shift) / 2 ** (tosses - shift))


def sign_flip_exact(differences: npt.ArrayLike) -> float:
    """Two-sided exact p-value of "neither is better" for clustered items, by sign flips of whole clusters.

    If neither model is better, swapping both models' answers to all items of a picture changes nothing.
    So each cluster's difference is as likely with either sign. The distribution of the sum over all sign
    patterns is computed whole, by convolution: no random draws. Its normal approximation is Obuchowski's test
    for clustered pairs (1998, Stat. Med. 17(13)). With one item a cluster it is McNemar's exact test.

    Args:
        differences: items gained minus lost of each cluster, integers, shape (clusters,).
    """
    values = np.asarray(differences)
    sizes, tally = np.unique(np.abs(values[values != 0]).astype(np.int64), return_counts=True)
    chances = np.ones(1)  # of the sum of the sizes of positive clusters: 0, 1, ...
    for size, count in zip(sizes.tolist(), tally.tolist(), strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = _fair_tosses(count)
        chances = np.convolve(chances, spread)
    sums = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return min(1.0, float(chances[np.abs(sums) >= abs(int(values.sum()))].sum()))


def _fair_tosses(count: int) -> Floats:
    """Chances of 0 to `count` heads in `count` tosses of a fair coin, shape (count + 1,)."""
    factorials = np.array([math.lgamma(n + 1) for n in range(count + 1)])  # their logarithms
    return np.exp(factorials[-1] - factorials - factorials[::-1] - count * math.log(2))
