"""Answers of the starting model to training questions: its own mistakes are what preferences have to correct.

Pairs of texts that a model would never write teach it little (Tajwar et al., arXiv 2404.14367: preference training gains
from on-policy samples and from negative gradients on what is likely).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from components.core.data.even_draw import answer_kind, draw_evenly
from components.core.data.hashing import seed_for
from components.core.resume.shared_batches import SharedBatches
from components.core.vlm.messages import format_question
from components.curriculum_sft.collator import Pictures

_BATCH = 64


def questions_to_ask(kept: Iterable[Mapping[str, Any]], limit: int, seed: int) -> list[dict[str, Any]]:
    """At most `limit` items of the train split, drawn evenly over kinds of answer."""
    return draw_evenly(
        (dict(row) for row in kept if row["split"] == "train"),
        limit,
        kind=lambda row: answer_kind(row["answer_type"], row["answer"]),
        key=lambda row: str(row["qa_id"]),
        seed=("own answers", seed),
    )


def ask(
    rows: Sequence[Mapping[str, Any]],
    model: Any,
    processor: Any,
    pictures: Pictures,
    *,
    samples: int,
    max_new_tokens: int,
    seed: int,
    divided: SharedBatches,
    on_batch: Callable[[int], object],
) -> dict[str, list[str]]:
    """Sampled responses by `qa_id`, at temperature 1; those that were cut are left out.

    Batches are cut from the whole list and seeded by their place; `divided` shares them out among the processes.
    """
    from components.core.vlm import generate

    def answer(number: int, batch: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
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
        return {
            row["qa_id"]: [c.text for c in completions if c.finished]
            for row, completions in zip(batch, answered, strict=True)
        }

    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    return divided.answers(batches, lambda row: str(row["qa_id"]), answer, on_batch)
