"""Match every image to topics: from captions to candidates to the topics that a model chooses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from components.core.data.image_store import ImageStore
from components.core.mllm import MLLMClient
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.topic_matching.coarse import Matcher
from components.topic_matching.config import Config
from components.topic_matching.fine import Outcome, choose, no_candidate
from components.topic_matching.report import Tally, write_report
from components.topic_matching.topics import Coverage, Topics

_NO_CAPTION = "ids_scoring wrote no caption for this image; use a scorer that does"


def run(config: Config, ctx: StageContext) -> None:
    """Match every image of `ids`, one block at a time.

    Raises:
        DataError: the tree has a first level only, or captions and topics were embedded by different models.
    """
    try:
        topics = Topics.from_table(ctx.dataset("label_tree", table="label_tree").to_table())
    except ValueError as error:
        raise DataError(f"label_tree: {error}; run label_tree again") from error
    if not topics.leaves:
        problem = "no topics below the first level to match images to"
        raise DataError(f"label_tree: {problem}; run label_tree again")
    images = ImageStore(ctx.dataset("images", table="images"))
    ids = ctx.dataset("ids", table="ids")
    embedder = MLLMClient(config.embedder, ctx.work.journal("embeddings"), ctx.log)
    teacher = MLLMClient(config.model, ctx.work.journal("choices"), ctx.log)
    matcher = Matcher(topics, config.block_images, config.block_topics)
    match = partial(_match, config, matcher, images, embedder, teacher)
    tally = Tally(Coverage(topics))
    no_caption = partial(Outcome, caption="", reason="no_caption", detail=_NO_CAPTION)
    with (
        ctx.writer("matches", table="matches") as matches,
        ctx.writer("rejected", table="rejected") as rejected,
    ):
        for batch in ids.iter_batches(["image_id", "caption"], batch_rows=config.block_images):
            rows = batch.to_pylist()
            described = [row for row in rows if row["caption"].strip()]
            found = match(described, f"images {tally.images + 1} on") if described else []
            by_id = {outcome.image_id: outcome for outcome in found}
            outcomes = [by_id.get(row["image_id"]) or no_caption(row["image_id"]) for row in rows]
            matches.write([row for outcome in outcomes for row in _match_rows(outcome, topics)])
            refused = [outcome for outcome in outcomes if outcome.reason]
            rejected.write([{"id": o.image_id, "reason": o.reason, "detail": o.detail} for o in refused])
            for outcome in outcomes:
                tally.add(outcome, topics, images)
    with ctx.writer("coverage", table="coverage") as coverage:
        coverage.write(tally.coverage.rows())
    matched = sum(tally.topics_per_image.values())
    ctx.log.info("matched images", extra={"matched": matched, "rejected": dict(tally.reasons)})
    ctx.metrics.update(tally.metrics(topics))
    write_report(ctx.report, topics, tally)
    ctx.metrics.update(teacher.usage.metrics("teacher") | embedder.usage.metrics("embedder"))


def _match(
    config: Config,
    matcher: Matcher,
    images: ImageStore,
    embedder: MLLMClient,
    teacher: MLLMClient,
    rows: Sequence[dict[str, Any]],
    desc: str,
) -> list[Outcome]:
    """Outcomes of one block of images that have captions, in its order."""
    captions = embedder.embed([row["caption"].strip() for row in rows])
    width = matcher.topics.vectors.shape[1]
    if captions.shape[1] != width:
        found = f"captions have {captions.shape[1]} dimensions, the label tree's topics {width}"
        raise DataError(f"{found}; give label_tree and topic_matching the same embedder")
    if config.fine:
        offered = matcher.candidates(captions, config.coarse_topics, config.min_similarity)
        return choose(config, rows, offered, matcher.topics, images, teacher, desc)
    nearest = matcher.nearest(captions, config.max_topics, config.min_similarity)
    return [
        Outcome(row["image_id"], row["caption"], tuple(some)) if some else no_candidate(config, row)
        for row, some in zip(rows, nearest, strict=True)
    ]


def _match_rows(outcome: Outcome, topics: Topics) -> list[dict[str, Any]]:
    return [
        {
            "image_id": outcome.image_id,
            "topic_id": topics.ids[match.topic],
            "coarse": match.coarse,
            "fine": match.fine,
            "rank": rank,
        }
        for rank, match in enumerate(outcome.matches, start=1)
    ]
