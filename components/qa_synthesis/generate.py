"""First draft: one request an image, its answers checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from components.core.data.hashing import seed_for
from components.core.mllm import Answer, ChatRequest
from components.core.mllm.prompts import render
from components.qa_synthesis.config import Config
from components.qa_synthesis.items import Item, Malformed, validate
from components.qa_synthesis.schemas import QAItems
from components.qa_synthesis.taxonomy import ABILITIES

Ask = Callable[[list[ChatRequest]], list[Answer]]
"""Sends requests, returns their answers in the same order."""


@dataclass(frozen=True)
class Topic:
    """A leaf of the label tree, as the prompt shows it."""

    topic_id: str
    text: str


@dataclass(frozen=True)
class Task:
    """One image to write items about."""

    image_id: str
    image: bytes
    split: str
    count: int
    topics: tuple[Topic, ...] = ()
    aspects: Mapping[str, int] = field(default_factory=dict)
    """What to ask about -> how many items; empty leaves it to the teacher."""
    types: Mapping[str, int] = field(default_factory=dict)
    """Answer type -> how many items; empty leaves it to the teacher."""
    absent: int = 0
    """Items that ask whether something is there that is not."""


@dataclass(frozen=True)
class Rejection:
    """A row of the stage's `rejected` table; `reason` is one of `items.REASONS`."""

    id: str
    reason: str
    detail: str


def generate(tasks: Sequence[Task], config: Config, ask: Ask) -> tuple[list[list[Item]], list[Rejection]]:
    """Draft items for every task.

    Returns:
        The well-formed items of each task (at most `count`, all different), and what was turned away: an image
        without any usable answer under its own id; under `<image_id>#<position>` a malformed item, or one that was asked
        for and not written.
    """
    requests, prompt_hashes = [], []
    for task in tasks:
        prompt, prompt_hash = render(
            __file__,
            "generate.jinja",
            count=task.count,
            topics=[topic.text for topic in task.topics],
            aspects=task.aspects,
            types=task.types,
            absent=task.absent,
            answer_types=config.answer_types,
            abilities=ABILITIES,
        )
        prompt_hashes.append(prompt_hash)
        requests.append(
            ChatRequest(
                key=f"generate:{task.image_id}",
                prompt=prompt,
                schema=QAItems,
                images=(task.image,),
                temperature=config.temperature,
                seed=request_seed("generate", task.image_id),
                max_tokens=config.item_tokens * (task.count + 1),
            )
        )
    drafted: list[list[Item]] = []
    rejections: list[Rejection] = []
    for task, answer, prompt_hash in zip(tasks, ask(requests), prompt_hashes, strict=True):
        if answer.value is None:
            rejections.append(Rejection(task.image_id, "no_answer", answer.error or ""))
            drafted.append([])
            continue
        assert isinstance(answer.value, QAItems)
        items, turned_away = _check(task, answer.value, prompt_hash, config)
        drafted.append(items)
        rejections += turned_away
    return drafted, rejections


def _check(
    task: Task, drafts: QAItems, prompt_hash: str, config: Config
) -> tuple[list[Item], list[Rejection]]:
    items: dict[str, Item] = {}
    rejections: list[Rejection] = []
    for position, draft in enumerate(drafts.items):
        topic_id = task.topics[draft.topic - 1].topic_id if 1 <= draft.topic <= len(task.topics) else ""
        item = validate(draft, task.image_id, config, topic_id=topic_id, prompt_hash=prompt_hash)
        if isinstance(item, Item) and item.qa_id in items:
            item = Malformed("duplicate_question", item.question)
        elif isinstance(item, Item) and len(items) >= task.count:
            item = Malformed("surplus", item.question)
        if isinstance(item, Malformed):
            rejections.append(Rejection(f"{task.image_id}#{position}", item.reason, item.detail))
        else:
            items[item.qa_id] = item
    if not drafts.items:
        rejections.append(Rejection(task.image_id, "no_answer", "the teacher wrote no items"))
        return [], rejections
    for position in range(len(drafts.items), task.count):
        detail = f"{len(drafts.items)} of {task.count} items were written"
        rejections.append(Rejection(f"{task.image_id}#{position}", "not_written", detail))
    return list(items.values()), rejections


def request_seed(*parts: object) -> int:
    """A 31-bit seed, which every server accepts."""
    return seed_for(*parts) & 0x7FFFFFFF
