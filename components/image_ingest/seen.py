"""Pictures that the promoted model was trained on: a sample of them is taken again, the others are not.

New data alone would make a model forget the old: a replay sample keeps it. The sample is drawn by a hash of the image
id, so it is the same in every run, and whether a picture belongs to it does not depend on the others.
"""

from __future__ import annotations

from components.core.data.hashing import sha256_hex
from components.core.data.pins import fingerprint, split_pin
from components.core.stage.errors import DataError, NoInputError

_HEX = 16**8


class Seen:
    """The ids of the pictures that were seen, and which of them come again.

    Args:
        ids: SHA-256 digests of the stored bytes, as hexadecimal text.
        replay_share: share of them that come again.
    """

    def __init__(self, ids: frozenset[str], replay_share: float) -> None:
        self._ids, self._replay_share = ids, replay_share

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._ids

    def replays(self, image_id: str) -> bool:
        """Whether a seen picture is in the replay sample."""
        return int(sha256_hex(f"replay {image_id}")[:8], 16) < self._replay_share * _HEX


def read_seen(reference: str, replay_share: float) -> Seen:
    """What a pinned file lists, one id a line; nothing for an empty reference.

    Raises:
        NoInputError: the file is missing.
        DataError: it is not what its pin says.
    """
    if not reference:
        return Seen(frozenset(), replay_share)
    path, pinned = split_pin(reference)
    if not path.is_file():
        raise NoInputError(f"{path}: the list of pictures that the promoted model has seen is missing")
    if pinned and fingerprint(path) != pinned:
        raise DataError(f"{path}: changed since preflight pinned it; run preflight again")
    return Seen(frozenset(path.read_text(encoding="ascii").split()), replay_share)
