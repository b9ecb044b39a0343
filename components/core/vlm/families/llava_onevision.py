"""LLaVA-OneVision (arXiv 2408.03326): pictures in tiles with a learned token at the end of each row."""

from components.core.vlm.family import Family

FAMILY = Family(
    name="LLaVA-OneVision",
    model_types=("llava_onevision",),
    header="<|im_start|>assistant \n",
    end="<|im_end|>",
    banned=("<image>", "<video>", "<|im_start|>"),
    vision=("vision_tower",),
    projector=("multi_modal_projector", "image_newline"),
    packing="",
    decodes_shared=True,
)
