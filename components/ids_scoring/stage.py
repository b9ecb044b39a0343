"""The ids_scoring stage: images in, dimension scores and question allotments out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.data.mapping import in_batches
from components.core.resume.journal import Journal
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError, DataError
from components.ids_scoring.budget import DIMENSIONS, by_bands, by_total, information_density
from components.ids_scoring.config import Budget, Config
from components.ids_scoring.mllm import MLLMScorer
from components.ids_scoring.proxy import ProxyScorer
from components.ids_scoring.report import example_positions, write_report
from components.ids_scoring.scorers import DensityScorer, Unscored

SCORERS: dict[str, type[DensityScorer]] = {"mllm": MLLMScorer, "proxy": ProxyScorer}
"""By the setting `scorer`."""
_READ_ROWS = 64
_WRITE_ROWS = 20_000


def run(config: Config, ctx: StageContext) -> None:
    """Score every image, combine the dimensions, allot questions.

    A journal keeps the scores by image: memory holds four numbers an image, and a restart scores the rest.

    Raises:
        ConfigError: the budget cannot be met by this number of images, or the proxy's package is missing.
        DataError: no image could be scored.
    """
    images = ctx.dataset("images", table="images")
    _allot(np.ones(images.rows), None, config.budget)  # fails before the first request, not after the last
    scorer = SCORERS[config.scorer](config, ctx)
    scored = ctx.work.journal("scored")
    rejected = _score(scorer, images, scored, ctx)
    keys = [row["image_id"] for row in images.rows_iter(["image_id"]) if row["image_id"] in scored]
    if not keys:
        first = rejected[0] if rejected else "no images"
        raise DataError(f"none of {images.rows} images could be scored; first: {first}")
    scores = np.array([scored.get(key)["scores"] for key in keys], dtype=np.float64)
    ids = information_density(scores, config.weights.as_tuple())
    questions = _allot(ids, keys, config.budget)
    with ctx.writer("ids", table="ids") as writer:
        for batch in in_batches(zip(keys, ids.tolist(), questions.tolist(), strict=True), _WRITE_ROWS):
            writer.write([_row(key, scored.get(key), scorer.name, density, n) for key, density, n in batch])
    with ctx.writer("rejected", table="rejected") as writer:
        writer.write(rejected)
    counts = {"scored": len(keys), "rejected": len(rejected), "questions": int(questions.sum())}
    ctx.metrics |= {"images": images.rows, **counts, **scorer.metrics()}
    ctx.metrics |= {"ids_mean": float(ids.mean()), "ids_std": float(ids.std())}
    ctx.log.info("scored images", extra=counts)
    store = ImageStore(images)
    examples = {
        name: [(store.get(keys[i]), f"{ids[i]:.2f}: {scored.get(keys[i])['caption']}"[:300]) for i in shown]
        for name, shown in example_positions(ids).items()
    }
    write_report(ctx.report, scorer.name, scores, ids, questions, examples, len(rejected))


def _score(
    scorer: DensityScorer, images: Dataset, scored: Journal, ctx: StageContext
) -> list[dict[str, str]]:
    """Score the images that `scored` lacks, into `scored`; returns the rows of images that failed."""

    def missing() -> Iterator[tuple[str, bytes]]:
        for row in images.rows_iter(["image_id", "bytes"], batch_rows=_READ_ROWS):
            if row["image_id"] not in scored:
                yield row["image_id"], row["bytes"]

    rejected = []
    results = scorer.score(missing())
    for image_id, result in ctx.progress(results, total=images.rows - len(scored), desc="score images"):
        if isinstance(result, Unscored):
            rejected.append({"id": image_id, "reason": result.reason.value, "detail": result.detail})
        else:
            scored.put(image_id, asdict(result))
    return rejected


def _allot(ids: np.ndarray, keys: list[str] | None, budget: Budget) -> np.ndarray:
    """Questions of each image, (n,) int64.

    Raises:
        ConfigError: the images cannot take the total; rejected ones may be missing.
    """
    if budget.mode == "bands":
        return by_bands(ids, budget.band_edges, budget.band_questions)
    try:
        return by_total(ids, budget.total, budget.n_min, budget.n_max, keys)
    except ValueError as error:
        raise ConfigError(f"ids_scoring.budget.total: {error}") from error


def _row(image_id: str, entry: dict[str, Any], scorer: str, density: float, n_qa: int) -> dict[str, Any]:
    scores = dict(zip(DIMENSIONS, entry["scores"], strict=True))
    texts = {"rationale": entry["rationale"], "caption": entry["caption"]}
    return {"image_id": image_id, **scores, "ids": density, **texts, "scorer": scorer, "n_qa": n_qa}
