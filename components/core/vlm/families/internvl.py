"""InternVL (arXiv 2504.10479) in transformers' own form (`-hf` checkpoints)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class InternVL(Family):
    """Pixels are shuffled into fewer, wider tokens."""

    def patches_per_token(self, config: Any) -> float:
        return float(round(1 / config.downsample_ratio**2))


FAMILY = InternVL(
    name="InternVL",
    model_types=("internvl",),
    header="<|im_start|>assistant\n",
    end="<|im_end|>",
    banned=("<IMG_CONTEXT>", "<img>", "</img>", "<video>", "<|im_start|>"),
    vision=("vision_tower",),
    projector=("multi_modal_projector",),
    packing="",
    decodes_shared=True,
)
