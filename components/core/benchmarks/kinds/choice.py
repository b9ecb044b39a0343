"""Multiple choice: right if the letter of the right option is read (MMStar, AI2D, RealWorldQA …)."""

from __future__ import annotations

from dataclasses import replace

from components.core.answers import normalise
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.reading import score_closed
from components.core.benchmarks.rules import Item, Rules


def build(item: Item, row: BenchmarkItem) -> Item:
    if len(item.choices) < 2:
        raise ValueError(f"a multiple-choice item needs two options or more, it has {len(item.choices)}")
    letter = normalise(row.fields.get("answer_option") or row.answer, "choice", item.choices)
    if not letter:
        raise ValueError(f"{row.answer!r} is no answer of type choice")
    return replace(item, answers=(letter,), answer_type="choice")


RULES = Rules(
    build,
    {"choice": "{{ question }}\nAnswer with the option's letter from the given choices directly.\n"},
    score_closed,
    names=r"mmstar|ai2d|realworldqa|seedbench|scienceqa|blink",
    rank=3,
    fits=lambda items: all(item.choices for item in items),
)
