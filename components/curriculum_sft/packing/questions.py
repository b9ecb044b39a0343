"""Separate questions: the turns of a conversation do not see each other, only the pictures before them.

Turns about one picture give each other's answers away: a lamp whose colour is asked for is on. A model that
reads the turns before learns to look less. Separated, a conversation trains what as many conversations of one
question would, at its own price: the picture is encoded once.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from components.core.vlm.branches import SHARED, UNSEEN, branch_mask, branch_positions
from components.curriculum_sft.data.batches import IGNORED, ConversationCollator

IMAGE_END = "<|vision_end|>"
JOINT = "\n<|im_start|>user\n"
"""From an answer's end to the next question, as the chat template of Qwen's families writes it."""


class QuestionCollator:
    """Batches of `collate` with `branches`, (B, T): see `components.core.vlm.branches`.

    Args:
        collate: makes a padded batch of conversations.
        sources: sources whose turns are separated; None takes all. Other conversations stay whole.
    """

    def __init__(self, collate: ConversationCollator, sources: frozenset[str] | None) -> None:
        self._collate, self._sources = collate, sources
        tokenizer = collate.processor.tokenizer
        self._joint: list[int] = tokenizer(JOINT, add_special_tokens=False)["input_ids"]
        self._image_end: int = tokenizer.convert_tokens_to_ids(IMAGE_END)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch = self._collate(rows)
        branches = torch.full_like(batch["input_ids"], SHARED)
        for place, row in enumerate(rows):
            if self._sources is None or row["source"] in self._sources:
                ids, labels = batch["input_ids"][place].tolist(), batch["labels"][place].tolist()
                branches[place] = torch.tensor(branches_of(ids, labels, self._joint, self._image_end))
        branches[batch["attention_mask"] == 0] = UNSEEN
        return {**batch, "branches": branches}


def branches_of(ids: Sequence[int], labels: Sequence[int], joint: Sequence[int], image_end: int) -> list[int]:
    """The branch of each token of one conversation.

    A conversation that cannot be taken apart stays whole (all SHARED). It has one answer only, no picture, a
    picture behind the first answer, or anything but `joint` between two turns.

    Args:
        ids: tokens, (T,).
        labels: the answers' tokens, IGNORED elsewhere, (T,).
        joint: tokens from an answer's end to the next question's text.
        image_end: token that closes a picture.
    """
    whole = [SHARED] * len(ids)
    spans = [
        (start, next((i for i in range(start, len(ids)) if labels[i] == IGNORED), len(ids)))
        for start in range(1, len(ids))
        if labels[start] != IGNORED and labels[start - 1] == IGNORED
    ]
    pictures = [place for place, token in enumerate(ids) if token == image_end]
    if len(spans) < 2 or not pictures or pictures[-1] > spans[0][0]:
        return whole
    found = list(whole)
    begin = pictures[-1] + 1
    for branch, (_, stop) in enumerate(spans, start=1):
        found[begin:stop] = [branch] * (stop - begin)
        begin = stop + len(joint)
        if branch == len(spans):
            found[stop:] = [UNSEEN] * (len(ids) - stop)
        elif list(ids[stop:begin]) != list(joint):
            return whole
        else:
            found[stop:begin] = [UNSEEN] * len(joint)
    return found


def separated(
    batch: Mapping[str, torch.Tensor], rope_index: Callable[..., tuple[torch.Tensor, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """The model's inputs of a batch with `branches`: its mask is (B, 1, T, T), its positions (3, B, T).

    Args:
        batch: of `QuestionCollator`.
        rope_index: the model's `get_rope_index`.
    """
    rotary, _ = rope_index(
        batch["input_ids"],
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch.get("image_grid_thw"),
        attention_mask=batch["attention_mask"],
    )
    branches = batch["branches"]
    rest = {name: value for name, value in batch.items() if name != "branches"}
    return rest | {
        "attention_mask": branch_mask(branches),
        "position_ids": branch_positions(rotary, branches),
    }
