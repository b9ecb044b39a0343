"""One entry a kind: how it is asked, how a response is scored, and whether a judge may read what the rules cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from components.core.benchmarks import Kind
from components.evaluation.items import Item
from components.evaluation.scoring import rules
from components.evaluation.scoring.types import Scored


class Rules(NamedTuple):
    """A kind's template (in `prompts/`; "" takes that of the answer type), scorer, and use of the judge."""

    template: str
    score: Callable[[str, Item], Scored]
    judge: bool


KINDS: dict[Kind, Rules] = {
    "agreement": Rules("", rules.agreement, judge=True),
    "choice": Rules("choice.jinja", rules.by_type, judge=True),
    "circular": Rules("choice.jinja", rules.by_type, judge=True),
    "mmmu": Rules("mmmu.jinja", rules.mmmu, judge=True),
    "mathvista": Rules("mathvista.jinja", rules.mathvista, judge=True),
    "mathvision": Rules("mathvision.jinja", rules.mathvision, judge=True),
    "ocrbench": Rules("ocrbench.jinja", rules.ocrbench, judge=False),
    "anls": Rules("anls.jinja", rules.similarity, judge=False),
    "relaxed_accuracy": Rules("relaxed_accuracy.jinja", rules.relaxed, judge=False),
    "pope": Rules("pope.jinja", rules.by_type, judge=True),
    "judged": Rules("judged.jinja", rules.judged, judge=True),
    "needle_text": Rules("needle_text.jinja", rules.needle, judge=False),
    "needle_images": Rules("needle_images.jinja", rules.needle, judge=False),
}


def template_of(item: Item) -> str:
    """File name of an item's prompt template."""
    return KINDS[item.kind].template or f"{item.answer_type}.jinja"
