"""Overlong responses: DAPO's soft penalty near the token limit (arXiv 2503.14476, eq. 13)."""

from __future__ import annotations

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout, rollout_reward


@rollout_reward(weight=0.2)
def overlong(rollout: Rollout, config: Config) -> float:
    """Penalty of one response: 0 up to limit - cache tokens, falling linearly to -1 at the limit.

    The limit is `max_completion_tokens`, the cache `overlong_cache_tokens`; 0 leaves only the limit.
    """
    limit, cache = config.max_completion_tokens, config.overlong_cache_tokens
    if rollout.tokens >= limit:
        return -1.0
    return 0.0 if rollout.tokens <= limit - cache else (limit - cache - rollout.tokens) / cache
