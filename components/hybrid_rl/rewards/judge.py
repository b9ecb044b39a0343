"""Quality of open answers, which no rule can read, by a served model with a rubric (`asked/judge.py`)."""

from __future__ import annotations

import math

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward


# Without `judge` in the settings nothing is judged, and the weight has no effect.
@rollout_reward(weight=1.0)
def judge(rollout: Rollout, config: Config) -> float | None:
    """The judge's quality in [0, 1], 0 where a guard against gaming trips; None where it was not asked.

    Raises:
        ValueError: its reply was unusable: the rollout carries no weight.
    """
    if rollout.quality is not None and math.isnan(rollout.quality):
        raise ValueError("the judge gave no usable reply")
    return rollout.quality
