"""Information Density Score (IDS) and the question budget by density: pure functions.

IDS = sum of w_d s_d over four dimensions (MindGPT-4ov, arXiv 2512.02895). The paper gives neither weights nor
bands; the defaults are settings of this stage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DIMENSIONS = ("subject_diversity", "spatial_relationships", "ocr_text_richness", "world_knowledge")
MAX_SCORE = 10.0
# Where every score is 0, shares would be undefined; with this floor they are equal.
_LEAST_SCORE = 1e-6


def information_density(scores: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Weighted mean of dimension scores.

    Args:
        scores: (n, 4), each from 0 to 10, columns as `DIMENSIONS`.
        weights: four non-negative numbers, not all 0; normalised to sum to 1.

    Returns:
        (n,) float64 from 0 to 10.
    """
    weight = np.asarray(weights, dtype=np.float64)
    count = len(DIMENSIONS)
    if weight.shape != (count,) or (weight < 0).any() or not weight.sum():
        raise ValueError(f"need {count} non-negative weights that are not all 0, got {list(weights)}")
    return np.asarray(scores, dtype=np.float64).reshape(-1, count) @ (weight / weight.sum())


def by_bands(ids: np.ndarray, edges: Sequence[float], questions: Sequence[int]) -> np.ndarray:
    """Questions by band, (n,) int64: `questions[b]` where `edges[b-1] <= ids < edges[b]`."""
    bands = np.searchsorted(edges, np.asarray(ids, dtype=np.float64), side="right")
    return np.asarray(questions, dtype=np.int64)[bands]


def by_total(
    ids: np.ndarray, total: int, n_min: int, n_max: int, tie_break: Sequence[str] | None = None
) -> np.ndarray:
    """Distribute exactly `total` questions in proportion to the scores, within bounds, by largest remainder.

    The real-valued shares are x_i = clip(c ids_i, n_min, n_max), with the one c that makes them sum to
    `total`. Each image gets the whole part of its share. The rest goes, one each, to the largest fractional
    parts, then to the higher score, then to the smaller tie break.

    Args:
        ids: (n,) scores, not negative.
        total: questions over all images; each gets `n_min` to `n_max`.
        tie_break: image ids, which make the result independent of the images' order; positions by default.

    Returns:
        (n,) int64 that sums to `total` exactly. A higher score never gets fewer questions.

    Raises:
        ValueError: no allotment within the bounds sums to `total`.
    """
    score = np.maximum(np.asarray(ids, dtype=np.float64), _LEAST_SCORE)
    n = len(score)
    if not n * n_min <= total <= n * n_max:
        raise ValueError(
            f"{total} questions cannot be given to {n} images with {n_min} to {n_max} each; "
            f"choose a total from {n * n_min} to {n * n_max}"
        )
    if not n:
        return np.zeros(0, dtype=np.int64)
    shares = np.clip(_scale(score, total, n_min, n_max) * score, n_min, n_max)
    whole = np.floor(shares).astype(np.int64)
    missing = total - int(whole.sum())
    keys = np.arange(n) if tie_break is None else np.argsort(np.argsort(np.asarray(tie_break), kind="stable"))
    order = np.lexsort((keys, -score, -(shares - whole)))
    whole[order[whole[order] < n_max][:missing]] += 1
    return whole


def _scale(score: np.ndarray, total: int, n_min: int, n_max: int) -> float:
    """The factor c at which the clipped shares sum to `total`.

    The sum is piecewise linear in c and never falls; it bends at corners, where a share meets a bound.
    Bisection finds the last corner at which the sum is not above `total`; from there on it is linear.
    """

    def summed(factor: float) -> float:
        return float(np.clip(factor * score, n_min, n_max).sum())

    corners = np.unique(np.concatenate([n_min / score, n_max / score]))
    low, high = 0, len(corners) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if summed(corners[middle]) <= total else (low, middle - 1)
    corner, following = float(corners[low]), float(corners[min(low + 1, len(corners) - 1)])
    # Growing shares are found between corners: on a corner, rounding decides their side of a bound.
    middle_shares = (corner + following) / 2 * score
    slope = float(score[(n_min < middle_shares) & (middle_shares < n_max)].sum())
    return corner + (total - summed(corner)) / slope if slope and following > corner else corner
