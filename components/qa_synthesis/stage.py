"""Reads images, budgets, topics; writes question-answer items."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import Any

import pyarrow as pa

from components.core.data.dataset import Dataset
from components.core.data.hashing import canonical_json, rng_for
from components.core.mllm import MLLMClient
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.qa_synthesis.config import Config
from components.qa_synthesis.evolve import evolve_round
from components.qa_synthesis.generate import Rejection, Task, Topic, generate
from components.qa_synthesis.history import evolution, reasoning
from components.qa_synthesis.items import Item
from components.qa_synthesis.mix import ASPECTS, absent, answer_types, aspects
from components.qa_synthesis.reasoning import sample_reasoning
from components.qa_synthesis.report import Sample, write_report
from components.qa_synthesis.schemas import MAX_ITEMS


def run(config: Config, ctx: StageContext) -> None:
    """Write items about every image that has a budget, a chunk of images at a time."""
    images = ctx.dataset("images", table="images")
    budgets = {
        row["image_id"]: row
        for row in ctx.dataset("ids", table="ids").rows_iter(["image_id", "n_qa", *ASPECTS])
    }
    topics = TopicBook(ctx.dataset("label_tree", table="label_tree"), ctx.dataset("matches", table="matches"))
    client = MLLMClient(config.endpoint, ctx.work.journal("teacher"), ctx.log)
    ask = partial(client.map, bar=False)
    counts: Counter[str] = Counter()
    samples: list[Sample] = []
    with ctx.writer("qa", table="qa") as qa, ctx.writer("rejected", table="rejected") as rejected:
        batches = images.iter_batches(["image_id", "bytes", "split"], config.chunk_images)
        total = -(-images.rows // config.chunk_images)
        for batch in ctx.progress(batches, total=total, desc="chunks of images"):
            tasks, rejections = plan(batch, budgets, topics, config, counts)
            items, turned_away = generate(tasks, config, ask)
            rejections += turned_away
            for round_no in range(1, config.evolution_rounds + 1):
                items = evolve_round(tasks, items, round_no, config, ask)
            if config.reasoning_paths.samples:
                items = sample_reasoning(tasks, items, config, ask)
            for task, own in zip(tasks, items, strict=True):
                qa.write([_row(item, task, config) for item in own])
                count_items(own, counts)
                if own and len(samples) < config.report_images:
                    samples.append(Sample(task.image, own))
            rejected.write([_rejected_row(rejection) for rejection in rejections])
            counts.update(f"rejected_{rejection.reason}" for rejection in rejections)
            counts["rejected"] += len(rejections)
    if not counts["items"]:
        raise DataError(
            "no image got a single question-answer item; see the reasons above and the teacher's log"
        )
    counts["images"] = images.rows
    ctx.metrics.update(client.usage.metrics("teacher"))
    if counts["paths_sampled"]:
        ctx.metrics["paths_correct_share"] = counts["paths_correct"] / counts["paths_sampled"]
    ctx.metrics.update({name: float(value) for name, value in sorted(counts.items())})
    ctx.log.info(
        "wrote question-answer items", extra={"items": counts["items"], "rejected": counts["rejected"]}
    )
    write_report(ctx.report, counts, samples, config)


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
                f"image {image_id} is to get {count} items, one request holds {MAX_ITEMS}; lower ids_scoring's budget"
            )
        else:
            tasks.append(_task(row, budgets[image_id], topics.of(image_id, config.max_topics), config))
    counts["images_asked"] += len(tasks)
    counts["items_asked"] += sum(task.count for task in tasks)
    return tasks, rejections


def _task(row: dict[str, Any], scored: dict[str, Any], topics: tuple[Topic, ...], config: Config) -> Task:
    """What to ask about one image: the rounding of its shares is drawn by its id."""
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
        general = []
        parents = set()
        for row in label_tree.rows_iter(
            ["topic_id", "path", "name", "description", "dimension", "parent_id"]
        ):
            self._topics[row["topic_id"]] = Topic(row["topic_id"], topic_text(row))
            parents.add(row["parent_id"])
            if row["dimension"] == "capability":
                general.append(row["topic_id"])
        self._general = sorted(set(general) - parents)
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
            drawn = (
                rng_for("topics", image_id).choice(len(self._general), size=count, replace=False)
                if count
                else []
            )
            chosen = [self._general[i] for i in drawn]
        return tuple(self._topics[topic_id] for topic_id in chosen[:limit])


def topic_text(row: dict[str, Any]) -> str:
    """`path > name: description` on one line; the stored path may or may not end with the name itself."""
    path = (
        list(row["path"]) if row["path"] and row["path"][-1] == row["name"] else [*row["path"], row["name"]]
    )
    text = " > ".join(path) + (f": {row['description']}" if row["description"] else "")
    return " ".join(text.split())


def _row(item: Item, task: Task, config: Config) -> dict[str, Any]:
    return {
        "qa_id": item.qa_id,
        "image_id": item.image_id,
        "topic_id": item.topic_id,
        "split": task.split,
        "question": item.question,
        "answer": item.answer,
        "answer_type": item.answer_type,
        "choices": list(item.choices),
        "reasoning": item.reasoning,
        "objects": list(item.objects),
        "skills": list(item.skills),
        "round": item.round,
        "parent_id": item.parent_id,
        "history": canonical_json(list(item.history)),
        "generator": config.endpoint.model,
        "prompt_hash": item.prompt_hash,
    }


def _rejected_row(rejection: Rejection) -> dict[str, Any]:
    return {"id": rejection.id, "reason": rejection.reason, "detail": rejection.detail}


def count_items(items: list[Item], counts: Counter[str]) -> None:
    """Add one image's items to the stage's counts."""
    counts["images_with_items"] += bool(items)
    counts["items"] += len(items)
    for item in items:
        counts[f"type_{item.answer_type}"] += 1
        counts[f"round_{item.round}"] += 1
        for entry in evolution(item.history):
            counts[f"verdict_{entry['verdict']}"] += 1
            counts[f"evolution_{entry['round']}_{entry['verdict']}"] += 1
        sampled = reasoning(item.history)
        if sampled:
            counts[f"reasoning_{sampled['reasoning']}"] += 1
            for name in ("sampled", "correct", "malformed", "missing"):
                counts[f"paths_{name}"] += sampled[name]
