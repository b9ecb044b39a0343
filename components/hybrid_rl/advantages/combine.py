"""Component normalisation (GDPO, arXiv 2601.05242): from raw rewards of groups to one advantage a rollout.

Each component is normalised within its group, the components are added with weights, the sum is scaled over
the batch. Summing raw rewards first would give distinct reward vectors one advantage. It would also drop a
group whose summed reward happens to have no variance. The functions see whole groups, so it does not matter
how processes share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from components.hybrid_rl.advantages.pass_at_k import Floats, Mode, correctness_advantage

CORRECTNESS = "correctness"
QUALITIES = frozenset({CORRECTNESS, "judge"})
"""Components that say how good a response is."""
_FLAT = 1e-8
"""Standard deviations below this are rounding, not a preference."""


def standardise(values: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Z-scores (population) of one group's valid values; 0 for invalid ones and for a group without variance.

    Args:
        values: shape (N,); entries outside `valid` may be NaN.
        valid: shape (N,).
    """
    scores = np.zeros(len(values))
    if valid.sum() < 2:
        return scores
    centred = values[valid] - values[valid].mean()
    deviation = centred.std()
    if deviation > _FLAT:
        scores[valid] = centred / deviation
    return scores


def component_advantages(
    rewards: Mapping[str, Floats],
    group_size: int,
    scored: NDArray[np.bool_],
    modes: Sequence[Mode],
    k: int,
    factors: Floats | None = None,
) -> dict[str, Floats]:
    """Each component's advantages, normalised within groups of `group_size` consecutive rollouts.

    Args:
        rewards: raw rewards by component, each of shape (n,), whole groups in order. NaN: does not apply.
            `correctness` is 0 or 1 and goes through its group's advantage mode; all others become z-scores.
        scored: shape (n,); False takes a rollout out of its group's statistics and gives it advantage 0.
        modes: of every group.
        k: of pass@k.
        factors: shape (n,), multiplies the qualities (`QUALITIES`), which then are z-scores too.

    Returns:
        By component, shape (n,); every group sums to 0.

    Raises:
        ValueError: when the rollouts do not form whole groups.
    """
    count = len(scored)
    if count % group_size:
        raise ValueError(f"{count} rollouts are not whole groups of {group_size}")
    result = {name: np.zeros(count) for name in rewards}
    for name, raw in rewards.items():
        shaped = factors is not None and name in QUALITIES
        values = raw * factors if factors is not None and shaped else raw
        for start in range(0, count, group_size):
            rows = slice(start, start + group_size)
            valid = scored[rows] & ~np.isnan(values[rows])
            if name == CORRECTNESS and not shaped:
                right = values[rows][valid] > 0.5
                result[name][rows][valid] = correctness_advantage(right, k, modes[start // group_size])
            else:
                result[name][rows] = standardise(values[rows], valid)
    return result


def combine(
    advantages: Mapping[str, Floats], weights: Mapping[str, float], batch_normalise: bool = True
) -> Floats:
    """Weighted sum of the components' advantages, scaled over the batch to a root mean square of 1.

    Only the scale is normalised: every group sums to 0, so the batch mean is 0 already. Unlike in GDPO,
    rollouts without any signal (advantage 0) do not count: in a batch that is mostly solved they would blow
    up the few others.

    Returns:
        Shape (n,); all 0 when no component has any variance.
    """
    total: Floats = np.sum([weights[name] * values for name, values in advantages.items()], axis=0)
    if not batch_normalise:
        return total
    active = np.abs(total) > _FLAT
    if not active.any():
        return np.zeros_like(total)
    return total / np.sqrt(np.mean(total[active] ** 2))
