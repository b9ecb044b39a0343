"""label_tree: grow the experts' topics to a tree of three levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.core.errors import DataError
from components.core.mllm import ChatRequest, MLLMClient
from components.core.prompts import render
from components.core.runner import StageContext, StageIO
from components.label_tree.config import Config
from components.label_tree.expand import Branch, Growth, Limits, TopicChildren, grow
from components.label_tree.report import write_report
from components.label_tree.tree import in_reading_order, plant

IO = StageIO(outputs=("label_tree",))


def run(config: Config, ctx: StageContext) -> None:
    """Plant, grow, write the tree in reading order.

    Raises:
        DataError: the model gave no usable third-level topic, so no image could be matched to anything.
    """
    teacher = MLLMClient(config.model, ctx.work.journal("children"), ctx.log)
    embedder = MLLMClient(config.embedder, ctx.work.journal("embeddings"), ctx.log)
    limits = Limits(
        max_children={2: config.max_children_l2, 3: config.max_children_l3},
        rounds=config.rounds,
        min_new_share=config.min_new_share,
        merge_similarity=config.merge_similarity,
    )

    def ask(branches: Sequence[Branch]) -> list[TopicChildren | None]:
        requests = [_request(config, branch) for branch in branches]
        level = branches[0].parent.level + 1
        answers = teacher.map(requests, desc=f"level {level}, round {branches[0].round + 1}")
        for branch, answer in zip(branches, answers, strict=True):
            if answer.error:
                ctx.log.warning("no children of '%s': %s", " > ".join(branch.parent.path), answer.error)
        return [answer.value for answer in answers]

    growth = grow(plant(config.experts), limits, ask, embedder.embed)
    counts = {level: sum(topic.level == level for topic in growth.topics) for level in (1, 2, 3)}
    if not counts[3]:
        raise DataError(
            "label_tree: no third-level topic came of it; look at the answers of "
            f"{config.model.model} and at max_children_l2, max_children_l3 and merge_similarity"
        )
    with ctx.writer("label_tree", table="label_tree") as writer:
        writer.write(_rows(growth))
    ctx.log.info("grew the tree", extra={f"level_{level}": count for level, count in counts.items()})
    ctx.metrics.update({f"topics_level_{level}": float(count) for level, count in counts.items()})
    ctx.metrics["topics_by_experts"] = float(sum(topic.origin == "expert" for topic in growth.topics))
    ctx.metrics["topics_merged"] = float(len(growth.merges))
    ctx.metrics["branches_asked"] = float(sum(r.asked for r in growth.rounds))
    ctx.metrics["branches_failed"] = float(sum(r.failed for r in growth.rounds))
    ctx.metrics["completion_tokens"] = float(teacher.usage.completion_tokens)
    write_report(ctx.report, growth)


def _request(config: Config, branch: Branch) -> ChatRequest:
    prompt, _ = render(
        __file__,
        "expand.jinja",
        domain=config.domain,
        dimension=branch.parent.dimension,
        path=branch.parent.path,
        description=branch.parent.description,
        siblings=[topic.name for topic in branch.siblings],
        children=[topic.name for topic in branch.children],
        wanted=branch.wanted,
    )
    return ChatRequest(
        key=f"{branch.parent.topic_id}:{branch.round}",
        prompt=prompt,
        schema=TopicChildren,
        temperature=config.temperature,
        seed=branch.round,
        max_tokens=config.max_answer_tokens,
    )


def _rows(growth: Growth) -> list[dict[str, Any]]:
    return [
        {
            "topic_id": topic.topic_id,
            "path": list(topic.path),
            "level": topic.level,
            "name": topic.name,
            "description": topic.description,
            "dimension": topic.dimension,
            "parent_id": topic.parent_id,
            "origin": topic.origin,
            "embedding": growth.vectors[index].tolist(),
        }
        for index in in_reading_order(growth.topics)
        for topic in [growth.topics[index]]
    ]
