"""A few samples encoded before training: the plan must be what the processor makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.core.data.hashing import rng_for
from components.core.stage.errors import DataError
from components.curriculum_sft.checks import variants
from components.curriculum_sft.collator import IGNORED, ConversationCollator, Pictures
from components.curriculum_sft.samples import Row, count_answers


def verify(rows: Sequence[Row], count: int, seed: int, processor: Any, pictures: Pictures) -> None:
    """Encode `count` checked rows, drawn by seed, and compare with what was planned for them.

    Raises:
        DataError: a picture cannot be decoded, or lengths, vision tokens or answers differ; names the sample.
    """
    collate = ConversationCollator(processor, pictures)
    for index in rng_for("verify", seed).permutation(len(rows))[:count]:
        row = rows[index]
        batches = [
            collate([{"sample_id": row["sample_id"], "messages": messages, "images": row["image_ids"]}])
            for messages in variants(row)
        ]
        _same(row, "tokens", row["length"], max(batch["input_ids"].shape[1] for batch in batches))
        image_token = processor.image_token_id
        for batch, messages in zip(batches, variants(row), strict=True):
            vision = int((batch["input_ids"] == image_token).sum())
            _same(row, "vision tokens", row["vision_tokens"], vision)
            kept = batch["labels"][0] != IGNORED
            # Answers are apart by a user's turn at least: as many as there are places where labels begin.
            starts = int(kept[0]) + int((kept[1:] & ~kept[:-1]).sum())
            _same(row, "answers", count_answers({"messages": messages}), starts)
            if bool((batch["labels"] == image_token).any()):
                raise DataError(f"sample {row['sample_id']}: an answer holds vision tokens; remove the image")


def _same(row: Row, what: str, planned: int, found: int) -> None:
    if planned != found:
        raise DataError(
            f"sample {row['sample_id']}: planned {planned} {what}, the processor gives {found}; its images "
            f"({', '.join(row['image_ids']) or 'none'}) differ from what their table or header says, or the processor "
            "is another than the one that was planned with"
        )
