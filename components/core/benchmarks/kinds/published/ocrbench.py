"""OCRBench (arXiv 2305.07895): right if a reference occurs in the response, case and line breaks aside."""

from __future__ import annotations

from components.core.answers.folding import fold
from components.core.benchmarks.kinds.published import anls
from components.core.benchmarks.reading import boxed, final_text, spoken
from components.core.benchmarks.rules import UNREAD, Item, Rules, Scored

HANDWRITTEN = "Handwritten Mathematical Expression Recognition"
"""The category whose texts are compared without spaces and with case."""


def score(response: str, item: Item) -> Scored:
    """A reference that holds a box itself (a task on paper) is looked for in all that was said."""
    text = final_text(response)
    if not text:
        return UNREAD
    whole = spoken(response)
    found = next(
        (a for a in item.answers if _occurs(a, whole if boxed(a) is not None else text, item.category)), None
    )
    if found is None:
        return Scored(text, "rules", 0.0)
    return Scored(found, "exact" if fold(found) in (fold(text), fold(whole)) else "rules", 1.0)


def _occurs(answer: str, text: str, category: str) -> bool:
    if category == HANDWRITTEN:
        return "".join(answer.split()) in "".join(text.split())
    return " ".join(answer.lower().split()) in " ".join(text.lower().split())


RULES = Rules(anls.build, {"ocrbench": "{{ question }}\n"}, score, judge="", names=r"ocrbench(?!v2)", rank=6)
