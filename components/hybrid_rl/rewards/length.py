"""Brevity: the group-relative length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3)."""

from __future__ import annotations

from components.hybrid_rl.rewards import Group, Ramp, group_reward


# Off during a warm-up, because it otherwise slows learning at the start.
@group_reward(weight=Ramp(start=0.0, end=0.3, begin=0.1, finish=0.1))
def length(group: Group) -> list[float]:
    """Length reward of every response of one group.

    lambda_i = 0.5 - (len_i - min) / (max - min): 0.5 for the shortest, -0.5 for the longest; 0 for all when
    all are equally long. A right response gets lambda_i, a wrong one min(0, lambda_i): a short wrong answer
    earns nothing.
    """
    tokens = [rollout.tokens for rollout in group.rollouts]
    shortest, longest = min(tokens), max(tokens)
    if shortest == longest:
        return [0.0] * len(tokens)
    rewards = [0.5 - (n - shortest) / (longest - shortest) for n in tokens]
    return [r if right else min(0.0, r) for r, right in zip(rewards, group.right, strict=True)]
