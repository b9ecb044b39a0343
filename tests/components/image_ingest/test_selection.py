from __future__ import annotations

import numpy as np

from components.image_ingest.config import OFF
from components.image_ingest.reasons import Reason
from components.image_ingest.selection import Repeat, repeats

HASHES = np.array([0, 0b1, 0xFFFF, 0, 0b1], dtype=np.uint64)


def test_duplicates_and_near_duplicates_name_the_image_that_stays() -> None:
    # b is near a; the second a repeats a; the second b repeats b, for which a stands.
    assert repeats(["a", "b", "c", "a", "b"], HASHES, 2) == {
        1: Repeat(Reason.NEAR_DUPLICATE, 0, 1),
        3: Repeat(Reason.DUPLICATE, 0, 0),
        4: Repeat(Reason.DUPLICATE, 0, 0),
    }


def test_off_compares_ids_only() -> None:
    assert repeats(["a", "b", "c", "a", "b"], HASHES, OFF) == {
        3: Repeat(Reason.DUPLICATE, 0, 0),
        4: Repeat(Reason.DUPLICATE, 1, 0),
    }


def test_zero_bits_takes_equal_hashes_only() -> None:
    assert repeats(["a", "b", "c"], np.array([7, 7, 6], dtype=np.uint64), 0) == {
        1: Repeat(Reason.NEAR_DUPLICATE, 0, 0)
    }


def test_nothing() -> None:
    assert repeats([], np.empty(0, dtype=np.uint64), 4) == {}
