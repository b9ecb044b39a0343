"""Processors: text and pictures to model inputs, with or without torchvision."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase, ProcessorMixin, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import is_torchvision_available

from components.core.pictures import decode
from components.core.stage.errors import DataError
from components.core.vlm.families import family_for, family_of, model_type_of
from components.core.vlm.family import Family

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

_DATE, _DAY = "strftime_fixed", datetime(2026, 1, 1)
"""What chat templates get that ask for the date, and the name of it."""
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


class _ImageOnly:
    """A processor without its video half, which alone needs torchvision; saved, it is the full one again."""

    image_class: type | None = None
    _video_config: dict[str, Any] | None = None
    # SmolVLM reads these for every conversation, with or without a video.
    video_processor = SimpleNamespace(num_frames=64, fps=1)

    @classmethod
    def get_attributes(cls) -> list[str]:
        return [name for name in super().get_attributes() if name != "video_processor"]  # type: ignore[misc]

    @classmethod
    def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        settings = dict(processor_dict)
        video = settings.pop("video_processor", None)
        takes_video = "video_processor" in inspect.signature(cls.__init__).parameters
        given = [*args, None] if takes_video else args
        made = super().from_args_and_dict(given, settings, **kwargs)  # type: ignore[misc]
        (made[0] if isinstance(made, tuple) else made)._video_config = video
        return made

    @classmethod
    def _get_arguments_from_pretrained(cls, path: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if cls.image_class is None:
            return list(super()._get_arguments_from_pretrained(path, *args, **kwargs))  # type: ignore[misc]
        image = cls.image_class.from_pretrained(path)  # type: ignore[attr-defined]
        return [image, AutoTokenizer.from_pretrained(path)]

    def to_dict(self) -> dict[str, Any]:
        saved = {**super().to_dict(), "processor_class": type(self).__name__}  # type: ignore[misc]
        return saved | ({"video_processor": self._video_config} if self._video_config else {})


class _OfFamily:
    """What a processor of transformers gets from its family: the conversation as its template takes it."""

    family: Family

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **kwargs: Any) -> Any:
        """As transformers' own, with the family's template, options and end behind a last answer."""
        several = bool(conversation) and not isinstance(conversation[0], Mapping)
        talks = [self.family.turns(talk) for talk in (conversation if several else [conversation])]
        options = {**kwargs, "chat_template": chat_template}
        if source := self._template(chat_template):
            # Today would change prompts at midnight; transformers keeps its own name for it out of arguments.
            source = self.family.template(source).replace("strftime_now", _DATE)
            known = {**self.family.template_options, _DATE: _DAY.strftime}
            own = {name: value for name, value in known.items() if name in source}
            options = {**own, **kwargs, "chat_template": source}
        if kwargs.get("tokenize") and not kwargs.get("return_tensors"):
            # Some processors make tensors unasked, which prompts of several lengths do not fit.
            options["processor_kwargs"] = {"return_tensors": None, **(kwargs.get("processor_kwargs") or {})}
        text = super().apply_chat_template(talks if several else talks[0], **options)  # type: ignore[misc]
        if self.family.closed or kwargs.get("tokenize") or kwargs.get("add_generation_prompt"):
            return text
        answered = [talk[-1]["role"] == "assistant" for talk in talks]
        texts = [
            one + (self.family.end if last else "")
            for one, last in zip(text if several else [text], answered, strict=True)
        ]
        return texts if several else texts[0]

    def _template(self, chosen: str | None) -> str:
        """The source of the chat template; "" where there is none, or several without a choice."""
        held: Any = self.chat_template  # type: ignore[attr-defined]
        if isinstance(held, Mapping):
            return str(held.get(chosen or "default", chosen or ""))
        return chosen or held or ""

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:
        """As transformers' own; a text that a chat template has begun gets no second beginning."""
        first = text if isinstance(text, str) or not text else text[0]
        if isinstance(first, str):
            kwargs = begun(self.tokenizer, first) | kwargs  # type: ignore[attr-defined]
        return super().__call__(images=images, text=text, **kwargs)  # type: ignore[misc]


def begun(tokenizer: Any, text: str) -> dict[str, bool]:
    """Arguments that keep a tokenizer from writing the beginning of a text that has one."""
    has_begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    return {"add_special_tokens": False} if has_begun else {}


def token_ids(processor: Any, text: str) -> list[int]:
    """Ids of a chat-templated text whose pictures are not expanded."""
    return list(processor.tokenizer(text, **begun(processor.tokenizer, text))["input_ids"])


@cache
def _class_for(model_type: str) -> type:
    """A family's processor class; it keeps the name of transformers' own, so that saved files name that."""
    family = family_for(model_type)
    kind = family.processor_class(model_type)
    own: dict[str, Any] = {"family": family, "__module__": __name__, "__doc__": kind.__doc__}
    if is_torchvision_available():
        return type(kind.__name__, (_OfFamily, kind), own)
    if kind is Qwen3VLProcessor:
        return type(kind.__name__, (_OfFamily, ImageQwen3VLProcessor), own)
    own["image_class"] = family.image_class(model_type)
    return type(kind.__name__, (_OfFamily, _ImageOnly, kind), own)


def load_processor(path: str | Path) -> ProcessorMixin:
    """Load the processor of a checkpoint directory, by its family.

    With torchvision this is the processor of `AutoProcessor`; without it, the same on PIL for images only.

    Raises:
        ConfigError: no family has its `model_type`; names the supported ones.
        DataError: ``path`` is no directory with a model's configuration, a processor and a tokenizer.
    """
    if not (Path(path) / "tokenizer_config.json").is_file():
        wanted = "the directory of a saved model and processor"
        raise DataError(f"{path} has no tokenizer_config.json; give {wanted}")
    processor = _class_for(model_type_of(path)).from_pretrained(path)  # type: ignore[attr-defined]
    video_config = Path(path) / _VIDEO_CONFIG
    if getattr(processor, "_video_config", 0) is None and video_config.is_file():
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
    """Tokens of one picture of this size (px) in the prompt, computed without decoding it.

    Raises:
        ValueError: the aspect ratio exceeds the processor's limit.
    """
    family = family_of(processor)
    if not family.counts_tokens:
        return len(processor.tokenizer.tokenize(family.picture_text(processor, height, width)))
    return int(processor._get_num_multimodal_tokens([[height, width]]).num_image_tokens[0])


def open_image(image: bytes | Image.Image) -> Image.Image:
    """Decode a picture to 8-bit RGB (`components.core.pictures.decode`); a PIL image of that mode passes.

    Raises:
        UnreadablePicture: it cannot be decoded.
    """
    return decode(image)
