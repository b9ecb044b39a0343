"""Draws by a hash of the image id: the held-out split, and the replay sample of pictures seen before.

A picture's draw depends on its id alone. It is the same in every run, and other pictures do not change it.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.core.data.hashing import sha256_hex
from components.core.sources.copies import has_changed, local_copy
from components.core.stage.errors import DataError, NoInputError


def split_of(image_id: str, heldout_fraction: float) -> str:
    """ "heldout" for a `heldout_fraction` of all image ids, else "train".

    The id is hashed with its own salt, so the split is independent of every other draw from the id. Growing
    the data set moves no image; raising the fraction only moves images from train to heldout.
    """
    position = int(sha256_hex(f"split:{image_id}")[:16], 16) / 2**64
    return "heldout" if position < heldout_fraction else "train"


@dataclass(frozen=True)
class Seen:
    """Pictures that the promoted model was trained on; with new data alone, it would forget them."""

    ids: frozenset[str]
    """SHA-256 digests of the stored bytes, as hexadecimal text."""
    replay_share: float
    """Share of them that come again."""

    def replays(self, image_id: str) -> bool:
        """Whether a seen picture is in the replay sample."""
        return int(sha256_hex(f"replay {image_id}")[:8], 16) < self.replay_share * 16**8


def read_seen(reference: str, replay_share: float) -> Seen:
    """The pictures of a pinned file, one id a line; none for an empty reference.

    Raises:
        NoInputError: the file is missing.
        DataError: its content differs from its pin.
    """
    if not reference:
        return Seen(frozenset(), replay_share)
    path = local_copy(reference)
    if not path.is_file():
        raise NoInputError(f"{path}: the list of pictures that the promoted model has seen is missing")
    if has_changed(reference, path):
        raise DataError(f"{path}: changed since preflight pinned it; run preflight again")
    return Seen(frozenset(path.read_text(encoding="ascii").split()), replay_share)
