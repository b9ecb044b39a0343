"""Pass 2: which of the decoded images stay, given the hashes of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.image_ingest.config import OFF
from components.image_ingest.near_duplicates import first_near, hamming
from components.image_ingest.reasons import Reason


@dataclass(frozen=True)
class Repeat:
    """An image that another one stands for."""

    reason: Reason
    first: int
    """Position of the image that was kept."""
    distance: int
    """Hamming distance of the perceptual hashes."""


def repeats(image_ids: Sequence[str], hashes: np.ndarray, near_duplicate_bits: int) -> dict[int, Repeat]:
    """Duplicates and near duplicates of earlier images, by position.

    Args:
        image_ids: ids in file order; equal ids are exact duplicates.
        hashes: (n,) uint64 perceptual hashes.
        near_duplicate_bits: Hamming distance that still counts, or `OFF`.

    Returns:
        What does not stay. Every image not in it does; `first` always points at one that stays, except that the
        duplicate of a near duplicate points at the image that stands for both.
    """
    positions: dict[str, int] = {}
    first = np.fromiter(
        (positions.setdefault(key, i) for i, key in enumerate(image_ids)), np.int64, len(image_ids)
    )
    unique = np.flatnonzero(first == np.arange(len(first)))
    leaders = np.full(len(first), -1, dtype=np.int64)
    if near_duplicate_bits != OFF and len(unique):
        found = first_near(hashes[unique], near_duplicate_bits)
        leaders[unique] = np.where(found >= 0, unique[found], -1)
    result = {}
    for position in np.flatnonzero((first != np.arange(len(first))) | (leaders >= 0)):
        original = int(first[position])
        leader = int(leaders[original])
        if original != position:
            result[int(position)] = Repeat(Reason.DUPLICATE, leader if leader >= 0 else original, 0)
        else:
            distance = int(hamming(hashes[position], hashes[leader]))
            result[int(position)] = Repeat(Reason.NEAR_DUPLICATE, leader, distance)
    return result
