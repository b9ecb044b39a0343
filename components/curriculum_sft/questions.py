"""Questions to distil on, from supervised samples. Pure: rows of the `samples` table in, questions out."""

from __future__ import annotations

import json
from collections.abc import Iterable

from components.core.data.hashing import rng_for
from components.curriculum_sft.samples import Row, parts_of


def questions(rows: Iterable[Row], limit: int, seed: int) -> list[Row]:
    """Every answer of a sample as a question that the model answers anew, after the turns before it.

    Args:
        rows: checked samples: `messages` (JSON), `image_ids`, `length`, `sample_id`, `source`.
        limit: most questions, drawn evenly over samples; 0 for all.
        seed: of the draw.

    Returns:
        Rows {sample_id, messages, image_ids, reference, source, length}: `messages` end with a user turn, `image_ids` are
        the pictures shown up to it, `reference` is the sample's own answer, `length` the whole sample's (an upper bound).
    """
    by_rank: dict[int, list[Row]] = {}
    for row in rows:
        turns = json.loads(row["messages"])
        answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant" and place]
        order = rng_for("questions", seed, row["sample_id"]).permutation(len(answers))
        for rank, chosen in enumerate(order):
            before = turns[: answers[chosen]]
            shown = sum(part["type"] == "image" for turn in before for part in parts_of(turn))
            answer = parts_of(turns[answers[chosen]])
            by_rank.setdefault(rank, []).append(
                {
                    "sample_id": f"{row['sample_id']}/{chosen}",
                    "messages": json.dumps(before, ensure_ascii=False),
                    "image_ids": row["image_ids"][:shown],
                    "reference": " ".join(part["text"] for part in answer if part["type"] == "text"),
                    "source": row["source"],
                    "length": row["length"],
                }
            )
    found = [row for rank in sorted(by_rank) for row in by_rank[rank]]
    return found[:limit] if limit else found
