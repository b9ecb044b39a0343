"""Blocked exact search: the topics of highest inner product, in bounded memory. Pure.

Blocked single-precision products find a few spare candidates; double precision ranks them. Rounding errors of
the products are bounded (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5).
So it is known whether a query's true best can have been missed; such a query is searched in double precision.
The result is that of exact arithmetic up to 2^-53, whatever the block sizes, threads and BLAS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

SPARE = 4  # candidates beyond the wanted number: so many topics may tie with the last one within rounding
_NO_KEY = np.iinfo(np.int64).min
_CROWDED = 4  # hits per candidate from which it pays to look for a higher threshold first
_RANKED_QUERIES = 128  # queries whose candidates are ranked together: bounds the double-precision copies
_EXHAUSTIVE_TOPICS = 4096


class TopicSearch:
    """Finds the topics of highest inner product for every query; equal ones by ascending index.

    Args:
        topics: (t, d) float32.
        block_queries: rows of one product. No effect on the result.
        block_topics: columns of one product. No effect on the result; memory grows with both.

    Raises:
        ValueError: `topics` has not two axes, more than 2^32 rows, or a value that is not finite.
    """

    def __init__(self, topics: Floats, *, block_queries: int = 2048, block_topics: int = 4096) -> None:
        if topics.ndim != 2 or len(topics) > 2**32:
            raise ValueError(f"topics {topics.shape} need two axes and at most 2^32 rows")
        self.topics = np.ascontiguousarray(topics, np.float32)
        norms = _norms(self.topics)
        if not np.isfinite(norms).all():
            raise ValueError("topics must be finite")
        self._longest = float(norms.max(initial=0.0))
        self._block_queries = block_queries
        self._block_topics = min(block_topics, max(len(topics), 1))
        self._scores = np.empty(block_queries * self._block_topics, np.float32)
        self._mask = np.empty(block_queries * self._block_topics, np.bool_)

    def top(self, queries: Floats, m: int) -> tuple[Ints, Floats]:
        """The best `m` topics of every query.

        Args:
            queries: (n, d) float32.
            m: how many; capped at the number of topics.

        Returns:
            Indices of topics and their inner products, both (n, min(m, t)), best first.

        Raises:
            ValueError: `queries` does not fit the topics, m < 1, or values are not finite or too large.
        """
        if queries.ndim != 2 or queries.shape[1] != self.topics.shape[1]:
            raise ValueError(f"queries {queries.shape} and topics {self.topics.shape} need the same width")
        if m < 1:
            raise ValueError(f"m is {m}, must be at least 1")
        m = min(m, len(self.topics))
        indices = np.zeros((len(queries), m), np.int64)
        scores = np.zeros((len(queries), m), np.float32)
        for start in range(0, len(queries) if m else 0, self._block_queries):
            rows = slice(start, start + self._block_queries)
            indices[rows], scores[rows] = self._top_of_block(np.ascontiguousarray(queries[rows]), m)
        return indices, scores

    def _top_of_block(self, queries: Floats, m: int) -> tuple[Ints, Doubles]:
        norms = _norms(queries)
        if not np.isfinite(norms).all():
            raise ValueError("queries must be finite")
        largest = norms.max(initial=0.0) * self._longest
        if not largest < np.finfo(np.float32).max:
            raise ValueError(f"inner products may reach {largest:.3g}, more than single precision holds")
        # Error of a float32 inner product: γ_d |q|·|t| with γ_d = d·u / (1 - d·u), u = 2^-24, and underflow.
        terms = queries.shape[1] * 2.0**-24
        error = terms / (1 - terms) * norms * self._longest + queries.shape[1] * 2.0**-126
        wanted = min(m + SPARE, len(self.topics))
        keys = self._candidates(queries, wanted)
        found = np.sort(_index_of(keys), axis=1)
        exact = _inner_products(queries, self.topics, found)
        # Candidates are in the order of their index, so a stable sort leaves ties in it.
        order = np.argsort(-exact, axis=1, kind="stable")[:, :m]
        indices, scores = np.take_along_axis(found, order, 1), np.take_along_axis(exact, order, 1)
        if wanted < len(self.topics):
            # A topic that is no candidate scored no higher than the weakest candidate did.
            doubtful = scores[:, -1] <= _score_of(keys.min(axis=1)).astype(np.float64) + error
            for row in np.flatnonzero(doubtful):
                indices[row], scores[row] = self._exhaustive(queries[row], m)
        return indices, scores

    def _candidates(self, queries: Floats, wanted: int) -> Ints:
        """Keys of each query's `wanted` best topics by float32 products, in no order: (n, wanted)."""
        n = len(queries)
        keys = np.full((n, wanted), _NO_KEY, np.int64)
        threshold = np.full(n, -np.inf, np.float32)
        for start in range(0, len(self.topics), self._block_topics):
            block = self.topics[start : start + self._block_topics]
            size = n * len(block)
            scores = self._scores[:size].reshape(n, len(block))
            np.matmul(queries, block.T, out=scores)
            # Later topics have to beat the weakest candidate, for a tie goes to the lower index.
            enters = np.greater(scores, threshold[:, None], out=self._mask[:size].reshape(n, len(block)))
            if np.count_nonzero(enters) > _CROWDED * keys.size:  # as in the first block
                bound = np.maximum(threshold, _below_group_best(scores, wanted))
                np.greater(scores, bound[:, None], out=enters)
            hits = np.flatnonzero(enters)
            if len(hits):
                rows = hits // len(block)
                _merge(keys, rows, _key(scores.reshape(-1)[hits], hits % len(block) + start))
                weakest = keys.min(axis=1)
                threshold = np.where(weakest == _NO_KEY, np.float32(-np.inf), _score_of(weakest))
        return keys

    def _exhaustive(self, query: Floats, m: int) -> tuple[Ints, Doubles]:
        """The best `m` topics of one query, every inner product in double precision."""
        starts = range(_EXHAUSTIVE_TOPICS, len(self.topics), _EXHAUSTIVE_TOPICS)
        blocks, wide = np.split(self.topics, starts), query.astype(np.float64)
        scores = np.concatenate([np.einsum("td,d->t", block.astype(np.float64), wide) for block in blocks])
        order = np.argsort(-scores, kind="stable")[:m]
        return order, scores[order]


