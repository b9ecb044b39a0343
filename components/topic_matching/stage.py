"""topic_matching: from captions to candidates to the topics a model chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.core.errors import DataError
from components.core.image_store import ImageStore
from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.prompts import render
from components.core.runner import StageContext, StageIO
from components.topic_matching.choice import TopicChoice, read_choice
from components.topic_matching.config import Config
from components.topic_matching.report import Example, write_report
from components.topic_matching.topics import Candidate, Match, Topics, candidates, nearest

IO = StageIO(inputs=("images", "ids", "label_tree"), outputs=("matches", "rejected"))
# Why an image is in `rejected`; the list is closed.
REASONS = ("no_caption", "unusable_answer", "endpoint_refused")
MAX_EXAMPLES = 12


@dataclass
class Tally:
    """Counts over all images; images = matched + unmatched + rejected."""

    images: int = 0
    matched: int = 0
    unmatched: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    per_topic: dict[int, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What came of one image: matches (maybe none), or a reason why nothing can be said."""

    image_id: str
    caption: str
    matches: tuple[Match, ...] = ()
    reason: str = ""
    detail: str = ""


def run(config: Config, ctx: StageContext) -> None:
    """Match every image of `ids`, one block at a time.

    Raises:
        DataError: the tree has a first level only, or captions and topics were embedded by different models.
    """
    try:
        topics = Topics.from_rows(ctx.dataset("label_tree", table="label_tree").rows_iter())
    except ValueError as error:
        raise DataError(f"label_tree: {error}; run label_tree again") from error
    if not topics.leaves():
        raise DataError(
            "label_tree: no topics below the first level to match images to; run label_tree again"
        )
    images = ImageStore(ctx.dataset("images", table="images"))
    ids = ctx.dataset("ids", table="ids")
    embedder = MLLMClient(config.embedder, ctx.work.journal("embeddings"), ctx.log)
    teacher = MLLMClient(config.model, ctx.work.journal("choices"), ctx.log)
    tally = Tally()
    with (
        ctx.writer("matches", table="matches") as matches,
        ctx.writer("rejected", table="rejected") as rejected,
    ):
        for batch in ids.iter_batches(["image_id", "caption"], batch_rows=config.block_images):
            rows = batch.to_pylist()
            outcomes = _match_block(
                config, rows, topics, images, embedder, teacher, f"images {tally.images + 1} on"
            )
            matches.write([row for outcome in outcomes for row in _match_rows(outcome, topics)])
            rejected.write(
                [{"id": o.image_id, "reason": o.reason, "detail": o.detail} for o in outcomes if o.reason]
            )
            for outcome in outcomes:
                _count(tally, outcome, topics, images)
    ctx.log.info(
        "matched images",
        extra={"matched": tally.matched, "unmatched": tally.unmatched, "rejected": tally.rejected},
    )
    leaves = topics.leaves()
    ctx.metrics.update(
        images=float(tally.images),
        images_matched=float(tally.matched),
        images_without_topic=float(tally.unmatched),
        images_rejected=float(sum(tally.rejected.values())),
        matches=float(sum(tally.per_topic.values())),
        topics=float(len(leaves)),
        topics_without_image=float(sum(leaf not in tally.per_topic for leaf in leaves)),
        completion_tokens=float(teacher.usage.completion_tokens),
    )
    write_report(ctx.report, topics, ctx.metrics, tally.rejected, tally.per_topic, tally.examples)


def _match_block(
    config: Config,
    rows: Sequence[dict[str, Any]],
    topics: Topics,
    images: ImageStore,
    embedder: MLLMClient,
    teacher: MLLMClient,
    desc: str,
) -> list[Outcome]:
    """Outcomes of one block of images, in its order."""
    found: dict[str, Outcome] = {}
    described = [row for row in rows if row["caption"].strip()]
    if described:
        captions = embedder.embed([row["caption"].strip() for row in described])
        if captions.shape[1] != topics.vectors.shape[1]:
            raise DataError(
                f"captions have {captions.shape[1]} dimensions, the label tree's topics {topics.vectors.shape[1]}; "
                "give label_tree and topic_matching the same embedder"
            )
        if config.fine:
            offered = candidates(
                topics, captions, config.coarse_topics, config.min_similarity, config.block_topics
            )
            found = _choose(config, described, offered, topics, images, teacher, desc)
        else:
            chosen = nearest(topics, captions, config.max_topics, config.min_similarity, config.block_topics)
            for row, some in zip(described, chosen, strict=True):
                found[row["image_id"]] = Outcome(row["image_id"], row["caption"], tuple(some))
    no_caption = "ids_scoring wrote no caption for this image; use a scorer that does"
    return [
        found.get(row["image_id"]) or Outcome(row["image_id"], "", reason="no_caption", detail=no_caption)
        for row in rows
    ]


def _choose(
    config: Config,
    rows: Sequence[dict[str, Any]],
    offered: Sequence[Sequence[Candidate]],
    topics: Topics,
    images: ImageStore,
    teacher: MLLMClient,
    desc: str,
) -> dict[str, Outcome]:
    """Let the model choose for every image that has candidates; one without any is unmatched and not asked about."""
    requests = [
        _request(config, row["image_id"], some, topics, images)
        for row, some in zip(rows, offered, strict=True)
        if some
    ]
    answers = {answer.key: answer for answer in teacher.map(requests, desc=desc)}
    outcomes = {}
    for row, some in zip(rows, offered, strict=True):
        image_id, caption = row["image_id"], row["caption"]
        outcomes[image_id] = (
            _outcome(image_id, caption, answers[image_id], some, config.max_topics)
            if some
            else Outcome(image_id, caption)
        )
    return outcomes


def _request(
    config: Config, image_id: str, some: Sequence[Candidate], topics: Topics, images: ImageStore
) -> ChatRequest:
    paths = [topics.paths[candidate.topic] for candidate in some]
    prompt, _ = render(__file__, "choose.jinja", paths=paths, max_topics=config.max_topics)
    return ChatRequest(
        image_id, prompt, TopicChoice, (images.get(image_id),), max_tokens=config.max_answer_tokens
    )


def _outcome(
    image_id: str, caption: str, answer: Answer, some: Sequence[Candidate], max_topics: int
) -> Outcome:
    if answer.value is None:
        error = answer.error or ""
        reason = "endpoint_refused" if error.startswith("endpoint:") else "unusable_answer"
        return Outcome(image_id, caption, reason=reason, detail=error)
    chosen = read_choice(answer.value, some, max_topics)
    if chosen is None:
        detail = f"chose only numbers that none of the {len(some)} candidates has"
        return Outcome(image_id, caption, reason="unusable_answer", detail=detail)
    return Outcome(image_id, caption, tuple(chosen))


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


def _count(tally: Tally, outcome: Outcome, topics: Topics, images: ImageStore) -> None:
    tally.images += 1
    if outcome.reason:
        tally.rejected[outcome.reason] = tally.rejected.get(outcome.reason, 0) + 1
        return
    tally.matched += bool(outcome.matches)
    tally.unmatched += not outcome.matches
    for match in outcome.matches:
        tally.per_topic[match.topic] = tally.per_topic.get(match.topic, 0) + 1
    if len(tally.examples) < MAX_EXAMPLES:
        lines = [f"{match.fine:.2f}  {' > '.join(topics.paths[match.topic])}" for match in outcome.matches]
        caption = "\n".join([outcome.caption, *(lines or ["no topic"])])
        tally.examples.append(Example(images.get(outcome.image_id), caption))
