"""Visual evidence (perception): a right answer has to change when the picture is blanked."""

from __future__ import annotations

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward
from components.hybrid_rl.rewards.correctness import correctness


# Above 0 it costs one greedy answer a question.
@rollout_reward(weight=0.0)
def perception(rollout: Rollout, config: Config) -> float | None:
    """Evidence that a response looked at the picture; None where the blanked image was not asked about.

    1: it is right, and the same question on a blanked image is answered otherwise.
    -1: it is wrong, and says the same as without a picture: the prior won, often with a hallucination.
    0: a right answer that the prior gives too, or a wrong one that differs. Neither shows anything.
    """
    blank = rollout.blank_answer
    if blank is None:
        return None
    same = bool(blank) and rollout.same(rollout.answer, blank)
    if correctness(rollout, config):
        return 0.0 if same else 1.0
    return -1.0 if same else 0.0
