"""Evolution with elimination after MMEvol (arXiv 2409.05840, sections 2.2 and 3.2; shares from its code).

Each round, every item draws one direction. One request rewrites all items of an image, and a second lets a
judge compare every new version with the version before it. A new version that does not clearly win is
eliminated and its parent stays. The history keeps the version that lost, with the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from components.core.data.hashing import rng_for
from components.core.mllm.prompts import render
from components.qa_synthesis.config import Config, Directions
from components.qa_synthesis.image_question import ImageQuestion, Malformed, validate
from components.qa_synthesis.plan import Ask, Task
from components.qa_synthesis.schemas import ABILITIES, TASK_FORMS, EvolvedItem, Judgement, QAEvolved, QAJudged

VERDICTS = (
    "kept",  # the new version replaced its parent; every other verdict leaves the parent in place
    "not_improved",
    "low_score",
    "answerable_without_image",
    "malformed",
    "duplicate",  # another item of the image already asks this
    "missing",  # the teacher returned no version for the item
    "unjudged",  # the judge returned no verdict for the item
)


@dataclass(frozen=True)
class Attempt:
    """One item's turn in a round: its direction, and its new version or the fault that ends the turn."""

    parent: ImageQuestion
    direction: str
    child: ImageQuestion | EvolvedItem | None = None
    """The new version: an item if it is well-formed, else as the teacher wrote it."""
    verdict: str = ""
    detail: str = ""


def evolve_round(
    tasks: Sequence[Task], items: Sequence[Sequence[ImageQuestion]], round_no: int, config: Config, ask: Ask
) -> list[list[ImageQuestion]]:
    """Evolve all `items` of all images once; they are aligned with `tasks`, and rounds count from 1.

    Returns:
        The items after the round, aligned with the input; as many as before. Items about absent things stay
        as they are (see `about_absent`).
    """
    fixed = [about_absent(own, task.absent) for task, own in zip(tasks, items, strict=True)]
    evolving = [
        [item for item in own if item.qa_id not in stay] for own, stay in zip(items, fixed, strict=True)
    ]
    attempts = _rewrite(tasks, evolving, fixed, round_no, config, ask)
    judgements, judge_hash = _judge(tasks, attempts, round_no, config, ask)
    after = []
    for own, stay, tried, judged in zip(items, fixed, attempts, judgements, strict=True):
        settled = (
            settle(attempt, judged.get(position), round_no, config.min_score, judge_hash)
            for position, attempt in enumerate(tried)
        )
        after.append([item if item.qa_id in stay else next(settled) for item in own])
    return after


def about_absent(items: Sequence[ImageQuestion], asked: int) -> frozenset[str]:
    """Ids of the first `asked` items whose answer is no: those that were asked for about absent things.

    They do not evolve, because evolution would turn them into questions about things that are there.
    """
    denied = [item.qa_id for item in items if (item.answer_type, item.answer) == ("yes_no", "no")]
    return frozenset(denied[:asked])


def draw_direction(qa_id: str, round_no: int, shares: Directions) -> str:
    """The direction of one item in one round: a draw that depends on nothing but the item and the round."""
    point = rng_for("direction", qa_id, round_no).random()
    if point < shares.interaction:
        return "interaction"
    return "reasoning" if point < shares.interaction + shares.reasoning else "perception"


