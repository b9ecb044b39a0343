"""topic_matching: from captions to candidates to the topics a model chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.core.data.image_store import ImageStore
from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.topic_matching.choice import TopicChoice, read_choice
from components.topic_matching.config import Config
from components.topic_matching.coverage import Coverage
from components.topic_matching.report import MAX_IMAGES_LISTED, Example, Unmatched, write_report
from components.topic_matching.topics import Candidate, Match, Matcher, Topics

# Why an image is in `rejected`; the list is closed. The first two say that there is no topic for it, the others that
# nothing is known.
REASONS = ("no_topic", "no_candidate", "no_caption", "unusable_answer", "endpoint_refused")
MAX_EXAMPLES = 12


@dataclass
class Tally:
    """Counts over all images; images = matched + rejected."""

    coverage: Coverage
    images: int = 0
    topics_per_image: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unmatched: list[Unmatched] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What came of one image: matches, or a reason why there are none."""

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
        topics = Topics.from_table(ctx.dataset("label_tree", table="label_tree").to_table())
    except ValueError as error:
        raise DataError(f"label_tree: {error}; run label_tree again") from error
    if not topics.leaves:
        raise DataError(
            "label_tree: no topics below the first level to match images to; run label_tree again"
        )
    images = ImageStore(ctx.dataset("images", table="images"))
    ids = ctx.dataset("ids", table="ids")
    embedder = MLLMClient(config.embedder, ctx.work.journal("embeddings"), ctx.log)
    teacher = MLLMClient(config.model, ctx.work.journal("choices"), ctx.log)
    matcher = Matcher(topics, config.block_images, config.block_topics)
    tally = Tally(Coverage(topics))
    with (
        ctx.writer("matches", table="matches") as matches,
        ctx.writer("rejected", table="rejected") as rejected,
    ):
        for batch in ids.iter_batches(["image_id", "caption"], batch_rows=config.block_images):
            rows = batch.to_pylist()
            outcomes = _match_block(
                config, rows, matcher, images, embedder, teacher, f"images {tally.images + 1} on"
            )
            matches.write([row for outcome in outcomes for row in _match_rows(outcome, topics)])
            rejected.write(
                [{"id": o.image_id, "reason": o.reason, "detail": o.detail} for o in outcomes if o.reason]
            )
            for outcome in outcomes:
                _count(tally, outcome, topics, images)
    with ctx.writer("coverage", table="coverage") as coverage:
        coverage.write(tally.coverage.rows())
    _summarise(ctx, topics, tally)
    ctx.metrics.update(teacher.usage.metrics("teacher") | embedder.usage.metrics("embedder"))


def _summarise(ctx: StageContext, topics: Topics, tally: Tally) -> None:
    matched, coverage = sum(tally.topics_per_image.values()), tally.coverage
    ctx.log.info("matched images", extra={"matched": matched, "rejected": dict(tally.reasons)})
    ctx.metrics.update(
        images=float(tally.images),
        images_matched=float(matched),
        images_rejected=float(sum(tally.reasons.values())),
        images_without_topic=float(tally.reasons["no_topic"] + tally.reasons["no_candidate"]),
        matches=float(coverage.matches[topics.leaves].sum()),
        topics=float(len(topics.leaves)),
        topics_without_image=float(len(coverage.without_images())),
        topics_level_1_without_image=float(len(coverage.without_images(1))),
        topics_level_2_without_image=float(len(coverage.without_images(2))),
    )
    write_report(
        ctx.report,
        topics,
        coverage,
        tally.topics_per_image,
        tally.reasons,
        tally.unmatched,
        tally.examples,
    )


def _match_block(
    config: Config,
    rows: Sequence[dict[str, Any]],
    matcher: Matcher,
    images: ImageStore,
    embedder: MLLMClient,
    teacher: MLLMClient,
    desc: str,
) -> list[Outcome]:
    """Outcomes of one block of images, in its order."""
    found: dict[str, Outcome] = {}
    topics = matcher.topics
    described = [row for row in rows if row["caption"].strip()]
    if described:
        captions = embedder.embed([row["caption"].strip() for row in described])
        if captions.shape[1] != topics.vectors.shape[1]:
            raise DataError(
                f"captions have {captions.shape[1]} dimensions, the label tree's topics {topics.vectors.shape[1]}; "
                "give label_tree and topic_matching the same embedder"
            )
        if config.fine:
            offered = matcher.candidates(captions, config.coarse_topics, config.min_similarity)
            found = _choose(config, described, offered, topics, images, teacher, desc)
        else:
            chosen = matcher.nearest(captions, config.max_topics, config.min_similarity)
            found = {
                row["image_id"]: Outcome(row["image_id"], row["caption"], tuple(some))
                if some
                else _no_candidate(config, row)
                for row, some in zip(described, chosen, strict=True)
            }
    no_caption = "ids_scoring wrote no caption for this image; use a scorer that does"
    return [
        found.get(row["image_id"]) or Outcome(row["image_id"], "", reason="no_caption", detail=no_caption)
        for row in rows
    ]


def _no_candidate(config: Config, row: dict[str, Any]) -> Outcome:
    detail = f"no topic is as near to the caption as min_similarity {config.min_similarity:g}"
    return Outcome(row["image_id"], row["caption"], reason="no_candidate", detail=detail)


def _choose(
    config: Config,
    rows: Sequence[dict[str, Any]],
    offered: Sequence[Sequence[Candidate]],
    topics: Topics,
    images: ImageStore,
    teacher: MLLMClient,
    desc: str,
) -> dict[str, Outcome]:
    """Let the model choose for every image that has candidates; one without any is not asked about."""
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
            else _no_candidate(config, row)
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
    if not chosen:
        detail = f"the model chose none of {len(some)} candidates"
        return Outcome(image_id, caption, reason="no_topic", detail=detail)
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
        tally.reasons[outcome.reason] += 1
        if len(tally.unmatched) < MAX_IMAGES_LISTED:
            tally.unmatched.append(Unmatched(outcome.image_id, outcome.reason, outcome.detail))
    else:
        tally.topics_per_image[len(outcome.matches)] += 1
        tally.coverage.add(outcome.matches)
    if len(tally.examples) < MAX_EXAMPLES and outcome.reason in ("", "no_topic", "no_candidate"):
        lines = [f"{match.fine:.2f}  {' > '.join(topics.paths[match.topic])}" for match in outcome.matches]
        caption = "\n".join([outcome.caption, *(lines or ["no topic"])])
        tally.examples.append(Example(images.get(outcome.image_id), caption))
