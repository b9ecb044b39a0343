"""Brevity: Kimi k1.5's group-relative length reward (arXiv 2501.12599, section 2.3.3) and DAPO's soft overlong penalty
(arXiv 2503.14476, eq. 13)."""

from __future__ import annotations

from collections.abc import Sequence


def length(tokens: Sequence[int], correct: Sequence[bool]) -> list[float]:
    """Length reward of every response of one group.

    lambda_i = 0.5 - (len_i - min) / (max - min): 0.5 for the shortest, -0.5 for the longest. A right response gets
    lambda_i, a wrong one min(0, lambda_i), so that a short wrong answer earns nothing. 0 for all when all are equally
    long.

    Args:
        tokens: response lengths of the group.
        correct: whether each response is right.
    """
    shortest, longest = min(tokens), max(tokens)
    if shortest == longest:
        return [0.0] * len(tokens)
    scale = longest - shortest
    rewards = [0.5 - (n - shortest) / scale for n in tokens]
    return [r if right else min(0.0, r) for r, right in zip(rewards, correct, strict=True)]


def overlong(tokens: int, limit: int, cache: int) -> float:
    """Soft overlong penalty of one response: 0 up to `limit - cache` tokens, falling linearly to -1 at `limit`.

    Args:
        tokens: response length.
        limit: longest response in tokens.
        cache: tokens over which the penalty grows; with 0, -1 from `limit` on.
    """
    if tokens <= limit - cache and not (cache == 0 and tokens == limit):
        return 0.0
    return -1.0 if tokens >= limit else (limit - cache - tokens) / cache
