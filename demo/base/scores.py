"""The base model's held-out accuracy by kind of question: `scores.json` of its data card."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from components.core.data.hashing import rng_for
from components.core.stats.intervals import mean_estimate
from components.core.vlm import format_question, generate, load_model, load_processor
from components.core.vlm.messages import ANSWER_MARK
from demo import general

MAX_NEW_TOKENS = 32
QUESTIONS_PER_PICTURE = 4


def right(response: str, answer: str) -> bool:
    """Whether the final answer of a response is the true one, but for case and a full stop."""
    said = response.rpartition(ANSWER_MARK)[2]
    return said.strip().rstrip(".").casefold() == answer.casefold()


def scores(checkpoint: Path, pictures: int, seed: int = 0) -> dict[str, Any]:
    """Greedy accuracy on held-out pictures.

    Returns:
        Kind of question -> mean, 95 % interval (by picture) and number of items. "all" is every item.
    """
    rng = rng_for("base model scores", seed)
    asked: list[tuple[str, general.GeneralQA]] = []
    items = []
    for place in range(pictures):
        scene = general.sample_scene(rng, "test")
        picture, questions = general.render(scene), general.questions(scene, rng)
        for number in rng.permutation(len(questions))[:QUESTIONS_PER_PICTURE]:
            qa = questions[int(number)]
            asked.append((str(place), qa))
            items.append((picture, format_question(qa.question, qa.choices)))
    model, processor = load_model(checkpoint, "float32"), load_processor(checkpoint)
    replies = generate(model, processor, items, max_new_tokens=MAX_NEW_TOKENS)
    groups: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for (owner, qa), (reply,) in zip(asked, replies, strict=True):
        for kind in ("all", qa.kind):
            groups[kind].append((owner, float(right(reply.text, qa.answer))))
    return {
        kind: mean_estimate([value for _, value in rows], [owner for owner, _ in rows]).to_json()
        for kind, rows in sorted(groups.items())
    }
