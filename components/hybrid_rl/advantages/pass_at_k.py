"""Advantages of one group from binary correctness: pass@k, pass@1, their blend, and which to use when.

Source: "Pass@k Training for Adaptively Balancing Exploration and Exploitation of Large Reasoning Models"
(arXiv 2508.10751). A group has N rollouts of one prompt; everything is float64 NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mode = Literal["pass_at_k", "pass_at_1", "blend"]
Schedule = Literal["pass_at_k", "pass_at_1", "blend", "pass_at_k_then_1", "adaptive"]


def group_advantage(correct: NDArray[np.bool_], k: int) -> Floats:
    """Pass@k advantage of every rollout of a group (eq. 11-15): the mean over all k-subsets it can stand in.

    With N rollouts, N- of them wrong, and R in {0, 1} the reward of a k-subset (1 if any member is right):

        mean R = 1 - C(N-, k) / C(N, k)            sigma = sqrt(mean R * (1 - mean R))
        A+ = (1 - mean R) / sigma                  A- = (1 - mean R - C(N- - 1, k-1) / C(N-1, k-1)) / sigma

    The advantages of a group sum to 0. All are 0 when every k-subset has the same reward (sigma = 0): no
    rollout is right, or fewer than `k` are wrong. `k` = 1 is GRPO's z-score (population).

    Args:
        correct: shape (N,).
        k: at most N.

    Returns:
        Shape (N,).
    """
    n = len(correct)
    wrong = n - int(correct.sum())
    if not 1 <= k <= n:
        raise ValueError(f"k must lie between 1 and the group's size, got k={k}, N={n}")
    if wrong == n or wrong < k:
        return np.zeros(n)
    all_wrong = comb(wrong, k) / comb(n, k)  # 1 - mean R: Python's integers keep the binomials exact
    sigma = float(np.sqrt(all_wrong * (1.0 - all_wrong)))
    positive = all_wrong / sigma
    negative = (all_wrong - comb(wrong - 1, k - 1) / comb(n - 1, k - 1)) / sigma
    return np.where(correct, positive, negative)


def blended_advantage(correct: NDArray[np.bool_], k: int) -> Floats:
    """Mix by the group's accuracy (eq. 18): (N+/N) A_pass@k + (1 - N+/N) A_pass@1.

    Pass@1 sharpens prompts that the policy rarely solves. The more it solves one, the more pass@k takes over,
    which lets go of what is solved already.
    """
    share = float(correct.mean())
    return share * group_advantage(correct, k) + (1.0 - share) * group_advantage(correct, 1)


def correctness_advantage(correct: NDArray[np.bool_], k: int, mode: Mode) -> Floats:
    """Advantage of one group in the given mode; `k` is cut to the group's size, which exclusions reduce."""
    if len(correct) == 0:
        return np.zeros(0)
    k = min(k, len(correct))
    if mode == "pass_at_1":
        return group_advantage(correct, 1)
    return group_advantage(correct, k) if mode == "pass_at_k" else blended_advantage(correct, k)


def modes_at(
    schedule: Schedule,
    progress: float,
    switch_at: float,
    entropies: Sequence[float],
    mixed: Sequence[bool],
    adaptive_share: float,
    guessable: Sequence[bool],
) -> list[Mode]:
    """Mode in force for every group of a batch.

    Under `adaptive`, exploration goes where it is missing: the groups of lowest entropy get the pass@k
    advantage, the others pass@1. The paper ranks problems by the policy's token entropy. Here it is the
    entropy over the meanings of the answers, which any rollout engine can tell.

    Groups of guessable questions have pass@1 under every schedule. Four guesses at yes or no hold the right
    answer in 15 of 16 cases: pass@k rewards a policy there for answering at random.

    Args:
        progress: steps done / steps in all, in [0, 1).
        switch_at: progress from which `pass_at_k_then_1` is pass@1: explore, then sharpen.
        entropies: of each group (see `answer_entropy`).
        mixed: whether each group has right and wrong responses; the others have advantages of 0 anyway.
        adaptive_share: share of the mixed groups that count as low; among equals, earlier ones first.
        guessable: whether each group's question is; these do not count under `adaptive`.
    """
    groups = range(len(entropies))
    if schedule == "adaptive":
        ranked = (i for i in groups if mixed[i] and not guessable[i])
        order = sorted(ranked, key=lambda i: (entropies[i], i))
        low = set(order[: round(adaptive_share * len(order))])
        return ["pass_at_k" if i in low else "pass_at_1" for i in groups]
    mode: Mode
    if schedule == "pass_at_k_then_1":
        mode = "pass_at_k" if progress < switch_at else "pass_at_1"
    else:
        mode = schedule
    return ["pass_at_1" if guessable[i] else mode for i in groups]


def answer_entropy(cluster_of: Sequence[int]) -> float:
    """Entropy in nats over the meanings of a group's answers (Kuhn et al., arXiv 2302.09664).

    Args:
        cluster_of: cluster number of every response.
    """
    counts = np.unique(np.asarray(cluster_of), return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
