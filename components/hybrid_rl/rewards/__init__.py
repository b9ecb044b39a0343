"""Reward components, one file each: small pure functions of rollouts.

A component takes one rollout (`correctness`, `format`, `perception`) or one whole group (`diversity`, `length`). A user's
own reward (`extra_rewards` in the settings) is a function of one `Rollout` that returns a float, or None where it does
not apply; it must not change the rollout, may raise (the rollout then carries no weight), and is normalised within its
group like every other component, so its scale does not matter, only its order.
"""

from __future__ import annotations

from .rollout import Rollout

__all__ = ["Rollout"]
