"""Evolution with elimination after MMEvol (arXiv 2409.05840, section 2.2; shares from its code, rounds from section 3.2).

Each round, every item draws one direction, the teacher rewrites all items of an image in one request, and a judge
compares every new version with the version before it in a second. A new version that does not clearly win is
eliminated and its parent stays; the history keeps whichever version lost, with the verdict (see `history`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.core.data.hashing import rng_for
from components.core.mllm import ChatRequest
from components.core.mllm.prompts import render
from components.qa_synthesis.config import Config, Directions
from components.qa_synthesis.generate import Ask, Task, request_seed
from components.qa_synthesis.history import evolution_entry
from components.qa_synthesis.items import Item, Malformed, validate
from components.qa_synthesis.schemas import EvolvedItem, Judgement, QAEvolved, QAJudged
from components.qa_synthesis.taxonomy import ABILITIES, TASK_FORMS

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
    """One item's turn in a round: its direction, and the new version or what kept it from being judged."""

    parent: Item
    direction: str
    child: Item | EvolvedItem | None = None
    """The new version: an item if it is well-formed, else as the teacher wrote it."""
    verdict: str = ""
    detail: str = ""


def draw_direction(qa_id: str, round_no: int, shares: Directions) -> str:
    """The direction of one item in one round: a draw that depends on nothing but the item and the round."""
    point = rng_for("direction", qa_id, round_no).random()
    if point < shares.interaction:
        return "interaction"
    return "reasoning" if point < shares.interaction + shares.reasoning else "perception"


def evolve_round(
    tasks: Sequence[Task], items: Sequence[Sequence[Item]], round_no: int, config: Config, ask: Ask
) -> list[list[Item]]:
    """Evolve all items of all images once.

    Args:
        tasks: the images.
        items: current items of each image, aligned with `tasks`.
        round_no: 1 for the first round.
        ask: sends requests.

    Returns:
        The items after the round, aligned with the input; as many as before. Items about what is not there stay as
        they are (see `about_absent`).
    """
    fixed = [about_absent(own, task.absent) for task, own in zip(tasks, items, strict=True)]
    open_ = [[item for item in own if item.qa_id not in stay] for own, stay in zip(items, fixed, strict=True)]
    active = [i for i, own in enumerate(open_) if own]
    attempts = _rewrite(
        [tasks[i] for i in active],
        [open_[i] for i in active],
        [fixed[i] for i in active],
        round_no,
        config,
        ask,
    )
    verdicts, judge_hash = _judge([tasks[i] for i in active], attempts, round_no, config, ask)
    after = [list(own) for own in items]
    for i, tried, judged in zip(active, attempts, verdicts, strict=True):
        settled = (
            settle(attempt, judged.get(position), round_no, config.min_score, judge_hash)
            for position, attempt in enumerate(tried)
        )
        after[i] = [item if item.qa_id in fixed[i] else next(settled) for item in items[i]]
    return after


def about_absent(items: Sequence[Item], asked: int) -> frozenset[str]:
    """Ids of the first `asked` items whose answer is no: those that were asked for about what is not there.

    They are as they have to be: evolution would turn them into questions about what is there.
    """
    denied = [item.qa_id for item in items if (item.answer_type, item.answer) == ("yes_no", "no")]
    return frozenset(denied[:asked])


def _rewrite(
    tasks: Sequence[Task],
    items: Sequence[Sequence[Item]],
    fixed: Sequence[frozenset[str]],
    round_no: int,
    config: Config,
    ask: Ask,
) -> list[list[Attempt]]:
    drawn = [
        [(item, draw_direction(item.qa_id, round_no, config.directions)) for item in own] for own in items
    ]
    requests, prompt_hash = [], ""
    for task, own in zip(tasks, drawn, strict=True):
        prompt, prompt_hash = render(
            __file__,
            "evolve.jinja",
            drawn=own,
            answer_types=config.answer_types,
            abilities=ABILITIES,
            forms=TASK_FORMS,
        )
        requests.append(
            ChatRequest(
                key=f"evolve:{round_no}:{task.image_id}",
                prompt=prompt,
                schema=QAEvolved,
                images=(task.image,),
                temperature=config.temperature,
                seed=request_seed("evolve", round_no, task.image_id),
                max_tokens=config.item_tokens * (len(own) + 1),
            )
        )
    attempts = []
    for own, stay, answer in zip(drawn, fixed, ask(requests), strict=True):
        versions: dict[int, EvolvedItem] = {}
        if isinstance(answer.value, QAEvolved):
            for version in answer.value.items:
                versions.setdefault(version.index, version)
        attempts.append(_check(own, stay, versions, answer.error or "", round_no, prompt_hash, config))
    return attempts


