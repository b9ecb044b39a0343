"""The ids_scoring stage: images in, dimension scores and question allotments out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from components.core.data.image_store import ImageStore
from components.core.data.manifest import Dataset
from components.core.mllm import MLLMClient
from components.core.resume.journal import Journal
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError, DataError
from components.ids_scoring.budget import DIMENSIONS, by_bands, by_total, information_density
from components.ids_scoring.config import Budget, Config
from components.ids_scoring.report import example_positions, write_report
from components.ids_scoring.scorers import Scorer, Unscored

_READ_ROWS = 64
_WRITE_ROWS = 20_000


def run(config: Config, ctx: StageContext) -> None:
    """Score every image, combine the dimensions, allot questions.

    What was scored is kept in a journal by image: memory holds four numbers an image, and a restart scores the rest.

    Raises:
        ConfigError: the budget cannot be met by this number of images, or the proxy's package is missing.
        DataError: no image could be scored.
    """
    images = ctx.dataset("images", table="images")
    if config.budget.mode == "total":
        _check_budget(config.budget, images.rows)
    scorer = _scorer(config, ctx)
    scored = ctx.work.journal("scored")
    rejected = _score(scorer, images, scored, ctx)
    keys = [row["image_id"] for row in images.rows_iter(["image_id"]) if row["image_id"] in scored]
    if not keys:
        raise DataError(
            f"none of {images.rows} images could be scored; first: {rejected[0] if rejected else 'no images'}"
        )
    scores = np.array([scored.get(key)["scores"] for key in keys], dtype=np.float64)
    ids = information_density(scores, config.weights.as_tuple())
    questions = _allot(ids, keys, config.budget)
    with ctx.writer("ids", table="ids") as writer:
        for start in range(0, len(keys), _WRITE_ROWS):
            writer.write(
                [
                    _row(keys[i], scored.get(keys[i]), float(ids[i]), int(questions[i]), scorer.name)
                    for i in range(start, min(start + _WRITE_ROWS, len(keys)))
                ]
            )
    with ctx.writer("rejected", table="rejected") as writer:
        writer.write(rejected)
    ctx.metrics |= {"images": images.rows, "scored": len(keys), "rejected": len(rejected)}
    ctx.metrics |= {"ids_mean": float(ids.mean()), "ids_std": float(ids.std())}
    ctx.metrics |= {"questions": int(questions.sum()), **scorer.metrics()}
    ctx.log.info(
        "scored images",
        extra={"scored": len(keys), "rejected": len(rejected), "questions": int(questions.sum())},
    )
    store = ImageStore(images)
    examples = {
        name: [
            (store.get(keys[i]), f"{ids[i]:.2f}: {scored.get(keys[i])['caption']}"[:300]) for i in positions
        ]
        for name, positions in example_positions(ids).items()
    }
    write_report(ctx.report, scorer.name, scores, ids, questions, examples, len(rejected))


def _score(scorer: Scorer, images: Dataset, scored: Journal, ctx: StageContext) -> list[dict[str, str]]:
    """Score the images that `scored` lacks, into `scored`; returns the rows of those that could not be scored."""

    def missing() -> Iterator[tuple[str, bytes]]:
        for row in images.rows_iter(["image_id", "bytes"], batch_rows=_READ_ROWS):
            if row["image_id"] not in scored:
                yield row["image_id"], row["bytes"]

    rejected = []
    for image_id, result in ctx.progress(
        scorer.score(missing()), total=images.rows - len(scored), desc="score images"
    ):
        if isinstance(result, Unscored):
            rejected.append({"id": image_id, "reason": result.reason.value, "detail": result.detail})
        else:
            entry = {"scores": result.scores, "rationale": result.rationale, "caption": result.caption}
            scored.put(image_id, entry)
    return rejected


def _scorer(config: Config, ctx: StageContext) -> Scorer:
    if config.scorer == "proxy":
        from components.ids_scoring.proxy_scorer import ProxyScorer

        return ProxyScorer(config.engine)
    from components.ids_scoring.mllm_scorer import MLLMScorer

    assert config.endpoint is not None  # the settings refuse `mllm` without an endpoint
    client = MLLMClient(config.endpoint, ctx.work.journal("replies"), ctx.log)
    return MLLMScorer(client, config.max_answer_tokens, config.seed, config.batch_images)


def _check_budget(budget: Budget, images: int) -> None:
    """Fail before the first request rather than after the last."""
    _total(np.ones(images), budget, None)


def _allot(ids: np.ndarray, keys: list[str], budget: Budget) -> np.ndarray:
    if budget.mode == "bands":
        return by_bands(ids, budget.band_edges, budget.band_questions)
    return _total(ids, budget, keys)  # images may have been rejected, so that the rest cannot take the total


def _total(ids: np.ndarray, budget: Budget, keys: list[str] | None) -> np.ndarray:
    try:
        return by_total(ids, budget.total, budget.n_min, budget.n_max, keys)
    except ValueError as error:
        raise ConfigError(f"ids_scoring.budget.total: {error}") from error


def _row(image_id: str, entry: dict[str, Any], ids: float, questions: int, scorer: str) -> dict[str, Any]:
    return {
        "image_id": image_id,
        **dict(zip(DIMENSIONS, entry["scores"], strict=True)),
        "ids": ids,
        "rationale": entry["rationale"],
        "caption": entry["caption"],
        "scorer": scorer,
        "n_qa": questions,
    }
