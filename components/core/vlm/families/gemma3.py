"""Gemma 3 (arXiv 2503.19786): pictures attend to themselves both ways, five of six layers to a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class Gemma3(Family):
    """A picture is one token in the template; the processor writes its features' tokens behind it."""

    def image_token_id(self, processor: Any) -> int:
        return int(processor.tokenizer.image_token_id)

    def patches_per_token(self, config: Any) -> float:
        side = config.vision_config.image_size // config.vision_config.patch_size
        return side * side / float(config.mm_tokens_per_image)


FAMILY = Gemma3(
    name="Gemma 3",
    model_types=("gemma3",),
    header="<start_of_turn>model\n",
    end="<end_of_turn>",
    texts=("system",),
    banned=("<start_of_image>", "<image_soft_token>", "<end_of_image>", "<start_of_turn>"),
    vision=("vision_tower",),
    projector=("multi_modal_projector",),
    packing="its pictures attend both ways and its windows reach into the sample before",
)
