"""What the stages that ask models will ask at most: requests, tokens, and those of the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from components.core.plan.figures import Assumed, StagePlan


def questions_per_image(budget: Any, images: int) -> float:
    """Questions for a picture on average: of bands the mean over the bands."""
    if budget.mode == "total":
        return min(max(float(budget.total) / images, budget.n_min), budget.n_max)
    return float(sum(budget.band_questions) / len(budget.band_questions))


def asked(task: str, requests: float, prompt: float, answer: float) -> StagePlan:
    """A task that makes so many requests of so many tokens each."""
    number, tokens = math.ceil(requests), math.ceil(requests * (prompt + answer))
    return StagePlan(task, requests=number, request_tokens=tokens, answer_tokens=math.ceil(requests * answer))


def together(task: str, *plans: StagePlan) -> StagePlan:
    """The requests of several kinds as one task."""
    return StagePlan(
        task,
        requests=sum(plan.requests for plan in plans),
        request_tokens=sum(plan.request_tokens for plan in plans),
        answer_tokens=sum(plan.answer_tokens for plan in plans),
    )


def asking(sections: Mapping[str, Any], assumed: Assumed) -> list[StagePlan]:
    """The stages that ask models."""
    text, images = assumed.prompt_tokens, assumed.images
    seen = text + assumed.picture_tokens
    per_image = 4.0
    if "ids_scoring" in sections:
        per_image = questions_per_image(sections["ids_scoring"].budget, images)
    plans = [StagePlan("image_ingest", disk=images * assumed.image_bytes)]
    if "ids_scoring" in sections and sections["ids_scoring"].scorer == "mllm":
        plans.append(asked("ids_scoring", images, seen, assumed.answer_tokens))
    if "label_tree" in sections:
        tree = sections["label_tree"]
        parents = len(tree.experts) * (1 + tree.max_children_l2)
        plans.append(asked("label_tree", parents * tree.rounds, text, tree.max_answer_tokens / 2))
    if "topic_matching" in sections and sections["topic_matching"].fine:
        plans.append(asked("topic_matching", images, seen, assumed.answer_tokens))
    if "qa_synthesis" in sections:
        plans.append(_written(sections["qa_synthesis"], images, per_image, seen))
    if "voting_filter" in sections:
        plans.append(_voted(sections["voting_filter"], images, per_image, text, seen))
    return plans


def _written(config: Any, images: int, per_image: float, seen: int) -> StagePlan:
    rounds = 1 + 2 * config.evolution_rounds  # a draft; then a rewriting and a judgement each round
    drafts = asked("", images * rounds, seen, per_image * config.item_tokens / 2)
    paths = config.reasoning_paths  # about all items of a picture that rules can verify
    reasons = asked("", images * paths.samples, seen, per_image * paths.path_tokens / 2)
    return together("qa_synthesis", drafts, reasons)


def _voted(config: Any, images: int, per_image: float, text: int, seen: int) -> StagePlan:
    """Votes about several questions at once, and blind ones about one at a time, each different one once."""
    share = min(per_image, config.questions_per_request)
    requests = images * math.ceil(per_image / config.questions_per_request)
    room = config.answer_tokens * 1.5
    seeing = asked("", requests * len(config.voters), seen, share * room)
    blind = asked("", images * per_image * len(config.blind_models()), text, room)
    return together("voting_filter", seeing, blind)
