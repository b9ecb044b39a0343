"""ANLS of DocVQA and InfoVQA: similarity by edit distance (Biten et al. 2019, arXiv 1905.13648, eq. 1).

Score: max over references of 1 - distance / longer length; 0 where that is at most 0.5.
"""

from __future__ import annotations

from dataclasses import replace

from components.core.answers import anls
from components.core.benchmarks.base import BenchmarkItem, parse_list
from components.core.benchmarks.reading import answer_line, final_text
from components.core.benchmarks.rules import UNREAD, Item, Rules, Scored


def build(item: Item, row: BenchmarkItem) -> Item:
    """Several references, written as a list, or one."""
    answers = tuple(answer for answer in parse_list(row.answer) or [row.answer] if answer.strip())
    if not answers:
        raise ValueError(f"{row.answer!r} lists no answer")
    return replace(item, answers=answers, answer_type="span")


def score(response: str, item: Item) -> Scored:
    """A final full stop of the response counts only where it helps: references have one in "Inc." alone."""
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    stopped = final_text(response).rstrip(" *\"'”").endswith(".")
    best = max(anls(said, item.answers) for said in ((line, f"{line}.") if stopped else (line,)))
    return Scored(line, "exact" if marked or best == 1.0 else "rules", best)


PROMPT = "{{ question }}\nAnswer the question using a single word or phrase, as it is written in the image.\n"
RULES = Rules(build, {"anls": PROMPT}, score, judge="", names=r"docvqa|infovqa|infographicvqa", rank=7)
