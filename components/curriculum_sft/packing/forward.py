"""The packed forward pass: many samples in one row without padding, each attending to itself alone.

Shapes: S samples, T the longest, N = all their tokens, H heads, D head width.

Positions tell where samples begin: the text position restarts at 0, and so do the three rotary positions of
families that have them (M-RoPE). Flash attention reads the boundaries from the text positions (its
variable-length kernels). With torch's sdpa, `segmented_sdpa` runs the causal kernel once for each sample: no
N x N mask, no work across samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from components.core.stage.errors import ConfigError
from components.core.vlm.families import family_of
from components.curriculum_sft.data.batches import ConversationCollator

SEGMENTED = "segmented_sdpa"
_PER_TOKEN = ("input_ids", "labels", "mm_token_type_ids", "token_type_ids")


class PackCollator:
    """Packs to one padded batch of all their samples; `flatten` makes one row of it on the device.

    Input rows hold `pack`, the indices of a pack's samples.

    Args:
        collate: makes a batch of samples.
        rows: the samples that packs refer to.
    """

    def __init__(self, collate: ConversationCollator, rows: Sequence[Mapping[str, Any]]) -> None:
        self._collate, self._rows = collate, rows

    def __call__(self, packs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._collate([self._rows[index] for pack in packs for index in pack["pack"]])


def flatten(
    batch: Mapping[str, torch.Tensor],
    rope_index: Callable[..., tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> dict[str, torch.Tensor]:
    """A padded batch as one row.

    Args:
        batch: `input_ids`, `labels`, `attention_mask` and token types of shape (S, T), right-padded, and
            what the processor makes of pictures, in the samples' order.
        rope_index: the model's `get_rope_index`, which gives the (3, S, T) rotary positions of a padded
            batch; None for families whose positions are those of the text.

    Returns:
        `input_ids`, `labels`, token types (1, N), and `position_ids`. Those are (1, N), or (4, 1, N): the
        text position, then the three rotary ones. Pictures stay as they were. No attention mask: the
        positions carry the boundaries.
    """
    real = batch["attention_mask"].bool()
    text = torch.arange(real.shape[1], device=real.device).expand_as(real)[None]
    rest = {name: value for name, value in batch.items() if name != "attention_mask"}
    rest |= {name: batch[name][real][None] for name in _PER_TOKEN if name in batch}
    if rope_index is None:
        return {**rest, "position_ids": text[:, real]}
    rotary, _ = rope_index(
        batch["input_ids"],
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch.get("image_grid_thw"),
        attention_mask=batch["attention_mask"],
    )
    return {**rest, "position_ids": torch.cat([text, rotary.to(text)])[:, real][:, None]}


def use_packed_attention(model: Any, attention: str) -> None:
    """Let the language model attend within samples; the vision tower separates pictures by itself.

    Raises:
        ConfigError: the attention implementation, or the model's family, cannot keep packed samples apart.
    """
    if reason := family_of(model).refusals(model.config.to_dict()).get("packing"):
        raise ConfigError(f"curriculum_sft.pack_tokens: {reason}; set it to 0")
    if attention == "flash_attention_2":
        return
    if attention != "sdpa":
        raise ConfigError(f"packing needs attention 'sdpa' or 'flash_attention_2', not '{attention}'")
    AttentionInterface.register(SEGMENTED, segmented_sdpa)
    family_of(model).language_of(model).set_attn_implementation(SEGMENTED)


def segmented_sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    position_ids: torch.Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each sample of one row.

    Args:
        module: the attention layer (unused beyond its training flag in `dropout`).
        query: (1, H, N, D); key and value: (1, H_kv, N, D).
        attention_mask: must be None; boundaries come from the positions.
        position_ids: (1, N) text positions; each 0 begins a sample.
        dropout: probability.
        scaling: of the scores; None takes 1/√D.

    Returns:
        (1, N, H, D), and None for the weights.
    """
    starts = torch.nonzero(position_ids[0] == 0).flatten().tolist()
    sizes = [b - a for a, b in zip(starts, [*starts[1:], query.shape[2]], strict=True)]
    parts = [
        scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=dropout,
            is_causal=True,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for q, k, v in zip(*(tensor.split(sizes, dim=2) for tensor in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None
