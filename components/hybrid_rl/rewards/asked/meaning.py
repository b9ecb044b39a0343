"""Meanings of responses by their sentence embeddings: near ones in a group mean the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.hybrid_rl.rewards.diversity import clusters


def meanings(vectors: NDArray[np.float32], group_size: int, threshold: float) -> list[int]:
    """Number of each response's cluster, counted from 0 in its group.

    Args:
        vectors: embeddings of length 1, shape (n, dimension), whole groups of `group_size` in order.
        threshold: two responses whose cosine is above it mean the same.

    Raises:
        ValueError: the vectors are not whole groups.
    """
    if len(vectors) % group_size:
        raise ValueError(f"{len(vectors)} vectors are not whole groups of {group_size}")
    found: list[int] = []
    for start in range(0, len(vectors), group_size):
        own = vectors[start : start + group_size].astype(np.float64)
        cosines = own @ own.T
        places = range(group_size)
        found += clusters(places, lambda i, j, cosines=cosines: float(cosines[i, j]), threshold)  # type: ignore[misc]
    return found
