"""Shared prompts: the prompt and picture that a group's responses have in common run through the model once.

GRPO's N responses to a prompt share it, and with pictures the prompt is most of the sequence. The responses
attend to its keys and values, which gives the same numbers and gradients for a fraction of the work. With P
prompt and C response tokens that is P + N·C positions instead of N·(P + C), and one picture through the
vision tower instead of N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from components.core.vlm.families import family_of


def supported(model: Any) -> bool:
    """Whether the model can share prompts: its family allows it, and it takes a cache."""
    return family_of(model).shares_prompts and not getattr(model, "is_gradient_checkpointing", False)


Pictures = tuple[torch.Tensor, torch.Tensor]
"""Patches of one row's pictures, (patches, values), and their grids, (pictures, 3)."""


def pictures_by_row(pixel_values: torch.Tensor, grid: torch.Tensor, num_images: list[int]) -> list[Pictures]:
    """Cut the patches of a batch's pictures, which lie one after another, into those of each row."""
    per_picture = torch.split(pixel_values, grid.prod(-1).tolist())
    ends = np.cumsum(num_images).tolist()
    rows = [slice(end - count, end) for end, count in zip(ends, num_images, strict=True)]
    return [(torch.cat(per_picture[row]), grid[row]) for row in rows]


def response_logps(
    model: Any,
    backbone: Any,
    group: torch.Tensor,
    response_tokens: int,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    mm_token_type_ids: torch.Tensor,
    pictures: Sequence[Pictures],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probability and entropy of every response token.

    Args:
        model: the policy with TRL's fused LM head, as wrapped for training.
        backbone: its model without head, unwrapped.
        group: shape (B,); rows with the same number have the same prompt and pictures.
        response_tokens: C.
        input_ids: shape (B, P + C), as the mask and the types; prompts padded left, responses right.
        pictures: of each row, at least one.

    Returns:
        Log-probabilities, shape (B, C), and entropies of the same shape where the head computes them.
    """
    _, inverse = torch.unique(group, return_inverse=True)
    one_of = torch.empty(int(inverse.max()) + 1, dtype=torch.long, device=group.device)
    # Any row of a group stands for its prompt.
    one_of[inverse] = torch.arange(len(group), device=group.device)
    prompt = input_ids.shape[1] - response_tokens
    ids, mask, types = (x[one_of, :prompt] for x in (input_ids, attention_mask, mm_token_type_ids))
    shown = [pictures[row] for row in one_of.tolist()]
    pixels, grid = (torch.cat(parts) for parts in zip(*shown, strict=True))
    positions, _ = backbone.get_rope_index(
        ids, mm_token_type_ids=types, image_grid_thw=grid, attention_mask=mask
    )
    # The last prompt token predicts the first response token, so it runs with the responses.
    cache = backbone(
        input_ids=ids[:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=positions[:, :, :-1],
        pixel_values=pixels,
        image_grid_thw=grid,
        mm_token_type_ids=types[:, :-1],
        use_cache=True,
    ).past_key_values
    cache.batch_select_indices(inverse)
    tail = input_ids[:, prompt - 1 :]
    labels = tail.masked_fill(attention_mask[:, prompt - 1 :] == 0, -100)
    steps = torch.arange(response_tokens + 1, device=positions.device)
    output = model(
        input_ids=tail,
        attention_mask=attention_mask,
        position_ids=positions[:, inverse, -1:] + steps,
        past_key_values=cache,
        labels=labels,
        fused_lm_head=True,
    )
    entropy = None if output.entropy is None else output.entropy[:, -response_tokens:]
    return output.log_probs[:, -response_tokens:], entropy


class OncePerPrompt:
    """A processor that, called for a batch of rows, processes each distinct prompt and picture once.

    Stands in for the real processor while TRL prepares a generation, where every row comes N times.

    Args:
        processor: the real one.
        group: prompt number of every row of the batch, numbered from 0 in order of first appearance.
    """

    def __init__(self, processor: Any, group: Sequence[int]) -> None:
        self._processor, self._group = processor, list(group)
        self._first = [self._group.index(number) for number in range(max(self._group) + 1)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, *, images: Sequence[Any], text: Sequence[str], **options: Any) -> BatchFeature:
        """As the processor: per-row fields in row order, patches of all rows' pictures one after another."""
        count = [len(images[row]) for row in self._first]
        once = self._processor(
            images=[images[row] for row in self._first], text=[text[row] for row in self._first], **options
        )
        pictures = pictures_by_row(once["pixel_values"], once["image_grid_thw"], count)
        rows = torch.tensor(self._group)
        of_pictures = ("pixel_values", "image_grid_thw")
        result = {name: value[rows] for name, value in once.items() if name not in of_pictures}
        for place, name in enumerate(of_pictures):
            result[name] = torch.cat([pictures[number][place] for number in self._group])
        return BatchFeature(result)
