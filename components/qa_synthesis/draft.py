"""First draft: one request an image, its answers checked one by one."""

from __future__ import annotations

from collections.abc import Sequence

from components.core.mllm.prompts import render
from components.qa_synthesis.config import Config
from components.qa_synthesis.image_question import ImageQuestion, Malformed, validate
from components.qa_synthesis.plan import Ask, Rejection, Task
from components.qa_synthesis.schemas import ABILITIES, QAItems


def generate(
    tasks: Sequence[Task], config: Config, ask: Ask
) -> tuple[list[list[ImageQuestion]], list[Rejection]]:
    """Draft items for every task.

    Returns:
        The well-formed items of each task (at most `count`, all different), and the rejections. An image
        without any usable answer is rejected under its own id, an item that is malformed or was never written
        under `<image_id>#<position>`.
    """
    rules = {"answer_types": config.answer_types, "abilities": ABILITIES}
    requests, prompt_hash = [], ""
    for task in tasks:
        asked = {**vars(task), "topics": [topic.text for topic in task.topics]}
        prompt, prompt_hash = render(__file__, "generate.jinja", **asked, **rules)
        room = config.item_tokens * (task.count + 1)
        requests.append(task.request(["generate"], prompt, QAItems, config.temperature, room))
    drafted: list[list[ImageQuestion]] = []
    rejections: list[Rejection] = []
    for task, answer in zip(tasks, ask(requests), strict=True):
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
) -> tuple[list[ImageQuestion], list[Rejection]]:
    if not drafts.items:
        return [], [Rejection(task.image_id, "no_answer", "the teacher wrote no items")]
    items: dict[str, ImageQuestion] = {}
    rejections: list[Rejection] = []
    for position, draft in enumerate(drafts.items):
        topic_id = task.topics[draft.topic - 1].topic_id if 1 <= draft.topic <= len(task.topics) else ""
        item = validate(draft, task.image_id, config, topic_id=topic_id, prompt_hash=prompt_hash)
        if isinstance(item, ImageQuestion) and item.qa_id in items:
            item = Malformed("duplicate_question", item.question)
        elif isinstance(item, ImageQuestion) and len(items) >= task.count:
            item = Malformed("surplus", item.question)
        if isinstance(item, Malformed):
            rejections.append(Rejection(f"{task.image_id}#{position}", item.reason, item.detail))
        else:
            items[item.qa_id] = item
    for position in range(len(drafts.items), task.count):
        detail = f"{len(drafts.items)} of {task.count} items were written"
        rejections.append(Rejection(f"{task.image_id}#{position}", "not_written", detail))
    return list(items.values()), rejections