def _norms(rows: Floats) -> Doubles:
    """Euclidean length of each row; infinite or NaN exactly where the row is not finite or overflows."""
    return np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))


def _inner_products(queries: Floats, topics: Floats, found: Ints) -> Doubles:
    """(n, k) double-precision inner products of each query with the topics found for it."""
    result = np.empty(found.shape, np.float64)
    for start in range(0, len(queries), _RANKED_QUERIES):
        rows = slice(start, start + _RANKED_QUERIES)
        near = topics[found[rows]].astype(np.float64)
        result[rows] = np.einsum("nkd,nd->nk", near, queries[rows].astype(np.float64))
    return result


def _below_group_best(scores: Floats, wanted: int) -> Floats:
    """For each row a bound that at least `wanted` of its scores exceed; -inf where the block is too small.

    The columns form groups; each of the `wanted` best groups has a score of at least the weakest one's best.
    """
    n, columns = scores.shape
    groups = 1 << (4 * wanted - 1).bit_length()
    if columns < 2 * groups:
        return np.full(n, -np.inf, np.float32)
    best = scores[:, :groups].copy()
    for start in range(groups, columns - groups + 1, groups):
        np.maximum(best, scores[:, start : start + groups], out=best)
    return np.nextafter(np.partition(best, -wanted, axis=1)[:, -wanted], np.float32(-np.inf))


def _key(scores: Floats, indices: Ints) -> Ints:
    """One integer for a score and an index: larger for a higher score, then for a lower index."""
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes one zero of the two
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return (ordered.astype(np.int64) << 32) | (0xFFFFFFFF - indices)


def _index_of(keys: Ints) -> Ints:
    return 0xFFFFFFFF - (keys & 0xFFFFFFFF)


def _score_of(keys: Ints) -> Floats:
    ordered = (keys >> 32).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)


def _merge(keys: Ints, rows: Ints, new: Ints) -> None:
    """Keep in `keys` (n, w) the w largest of a row's old and new keys; `rows` ascends."""
    width = keys.shape[1]
    counts = np.bincount(rows, minlength=len(keys))
    if counts.max() > _CROWDED * width:
        # A few crowded rows would make the table below wide: their own best first.
        order = np.lexsort((-new, rows))
        rows, new = rows[order], new[order]
        place = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
        rows, new = rows[place < width], new[place < width]
        counts = np.minimum(counts, width)
    touched = np.flatnonzero(counts)
    starts = np.cumsum(counts) - counts
    table = np.full((len(touched), width + int(counts.max())), _NO_KEY, np.int64)
    table[:, :width] = keys[touched]
    line = np.repeat(np.arange(len(touched)), counts[touched])
    table[line, width + np.arange(len(rows)) - starts[rows]] = new
    table.partition(table.shape[1] - width, axis=1)
    keys[touched] = table[:, -width:]
