"""Processors: text and pictures to model inputs, with or without torchvision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoProcessor, PreTrainedTokenizerBase, ProcessorMixin, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import is_torchvision_available

from components.core.pictures import decode
from components.core.stage.errors import DataError

CHATML_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}"
    "{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'text' %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""ChatML with Qwen3-VL's vision tokens: the text-and-image part of Qwen3-VL's own template."""

_VIDEO_CONFIG = "video_preprocessor_config.json"


class ImageQwen3VLProcessor(Qwen3VLProcessor):
    """`Qwen3VLProcessor` without its video half, which alone needs torchvision.

    To every caller that passes no video it is a `Qwen3VLProcessor`. Saved settings name that class and keep
    the video settings: a checkpoint written here loads unchanged with torchvision.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._video_config: dict[str, Any] | None = kwargs.pop("video_processor", None)
        for kind in ("image", "video", "vision_start", "vision_end"):
            default = f"<|{kind}_pad|>" if kind in ("image", "video") else f"<|{kind}|>"
            token = getattr(tokenizer, f"{kind}_token", None) or default
            setattr(self, f"{kind}_token", token)
            setattr(self, f"{kind}_token_id", tokenizer.convert_tokens_to_ids(token))
        # Qwen3VLProcessor.__init__ would demand a video processor: go straight to ProcessorMixin.
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def to_dict(self) -> dict[str, Any]:
        """Settings as saved: those of a full `Qwen3VLProcessor`."""
        image = self.image_processor
        default = {
            "video_processor_type": "Qwen3VLVideoProcessor",
            "patch_size": image.patch_size,
            "merge_size": image.merge_size,
            "temporal_patch_size": image.temporal_patch_size,
            "image_mean": list(image.image_mean),
            "image_std": list(image.image_std),
        }
        return {
            **super().to_dict(),
            "processor_class": "Qwen3VLProcessor",
            "video_processor": self._video_config or default,
        }


def load_processor(path: str | Path) -> ProcessorMixin:
    """Load the processor of a checkpoint directory.

    With torchvision this is `AutoProcessor`; without it an image-only `Qwen3VLProcessor` on PIL.

    Raises:
        DataError: ``path`` is no directory with a processor and a tokenizer.
    """
    if not (Path(path) / "tokenizer_config.json").is_file():
        wanted = "the directory of a saved model and processor"
        raise DataError(f"{path} has no tokenizer_config.json; give {wanted}")
    if is_torchvision_available():
        return AutoProcessor.from_pretrained(path)
    processor = ImageQwen3VLProcessor.from_pretrained(path)
    video_config = Path(path) / _VIDEO_CONFIG
    if processor._video_config is None and video_config.is_file():
        processor._video_config = json.loads(video_config.read_text(encoding="utf-8"))
    return processor


def build_processor(
    tokenizer: PreTrainedTokenizerBase,
    *,
    patch_size: int = 16,
    merge_size: int = 2,
    temporal_patch_size: int = 2,
    min_pixels: int = 65_536,
    max_pixels: int = 16_777_216,
) -> ImageQwen3VLProcessor:
    """Processor for a new model; patch and merge sizes as in its vision config, pixels in total."""
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=patch_size,
        merge_size=merge_size,
        temporal_patch_size=temporal_patch_size,
        size={"shortest_edge": min_pixels, "longest_edge": max_pixels},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    tokenizer.chat_template = CHATML_TEMPLATE
    return ImageQwen3VLProcessor(image_processor, tokenizer, chat_template=CHATML_TEMPLATE)


def vision_token_count(processor: Any, height: int, width: int) -> int:
    """Placeholder tokens of one picture of this size (px) in the prompt, computed without decoding it.

    Raises:
        ValueError: the aspect ratio exceeds the processor's limit.
    """
    return int(processor._get_num_multimodal_tokens([[height, width]]).num_image_tokens[0])


def open_image(image: bytes | Image.Image) -> Image.Image:
    """Decode a picture to 8-bit RGB (`components.core.pictures.decode`); a PIL image of that mode passes.

    Raises:
        UnreadablePicture: it cannot be decoded.
    """
    return decode(image)
