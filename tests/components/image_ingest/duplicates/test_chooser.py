from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.image_ingest.duplicates import chooser as selection
from components.image_ingest.duplicates.chooser import Chooser, Repeat
from components.image_ingest.duplicates.embeddings import VectorIndex
from components.image_ingest.duplicates.near_duplicates import HashIndex
from components.image_ingest.duplicates.nearness import keep_first
from components.image_ingest.entry import Reason


def digest(name: str) -> bytes:
    return name.encode().ljust(32, b"\0")  # zeros at the end, which NumPy's fixed-width bytes drop


def choose(
    chooser: Chooser, names: str, hashes: list[int] | None = None, start: int = 0
) -> dict[int, Repeat]:
    rows = [] if hashes is None else [np.array(hashes, dtype=np.uint64)]
    return chooser.choose([digest(name) for name in names], rows, start + np.arange(len(names)))


def test_duplicates_and_near_duplicates_name_the_image_that_stays() -> None:
    # b is near a; the second a repeats a; the second b is near a, as b itself was.
    assert choose(Chooser([HashIndex(2)]), "abcab", [0, 0b1, 0xFFFF, 0, 0b1]) == {
        1: Repeat(Reason.NEAR_DUPLICATE, 0, "distance=1"),
        3: Repeat(Reason.DUPLICATE, 0),
        4: Repeat(Reason.NEAR_DUPLICATE, 0, "distance=1"),
    }


def test_without_measures_ids_alone_are_compared() -> None:
    assert choose(Chooser([]), "abcab") == {3: Repeat(Reason.DUPLICATE, 0), 4: Repeat(Reason.DUPLICATE, 1)}


def test_images_of_the_catalogue_are_known() -> None:
    chooser = Chooser([HashIndex(1)])
    chooser.add_known([digest("k")], [np.array([0xF0], dtype=np.uint64)])
    found = choose(chooser, "kab", [0xF0, 0xF1, 0xFF], start=7)
    assert found == {0: Repeat(Reason.KNOWN, 0), 1: Repeat(Reason.KNOWN, 0, "distance=1")}
    assert chooser.position(1) == 9
    assert chooser.image_id(1) == digest("b").hex()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 25), max_size=60), st.integers(1, 7))
def test_chunks_do_not_change_the_choice(items, size) -> None:
    whole, parts = Chooser([HashIndex(1)]), Chooser([HashIndex(1)])
    names, hashes = "".join(chr(97 + item) for item in items), [item // 2 for item in items]
    expected = choose(whole, names, hashes)
    found = {}
    for start in range(0, len(items), size):
        end = start + size
        part = choose(parts, names[start:end], hashes[start:end], start)
        found |= {start + row: repeat for row, repeat in part.items()}
    assert found == expected


def test_many_ids_are_found_again(monkeypatch) -> None:
    monkeypatch.setattr(selection, "_RECENT_IDS", 10)
    rng = np.random.default_rng(0)
    ids = [rng.bytes(31) + b"\0" for _ in range(95)]
    chooser = Chooser([])
    for start in range(0, 95, 7):
        part = ids[start : start + 7]
        assert chooser.choose(part, [], start + np.arange(len(part))) == {}
    again = chooser.choose(ids, [], np.arange(95))
    assert again == {row: Repeat(Reason.DUPLICATE, row) for row in range(95)}


def test_two_measures_together() -> None:
    """The third image is near the second by embedding alone, the fourth near the first by hash alone."""
    hashes = np.array([0, 0xFFFF, 0xFF0000, 1], dtype=np.uint64)
    angles = np.array([0.0, 1.0, 1.01, 2.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    compared = [(HashIndex(1), hashes), (VectorIndex(2, 0.99), vectors)]
    leaders, by = keep_first(compared, 4, 10)
    assert leaders.tolist() == [-1, -1, 11, 10]
    assert by.tolist() == [-1, -1, 1, 0]


@pytest.mark.parametrize("block", [1, 3, 8192])
def test_vectors_are_compared_with_every_member(monkeypatch, block) -> None:
    monkeypatch.setattr("components.image_ingest.duplicates.embeddings._BLOCK", block)
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    index = VectorIndex(8, 0.5)
    index.add(vectors[:15])
    index.add(vectors[15:30])
    cosines = vectors[30:].astype(np.float32) @ vectors[:30].astype(np.float32).T
    expected = [int(np.flatnonzero(row >= 0.5)[0]) if (row >= 0.5).any() else -1 for row in cosines]
    assert index.first_within(vectors[30:]).tolist() == expected
    assert set(expected) != {-1}
