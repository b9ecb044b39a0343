"""GLM-4.1V (arXiv 2507.01006): M-RoPE; an answer ends where the user's next turn begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class Glm4v(Family):
    """The chat template writes no end behind the last answer, and answers as texts alone."""

    def patches_per_token(self, config: Any) -> float:
        return float(config.vision_config.spatial_merge_size**2)


FAMILY = Glm4v(
    name="GLM-4V",
    model_types=("glm4v",),
    header="<|assistant|>\n",
    end="<|user|>",
    closed=False,
    texts=("system", "assistant"),
    banned=("<|image|>", "<|video|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>",
            "<|end_of_video|>", "<|assistant|>", "<|system|>"),
    vision=("visual",),
    projector=("visual.merger", "visual.downsample"),
    packing="",
    multi_rotary=True,
    counts_tokens=True,
    decodes_shared=True,
)  # fmt: skip
