"""Training rows from candidates: read, mixed, checked, and a few verified against the processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from components.core.conversations.base import BadRecord
from components.core.data.hashing import rng_for
from components.core.stage.errors import DataError
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import IGNORED, ConversationCollator, Pictures
from components.curriculum_sft.data.checks import Planner, partition, variants
from components.curriculum_sft.data.mixture import DOMAIN, capped, mix
from components.curriculum_sft.data.samples import Row, count_answers

Track = Callable[[list[Row]], Iterable[Row]]


def read_general(found: Iterable[Row | BadRecord]) -> tuple[list[Row], list[Row]]:
    """Samples, and a row of `rejected` for each unreadable record."""
    items = list(found)
    faults = [item.row() for item in items if isinstance(item, BadRecord)]
    return [item for item in items if not isinstance(item, BadRecord)], faults


def mixed_samples(
    domain: list[Row], general: Iterable[Row | BadRecord], config: Config, planner: Planner, track: Track
) -> tuple[list[Row], list[Row]]:
    """Checked samples of the mixture, and rows of `rejected`.

    Samples are chosen before they are checked, so that no more are planned than are trained on. A choice by
    tokens needs the lengths of all candidates first.
    """
    read, rejected = read_general(general)
    draw = partial(mix, domain_share=config.domain_share, seed=config.seed, mixture=config.mixture)
    if not config.mixture.needs_lengths:
        chosen = draw(domain, read, max_general_samples=config.max_general_samples)
        rows, bad = partition(chosen, planner, track)
        return rows, rejected + bad
    candidates = domain if config.domain_share > 0 else []
    limited = capped(read, config.max_general_samples, config.seed) if config.domain_share < 1 else []
    rows, bad = partition([*candidates, *limited], planner, track)
    from_domain = [row for row in rows if row["source"] == DOMAIN]
    return draw(from_domain, [row for row in rows if row["source"] != DOMAIN]), rejected + bad


def all_samples(
    domain: list[Row], general: Iterable[Row | BadRecord], config: Config, planner: Planner, track: Track
) -> tuple[list[Row], list[Row]]:
    """Checked samples of the general data and of the domain, unmixed, and rows of `rejected`."""
    read, rejected = read_general(general)
    limited = capped(read, config.max_general_samples, config.seed) if config.max_general_samples else read
    rows, bad = partition([*limited, *domain], planner, track)
    return rows, rejected + bad


def settle(rows: list[Row], rejected: list[Row], config: Config) -> None:
    """Stop if nothing is left to train on, or if a sample was rejected and none may be.

    Raises:
        DataError: naming the samples.
    """
    if rejected and config.unusable_samples == "stop":
        raise DataError(
            f"{len(rejected)} samples cannot be trained on; correct or remove them, or set unusable_samples "
            f"to reject:\n  {describe(rejected)}"
        )
    if not rows:
        reasons = dict(Counter(row["reason"] for row in rejected)) or "no samples were built"
        raise DataError(f"nothing to train on: {reasons}\n  {describe(rejected)}".rstrip())


def describe(rejected: list[Row], shown: int = 5) -> str:
    """The first rejected rows in words, one a line."""
    lines = [f"{row['id']}: {row['reason']}: {row['detail']}" for row in rejected[:shown]]
    if more := len(rejected) - len(lines):
        lines.append(f"and {more} more")
    return "\n  ".join(lines)


def verify(rows: Sequence[Row], count: int, seed: int, processor: Any, pictures: Pictures) -> None:
    """Encode `count` checked rows, drawn by seed, and compare them with their plan.

    Raises:
        DataError: a picture cannot be decoded, or lengths, vision tokens or answers differ; names the sample.
    """
    collate = ConversationCollator(processor, pictures)
    for index in rng_for("verify", seed).permutation(len(rows))[:count]:
        row = rows[index]
        batches = [collate([{**row, "messages": messages}]) for messages in variants(row)]
        _same(row, "tokens", row["length"], max(batch["input_ids"].shape[1] for batch in batches))
        image_token = processor.image_token_id
        for batch, messages in zip(batches, variants(row), strict=True):
            vision = int((batch["input_ids"] == image_token).sum())
            _same(row, "vision tokens", row["vision_tokens"], vision)
            kept = batch["labels"][0] != IGNORED
            # A user's turn at least separates two answers: labels begin once for each answer.
            starts = int(kept[0]) + int((kept[1:] & ~kept[:-1]).sum())
            _same(row, "answers", count_answers({"messages": messages}), starts)
            if bool((batch["labels"] == image_token).any()):
                raise DataError(f"sample {row['sample_id']}: an answer holds vision tokens; remove the image")


def _same(row: Row, what: str, planned: int, found: int) -> None:
    if planned != found:
        raise DataError(
            f"sample {row['sample_id']}: planned {planned} {what}, the processor gives {found}; its images "
            f"({', '.join(row['image_ids']) or 'none'}) differ from what their table or header says, or the "
            "processor is another than the one that was planned with"
        )
