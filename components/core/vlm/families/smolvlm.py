"""SmolVLM (arXiv 2504.05299) and Idefics3 (arXiv 2408.12637): pictures in tiles, each a run of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class SmolVLM(Family):
    """Turns are plain words ("Assistant:"): the end of the turn before belongs to the header."""

    def processor_class(self, model_type: str) -> type:
        # Its processor refuses to be made without the package num2words, which it needs for videos alone.
        from transformers.models.smolvlm import processing_smolvlm

        processing_smolvlm.num2words = processing_smolvlm.num2words or str
        return super().processor_class(model_type)

    def image_class(self, model_type: str) -> type | None:
        # transformers holds these two for torchvision's, though they run on PIL alone.
        from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
        from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

        return SmolVLMImageProcessorPil if model_type == "smolvlm" else Idefics3ImageProcessorPil

    def patches_per_token(self, config: Any) -> float:
        return float(config.scale_factor**2)


FAMILY = SmolVLM(
    name="SmolVLM, Idefics3",
    model_types=("smolvlm", "idefics3"),
    header="<end_of_utterance>\nAssistant:",
    end="<end_of_utterance>",
    banned=("<image>", "<fake_token_around_image>", "<global-img>", "<|im_start|>"),
    vision=("vision_model",),
    projector=("connector",),
    language="text_model",
    packing="",
    decodes_shared=True,
)
