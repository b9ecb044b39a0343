"""From raw reward components of whole groups to one advantage a rollout.

GDPO (arXiv 2601.05242): normalise each component within its group, add with weights, then normalise over the batch.
Summing raw rewards first would give distinct reward vectors one advantage, and would drop a group whose summed reward
happens to have no variance. The functions see whole groups (gathered over processes), so the result does not depend on
how groups are split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .advantage import Floats, Mode, correctness_advantage

CORRECTNESS = "correctness"
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
) -> dict[str, Floats]:
    """Each component's advantages, normalised within groups of `group_size` consecutive rollouts.

    Args:
        rewards: raw rewards by component, each of shape (n,), whole groups in order. NaN = does not apply here.
            `correctness` is 0 or 1 and goes through its group's advantage mode; all others become z-scores.
        modes: of every group.
        scored: shape (n,); False takes a rollout out of its group's statistics and gives it advantage 0.

    Returns:
        By component, shape (n,); every group sums to 0.

    Raises:
        ValueError: when the rollouts do not form whole groups.
    """
    count = len(scored)
    if count % group_size:
        raise ValueError(f"{count} rollouts are not whole groups of {group_size}")
    result = {}
    for name, values in rewards.items():
        advantages = np.zeros(count)
        for start in range(0, count, group_size):
            group = slice(start, start + group_size)
            valid = scored[group] & ~np.isnan(values[group])
            if name == CORRECTNESS:
                inside = np.zeros(group_size)
                inside[valid] = correctness_advantage(
                    values[group][valid] > 0.5, k, modes[start // group_size]
                )
                advantages[group] = inside
            else:
                advantages[group] = standardise(values[group], valid)
        result[name] = advantages
    return result


def combine(
    advantages: Mapping[str, Floats], weights: Mapping[str, float], batch_normalise: bool = True
) -> Floats:
    """Weighted sum of the components' advantages, scaled over the batch.

    The batch mean is 0 already, because every group sums to 0; so only the scale is normalised, and the groups' sums
    stay 0. Unlike in GDPO, rollouts without any signal (advantage 0) do not count for the scale: in a batch that is
    mostly solved they would blow up the few that are left.

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
