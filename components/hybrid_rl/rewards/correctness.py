"""Verifiable correctness: 1 when the extracted answer agrees with the voted one, by answer type."""

from __future__ import annotations

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward
from components.hybrid_rl.rollouts.guards import guard


@rollout_reward(weight=1.0)
def correctness(rollout: Rollout, config: Config) -> float:
    """1.0 when right, else 0.0.

    The comparison is the voting filter's own, so that an answer voted right is rewarded as right. A response
    that trips a guard is never right, whatever it contains.
    """
    return float(not guard(rollout, config.guards) and rollout.agrees(rollout.answer))
