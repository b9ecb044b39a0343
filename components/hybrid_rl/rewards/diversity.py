"""Semantic diversity within a group, after DARLING (arXiv 2509.02534)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from components.hybrid_rl.rewards import Group, Rollout, group_reward

T = TypeVar("T")
Similarity = Callable[[Rollout, Rollout], float]


@group_reward(weight=0.2, order=1)
def diversity(group: Group) -> list[float]:
    """Diversity reward of one group: `distinctness` among its right responses, 0 for wrong ones.

    Wrong answers are easy to make different; only rarer ways of being right are worth something. Where one
    answer is right (a number, a letter) and similarity compares answers, the reward is 0 for all.
    """
    right = [c for c, ok in zip(group.meanings, group.right, strict=True) if ok]
    rewards = iter(distinctness(right))
    return [next(rewards) if ok else 0.0 for ok in group.right]


def distinctness(cluster_of: Sequence[int]) -> list[float]:
    """d_i = (n - |cluster_i|) / (n - 1): 1 alone in its cluster, 0 when all mean the same or n = 1."""
    n = len(cluster_of)
    if n < 2:
        return [0.0] * n
    return [(n - cluster_of.count(c)) / (n - 1) for c in cluster_of]


def clusters(items: Sequence[T], similarity: Callable[[T, T], float], threshold: float) -> list[int]:
    """Single-link clusters: the connected components of the graph of pairs more similar than `threshold`.

    `similarity` is symmetric and called once a pair. Returns a cluster number per item, counted from 0 in
    order of first appearance.
    """
    label = list(range(len(items)))
    for i in range(len(items)):
        for j in range(i):
            if similarity(items[i], items[j]) > threshold:
                label = [label[j] if other == label[i] else other for other in label]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(own, len(numbers)) for own in label]


def answer_similarity(a: Rollout, b: Rollout) -> float:
    """1 when the extracted answers agree by answer type, else 0. Two responses without an answer agree."""
    if not a.answer or not b.answer:
        return float(a.answer == b.answer)
    return float(a.same(a.answer, b.answer))


def embedded_similarity(a: Rollout, b: Rollout) -> float:
    """1 when the embedder put both in one cluster, else 0 (`asked/meaning.py`)."""
    if a.meaning is None or b.meaning is None:
        raise ValueError("the responses were not embedded")
    return float(a.meaning == b.meaning)


def word_similarity(a: Rollout, b: Rollout) -> float:
    """Jaccard overlap of the responses' word bigrams (of the words, where one has no bigram)."""
    words = [rollout.response.lower().split() for rollout in (a, b)]
    grams: list[set[Any]] = [set(pairwise(own)) for own in words]
    own, other = grams if all(grams) else map(set, words)
    return len(own & other) / len(own | other) if own or other else 1.0


SIMILARITIES: dict[str, Similarity] = {"answer": answer_similarity, "words": word_similarity}
"""Built-in ways to tell whether two responses mean the same, by their names in the settings."""
