from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.image_ingest.duplicates import near_duplicates
from components.image_ingest.duplicates.near_duplicates import HashIndex, hamming
from components.image_ingest.duplicates.nearness import Growing, keep_first


def first_near(hashes: np.ndarray, radius: int) -> np.ndarray:
    """(n,) int64: position of the kept hash that each one repeats, -1 where it is kept itself."""
    leader = np.full(len(hashes), -1, dtype=np.int64)
    kept = Growing(np.int64)
    index = HashIndex(radius)
    size = near_duplicates._BLOCK
    for start in range(0, len(hashes), size):
        block = hashes[start : start + size]
        members, _ = keep_first([(index, block)], len(block), len(kept))
        stays = np.flatnonzero(members < 0)
        index.add(block[stays])
        kept.append(start + stays)
        goes = np.flatnonzero(members >= 0)
        leader[start + goes] = kept.view[members[goes]]
    return leader


def naive(hashes: list[int], radius: int) -> list[int]:
    """The definition: the first kept hash before it within the radius."""
    kept: list[int] = []
    leaders = []
    for position, value in enumerate(hashes):
        leader = next((k for k in kept if (hashes[k] ^ value).bit_count() <= radius), -1)
        leaders.append(leader)
        if leader < 0:
            kept.append(position)
    return leaders


def clustered(seed: int, count: int, flips: int) -> np.ndarray:
    """Hashes around few centres, so that many are near and chains of near ones occur."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**63, max(1, count // 8), dtype=np.uint64)
    hashes = centres[rng.integers(0, len(centres), count)]
    for _ in range(flips):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64))
    return hashes


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31), st.integers(0, 120), st.integers(0, 6), st.sampled_from([0, 1, 2, 4, 7, 12, 31])
)
def test_equals_the_definition(seed, count, flips, radius) -> None:
    hashes = clustered(seed, count, flips)
    assert first_near(hashes, radius).tolist() == naive([int(h) for h in hashes], radius)


@pytest.mark.parametrize("block", [1, 3, 16])
def test_blocks_do_not_change_the_result(monkeypatch, block) -> None:
    hashes = clustered(5, 200, 3)
    expected = naive([int(h) for h in hashes], 4)
    monkeypatch.setattr(near_duplicates, "_BLOCK", block)
    monkeypatch.setattr(near_duplicates, "_PAIRS", 7)
    assert first_near(hashes, 4).tolist() == expected


def test_kept_ones_are_pairwise_further_apart_than_the_radius() -> None:
    hashes = clustered(1, 500, 3)
    kept = hashes[first_near(hashes, 5) < 0]
    distances = hamming(kept[:, None], kept[None, :])
    assert distances[np.triu_indices(len(kept), 1)].min() > 5


def test_all_equal_hashes_follow_the_first() -> None:
    assert first_near(np.zeros(10_000, dtype=np.uint64), 3).tolist() == [-1] + [0] * 9_999


def test_no_hashes() -> None:
    assert first_near(np.empty(0, dtype=np.uint64), 4).tolist() == []


def test_index_finds_the_earliest_member() -> None:
    index = HashIndex(2)
    index.add(np.array([0b1111, 0b0111], dtype=np.uint64))
    index.add(np.array([0], dtype=np.uint64))
    assert index.first_within(np.array([0b0111, 0b0001, 1 << 63 | 0b11111100], dtype=np.uint64)).tolist() == [
        0,
        1,
        -1,
    ]
    assert len(index) == 3


def test_radius_must_be_possible() -> None:
    with pytest.raises(ValueError, match="radius"):
        HashIndex(64)
