"""Semantic diversity within a group, after DARLING (arXiv 2509.02534)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from components.core import answers

from .rollout import Rollout

T = TypeVar("T")
Similarity = Callable[[Rollout, Rollout], float]


def clusters(items: Sequence[T], similarity: Callable[[T, T], float], threshold: float) -> list[int]:
    """Single-link clusters: the connected components of the graph of pairs more similar than `threshold`.

    Args:
        items: of any type.
        similarity: symmetric; called once a pair.
        threshold: pairs with `similarity > threshold` join.

    Returns:
        A cluster number per item, counted from 0 in order of first appearance.
    """
    parent = list(range(len(items)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i in range(len(items)):
        for j in range(i):
            if similarity(items[i], items[j]) > threshold:
                parent[max(root(i), root(j))] = min(root(i), root(j))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(len(items))]


def distinctness(cluster_of: Sequence[int]) -> list[float]:
    """d_i = (n - |cluster_i|) / (n - 1): 1 alone in its cluster, 0 when all mean the same; 0 for a single item."""
    n = len(cluster_of)
    if n < 2:
        return [0.0] * n
    return [(n - cluster_of.count(c)) / (n - 1) for c in cluster_of]


def diversity(cluster_of: Sequence[int], correct: Sequence[bool]) -> list[float]:
    """Diversity reward of one group: `distinctness` among its right responses, 0 for wrong ones.

    Wrong answers are always easy to make different; only rarer ways of being right are worth something. Where one
    answer is right (a number, a letter) and similarity compares answers, the reward is 0 for all by construction.

    Args:
        cluster_of: cluster number of every response of the group.
        correct: whether each response is right.
    """
    right = [c for c, ok in zip(cluster_of, correct, strict=True) if ok]
    rewards = iter(distinctness(right))
    return [next(rewards) if ok else 0.0 for ok in correct]


def answer_similarity(a: Rollout, b: Rollout) -> float:
    """1 when the extracted answers agree by answer type, else 0. Two responses without an answer agree."""
    if not a.answer or not b.answer:
        return float(a.answer == b.answer)
    return float(answers.agree(a.answer, b.answer, a.answer_type, list(a.choices)))


def word_similarity(a: Rollout, b: Rollout) -> float:
    """Jaccard overlap of the responses' word bigrams (of the words, where one has no bigram)."""
    grams_a, grams_b = _bigrams(a.response), _bigrams(b.response)
    if not grams_a or not grams_b:
        grams_a, grams_b = set(a.response.lower().split()), set(b.response.lower().split())
    union = grams_a | grams_b
    return len(grams_a & grams_b) / len(union) if union else 1.0


def _bigrams(text: str) -> set[str]:
    words = text.lower().split()
    return {f"{first} {second}" for first, second in zip(words, words[1:], strict=False)}
