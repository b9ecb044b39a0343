"""Exact nearest topics by inner product, in bounded memory. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def top_m(
    queries: Floats, topics: Floats, m: int, *, block_queries: int = 1024, block_topics: int = 8192
) -> tuple[Ints, Floats]:
    """For every query the `m` topics of highest inner product; equal scores go to the lower index.

    A block of scores (block_queries, block_topics) is the largest thing held: topics pass in ascending order, and of
    each block only what can still enter a query's best `m` is kept. A later block has to beat the m-th best strictly,
    since a tie goes to the lower index; where more than a few could, the block's own m-th best thins them out first.

    Args:
        queries: (n, d) float32.
        topics: (t, d) float32.
        m: how many; capped at t.
        block_queries: rows of a block. No effect on the result beyond the last bit of a score.
        block_topics: columns of a block, likewise.

    Returns:
        Indices into `topics` and scores, both (n, min(m, t)), best first.

    Raises:
        ValueError: shapes do not fit, m < 1, or a value is not finite.
    """
    if queries.ndim != 2 or topics.ndim != 2 or queries.shape[1] != topics.shape[1]:
        raise ValueError(
            f"queries {queries.shape} and topics {topics.shape} need two axes and the same width"
        )
    if m < 1:
        raise ValueError(f"m is {m}, must be at least 1")
    if not (np.isfinite(queries).all() and np.isfinite(topics).all()):
        raise ValueError("queries and topics must be finite")
    m = min(m, len(topics))
    indices = np.zeros((len(queries), m), np.int64)
    scores = np.zeros((len(queries), m), np.float32)
    for start in range(0, len(queries), block_queries):
        rows = slice(start, start + block_queries)
        indices[rows], scores[rows] = _top_m_of_block(queries[rows], topics, m, block_topics)
    return indices, scores


def _top_m_of_block(queries: Floats, topics: Floats, m: int, block_topics: int) -> tuple[Ints, Floats]:
    n = len(queries)
    best = np.full((n, m), -np.inf, np.float32)
    where = np.full((n, m), np.iinfo(np.int64).max, np.int64)
    few = 4 * n * m
    for start in range(0, len(topics), block_topics):
        scores = queries @ topics[start : start + block_topics].T
        enters = scores > best[:, -1:]
        if scores.shape[1] > m and np.count_nonzero(enters) > few:
            enters &= scores >= np.partition(scores, -m, axis=1)[:, -m, None]
        rows, columns = np.nonzero(enters)
        if len(rows):
            best, where = _merge(best, where, rows, columns + start, scores[rows, columns])
    return where, best


def _merge(best: Floats, where: Ints, rows: Ints, found: Ints, scores: Floats) -> tuple[Floats, Ints]:
    """Best m of what a query had and what a block added, by (score descending, index ascending)."""
    m = best.shape[1]
    touched, row_of = np.unique(rows, return_inverse=True)
    all_rows = np.concatenate([np.repeat(np.arange(len(touched)), m), row_of])
    all_scores = np.concatenate([best[touched].ravel(), scores])
    all_where = np.concatenate([where[touched].ravel(), found])
    order = np.lexsort((all_where, -all_scores, all_rows))
    # Every touched row has at least m entries, its old ones: take the first m of each run.
    first = np.searchsorted(all_rows[order], np.arange(len(touched)))
    take = order[first[:, None] + np.arange(m)]
    best, where = best.copy(), where.copy()
    best[touched], where[touched] = all_scores[take], all_where[take]
    return best, where
