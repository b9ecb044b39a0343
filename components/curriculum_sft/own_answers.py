"""Answers of the starting model to training questions: its own mistakes are what preferences have to correct.

Pairs of texts that a model would never write teach it little (Tajwar et al., arXiv 2404.14367: preference training gains
from on-policy samples and from negative gradients on what is likely).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from components.core.answers import normalise
from components.core.config import rng_for, seed_for
from components.core.vlm.messages import format_question
from components.core.work import Journal
from components.curriculum_sft.collator import Pictures

_BATCH = 64


def questions_to_ask(kept: Iterable[Mapping[str, Any]], limit: int, seed: int) -> list[dict[str, Any]]:
    """At most `limit` items of the train split, drawn evenly over answer types as long as they last; "yes" and "no" count
    as types of their own."""
    by_type: dict[str, list[dict[str, Any]]] = {}
    for row in kept:
        if row["split"] == "train":
            kind = row["answer_type"]
            kind += f" {normalise(row['answer'], kind, ())}" if kind == "yes_no" else ""
            by_type.setdefault(kind, []).append(dict(row))
    ranked = []
    for kind, rows in sorted(by_type.items()):
        rows.sort(key=lambda row: row["qa_id"])
        order = rng_for("own answers", seed, kind).permutation(len(rows))
        ranked += [(rank, kind, rows[i]) for rank, i in enumerate(order)]
    ranked.sort(key=lambda entry: entry[:2])
    return [row for _, _, row in ranked[:limit]]


def ask(
    rows: Sequence[Mapping[str, Any]],
    model: Any,
    processor: Any,
    pictures: Pictures,
    *,
    samples: int,
    max_new_tokens: int,
    seed: int,
    journal: Journal,
    on_batch: Callable[[int], object],
) -> dict[str, list[str]]:
    """Sampled responses by `qa_id`, at temperature 1; those that were cut are left out.

    Batches are cut from the whole list and seeded by their place; `journal` keeps what has been answered.
    """
    from components.core.vlm import generate

    for number, start in enumerate(range(0, len(rows), _BATCH)):
        batch = rows[start : start + _BATCH]
        if not all(row["qa_id"] in journal for row in batch):
            answered = generate(
                model,
                processor,
                [(pictures.get(r["image_id"]), format_question(r["question"], r["choices"])) for r in batch],
                max_new_tokens=max_new_tokens,
                temperature=1.0,
                num_samples=samples,
                batch_size=_BATCH * samples,
                seed=seed_for(seed, "own answers", number),
            )
            for row, completions in zip(batch, answered, strict=True):
                journal.put(row["qa_id"], [c.text for c in completions if c.finished])
        on_batch(len(batch))
    return {row["qa_id"]: journal.get(row["qa_id"]) for row in rows}
