"""Decontamination: benchmark images, recognised by their pixels and by perceptual hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from components.core.data.hashing import sha256_hex
from components.image_ingest.checks.verify import Stored, pixel_digest, verify
from components.image_ingest.config import OFF, Config
from components.image_ingest.duplicates.near_duplicates import hamming
from components.image_ingest.duplicates.phash import THUMBNAIL_PX, phash
from components.image_ingest.entry import Rejection

# Block means of the thumbnails of equal pictures differ by no more than this, in grey levels. They do differ,
# because thumbnails come from decodes at different scales, which round and clip differently.
_ALIKE = 8
_COARSE = 4


@dataclass(frozen=True)
class BenchmarkImages:
    """The images of all benchmarks as digests, small enough to hand to every worker process."""

    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    """(n,) uint64 perceptual hashes."""
    sizes: np.ndarray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int32))
    """(n, 2) int32 width and height in stored form."""
    coarse: np.ndarray = field(default_factory=lambda: np.empty((0, _COARSE**2), dtype=np.int16))
    """(n, 16) int16 block means of the luminance thumbnails."""
    pixels: tuple[str, ...] = ()
    """Digests of the pixels, see `pixel_digest`."""
    names: tuple[str, ...] = ()
    """Benchmark and item that each image belongs to."""

    def find(self, image: Stored, hash_: np.uint64, bits: int) -> str | None:
        """The benchmark item whose picture equals this one, or nearly; None if there is none.

        `hash_` is the picture's own, `bits` the Hamming distance that still counts; `OFF`: equal pixels only.
        """
        if not self.names:
            return None
        # Pixels are decoded only if size and coarse luminance are those of a benchmark's picture.
        alike = (self.sizes == (image.width, image.height)).all(axis=1)
        alike[alike] = (np.abs(self.coarse[alike] - coarse(image.thumbnail)) <= _ALIKE).all(axis=1)
        if alike.any():
            digest = pixel_digest(image.pixels)
            for position in np.flatnonzero(alike):
                if self.pixels[position] == digest:
                    return f"{self.names[position]} pixels equal"
        if bits != OFF:
            distances = hamming(self.hashes, hash_)
            nearest = int(distances.argmin())
            if distances[nearest] <= bits:
                return f"{self.names[nearest]} distance={int(distances[nearest])}"
        return None


def coarse(thumbnail: np.ndarray) -> np.ndarray:
    """Means over the 4 x 4 blocks of a (32, 32) thumbnail; (16,) int16."""
    side = THUMBNAIL_PX // _COARSE
    means = thumbnail.reshape(_COARSE, side, _COARSE, side).mean(axis=(1, 3))
    return np.rint(means).astype(np.int16).ravel()


def collect(images: Iterable[tuple[str, bytes]], config: Config) -> tuple[BenchmarkImages, list[str]]:
    """Digest benchmark images, brought into the same stored form as the run's images first.

    Args:
        images: (name, encoded bytes); equal bytes are digested once.
        config: the run's bounds, which apply to benchmark images too: stored forms are compared.

    Returns:
        The digests, and the names of images that a run would refuse, so that no image of a run equals them.
    """
    seen: set[str] = set()
    found: list[tuple[np.uint64, tuple[int, int], np.ndarray, str, str]] = []
    skipped: list[str] = []
    for name, data in images:
        digest = sha256_hex(data)
        if digest in seen:
            continue
        seen.add(digest)
        image = verify(data, config)
        if isinstance(image, Rejection):
            skipped.append(f"{name} ({image.reason})")
            continue
        size, small = (image.width, image.height), image.thumbnail
        found.append((phash(small)[0], size, coarse(small), pixel_digest(image.pixels), name))
    if not found:
        return BenchmarkImages(), skipped
    hashes, sizes, means, pixels, names = zip(*found, strict=True)
    benchmarks = BenchmarkImages(np.array(hashes), np.array(sizes, np.int32), np.array(means), pixels, names)
    return benchmarks, skipped
