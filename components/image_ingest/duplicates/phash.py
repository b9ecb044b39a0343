"""64-bit perceptual hash of the discrete cosine transform (pHash), for many images at once.

From Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions* (2010). The luminance is
scaled to 32 x 32 and the 8 x 8 lowest frequencies of its DCT-II are kept. Each bit says whether a coefficient
lies above their median. Two pictures of the same thing differ in few bits.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMBNAIL_PX = 32
"""Side of the square luminance thumbnail the hash is computed from."""
LOW_FREQUENCIES = 8
"""The hash keeps the lowest 8 x 8 frequencies: 64 bits."""


_K, _N = np.arange(LOW_FREQUENCIES)[:, None], np.arange(THUMBNAIL_PX)
# First rows of the DCT-II matrix: basis[k, n] = 2 cos(pi k (2n + 1) / 2N), shape (8, 32).
_BASIS = 2.0 * np.cos(np.pi * _K * (2 * _N + 1) / (2 * THUMBNAIL_PX))


def luminance_thumbnail(image: Image.Image) -> np.ndarray:
    """The 32 x 32 luminance thumbnail, uint8; the picture is box-reduced first, which avoids aliasing."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return np.asarray(image.resize(side, Image.Resampling.LANCZOS, reducing_gap=2.0).convert("L"))


def phash(thumbnails: np.ndarray) -> np.ndarray:
    """(n,) uint64 hashes of (n, 32, 32) real luminance; the highest bit is the lowest frequency's."""
    planes = np.asarray(thumbnails, dtype=np.float64).reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX)
    low = (_BASIS @ planes @ _BASIS.T).reshape(len(planes), LOW_FREQUENCIES**2)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).reshape(-1)


def to_signed(hashes: np.ndarray) -> np.ndarray:
    """The same 64 bits as int64, a type that all Parquet and Arrow readers have."""
    return np.ascontiguousarray(hashes, dtype=np.uint64).view(np.int64)


def to_unsigned(hashes: np.ndarray) -> np.ndarray:
    """Inverse of `to_signed`."""
    return np.ascontiguousarray(hashes, dtype=np.int64).view(np.uint64)
