"""Estimates with intervals: cluster bootstrap, paired comparison, exact McNemar test, pass@k, probe scores.

Items about one picture are not independent: a picture that is hard to see makes all its answers wrong. Intervals
therefore resample whole pictures (clusters), not items. Everything here is pure NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Resampled indices held at once; bounds memory at about 32 MB.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` items with its interval."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        """As a dictionary, rounded to six decimals: more would be noise of the arithmetic."""
        return {name: round(v, 6) if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are computed."""

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0


def mean_estimate(
    values: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    bootstrap: Bootstrap = Bootstrap(),
    *,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> Estimate:
    """Mean of items and its percentile interval under resampling of whole clusters.

    A resample draws as many clusters as there are, with replacement, and takes the mean of all their items, so
    that clusters of different sizes are handled as the ratio they are. The percentiles are widened for small
    numbers of clusters (expanded percentile interval: Hesterberg 2015, arXiv 1411.5279).

    Args:
        values: one number an item, shape (n,).
        clusters: cluster name of each item; None makes each item its own cluster (the naive interval).
        bootstrap: confidence, number of resamples, seed.
        bounds: range of possible values, None if unbounded. Where all items sit on one bound, no resample differs
            and the interval is the exact binomial one with the clusters as trials; a single cluster tells nothing
            about others, so its interval is the whole range.

    Raises:
        ValueError: no items, or lengths differ.
    """
    sums, counts = _by_cluster(np.asarray(values, dtype=np.float64), clusters)
    value, n, groups = float(sums.sum() / counts.sum()), int(counts.sum()), len(sums)
    if bounds is not None:
        least, most = bounds
        if groups == 1:
            return Estimate(value, least, most, n)
        alpha = 1 - bootstrap.confidence
        reach = (most - least) * (1 - (alpha / 2) ** (1 / groups))
        if value == least and not np.any(sums != counts * least):
            return Estimate(value, least, least + reach, n)
        if value == most and not np.any(sums != counts * most):
            return Estimate(value, most - reach, most, n)
    if groups == 1:
        return Estimate(value, value, value, n)
    low, high = _interval(_resampled_means(sums, counts, bootstrap), groups, bootstrap.confidence)
    return Estimate(value, low, high, n)


def _by_cluster(values: Floats, clusters: Sequence[str] | None) -> tuple[Floats, Floats]:
    """Sum of values and number of items of each cluster, in order of the clusters' names."""
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected a non-empty vector of items, got shape {values.shape}")
    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise ValueError(f"{len(values)} items but {len(clusters)} cluster names")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    return np.bincount(index, weights=values).astype(np.float64), counts


def _resampled_means(sums: Floats, counts: Floats, bootstrap: Bootstrap) -> Floats:
    rng = np.random.default_rng(bootstrap.seed)
    groups, block = len(sums), max(1, _BLOCK // len(sums))
    equal = bool(np.all(counts == counts[0]))
    means = np.empty(bootstrap.resamples)
    for start in range(0, bootstrap.resamples, block):
        stop = min(start + block, bootstrap.resamples)
        drawn = rng.integers(0, groups, size=(stop - start, groups), dtype=np.int32)
        total = counts[0] * groups if equal else counts[drawn].sum(axis=1)
        means[start:stop] = sums[drawn].sum(axis=1) / total
    return means


def _interval(means: Floats, groups: int, confidence: float) -> tuple[float, float]:
    """Expanded percentiles: the quantiles at which a normal would reach as far as Student's t with G - 1 degrees."""
    reach = math.sqrt(groups / (groups - 1)) * _student_quantile(0.5 + confidence / 2, groups - 1)
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _student_quantile(p: float, degrees: int) -> float:
    """Quantile of Student's t: exact for 1 and 2 degrees, else Fisher's expansion (error < 1 % at 3, < 0.1 % from 5)."""
    if degrees == 1:
        return math.tan(math.pi * (p - 0.5))
    if degrees == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z, v = NormalDist().inv_cdf(p), float(degrees)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


# ---- comparison of two runs over the same items ------------------------------------------------------------------


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
    """Exact two-sided McNemar test of "neither is better"; it takes items as independent, the interval does not."""


def paired_comparison(
    incumbent: npt.ArrayLike,
    candidate: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    bootstrap: Bootstrap = Bootstrap(),
) -> PairedComparison:
    """Compare scores (shape (n,), right = 1) of two models on the same items in the same order.

    For the test an item is right when its score is at least one half.
    """
    before, after = np.asarray(incumbent, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if before.shape != after.shape:
        raise ValueError(f"the runs have {before.shape} and {after.shape} items; compare the same items")
    difference = mean_estimate(after - before, clusters, bootstrap, bounds=None)
    gained = int(np.sum((after >= 0.5) & (before < 0.5)))
    lost = int(np.sum((after < 0.5) & (before >= 0.5)))
    return PairedComparison(difference, gained, lost, mcnemar_exact(gained, lost))


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact McNemar p-value: under "neither is better" each discordant item is a fair coin's toss."""
    tosses, fewer = gained + lost, min(gained, lost)
    tail, term = 0, 1  # integers: exact for any number of items
    for i in range(fewer + 1):
        tail += term
        term = term * (tosses - i) // (i + 1)
    # Both sides are halved until the quotient fits a float.
    shift = max(0, tosses - 1000)
    return min(1.0, (2 * tail >> shift) / 2 ** (tosses - shift))


# ---- metrics -----------------------------------------------------------------------------------------------------


def pass_at_k(samples: int, correct: npt.ArrayLike, k: int) -> Floats:
    """Unbiased estimate of the chance that one of `k` responses is right: 1 - C(n-c, k)/C(n, k).

    Chen et al. 2021, arXiv 2107.03374, eq. 1, as the product 1 - prod_{i=n-c+1..n} (1 - k/i), which does not
    overflow; 1 where n - c < k.

    Args:
        samples: n, responses of each item.
        correct: c, how many of them are right, shape (items,).
        k: 1 <= k <= n.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k = {k} needs 1 <= k <= samples = {samples}")
    counts = np.asarray(correct, dtype=np.int64)
    if np.any(counts < 0) or np.any(counts > samples):
        raise ValueError(f"numbers of correct samples must lie between 0 and {samples}")
    # products[c] = prod of the c factors i = n-c+1..n
    factors = np.concatenate([[1.0], np.maximum(1.0 - k / np.arange(samples, 0, -1.0), 0.0)])
    return np.asarray(1.0 - np.cumprod(factors)[counts], dtype=np.float64)


def probe_scores(
    said_yes: npt.ArrayLike, said_no: npt.ArrayLike, truth_yes: npt.ArrayLike
) -> dict[str, float]:
    """POPE's scores of yes/no probes with "yes" as the positive class (Li et al. 2023, arXiv 2305.10355).

    Args:
        said_yes, said_no: what the model said, shape (n,); an answer that is neither is wrong.
        truth_yes: what is true, shape (n,).

    Returns:
        accuracy, yes_ratio and unanswered; precision, recall and f1 only if both truths occur.
    """
    yes, no, truth = (np.asarray(a, dtype=bool) for a in (said_yes, said_no, truth_yes))
    scores = {
        "accuracy": float(np.mean(np.where(truth, yes, no))),
        "yes_ratio": float(np.mean(yes)),
        "unanswered": float(np.mean(~yes & ~no)),
    }
    if truth.any() and not truth.all():
        hits = float(np.sum(yes & truth))
        precision = hits / float(np.sum(yes)) if yes.any() else 0.0
        recall = hits / float(np.sum(truth))
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        scores |= {"precision": precision, "recall": recall, "f1": f1}
    return scores


def percentiles(values: npt.ArrayLike, levels: Sequence[int] = (50, 90, 99)) -> dict[str, float]:
    """Percentiles by name: {"p50": ...}; each is a value that occurs."""
    found = np.percentile(np.asarray(values, dtype=np.float64), levels, method="inverted_cdf")
    return {f"p{level}": float(value) for level, value in zip(levels, found, strict=True)}


def estimates_by(
    keys: Sequence[str], values: npt.ArrayLike, clusters: Sequence[str], bootstrap: Bootstrap = Bootstrap()
) -> Mapping[str, Estimate]:
    """`mean_estimate` of the items of each key, keys sorted."""
    names, data, groups = np.asarray(keys), np.asarray(values, dtype=np.float64), np.asarray(clusters)
    result: dict[str, Any] = {}
    for key in sorted(set(keys)):
        chosen = names == key
        result[key] = mean_estimate(data[chosen], groups[chosen].tolist(), bootstrap)
    return result
