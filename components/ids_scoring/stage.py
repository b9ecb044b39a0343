"""The ids_scoring stage: images in, dimension scores and question allotments out."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.core.errors import ConfigError, DataError
from components.core.image_store import ImageStore
from components.core.manifest import Dataset
from components.core.mllm import MLLMClient
from components.core.runner import StageContext, StageIO
from components.ids_scoring.budget import DIMENSIONS, by_bands, by_total, information_density
from components.ids_scoring.config import Budget, Config
from components.ids_scoring.report import example_positions, write_report
from components.ids_scoring.scorers import ScoredImage, Scorer, Unscored

IO = StageIO(inputs=("images",), outputs=("ids", "rejected"))


def run(config: Config, ctx: StageContext) -> None:
    """Score every image, combine the dimensions, allot questions.

    Raises:
        ConfigError: the budget cannot be met by this number of images, or the proxy's package is missing.
        DataError: no image could be scored.
    """
    images = ctx.dataset("images", table="images")
    if config.budget.mode == "total":
        _check_budget(config.budget, images.rows)
    scorer = _scorer(config, ctx)
    scored: list[tuple[str, ScoredImage]] = []
    rejected: list[dict[str, str]] = []
    batches = images.iter_batches(["image_id", "bytes"], batch_rows=config.batch_images)
    for number, batch in enumerate(batches):
        first = number * config.batch_images
        desc = f"score images {first + 1}-{first + batch.num_rows} of {images.rows}"
        pairs = list(zip(batch["image_id"].to_pylist(), batch["bytes"].to_pylist(), strict=True))
        for (image_id, _), result in zip(pairs, scorer.score(pairs, desc), strict=True):
            if isinstance(result, Unscored):
                rejected.append({"id": image_id, "reason": result.reason.value, "detail": result.detail})
            else:
                scored.append((image_id, result))
    if not scored:
        raise DataError(
            f"none of {images.rows} images could be scored; first: {rejected[0] if rejected else 'no images'}"
        )

    rows = _rows(scored, scorer.name, config)
    with ctx.writer("ids", table="ids") as writer:
        writer.write(rows)
    with ctx.writer("rejected", table="rejected") as writer:
        writer.write(rejected)
    _summarise(rows, len(rejected), images, ctx)


def _scorer(config: Config, ctx: StageContext) -> Scorer:
    if config.scorer == "proxy":
        from components.ids_scoring.proxy_scorer import ProxyScorer

        return ProxyScorer(ctx.work.journal("proxy"), ctx.log)
    from components.ids_scoring.mllm_scorer import MLLMScorer

    assert config.endpoint is not None  # the settings refuse `mllm` without an endpoint
    client = MLLMClient(config.endpoint, ctx.work.journal("score"), ctx.log)
    return MLLMScorer(client, config.max_answer_tokens, config.seed)


def _check_budget(budget: Budget, images: int) -> None:
    """Fail before the first request rather than after the last."""
    try:
        by_total(np.ones(images), budget.total, budget.n_min, budget.n_max)
    except ValueError as error:
        raise ConfigError(f"ids_scoring.budget.total: {error}") from error


def _rows(scored: list[tuple[str, ScoredImage]], scorer: str, config: Config) -> list[dict[str, Any]]:
    ids = information_density(np.array([image.scores for _, image in scored]), config.weights.as_tuple())
    budget = config.budget
    if budget.mode == "bands":
        questions = by_bands(ids, budget.band_edges, budget.band_questions)
    else:
        try:
            questions = by_total(ids, budget.total, budget.n_min, budget.n_max, [key for key, _ in scored])
        except ValueError as error:  # images were rejected, so that the rest cannot take the total
            raise ConfigError(f"ids_scoring.budget.total: {error}") from error
    return [
        {
            "image_id": image_id,
            **dict(zip(DIMENSIONS, image.scores, strict=True)),
            "ids": float(density),
            "rationale": image.rationale,
            "caption": image.caption,
            "scorer": scorer,
            "n_qa": int(count),
        }
        for (image_id, image), density, count in zip(scored, ids, questions, strict=True)
    ]


def _summarise(rows: list[dict[str, Any]], rejected: int, images: Dataset, ctx: StageContext) -> None:
    ids = np.array([row["ids"] for row in rows])
    questions = sum(row["n_qa"] for row in rows)
    ctx.metrics |= {"images": images.rows, "scored": len(rows), "rejected": rejected}
    ctx.metrics |= {"ids_mean": float(ids.mean()), "ids_std": float(ids.std()), "questions": questions}
    ctx.log.info("scored images", extra={"scored": len(rows), "rejected": rejected, "questions": questions})
    store = ImageStore(images)
    examples = {
        name: [
            (store.get(rows[i]["image_id"]), f"{ids[i]:.2f}: {rows[i]['caption']}"[:300]) for i in positions
        ]
        for name, positions in example_positions(ids).items()
    }
    write_report(ctx.report, rows, examples, rejected)
