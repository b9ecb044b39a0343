"""Question budget steering: what to ask about each image, by its budget, density scores and topics."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from components.core.answers import AnswerType
from components.core.data.dataset import Dataset
from components.core.data.hashing import rng_for, seed_for
from components.core.mllm import Answer, ChatRequest
from components.core.stage.errors import DataError
from components.qa_synthesis.config import Config
from components.qa_synthesis.schemas import MAX_ITEMS

Ask = Callable[[list[ChatRequest]], list[Answer]]
"""Sends requests, returns their answers in the same order."""
ASPECTS = {
    "subject_diversity": "subjects, objects and their attributes",
    "spatial_relationships": "positions and spatial relations",
    "ocr_text_richness": "text and numbers to read",
    "world_knowledge": "meaning, purpose and world knowledge",
}
"""Dimension of information density -> what a question about it asks for, as the prompt says it."""
ANYTHING = "anything else worth asking"


@dataclass(frozen=True)
class Topic:
    """A leaf of the label tree, as the prompt shows it."""

    topic_id: str
    text: str


@dataclass(frozen=True)
class Task:
    """One image to write items about."""

    image_id: str
    image: bytes
    split: str
    count: int
    topics: tuple[Topic, ...] = ()
    aspects: Mapping[str, int] = field(default_factory=dict)
    """Aspect -> how many items to ask for; empty leaves it to the teacher."""
    types: Mapping[str, int] = field(default_factory=dict)
    """Answer type -> how many items; empty leaves it to the teacher."""
    absent: int = 0
    """Items that ask about something that could well be in the image and is not."""

    def request(
        self, step: Sequence[Any], prompt: str, schema: type[BaseModel], temperature: float, max_tokens: int
    ) -> ChatRequest:
        """A request that shows the image; `step` names it among the image's requests and seeds it.

        The seed has 31 bits, which every server accepts.
        """
        return ChatRequest(
            key=":".join(map(str, (*step, self.image_id))),
            prompt=prompt,
            schema=schema,
            images=(self.image,),
            temperature=temperature,
            seed=seed_for(*step, self.image_id) & 0x7FFFFFFF,
            max_tokens=max_tokens,
        )


@dataclass(frozen=True)
class Rejection:
    """A row of the stage's `rejected` table; `reason` is one of `image_question.REASONS`."""

    id: str
    reason: str
    detail: str


def plan(
    batch: pa.RecordBatch,
    budgets: dict[str, dict[str, Any]],
    topics: TopicBook,
    config: Config,
    counts: Counter[str],
) -> tuple[list[Task], list[Rejection]]:
    """Decide what to ask about a chunk of images; `budgets` holds their rows of `ids`."""
    tasks, rejections = [], []
    for row in batch.to_pylist():
        image_id = row["image_id"]
        if row["split"] == "heldout" and not config.heldout:
            counts["images_heldout_skipped"] += 1
        elif image_id not in budgets:
            rejections.append(Rejection(image_id, "not_scored", "the image has no row in ids"))
        elif (count := budgets[image_id]["n_qa"]) < 1:
            counts["images_without_budget"] += 1
        elif count > MAX_ITEMS:
            raise DataError(
                f"image {image_id} is to get {count} items, one request holds {MAX_ITEMS}; "
                "lower ids_scoring's budget"
            )
        else:
            tasks.append(_task(row, budgets[image_id], topics.of(image_id, config.max_topics), config))
    counts["images_asked"] += len(tasks)
    counts["items_asked"] += sum(task.count for task in tasks)
    return tasks, rejections


def _task(row: dict[str, Any], scored: dict[str, Any], topics: tuple[Topic, ...], config: Config) -> Task:
    """The task of one image; the rounding of its shares is drawn by its id."""
    image_id, count = row["image_id"], scored["n_qa"]
    offsets = rng_for("mix", image_id).random(3)
    return Task(
        image_id,
        row["bytes"],
        row["split"],
        count,
        topics,
        aspects=aspects(scored, count, config.steered_share, float(offsets[0])),
        types=answer_types(config.answer_mix, count, float(offsets[1])),
        absent=absent(config.absent_share, count, float(offsets[2])),
    )


