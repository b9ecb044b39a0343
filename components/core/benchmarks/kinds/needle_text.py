"""Needle in a long text: right if its number is named, and no other number of as many digits."""

from __future__ import annotations

import re
from dataclasses import replace

from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.reading import final_text
from components.core.benchmarks.rules import UNREAD, Item, ReadBy, Rules, Scored

PROMPT = "{{ question }}\nAnswer with the number alone.\n"


def build(item: Item, row: BenchmarkItem) -> Item:
    grid = (int(row.fields["length"]), float(row.fields["depth"]))
    return replace(item, answers=(row.answer,), answer_type="number", grid=grid)


def score(response: str, item: Item) -> Scored:
    """Other numbers make it wrong, so that reciting all numbers does not count."""
    text = final_text(response)
    joined = re.sub(r"(?<=\d)[,\s](?=\d{3}(?!\d))", "", text)
    digits = len(item.reference)
    said = list(dict.fromkeys(re.findall(rf"(?<!\d)\d{{{digits}}}(?!\d)", joined)))
    if not said:
        return UNREAD
    stage: ReadBy = "exact" if text.strip(" .") == said[0] else "rules"
    return Scored(", ".join(said), stage, float(said == [item.reference]))


RULES = Rules(build, {"needle_text": PROMPT}, score, judge="")
