"""Metrics of evaluation: pass@k, scores of yes/no probes, percentiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.core.stats.intervals import Floats


def pass_at_k(samples: int, correct: npt.ArrayLike, k: int) -> Floats:
    """Unbiased estimate of the chance that one of `k` responses is right: 1 - C(n-c, k)/C(n, k).

    Chen et al. 2021, arXiv 2107.03374, eq. 1, as the product 1 - prod_{i=n-c+1..n} (1 - k/i); 1 if n - c < k.

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
