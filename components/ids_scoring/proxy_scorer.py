"""The `proxy` scorer: recognised text and image statistics instead of a model's judgement.

A stand-in for when there is no model, not the method: no image statistic knows what a picture means. Every scale below is a
choice of this implementation and comes from no paper.
"""

from __future__ import annotations

import io
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from components.core.errors import ConfigError
from components.core.log import progress
from components.core.work import Journal
from components.ids_scoring.proxy_features import Statistics, statistics
from components.ids_scoring.scorers import ScoredImage, Unscored

_STATISTICS_SIDE_PX = 256  # statistics are taken at this size: comparable between pictures, and fast
_OCR_SIDE_PX = 960
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

    def __init__(self, journal: Journal, log: logging.Logger) -> None:
        self._journal = journal
        self._log = log
        try:
            from rapidocr_onnxruntime import RapidOCR
        except ImportError as error:
            raise ConfigError(
                f"ids_scoring.scorer: 'proxy' needs the package rapidocr-onnxruntime ({error}); install it or use 'mllm'"
            ) from error
        # The engine takes every core unless told otherwise; OMP_NUM_THREADS is how containers and schedulers tell.
        threads = int(os.environ.get("OMP_NUM_THREADS") or -1)
        self._ocr: Any = RapidOCR(
            det_limit_side_len=_OCR_SHORT_SIDE_PX,
            det_limit_type="min",
            print_verbose=False,
            intra_op_num_threads=threads,
            inter_op_num_threads=threads,
        )

    def score(self, images: Sequence[tuple[str, bytes]], desc: str) -> list[ScoredImage | Unscored]:
        """Score images one after the other; results are journalled, so that a kill costs one image."""
        results: list[ScoredImage | Unscored] = []
        for image_id, data in progress(images, total=len(images), desc=desc, logger=self._log):
            if image_id not in self._journal:
                self._journal.put(image_id, asdict(self._score(data)))
            kept = self._journal.get(image_id)
            results.append(ScoredImage(tuple(kept["scores"]), kept["rationale"], kept["caption"]))
        return results

    def _score(self, data: bytes) -> ScoredImage:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
        text = self._read(image)
        small = image.copy()
        small.thumbnail((_STATISTICS_SIDE_PX, _STATISTICS_SIDE_PX))
        return combine(statistics(np.asarray(small)), text)

    def _read(self, image: Image.Image) -> Text:
        image = image.copy()
        image.thumbnail((_OCR_SIDE_PX, _OCR_SIDE_PX))
        found, _ = self._ocr(np.asarray(image)[..., ::-1], use_cls=False)  # the engine expects BGR
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
