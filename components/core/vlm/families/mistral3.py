"""Mistral Small 3 with vision (Pixtral's tower): rows of a picture end with a token of their own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistral3(Family):
    """Its projector merges patches."""

    def processor_class(self, model_type: str) -> type:
        # Its module takes one function from the image processor on torchvision; that on PIL has the same.
        name = "transformers.models.pixtral.image_processing_pixtral"
        from transformers.utils import is_torchvision_available

        if not is_torchvision_available():
            sys.modules.setdefault(
                name, import_module("transformers.models.pixtral.image_processing_pil_pixtral")
            )
        from transformers.models.pixtral.processing_pixtral import PixtralProcessor

        return PixtralProcessor

    def patches_per_token(self, config: Any) -> float:
        return float(config.spatial_merge_size**2)


FAMILY = Mistral3(
    name="Mistral 3",
    model_types=("mistral3",),
    header="[/INST]",
    end="</s>",
    texts=("system", "assistant"),
    banned=("[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    vision=("vision_tower",),
    projector=("multi_modal_projector",),
    packing="",
    decodes_shared=True,
)