class TopicBook:
    """Which topics to show for an image: its matches, else a draw of the tree's general-capability leaves."""

    def __init__(self, label_tree: Dataset, matches: Dataset) -> None:
        self._topics: dict[str, Topic] = {}
        general, parents = set(), set()
        columns = ["topic_id", "path", "name", "description", "dimension", "parent_id"]
        for row in label_tree.rows_iter(columns):
            self._topics[row["topic_id"]] = Topic(row["topic_id"], topic_text(row))
            parents.add(row["parent_id"])
            if row["dimension"] == "capability":
                general.add(row["topic_id"])
        self._general = sorted(general - parents)
        ranked: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for row in matches.rows_iter(["image_id", "topic_id", "rank"]):
            if row["topic_id"] not in self._topics:
                raise DataError(
                    f"matches name topic {row['topic_id']}, which is not in the label tree; match again"
                )
            ranked[row["image_id"]].append((row["rank"], row["topic_id"]))
        self._matches = {image_id: [topic for _, topic in sorted(own)] for image_id, own in ranked.items()}

    def of(self, image_id: str, limit: int) -> tuple[Topic, ...]:
        """At most `limit` topics, best first."""
        chosen = self._matches.get(image_id)
        if chosen is None:
            count = min(limit, len(self._general))
            draw = rng_for("topics", image_id)
            drawn = draw.choice(len(self._general), size=count, replace=False) if count else []
            chosen = [self._general[i] for i in drawn]
        return tuple(self._topics[topic_id] for topic_id in chosen[:limit])


def topic_text(row: dict[str, Any]) -> str:
    """`path > name: description` on one line; the stored path may or may not end with the name itself."""
    path = row["path"] if row["path"] and row["path"][-1] == row["name"] else [*row["path"], row["name"]]
    text = " > ".join(path) + (f": {row['description']}" if row["description"] else "")
    return " ".join(text.split())


def apportion(shares: Sequence[float], total: int, offset: float) -> list[int]:
    """Split `total` items by `shares` without bias: systematic sampling (Madow 1949).

    With C_k the cumulative share of `total`, part k gets floor(C_k + u) - floor(C_{k-1} + u). Each part is
    within one item of its exact share, and over uniform offsets u it is the exact share on average. So images
    with few items still add up to the mix, which they would not if every image were rounded alike.

    Args:
        shares: not negative and not all 0; only the ratios matter.
        total: sum of the returned whole numbers.
        offset: u, in [0, 1).
    """
    whole = math.fsum(shares)
    if whole <= 0 or min(shares) < 0:
        raise ValueError(f"shares must not be negative and not all 0: {list(shares)}")
    sums = [math.fsum(shares[:k]) for k in range(1, len(shares))]
    # The last bound is exact, so that no rounding error of the sum can lose an item.
    bounds = [0, *(min(total, math.floor(total * part / whole + offset)) for part in sums), total]
    return [after - before for before, after in zip(bounds, bounds[1:], strict=False)]


def aspects(scores: Mapping[str, float], total: int, steered_share: float, offset: float) -> dict[str, int]:
    """How many items to ask for by aspect, in proportion to an image's dimension scores.

    Args:
        scores: dimension -> score from 0 to 10, for every key of `ASPECTS`.
        total: items of the image.
        steered_share: share of them that follow the scores; the rest are about anything.
        offset: see `apportion`.

    Returns:
        Aspect, in words -> items, only where at least one; {} if all scores or the steered share are 0.
    """
    rated = [max(0.0, scores[name]) for name in ASPECTS]
    if not steered_share or not sum(rated):
        return {}
    steered = [steered_share * score / sum(rated) for score in rated]
    counts = apportion([*steered, 1 - steered_share], total, offset)
    return {text: n for text, n in zip((*ASPECTS.values(), ANYTHING), counts, strict=True) if n}


def absent(share: float, total: int, offset: float) -> int:
    """How many items to ask for about something missing from the image; `offset` as in `apportion`."""
    return apportion([share, 1 - share], total, offset)[0]


def answer_types(mix: Mapping[AnswerType, float], total: int, offset: float) -> dict[str, int]:
    """How many items to ask for by answer type; {} if no mix is set."""
    if not mix:
        return {}
    counts = apportion(list(mix.values()), total, offset)
    return {name: n for name, n in zip(mix, counts, strict=True) if n}