def _rewrite(
    tasks: Sequence[Task],
    items: Sequence[Sequence[ImageQuestion]],
    fixed: Sequence[frozenset[str]],
    round_no: int,
    config: Config,
    ask: Ask,
) -> list[list[Attempt]]:
    """Attempts of each image; images without items are not asked about."""
    drawn = [
        [(item, draw_direction(item.qa_id, round_no, config.directions)) for item in own] for own in items
    ]
    rules = {"answer_types": config.answer_types, "abilities": ABILITIES, "forms": TASK_FORMS}
    requests, prompt_hash = [], ""
    for task, own in zip(tasks, drawn, strict=True):
        if own:
            prompt, prompt_hash = render(__file__, "evolve.jinja", drawn=own, **rules)
            room = config.item_tokens * (len(own) + 1)
            requests.append(task.request(["evolve", round_no], prompt, QAEvolved, config.temperature, room))
    answers = iter(ask(requests))
    check = partial(validate, config=config, round=round_no, prompt_hash=prompt_hash)
    attempts = []
    for own, stay in zip(drawn, fixed, strict=True):
        taken = {item.qa_id for item, _ in own} | stay
        answer = next(answers) if own else None
        versions = answer.value.items if answer and isinstance(answer.value, QAEvolved) else []
        by_index = {version.index: version for version in reversed(versions)}  # of repeated ones the first
        missing = (answer.error if answer else "") or ""
        attempts.append(
            [
                _attempt(parent, direction, by_index.get(number), missing, taken, check)
                for number, (parent, direction) in enumerate(own, start=1)
            ]
        )
    return attempts


def _attempt(
    parent: ImageQuestion,
    direction: str,
    version: EvolvedItem | None,
    missing: str,
    taken: set[str],
    check: Callable[..., ImageQuestion | Malformed],
) -> Attempt:
    """One attempt. A question whose id is `taken` already is a duplicate; a new one's id is added."""
    if version is None:
        return Attempt(parent, direction, verdict="missing", detail=missing)
    child = check(version, parent.image_id, topic_id=parent.topic_id, parent_id=parent.qa_id)
    if isinstance(child, Malformed):
        return Attempt(parent, direction, version, "malformed", f"{child.reason}: {child.detail}")
    if child.qa_id in taken:
        return Attempt(parent, direction, child, "duplicate")
    taken.add(child.qa_id)
    return Attempt(parent, direction, child)


def _judge(
    tasks: Sequence[Task], attempts: Sequence[Sequence[Attempt]], round_no: int, config: Config, ask: Ask
) -> tuple[list[dict[int, Judgement]], str]:
    """Verdicts by position for each image, and the prompt's hash; only new versions are judged."""
    open_positions = [[p for p, attempt in enumerate(own) if not attempt.verdict] for own in attempts]
    requests, prompt_hash = [], ""
    for task, own, positions in zip(tasks, attempts, open_positions, strict=True):
        if positions:
            tried = [own[position] for position in positions]
            pairs = [{"direction": a.direction, "before": a.parent, "after": a.child} for a in tried]
            prompt, prompt_hash = render(__file__, "judge.jinja", pairs=pairs)
            room = config.item_tokens * (len(positions) + 1)
            requests.append(task.request(["judge", round_no], prompt, QAJudged, 0.0, room))
    answers = iter(ask(requests))
    verdicts: list[dict[int, Judgement]] = []
    for positions in open_positions:
        value = next(answers).value if positions else None
        judged = reversed(value.items) if isinstance(value, QAJudged) else ()
        verdicts.append({positions[j.index - 1]: j for j in judged if 1 <= j.index <= len(positions)})
    return verdicts, prompt_hash


def settle(
    attempt: Attempt, judgement: Judgement | None, round_no: int, min_score: int, judge_prompt_hash: str = ""
) -> ImageQuestion:
    """The version that goes on, with the round in its history: the child if it won, else the parent."""
    if attempt.verdict or judgement is None:
        verdict, score, reason = attempt.verdict or "unjudged", 0, attempt.detail
    elif judgement.answerable_without_image:
        verdict, score, reason = "answerable_without_image", 0, judgement.reason
    else:
        good_enough = "kept" if judgement.score >= min_score else "low_score"
        verdict = good_enough if judgement.improved else "not_improved"
        score, reason = judgement.score, judgement.reason
    parent, child = attempt.parent, attempt.child
    entry = {
        "round": round_no,
        "direction": attempt.direction,
        "verdict": verdict,
        "score": score,
        "reason": reason,
        "form": child.form if child else "",
        "judge_prompt_hash": judge_prompt_hash if judgement else "",
    }
    if verdict == "kept" and isinstance(child, ImageQuestion):
        return replace(child, history=(*parent.history, {**entry, "replaced": parent.version()}))
    lost = child.version() if child else None
    return replace(parent, history=(*parent.history, {**entry, "eliminated": lost}))
