"""Benchmark images, so that none of them is trained on: by their pixels, and by perceptual hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from components.core.config import sha256_hex
from components.image_ingest.config import OFF, Config
from components.image_ingest.near_duplicates import hamming
from components.image_ingest.phash import phash
from components.image_ingest.verify import Refused, pixel_digest, verify


@dataclass(frozen=True)
class BenchmarkImages:
    """What is needed to recognise the images of all benchmarks. Small enough to hand to every worker process."""

    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    """(n,) uint64 perceptual hashes."""
    pixels: frozenset[str] = frozenset()
    """Digests of the pixels, see `pixel_digest`."""
    names: tuple[str, ...] = ()
    """For each hash, benchmark and item it belongs to."""

    def find(self, image: Image.Image, hash_: np.uint64, bits: int) -> str | None:
        """The benchmark item that a picture is, or nearly is; None where there is none.

        Args:
            image: the decoded picture in stored form.
            hash_: its perceptual hash.
            bits: Hamming distance that still counts, `OFF` for equal pixels only. Equal pixels have equal hashes, so
                pixels are digested for those few pictures alone whose hash is a benchmark's.
        """
        if not len(self.hashes):
            return None
        distances = hamming(self.hashes, hash_)
        nearest = int(distances.argmin())
        distance = int(distances[nearest])
        if distance == 0 and pixel_digest(image) in self.pixels:
            return f"{self.names[nearest]} pixels equal"
        if bits != OFF and distance <= bits:
            return f"{self.names[nearest]} distance={distance}"
        return None


def collect(images: Iterable[tuple[str, bytes]], config: Config) -> tuple[BenchmarkImages, list[str]]:
    """Digest benchmark images, brought into the same stored form as the run's images first.

    Args:
        images: (name, encoded bytes); equal bytes are digested once.
        config: the run's bounds, which apply to benchmark images too: what is compared is what would be stored.

    Returns:
        The digests, and the names of images that would not pass as images of the run and so cannot meet one.
    """
    seen: set[str] = set()
    hashes: list[np.ndarray] = []
    pixels: set[str] = set()
    names: list[str] = []
    skipped: list[str] = []
    for name, data in images:
        digest = sha256_hex(data)
        if digest in seen:
            continue
        seen.add(digest)
        outcome = verify(data, config)
        if isinstance(outcome, Refused):
            skipped.append(f"{name} ({outcome.reason})")
            continue
        names.append(name)
        pixels.add(pixel_digest(outcome.pixels))
        hashes.append(phash(outcome.thumbnail[None]))
    merged = np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64)
    return BenchmarkImages(merged, frozenset(pixels), tuple(names)), skipped