def _check(
    drawn: Sequence[tuple[Item, str]],
    fixed: frozenset[str],
    versions: dict[int, EvolvedItem],
    error: str,
    round_no: int,
    prompt_hash: str,
    config: Config,
) -> list[Attempt]:
    """Turn an image's rewritten items into attempts; a question that the image already has is no new version."""
    taken = {item.qa_id for item, _ in drawn} | fixed
    attempts = []
    for position, (parent, direction) in enumerate(drawn):
        version = versions.get(position + 1)
        if version is None:
            attempts.append(Attempt(parent, direction, verdict="missing", detail=error))
            continue
        child = validate(
            version,
            parent.image_id,
            config,
            topic_id=parent.topic_id,
            round=round_no,
            parent_id=parent.qa_id,
            prompt_hash=prompt_hash,
        )
        if isinstance(child, Malformed):
            detail = f"{child.reason}: {child.detail}"
            attempts.append(Attempt(parent, direction, version, verdict="malformed", detail=detail))
        elif child.qa_id in taken:
            attempts.append(Attempt(parent, direction, child, verdict="duplicate"))
        else:
            taken.add(child.qa_id)
            attempts.append(Attempt(parent, direction, child))
    return attempts


def _judge(
    tasks: Sequence[Task], attempts: Sequence[Sequence[Attempt]], round_no: int, config: Config, ask: Ask
) -> tuple[list[dict[int, Judgement]], str]:
    """Verdicts by position for each image, and the prompt's hash; images with nothing to judge are not asked about."""
    open_positions = [[p for p, attempt in enumerate(own) if not attempt.verdict] for own in attempts]
    requests, prompt_hash = [], ""
    for task, own, positions in zip(tasks, attempts, open_positions, strict=True):
        if not positions:
            continue
        pairs = [
            {"direction": own[p].direction, "before": own[p].parent, "after": own[p].child} for p in positions
        ]
        prompt, prompt_hash = render(__file__, "judge.jinja", pairs=pairs)
        requests.append(
            ChatRequest(
                key=f"judge:{round_no}:{task.image_id}",
                prompt=prompt,
                schema=QAJudged,
                images=(task.image,),
                temperature=0.0,
                seed=request_seed("judge", round_no, task.image_id),
                max_tokens=config.item_tokens * (len(positions) + 1),
            )
        )
    answers = iter(ask(requests))
    verdicts: list[dict[int, Judgement]] = []
    for positions in open_positions:
        judged: dict[int, Judgement] = {}
        if positions and isinstance(value := next(answers).value, QAJudged):
            for judgement in value.items:
                if 1 <= judgement.index <= len(positions):
                    judged.setdefault(positions[judgement.index - 1], judgement)
        verdicts.append(judged)
    return verdicts, prompt_hash


def settle(
    attempt: Attempt, judgement: Judgement | None, round_no: int, min_score: int, judge_prompt_hash: str = ""
) -> Item:
    """Which version goes on, with this round added to its history: the child if it clearly won, else the parent."""
    verdict, score, reason = attempt.verdict, 0, attempt.detail
    if not verdict and judgement is None:
        verdict = "unjudged"
    elif not verdict and judgement is not None:
        score, reason = judgement.score, judgement.reason
        if judgement.answerable_without_image:
            verdict, score = "answerable_without_image", 0
        elif not judgement.improved:
            verdict = "not_improved"
        else:
            verdict = "kept" if judgement.score >= min_score else "low_score"
    parent, child = attempt.parent, attempt.child
    told = (round_no, attempt.direction, verdict, score, reason, judge_prompt_hash if judgement else "")
    if verdict == "kept" and isinstance(child, Item):
        entry = evolution_entry(*told, replaced=parent, form=child.form)
        return replace(child, history=(*parent.history, entry))
    entry = evolution_entry(*told, eliminated=child, form=child.form if child else "")
    return replace(parent, history=(*parent.history, entry))
