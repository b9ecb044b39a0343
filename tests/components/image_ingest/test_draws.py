from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.core.data.hashing import sha256_hex
from components.image_ingest.draws import split_of


def test_share_is_the_wanted_one() -> None:
    sides = [split_of(sha256_hex(str(i)), 0.2) for i in range(5000)]
    assert abs(sides.count("heldout") / 5000 - 0.2) < 0.02  # three standard errors of 0.0057


@given(st.text(), st.floats(0, 0.99), st.floats(0, 0.99))
def test_raising_the_fraction_moves_images_only_out_of_training(image_id, one, other) -> None:
    low, high = sorted((one, other))
    if split_of(image_id, low) == "heldout":
        assert split_of(image_id, high) == "heldout"


def test_zero_holds_nothing_out() -> None:
    assert {split_of(str(i), 0.0) for i in range(1000)} == {"train"}


def test_sides_never_change_between_releases() -> None:
    # sha256("split:a") starts with 487b6b9793fb91fa: position 0.28313; "split:b" with 7621ba276f65022f:
    # 0.46145
    for key, position in (("a", 0.28313), ("b", 0.46145)):
        assert split_of(key, position + 1e-4) == "heldout"
        assert split_of(key, position - 1e-4) == "train"
