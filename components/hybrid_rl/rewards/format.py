"""Form of a response: finished, one answer, no repetition, no list of all choices."""

from __future__ import annotations

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward
from components.hybrid_rl.rollouts.guards import guard


@rollout_reward(weight=0.1)
def well_formed(rollout: Rollout, config: Config) -> float:
    """1.0 for a finished response with an answer of its type that trips no guard, else 0.0."""
    return float(not rollout.truncated and not guard(rollout, config.guards))
