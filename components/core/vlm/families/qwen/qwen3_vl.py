"""Qwen3-VL (arXiv 2511.21631): M-RoPE, DeepStack features, ChatML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class QwenVL(Family):
    """What Qwen's families share: one placeholder a vision token, ChatML, three rotary positions."""

    header: str = "<|im_start|>assistant\n"
    end: str = "<|im_end|>"
    banned: tuple[str, ...] = (
        "<|image_pad|>",
        "<|video_pad|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|im_start|>",
    )
    vision: tuple[str, ...] = ("visual",)
    projector: tuple[str, ...] = ("visual.merger", "visual.deepstack_merger_list")
    packing: str = ""
    multi_rotary: bool = True
    counts_tokens: bool = True
    decodes_shared: bool = True
    shares_prompts: bool = True

    def patches_per_token(self, config: Any) -> float:
        return float(config.vision_config.spatial_merge_size**2)


FAMILY = QwenVL(name="Qwen3-VL", model_types=("qwen3_vl",), shares_vision=True)
