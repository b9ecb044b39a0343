"""The `proxy` scorer: recognised text and image statistics instead of a model's judgement.

A stand-in for when there is no model, not the method: no image statistic knows what a picture means. Every scale below is a
choice of this implementation and comes from no paper.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from components.core.data.mapping import EngineSettings, map_tasks
from components.core.stage.errors import ConfigError
from components.ids_scoring.proxy_features import Statistics, statistics
from components.ids_scoring.scorers import ScoredImage

_STATISTICS_SIDE_PX = 256  # statistics are taken at this size: comparable between pictures, and fast
_OCR_SIDE_PX = 960
_TASK_IMAGES = 8
_OCR_SHORT_SIDE_PX = (
    480  # the detector enlarges pictures whose shorter side is less: it was trained on readable glyphs
)


@dataclass(frozen=True)
class Text:
    """What was read in a picture."""

    words: tuple[str, ...]
    coverage: float
    """Share of the picture's area inside text boxes."""


class ProxyScorer:
    """Reads text with RapidOCR, whose weights ship in its package, and measures colours, edges and segments.

    Raises:
        ConfigError: rapidocr-onnxruntime is not installed.
    """

    name = "proxy"

    def __init__(self, engine: EngineSettings) -> None:
        self._engine = engine
        if importlib.util.find_spec("rapidocr_onnxruntime") is None:
            raise ConfigError(
                "ids_scoring.scorer: 'proxy' needs the package rapidocr-onnxruntime; install it or use 'mllm'"
            )

    def score(self, images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, ScoredImage]]:
        """Score images, several in parallel where the engine has several workers."""
        images = iter(images)
        tasks = iter(lambda: list(islice(images, _TASK_IMAGES)), [])
        for scored in map_tasks(_score_task, tasks, None, self._engine):
            yield from scored

    def metrics(self) -> dict[str, float]:
        """Nothing was asked of anyone."""
        return {}


def _score_task(_: None, images: list[tuple[str, bytes]]) -> list[tuple[str, ScoredImage]]:
    return [(image_id, _score(data)) for image_id, data in images]


def _score(data: bytes) -> ScoredImage:
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    text = _read(image)
    small = image.copy()
    small.thumbnail((_STATISTICS_SIDE_PX, _STATISTICS_SIDE_PX))
    return combine(statistics(np.asarray(small)), text)


@cache
def _ocr() -> Any:
    """The process's engine. One thread: workers share the cores, and sums come out the same on every machine."""
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
    boxes = [np.asarray(box, dtype=np.float64) for box, _, _ in found or []]
    words = tuple(word for _, text, _ in found or [] for word in str(text).split())
    area = sum(_polygon_area(box) for box in boxes) / (image.width * image.height)
    return Text(words, min(1.0, area))


def combine(stats: Statistics, text: Text) -> ScoredImage:
    """Four scores from the signals; each saturates at 10."""
    characters = sum(len(word) for word in text.words)
    amount = _saturating(characters, 60)
    variety = _saturating(len({word.lower() for word in text.words}), 12)
    segments = _saturating(stats.segments, 15)
    ocr = 10 * (0.5 * amount + 0.3 * variety + 0.2 * _saturating(text.coverage, 0.1))
    subject = 10 * (0.5 * segments + 0.5 * stats.colour_entropy)
    spatial = 10 * (0.4 * segments + 0.3 * stats.edge_spread + 0.3 * _saturating(stats.edge_density, 0.1))
    # What the world knows about a picture is in no pixel; signs and many subjects are the nearest thing measurable.
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


def _polygon_area(corners: np.ndarray) -> float:
    """Shoelace formula over (k, 2) corners."""
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
