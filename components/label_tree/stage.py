"""Grow the experts' topics, or an earlier tree, to three levels; write topics and refused proposals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from components.core.data.dataset import Dataset
from components.core.data.pins import fingerprint, split_pin
from components.core.data.tables import SCHEMAS
from components.core.mllm import ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.core.objects import is_object_uri, open_store
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.label_tree.config import Config
from components.label_tree.edits import SEPARATOR, Edits
from components.label_tree.expand import Branch, Growth, GrowthLimits, RefusedProposal, TopicChildren, grow
from components.label_tree.previous import Embed, KnownVectors, Start, carry_over, lookalikes, read_tree
from components.label_tree.report import write_report
from components.label_tree.tree import in_reading_order, plant


def run(config: Config, ctx: StageContext) -> None:
    """Plant or carry over, grow, write the tree in reading order and every proposal that did not get into it.

    Raises:
        DataError: the model gave no usable third-level topic, so no image could be matched to anything.
        ConfigError: `regrow` names a topic that the previous tree does not have.
    """
    teacher = MLLMClient(config.model, ctx.work.journal("children"), ctx.log)
    embedder = MLLMClient(config.embedder, ctx.work.journal("embeddings"), ctx.log)
    budget = {2: config.max_children_l2, 3: config.max_children_l3}
    limits = GrowthLimits(budget, config.rounds, config.min_new_share, config.merge_similarity)

    def ask(branches: Sequence[Branch]) -> list[TopicChildren | None]:
        requests = [_request(config, branch) for branch in branches]
        level = branches[0].parent.level + 1
        answers = teacher.map(requests, desc=f"level {level}, round {branches[0].round + 1}")
        for branch, answer in zip(branches, answers, strict=True):
            if answer.error:
                ctx.log.warning("no children of '%s': %s", branch.parent.full_name, answer.error)
        return [answer.value for answer in answers]

    edits = Edits.of(config.edits)
    start, embed = _start(config, ctx, edits, embedder)
    growth = grow(start, limits, ask, embed, edits)
    counts = {level: sum(topic.level == level for topic in growth.topics) for level in (1, 2, 3)}
    if not counts[3]:
        look = f"answers of {config.model.model} and at max_children_l2, max_children_l3 and merge_similarity"
        raise DataError(f"label_tree: no third-level topic came of it; look at the {look}")
    with ctx.writer("label_tree", table="label_tree") as writer:
        writer.write(_table(growth))
    with ctx.writer("rejected", table="rejected") as writer:
        writer.write([_rejected(refused) for refused in growth.refused])
    ctx.log.info("grew the tree", extra={f"level_{level}": count for level, count in counts.items()})
    ctx.metrics.update(
        {f"topics_level_{level}": float(count) for level, count in counts.items()},
        topics_by_experts=float(sum(topic.origin == "expert" for topic in growth.topics)),
        topics_from_previous=float(len(start.earlier)),
        topics_left=float(len(start.left)),
        topics_merged=float(len(growth.merges)),
        proposals=float(sum(r.proposed for r in growth.rounds)),
        proposals_refused=float(len(growth.refused)),
        branches_asked=float(sum(r.asked for r in growth.rounds)),
        branches_failed=float(sum(r.failed for r in growth.rounds)),
    )
    ctx.metrics.update(teacher.usage.metrics("teacher") | embedder.usage.metrics("embedder"))
    planted = len(plant(config.experts))
    alike = lookalikes(start, planted, growth.vectors, config.merge_similarity) if config.previous else []
    write_report(ctx.report, growth, start, edits, alike)


def _start(config: Config, ctx: StageContext, edits: Edits, embedder: MLLMClient) -> tuple[Start, Embed]:
    """The topics to grow from, and the function that embeds texts."""
    planted = plant(config.experts)
    if not config.previous:
        return Start(planted), embedder.embed
    path = _previous(config.previous, ctx)
    ctx.provenance["inputs"]["previous"] = fingerprint(path)
    try:
        earlier, vectors = read_tree(Dataset.open(path, "label_tree").to_table())
    except ValueError as error:
        raise DataError(f"{config.previous}: {error}; name another previous tree") from error
    try:
        start = carry_over(planted, earlier, edits, config.regrow)
    except ValueError as error:
        raise ConfigError(f"label_tree.{error}") from error
    known = KnownVectors(embedder.embed, [topic.text for topic in earlier], vectors)
    if known.same_embedder:
        return start, known
    told = "the previous tree was embedded by another model than %s; its topics are embedded again"
    ctx.log.warning(told, config.embedder.model)
    return start, embedder.embed


def _previous(reference: str, ctx: StageContext) -> Path:
    """Local directory of the earlier tree, fetched from an object store, and checked against its pin."""
    if is_object_uri(reference):
        uri, _, digest = reference.partition("#sha256=")
        path = _fetch(uri, ctx.work.dir("previous"))
    else:
        path, digest = split_pin(reference)
    if not path.is_dir():
        raise NoInputError(f"label_tree.previous: {path} does not exist; name an earlier label_tree output")
    if digest and fingerprint(path) != digest:
        raise DataError(f"label_tree.previous: {path} is not what was pinned; pin it again")
    return path


def _fetch(uri: str, folder: Path) -> Path:
    store, prefix = open_store(uri.rstrip("/") + "/")
    for info in store.list(prefix):
        # A dataset is flat: a key with further folders in it does not get to choose where it is written.
        if PurePosixPath(info.key).parent == PurePosixPath(prefix):
            store.download(info.key, folder / PurePosixPath(info.key).name)
    return folder


def _request(config: Config, branch: Branch) -> ChatRequest:
    prompt, _ = render(__file__, "expand.jinja", domain=config.domain, branch=branch)
    return ChatRequest(
        f"{branch.parent.topic_id}:{branch.round}",
        prompt,
        TopicChildren,
        temperature=config.temperature,
        seed=branch.round,
        max_tokens=config.max_answer_tokens,
    )


def _table(growth: Growth) -> pa.Table:
    """The tree in reading order, by column: embeddings as Python lists would take eight times the space."""
    order = in_reading_order(growth.topics)
    topics = [growth.topics[index] for index in order]
    vectors = np.ascontiguousarray(growth.vectors[order], np.float32)
    offsets = np.arange(len(topics) + 1, dtype=np.int32) * vectors.shape[1]
    schema = SCHEMAS["label_tree"]
    names = [name for name in schema.names if name != "embedding"]  # as the topics' own attributes
    columns: dict[str, Any] = {name: [getattr(topic, name) for topic in topics] for name in names}
    columns["embedding"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel()))
    return pa.Table.from_pydict(columns, schema=schema)


def _rejected(refused: RefusedProposal) -> dict[str, str]:
    """Row of the `rejected` table; `id` is that of the parent that was asked."""
    detail = SEPARATOR.join((*refused.parent.path, refused.name))
    if refused.into is not None:
        detail += f" -> {refused.into.full_name} (cosine {refused.similarity:.4f})"
    return {"id": refused.parent.topic_id, "reason": refused.reason, "detail": detail}
