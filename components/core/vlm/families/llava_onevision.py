"""LLaVA-OneVision (arXiv 2408.03326): pictures in tiles with a learned token at the end of each row."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.vlm.family import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class LlavaOnevision(Family):
    """Its chat template writes a blank behind an assistant's name, and none where it asks for an answer."""

    def template(self, source: str) -> str:
        # Trained behind the blank, answers would be asked for without it.
        role = "message['role'] + ' '"
        return source.replace(role, "message['role'] + (' ' if message['role'] != 'assistant' else '')")


FAMILY = LlavaOnevision(
    name="LLaVA-OneVision",
    model_types=("llava_onevision",),
    header="<|im_start|>assistant\n",
    end="<|im_end|>",
    banned=("<image>", "<video>", "<|im_start|>"),
    vision=("vision_tower",),
    projector=("multi_modal_projector", "image_newline"),
    packing="",
    decodes_shared=True,
)
