"""Correctness: 1 when the extracted answer agrees with the voted one, or the judge calls it right."""

from __future__ import annotations

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward
from components.hybrid_rl.rollouts.guards import guard


@rollout_reward(weight=1.0)
def correctness(rollout: Rollout, config: Config) -> float:
    """1.0 when right, else 0.0.

    The comparison is the voting filter's own, so that an answer voted right is rewarded as right. A response
    that trips a guard is never right, whatever it contains. A judged one is right from `judge.right_from` on.
    """
    if guard(rollout, config.guards):
        return 0.0
    if rollout.quality is not None and config.judge is not None:
        return float(rollout.quality >= config.judge.right_from)
    return float(rollout.agrees(rollout.answer))
