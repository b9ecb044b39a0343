"""The train/held-out split: a function of the image alone, so that an image never changes sides."""

from __future__ import annotations

from components.core.data.hashing import sha256_hex


def split_of(image_id: str, heldout_fraction: float) -> str:
    """ "heldout" for a `heldout_fraction` of all image ids, else "train".

    The id is hashed with a salt of its own, so the split is independent of every other draw made from the id. Growing
    the data set moves no image; raising the fraction only moves images from train to heldout.
    """
    position = int(sha256_hex(f"split:{image_id}")[:16], 16) / 2**64
    return "heldout" if position < heldout_fraction else "train"
