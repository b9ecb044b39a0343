"""Brevity: the group-relative length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3)."""

from __future__ import annotations

from typing import Any

from components.hybrid_rl.rewards import Group, Ramp, group_reward


def pressure(group: Group, config: Any) -> float:
    """How much of its length advantages a group takes, in [0, 1]; 0 for types of answer that may be long.

    `length.by_pass_rate` gives the group's share of right responses: a question that is hardly solved may
    be thought about at length (ALP, arXiv 2506.05256). `length.full_difference` holds small differences down.
    `length.until` lets the pressure end, which otherwise goes on until answers have no reasons left.
    """
    settings = config.length
    first = group.rollouts[0]
    if first.answer_type not in settings.answer_types:
        return 0.0
    tokens = [rollout.tokens for rollout in group.rollouts]
    share = min(1.0, (max(tokens) - min(tokens)) / settings.full_difference)
    if settings.by_pass_rate:
        share *= sum(group.right) / len(tokens)
    if settings.until and first.start_tokens:
        length_now = sum(tokens) / len(tokens) / first.start_tokens
        share *= min(1.0, max(0.0, (length_now - settings.until) / (1.0 - settings.until)))
    return share


# Off during a warm-up, because it otherwise slows learning at the start.
@group_reward(weight=Ramp(start=0.0, end=0.3, begin=0.1, finish=0.1), share=pressure)
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
