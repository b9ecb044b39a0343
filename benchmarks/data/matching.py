"""Exact top-8 search of 38,455 topics for 100,000 images, against the bare matrix products of the same job.

`TopicSearch.top` with its default blocks runs against `numpy.matmul` alone over the same two matrices. The
products' scores are thrown away, and a trial chooses their block size. Both take turns, `--repeats` rounds,
with the threads that OMP_NUM_THREADS gives BLAS. `ratio` is the median time of the products over that of the
search: 1 would mean that selecting costs nothing. Peak memory is that of a process of its own that makes the
data and searches once.

Data (seed 0): float32 unit vectors of 384 and of 1024 dimensions.

- `isotropic`: topics and images drawn evenly from the sphere.
- `tree`: topics as a tree of 9 × 60 branches in reading order (cosine of siblings about 0.63), each image
  near one topic.

Exactness: the results of `--checked` random images against a sort of all their double-precision scores.

Target: exact, within 2 GB, at no less than half the machine's measured matrix-product speed.

    python -m benchmarks.data.matching [--scale 1.0] [--repeats 3] [--widths 384 1024] [--checked 200]
"""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import high_water_mb, result, side_by_side, timed
from components.topic_matching.search import TopicSearch

TOPICS, IMAGES, TOP = 38_455, 100_000, 8
KINDS = ("isotropic", "tree")
TRIED_BLOCKS = (
    (512, 2048),
    (1024, 2048),
    (1024, 4096),
    (2048, 4096),
    (4096, 4096),
    (2048, 8192),
    (4096, 8192),
)
_CHUNK = 8192
Floats = NDArray[np.float32]


def make_data(kind: str, n_topics: int, n_images: int, width: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Topics and images as the module's docstring says."""
    rng = np.random.default_rng(seed)
    topics, images = _sphere(rng, n_topics, width), _sphere(rng, n_images, width)
    if kind == "tree":
        roots, branches = _sphere(rng, 9, width), _sphere(rng, 540, width)
        branch = np.arange(n_topics) * 540 // n_topics
        topics *= np.float32(0.6)
        topics += np.float32(0.6) * branches[branch] + np.float32(0.5) * roots[branch // 60]
        _normalise(topics)
        for start in range(0, n_images, _CHUNK):
            some = images[start : start + _CHUNK]
            some += topics[rng.integers(0, n_topics, len(some))]
        _normalise(images)
    return topics, images


def _sphere(rng: np.random.Generator, count: int, width: int) -> Floats:
    rows = rng.standard_normal((count, width), dtype=np.float32)
    _normalise(rows)
    return rows


def _normalise(rows: Floats) -> None:
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        some /= np.linalg.norm(some, axis=1, keepdims=True)


def products(images: Floats, topics: Floats, block_images: int, block_topics: int) -> None:
    """All scores, block by block into one buffer."""
    buffer = np.empty(block_images * block_topics, np.float32)
    for start in range(0, len(images), block_images):
        rows = images[start : start + block_images]
        for first in range(0, len(topics), block_topics):
            block = topics[first : first + block_topics]
            out = buffer[: len(rows) * len(block)].reshape(len(rows), len(block))
            np.matmul(rows, block.T, out=out)


def fastest_block(images: Floats, topics: Floats) -> tuple[int, int]:
    """The block size whose products of 8,192 images took the least time, best of three."""
    some = images[:_CHUNK]
    times = {
        block: min(timed(partial(products, some, topics, *block))[1] for _ in range(3))
        for block in TRIED_BLOCKS
    }
    return min(times, key=lambda block: times[block])


def wrong(images: Floats, topics: Floats, found: NDArray[np.int64], rows: NDArray[np.int64]) -> int:
    """Images among `rows` whose topics are not the best in double precision; scores within 1e-15 are ties."""
    count = 0
    for row in rows:
        exact = topics.astype(np.float64) @ images[row].astype(np.float64)
        best = np.argsort(-exact, kind="stable")[: found.shape[1]]
        count += bool(
            (np.abs(exact[found[row]] - exact[best]) > 1e-15).any() or len(set(found[row])) < len(best)
        )
    return count


def peak_mb(kind: str, n_topics: int, n_images: int, width: int) -> tuple[float, float]:
    """Peak resident memory of this process with the data made, and after a search, in MB."""
    topics, images = make_data(kind, n_topics, n_images, width)
    before = high_water_mb()
    TopicSearch(topics).top(images, TOP)
    return before, high_water_mb()


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 100,000 images")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the comparison")
    parser.add_argument(
        "--widths", type=int, nargs="+", default=[384, 1024], help="dimensions of the embeddings"
    )
    parser.add_argument("--checked", type=int, default=200, help="images checked in double precision")
    args = parser.parse_args()
    n_images = max(1000, int(IMAGES * args.scale))
    cases: dict[str, dict[str, Any]] = {}
    for width in args.widths:
        for kind in KINDS:
            cases[f"{kind}_{width}"] = _case(kind, n_images, width, args.repeats, args.checked)
    result(
        "matching",
        topics=TOPICS,
        images=n_images,
        top=TOP,
        seed=0,
        cases=cases,
        lowest_ratio=min(case["ratio"] for case in cases.values()),
        at_least_half=all(case["ratio"] >= 0.5 for case in cases.values()),
        exact=all(case["wrong"] == 0 for case in cases.values()),
        highest_peak_mb=max(case["peak_mb"] for case in cases.values()),
        within_2_gb=all(case["peak_mb"] <= 2000 for case in cases.values()),
    )


def _case(kind: str, n_images: int, width: int, repeats: int, checked: int) -> dict[str, object]:
    topics, images = make_data(kind, TOPICS, n_images, width)
    block = fastest_block(images, topics)
    search = TopicSearch(topics)
    found, _ = search.top(images, TOP)
    rows = np.random.default_rng(1).choice(n_images, min(checked, n_images), replace=False)
    seconds = side_by_side(
        {"products": lambda: products(images, topics, *block), "search": lambda: search.top(images, TOP)},
        repeats,
    )
    operations = 2.0 * TOPICS * n_images * width
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before, after = pool.apply(peak_mb, (kind, TOPICS, n_images, width))
    return {
        "ratio": round(seconds["products"]["median_s"] / seconds["search"]["median_s"], 3),
        "seconds": seconds,
        "products_block": list(block),
        "products_gflops": round(operations / seconds["products"]["median_s"] / 1e9, 1),
        "search_gflops": round(operations / seconds["search"]["median_s"] / 1e9, 1),
        "images_per_s": round(n_images / seconds["search"]["median_s"]),
        "checked": len(rows),
        "wrong": wrong(images, topics, found, rows),
        "data_mb": round(before, 1),
        "peak_mb": round(after, 1),
    }


if __name__ == "__main__":
    main()
