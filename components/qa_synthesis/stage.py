"""Write question-answer items about every image: plan, draft, evolve, sample reasoning."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from components.core.data.hashing import canonical_json
from components.core.mllm import MLLMClient
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.qa_synthesis.config import Config
from components.qa_synthesis.draft import generate
from components.qa_synthesis.evolution import evolve_round
from components.qa_synthesis.image_question import ImageQuestion, evolution, reasoning
from components.qa_synthesis.plan import ASPECTS, TopicBook, plan
from components.qa_synthesis.reasoning_paths import sample_reasoning
from components.qa_synthesis.report import Sample, write_report


def run(config: Config, ctx: StageContext) -> None:
    """Write items about every image that has a budget, a chunk of images at a time."""
    images = ctx.dataset("images", table="images")
    scored = ctx.dataset("ids", table="ids").rows_iter(["image_id", "n_qa", *ASPECTS])
    budgets = {row["image_id"]: row for row in scored}
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
                qa.write([_row(item, task.split, config.endpoint.model) for item in own])
                count_items(own, counts)
                if own and len(samples) < config.report_images:
                    samples.append((task.image, own))
            rejected.write([vars(rejection) for rejection in rejections])
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
    written = {name: counts[name] for name in ("items", "rejected")}
    ctx.log.info("wrote question-answer items", extra=written)
    write_report(ctx.report, counts, samples, config)


def _row(item: ImageQuestion, split: str, generator: str) -> dict[str, Any]:
    row = item.version() | {"image_id": item.image_id, "topic_id": item.topic_id, "split": split}
    del row["form"]
    return row | {"history": canonical_json(list(item.history)), "generator": generator}


def count_items(items: list[ImageQuestion], counts: Counter[str]) -> None:
    """Add one image's items to the stage's counts."""
    counts["images_with_items"] += bool(items)
    counts["items"] += len(items)
    for item in items:
        counts[f"type_{item.answer_type}"] += 1
        counts[f"round_{item.round}"] += 1
        for entry in evolution(item.history):
            counts[f"verdict_{entry['verdict']}"] += 1
            counts[f"evolution_{entry['round']}_{entry['verdict']}"] += 1
        if sampled := reasoning(item.history):
            for outcome in ("sampled", "no_correct_path"):  # both, so that none is a number as well
                counts[f"reasoning_{outcome}"] += sampled["reasoning"] == outcome
            for name in ("sampled", "correct", "malformed", "missing"):
                counts[f"paths_{name}"] += sampled[name]
