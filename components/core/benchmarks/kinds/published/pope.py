"""POPE's probes about objects: yes or no (Li et al. 2023, arXiv 2305.10355)."""

from __future__ import annotations

from dataclasses import replace

from components.core.answers import normalise
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.reading import score_closed
from components.core.benchmarks.rules import Item, Rules


def build(item: Item, row: BenchmarkItem) -> Item:
    answer = normalise(row.answer, "yes_no")
    if not answer:
        raise ValueError(f"{row.answer!r} is no answer of type yes_no")
    return replace(item, answers=(answer,), answer_type="yes_no")


RULES = Rules(
    build,
    {"pope": "{{ question }}\nPlease answer yes or no.\n"},
    score_closed,
    names="pope",
    rank=9,
    fits=lambda items: all(item.answer.strip().lower() in ("yes", "no") for item in items),
)
