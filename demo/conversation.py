"""Questions about a picture as training tensors: ChatML, loss on the answers and their end token only.

All questions about a picture share its tokens in one row, each as a branch (`components.core.vlm.branches`).
So no answer can be guessed from another question's words.

Shapes: B rows, T tokens of the longest row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from components.core.vlm.branches import SHARED, UNSEEN, branch_mask, branch_positions
from components.core.vlm.messages import format_question, format_response
from demo import general

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """A picture's questions: ids, labels and branch of each token; the picture's patches (patches, values).

    Branch 0 is the picture and what stands before it.
    """

    ids: list[int]
    labels: list[int]
    branches: list[int]
    pixels: torch.Tensor


class Encoder:
    """Encodes questions exactly as the chat template does, keeping the tokens of texts that recur."""

    def __init__(self, processor: Any, grid: int) -> None:
        """`grid` is the number of vision tokens along a side of a picture."""
        self.processor = processor
        self.grid = grid
        self.pad_id = int(processor.tokenizer.pad_token_id)
        self.image_id = int(processor.image_token_id)
        self._known: dict[str, list[int]] = {}
        image = "<|vision_start|>" + "<|image_pad|>" * grid**2 + "<|vision_end|>"
        self._first = self._tokens("<|im_start|>user\n" + image)
        self._turn = self._tokens("<|im_end|>\n<|im_start|>assistant\n")
        self._end = self._tokens("<|im_end|>")

    def _tokens(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._known[text]

    def pixels(self, picture: Image.Image) -> torch.Tensor:
        """The picture's patches as the processor makes them, (grid², channels × time × height × width)."""
        return self.processor.image_processor(images=[picture], return_tensors="pt")["pixel_values"]

    def sample(self, picture: Image.Image, turns: list[tuple[str, str]]) -> Encoded:
        """Encode (question text, response text) turns about one picture, each as a branch."""
        ids = list(self._first)
        labels = [IGNORED] * len(ids)
        branches = [SHARED] * len(ids)
        for branch, (question, response) in enumerate(turns, start=1):
            prompt = self._tokens(question) + self._turn
            reply = self._tokens(response) + self._end
            ids += prompt + reply
            labels += [IGNORED] * len(prompt) + reply
            branches += [branch] * (len(prompt) + len(reply))
        return Encoded(ids, labels, branches, self.pixels(picture))

    def positions(self, branches_BT: torch.Tensor) -> torch.Tensor:
        """M-RoPE positions, (3, B, T): a picture takes as many as its grid is wide; branches follow it."""
        before = self._first.index(self.image_id)
        row, column = torch.arange(self.grid**2) // self.grid, torch.arange(self.grid**2) % self.grid
        picture = before + torch.stack([torch.zeros_like(row), row, column])
        text = torch.arange(before).expand(3, -1)
        behind = (before + self.grid + torch.arange(branches_BT.shape[1])).expand(3, -1)
        rotary = torch.cat([text, picture, behind], dim=1)[:, None, : branches_BT.shape[1]]
        return branch_positions(rotary.expand(3, *branches_BT.shape), branches_BT)


def collate(samples: list[Encoded], encoder: Encoder) -> dict[str, torch.Tensor]:
    """Pad to the longest; keys and shapes are the model's `forward` arguments."""
    longest = max(len(sample.ids) for sample in samples)
    ids = torch.full((len(samples), longest), encoder.pad_id)
    labels = torch.full((len(samples), longest), IGNORED)
    branches = torch.full((len(samples), longest), UNSEEN)
    for row, sample in enumerate(samples):
        size = len(sample.ids)
        ids[row, :size] = torch.tensor(sample.ids)
        labels[row, :size] = torch.tensor(sample.labels)
        branches[row, :size] = torch.tensor(sample.branches)
    return {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": branch_mask(branches),
        "position_ids": encoder.positions(branches),
        "mm_token_type_ids": (ids == encoder.image_id).int(),
        "pixel_values": torch.cat([sample.pixels for sample in samples]),
        "image_grid_thw": torch.tensor([[1, encoder.grid, encoder.grid]] * len(samples)),
    }


def general_turns(
    scene: general.GeneralScene, rng: np.random.Generator, count: int, reasoning_share: float
) -> list[tuple[str, str]]:
    """`count` questions in random order with their responses, a share of them with reasoning first.

    The questions are drawn twice, so that other wordings and other absent things come in.
    """
    asked = general.questions(scene, rng) + general.questions(scene, rng)
    order = rng.permutation(len(asked))[:count]
    turns = []
    for qa in (asked[int(i)] for i in order):
        reasoning = qa.reasoning if rng.random() < reasoning_share else ""
        turns.append((format_question(qa.question, qa.choices), format_response(qa.answer, reasoning)))
    return turns
