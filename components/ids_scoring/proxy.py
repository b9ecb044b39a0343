"""The `proxy` scorer: recognised text and image statistics instead of a model's judgement.

It is for runs without a model: no image statistic knows the meaning of a picture. Every scale below is a
choice of this implementation and comes from no paper.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from components.core.data.mapping import in_batches, map_tasks
from components.core.pictures import decode
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError
from components.ids_scoring.config import Config
from components.ids_scoring.scorers import DensityScorer, ScoredImage

_STATISTICS_SIDE_PX = 256  # one size for all statistics: comparable between pictures, and fast
_OCR_SIDE_PX = 960
_OCR_SHORT_SIDE_PX = 480  # smaller pictures are enlarged: the detector was trained on readable glyphs
_TASK_IMAGES = 8
_LEVELS = 8  # levels a channel is quantised to: 512 colours
_EDGE = 0.08  # least gradient magnitude of an edge, in luminance from 0 to 1
_SEGMENT_SHARE = 0.002  # smaller regions, as a share of the pixels, are texture
_GRID = 8  # cells a side of the grid over which edges are spread


@dataclass(frozen=True)
class Statistics:
    """Signals of one picture, each from 0 to 1 except the count."""

    colour_entropy: float
    """Shannon entropy of the 512-colour histogram, divided by its maximum of 9 bits."""
    edge_density: float
    """Share of pixels on an edge."""
    edge_spread: float
    """Entropy of the edges' distribution over an 8 x 8 grid, divided by its maximum of 6 bits."""
    segments: int
    """Connected regions of one quantised colour that are larger than 0.2 % of the picture."""


@dataclass(frozen=True)
class Text:
    """The text read in a picture."""

    words: tuple[str, ...]
    coverage: float
    """Share of the picture's area inside text boxes."""


class ProxyScorer(DensityScorer):
    """Reads text with RapidOCR, whose weights ship in its package, and measures colours, edges and segments.

    Raises:
        ConfigError: rapidocr-onnxruntime is not installed.
    """

    name = "proxy"

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._engine = config.engine
        if importlib.util.find_spec("rapidocr_onnxruntime") is None:
            needed = "the package rapidocr-onnxruntime; install it or use 'mllm'"
            raise ConfigError(f"ids_scoring.scorer: 'proxy' needs {needed}")

    def score(self, images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, ScoredImage]]:
        for scored in map_tasks(_score_task, in_batches(images, _TASK_IMAGES), None, self._engine):
            yield from scored


def _score_task(_: None, images: list[tuple[str, bytes]]) -> list[tuple[str, ScoredImage]]:
    return [(image_id, _score(data)) for image_id, data in images]


def _score(data: bytes) -> ScoredImage:
    image = decode(data)
    text = _read(image)
    image.thumbnail((_STATISTICS_SIDE_PX, _STATISTICS_SIDE_PX))
    return combine(statistics(np.asarray(image)), text)


@cache
def _ocr() -> Any:
    """The process's engine. One thread: workers share the cores, and sums are the same on every machine."""
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(
        det_limit_side_len=_OCR_SHORT_SIDE_PX,
        det_limit_type="min",
        print_verbose=False,
        intra_op_num_threads=1,
        inter_op_num_threads=1,
    )


def _read(image: Image.Image) -> Text:
    image = image.copy()
    image.thumbnail((_OCR_SIDE_PX, _OCR_SIDE_PX))
    found, _ = _ocr()(np.asarray(image)[..., ::-1], use_cls=False)  # the engine expects BGR
    words = tuple(word for _, text, _ in found or [] for word in str(text).split())
    boxes = [np.asarray(box, dtype=np.float64) for box, _, _ in found or []]
    area = sum(_polygon_area(box) for box in boxes) / (image.width * image.height)
    return Text(words, min(1.0, area))


def _polygon_area(corners: np.ndarray) -> float:
    """Shoelace formula over (k, 2) corners."""
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def statistics(pixels: np.ndarray) -> Statistics:
    """Statistics of a picture of (height, width, 3) uint8."""
    codes = (pixels.astype(np.int32) * _LEVELS) // 256
    colours = (codes[..., 0] * _LEVELS + codes[..., 1]) * _LEVELS + codes[..., 2]
    luminance = pixels @ np.array([0.299, 0.587, 0.114]) / 255.0
    gradient = np.hypot(ndimage.sobel(luminance, axis=0), ndimage.sobel(luminance, axis=1)) / 4.0
    edges = gradient > _EDGE
    rows, columns = np.nonzero(edges)
    height, width = edges.shape
    cells = (rows * _GRID // height) * _GRID + columns * _GRID // width
    return Statistics(
        colour_entropy=_entropy(np.bincount(colours.ravel(), minlength=_LEVELS**3)),
        edge_density=float(edges.mean()),
        edge_spread=_entropy(np.bincount(cells, minlength=_GRID**2)),
        segments=_segments(colours),
    )


def _entropy(counts: np.ndarray) -> float:
    """Entropy of a histogram relative to that of the uniform one; 0 when it is empty."""
    total = counts.sum()
    if not total:
        return 0.0
    share = counts[counts > 0] / total
    return float(-(share * np.log2(share)).sum() / np.log2(counts.size))


def _segments(colours: np.ndarray) -> int:
    """Count of large 4-connected regions of equal colour."""
    least = max(1, int(colours.size * _SEGMENT_SHARE))
    count = 0
    # At most 1 / _SEGMENT_SHARE = 500 colours can be frequent enough.
    for colour in np.flatnonzero(np.bincount(colours.ravel()) >= least):
        labels, _ = ndimage.label(colours == colour)
        count += int((np.bincount(labels.ravel())[1:] >= least).sum())
    return count


def combine(stats: Statistics, text: Text) -> ScoredImage:
    """Four scores from the signals; each saturates at 10."""
    characters = sum(len(word) for word in text.words)
    amount = _saturating(characters, 60)
    variety = _saturating(len({word.lower() for word in text.words}), 12)
    segments = _saturating(stats.segments, 15)
    ocr = 10 * (0.5 * amount + 0.3 * variety + 0.2 * _saturating(text.coverage, 0.1))
    subject = 10 * (0.5 * segments + 0.5 * stats.colour_entropy)
    spatial = 10 * (0.4 * segments + 0.3 * stats.edge_spread + 0.3 * _saturating(stats.edge_density, 0.1))
    # No pixel shows world knowledge; signs and many subjects are the nearest measurable thing.
    knowledge = (ocr + subject) / 2
    rationale = (
        f"proxy: {characters} characters in {len(text.words)} words over {text.coverage:.1%} of the image, "
        f"{stats.segments} segments, colour entropy {stats.colour_entropy:.2f}, "
        f"edges {stats.edge_density:.1%}, spread {stats.edge_spread:.2f}"
    )
    return ScoredImage((subject, spatial, ocr, knowledge), rationale, " ".join(text.words))


def _saturating(value: float, scale: float) -> float:
    """From 0 towards 1: 0.63 at `scale`."""
    return 1.0 - math.exp(-value / scale)
