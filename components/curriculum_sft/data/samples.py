"""Training samples of the domain from kept questions and answers. Pure: rows in, rows out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from components.core.data.hashing import rng_for, sha256_hex
from components.core.vlm.messages import build_conversation, format_question, format_response

Row = dict[str, Any]


def is_reasoned(qa_id: str, share: float, seed: int) -> bool:
    """Whether an item's answer is written with its reasoning: a draw by item and seed."""
    return bool(rng_for("response style", seed, qa_id).random() < share)


def response_of(row: Mapping[str, Any], reasoning_share: float, seed: int) -> str:
    """The response an item is trained with: its short answer, or its reasoning and then the answer."""
    reasoned = row["reasoning"] and is_reasoned(row["qa_id"], reasoning_share, seed)
    return format_response(row["answer"], row["reasoning"] if reasoned else "")


def domain_samples(
    rows: Iterable[Mapping[str, Any]], *, questions_per_sample: int, reasoning_share: float, seed: int
) -> list[Row]:
    """All questions of an image as turns of one conversation (several, above `questions_per_sample`).

    Args:
        rows: rows of `qa_kept`; those outside the train split are left out.
        questions_per_sample: most turns of a sample; an image's questions are spread evenly over its samples.
        reasoning_share: share of answers with reasoning.
        seed: of the order of an image's questions and of the response styles.

    Returns:
        Rows of the table `samples`, in the order in which images first occur.
    """
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["split"] == "train":
            by_image.setdefault(row["image_id"], []).append(row)
    samples = []
    for image_id, items in by_image.items():
        order = rng_for("question order", seed, image_id).permutation(len(items))
        parts = math.ceil(len(items) / questions_per_sample)
        for part in range(parts):
            turns = [
                (format_question(row["question"], row["choices"]), response_of(row, reasoning_share, seed))
                for row in (items[i] for i in order[part::parts])
            ]
            samples.append(sample(f"{image_id[:16]}-{part}", turns, image_id))
    return samples


def sample(sample_id: str, turns: list[tuple[str, str]], image_id: str, source: str = "domain") -> Row:
    """One row of the table `samples` about one image."""
    return {
        "sample_id": sample_id,
        "messages": json.dumps(build_conversation(turns), ensure_ascii=False),
        "image_ids": [image_id],
        "source": source,
        "weight": 1.0,
    }


def count_answers(row: Mapping[str, Any]) -> int:
    """Supervised answers of a sample: its assistant turns."""
    return sum(message["role"] == "assistant" for message in json.loads(row["messages"]))


def content_id(*parts: str) -> str:
    """A short id that stands for the given strings."""
    return sha256_hex("\x1f".join(parts))[:20]
