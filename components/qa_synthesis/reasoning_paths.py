"""Reasoning paths by rejection sampling, as in Kimi-VL (arXiv 2504.07491, section 3.3).

Items whose answer can be verified are asked again, several times at a temperature above 0 and without their
answer. Paths that end with the item's answer are correct: the shortest becomes the item's reasoning, the
others go to its history. An item without a correct path keeps the reasoning that it had, and its history says
so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.core.mllm import ChatRequest
from components.core.mllm.prompts import render
from components.qa_synthesis.config import Config
from components.qa_synthesis.image_question import ImageQuestion, has_reserved, one_line
from components.qa_synthesis.plan import Ask, Task
from components.qa_synthesis.schemas import QAPaths

VERIFIABLE = ("choice", "number", "yes_no", "span")
_MAX_ANSWERS = 8
"""Wrong answers of one item that the history lists."""


@dataclass
class Paths:
    """The samples of one item, by outcome."""

    correct: list[str] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    missing: int = 0


def sample_reasoning(
    tasks: Sequence[Task], items: Sequence[Sequence[ImageQuestion]], config: Config, ask: Ask
) -> list[list[ImageQuestion]]:
    """Sample reasoning paths for all verifiable items: `samples` requests an image, one after the other.

    Returns:
        The same items, aligned with `tasks`. Those that can be verified have new reasoning and one more entry
        in their history.
    """
    settings = config.reasoning_paths
    asked = [[item for item in own if item.answer_type in VERIFIABLE] for own in items]
    requests: list[ChatRequest] = []
    prompt_hash = ""
    for task, own in zip(tasks, asked, strict=True):
        if own:
            prompt, prompt_hash = render(__file__, "reason.jinja", items=own)
            room = settings.path_tokens * (len(own) + 1)
            requests += [
                task.request(["reason", sample], prompt, QAPaths, settings.temperature, room)
                for sample in range(settings.samples)
            ]
    answers = iter(ask(requests))
    sampled: list[list[ImageQuestion]] = []
    for everything, own in zip(items, asked, strict=True):
        found = [Paths() for _ in own]
        for _ in range(settings.samples if own else 0):
            _collect(own, next(answers).value, found, settings.max_path_chars)
        after = iter([_settle(item, paths, prompt_hash) for item, paths in zip(own, found, strict=True)])
        sampled.append([next(after) if item.answer_type in VERIFIABLE else item for item in everything])
    return sampled


def _collect(items: Sequence[ImageQuestion], answer: Any, found: Sequence[Paths], max_chars: int) -> None:
    """Add one sample of all items of an image."""
    given = reversed(answer.paths) if isinstance(answer, QAPaths) else ()
    by_index = {path.index: path for path in given}  # of repeated ones the first
    for number, (item, paths) in enumerate(zip(items, found, strict=True), start=1):
        path = by_index.get(number)
        if path is None:
            paths.missing += 1
            continue
        text = " ".join(filter(None, map(one_line, path.steps)))
        if not text or len(text) > max_chars or has_reserved(text, path.answer):
            paths.malformed += 1
        elif item.agrees(path.answer):
            paths.correct.append(text)
        else:
            paths.wrong[item.normalised(path.answer)[:100]] += 1


def _settle(item: ImageQuestion, paths: Paths, prompt_hash: str) -> ImageQuestion:
    """The item with its shortest correct path, if any; of equally long ones the first by alphabet."""
    ranked = sorted(set(paths.correct), key=lambda text: (len(text), text))
    entry = {
        "reasoning": "sampled" if ranked else "no_correct_path",
        "sampled": len(paths.correct) + paths.wrong.total() + paths.malformed + paths.missing,
        "correct": len(paths.correct),
        "malformed": paths.malformed,
        "missing": paths.missing,
        "answers": dict(sorted(paths.wrong.items(), key=lambda pair: (-pair[1], pair[0]))[:_MAX_ANSWERS]),
        "paths": ranked[1:],
        "replaced": item.reasoning,
        "prompt_hash": prompt_hash,
    }
    return replace(item, reasoning=ranked[0] if ranked else item.reasoning, history=(*item.history, entry))
