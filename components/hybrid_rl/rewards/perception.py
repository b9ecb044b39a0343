"""Visual evidence (perception): a right answer has to change when the picture is blanked or swapped."""

from __future__ import annotations

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward
from components.hybrid_rl.rewards.correctness import correctness


# Above 0 it costs two greedy answers a question.
@rollout_reward(weight=0.0)
def perception(rollout: Rollout, config: Config) -> float | None:
    """Evidence that a response looked at the picture: whether it is right (0 or 1) - agreement.

    Agreement is the share of two answers of the starting policy that say the same: to the same question on a
    blanked picture, and about another picture. None where neither was asked.

    1: right, and neither says so: it was seen. 0: right, and both do, or wrong in a way of its own: it shows
    nothing. -1: wrong, and as both: the prior won, often with a hallucination.
    """
    others = [said for said in (rollout.blank_answer, rollout.swapped_answer) if said is not None]
    if not others:
        return None
    agreed = sum(bool(said) and rollout.same(rollout.answer, said) for said in others) / len(others)
    return correctness(rollout, config) - agreed
