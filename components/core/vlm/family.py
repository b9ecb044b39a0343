"""A family of vision-language models: what the pipeline has to know of one. The defaults are the safe ones.

A family is a file in `families/`, found by the `model_type` of a checkpoint's `config.json`. A field that a
family leaves alone takes transformers' and TRL's own path, which works for every model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Part = Literal["vision", "projector", "language"]
Turns = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """What differs between families. Module names are dotted, as they stand inside a parameter's name."""

    name: str
    """For messages and tables."""
    model_types: tuple[str, ...]
    """Values of `model_type` in `config.json`."""
    header: str
    """Text between a question and its answer, as the chat template writes it."""
    end: str
    """The token that ends an answer."""
    banned: tuple[str, ...]
    """Tokens that no response may contain: they would claim a picture or open a turn."""
    vision: tuple[str, ...]
    """Modules of the vision tower."""
    projector: tuple[str, ...]
    """Modules that map vision features into the language model; they may lie inside the tower."""
    language: str = "language_model"
    """Attribute of the model's backbone that holds the language model."""
    experts: tuple[str, ...] = ()
    """Fused expert weights of a mixture of experts, (experts, rows, columns) each."""
    apart: str = ""
    """`model_type` that an export gives the language model, so that transformers reads its experts one by
    one; "" where it does so already."""
    closed: bool = True
    """Whether the chat template writes `end` behind the last answer too; otherwise it is added."""
    opening: str = ""
    """Text that a prompt adds behind `header` before the model speaks; an answer that begins with it is
    trained on from there."""
    texts: tuple[str, ...] = ()
    """Roles whose content the chat template takes as a text, not as a list of parts."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template, for those templates that name them."""
    packing: str = "its attention between packed samples is not tested"
    """Why samples cannot be packed; "" allows it."""
    multi_rotary: bool = False
    """Whether pictures have three rotary positions (M-RoPE), which the backbone's `get_rope_index` gives."""
    counts_tokens: bool = False
    """Whether a picture becomes as many image tokens as the processor's own count says, and nothing else."""
    decodes_shared: bool = False
    """Whether `generate` may encode a prompt once and repeat its cache; otherwise transformers generates."""
    shares_vision: bool = False
    """Whether evaluation may cache the vision tower's features by picture."""
    shares_prompts: bool = False
    """Whether reinforcement learning may encode a group's prompt once."""
    export: str = ""
    """Why the checkpoint cannot be quantised; "" allows it."""

    def part_of(self, parameter: str) -> Part:
        """The part of the model that a parameter belongs to, by its name."""
        path = f".{parameter}."
        if any(f".{name}." in path for name in self.projector):
            return "projector"
        return "vision" if any(f".{name}." in path for name in self.vision) else "language"

    def language_of(self, model: Any) -> Any:
        """The language model inside a model with or without its head."""
        return getattr(getattr(model, "model", model), self.language)

    def processor_class(self, model_type: str) -> type:
        """The class of its processor."""
        import transformers
        from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

        return getattr(transformers, PROCESSOR_MAPPING_NAMES[model_type])

    def image_class(self, model_type: str) -> type | None:
        """The image processor on PIL, where transformers does not find it without torchvision."""
        return None

    def placeholder(self, processor: Any) -> str:
        """What the chat template writes for a picture, before the processor expands it."""
        return str(processor.image_token)

    def picture_text(self, processor: Any, height: int, width: int, pictures: int = 1) -> str:
        """What the processor writes for a picture of this size (px), found by processing a blank one.

        `pictures` counts those of the whole sample: some families show several in fewer tiles each.
        """
        from PIL import Image

        blank = Image.new("RGB", (width, height))
        text = [self.placeholder(processor) * pictures]
        found = processor(images=[[blank] * pictures], text=text, return_text_replacement_offsets=True)
        return str(found["text_replacement_offsets"][0][0]["replacement"])

    def image_token_id(self, processor: Any) -> int:
        """Id of the token whose embedding a vision feature replaces."""
        return int(processor.image_token_id)

    def template(self, source: str) -> str:
        """A checkpoint's chat template as it is used: prompts open an answer as conversations do."""
        return source

    def turns(self, turns: Turns) -> list[dict[str, Any]]:
        """A conversation as the chat template takes it: contents as parts, or as texts where it wants those.

        Templates that want parts drop a plain text without an error, and the other way round.
        """
        return [{**turn, "content": self._content(turn)} for turn in turns]

    def _content(self, turn: Mapping[str, Any]) -> Any:
        content = turn["content"]
        if turn["role"] not in self.texts:
            return [{"type": "text", "text": content}] if isinstance(content, str) else content
        if isinstance(content, str):
            return content
        return "".join(part["text"] for part in content if part["type"] == "text")

    def refusals(self, config: Mapping[str, Any]) -> dict[str, str]:
        """What a checkpoint cannot do, `packing` or `export`, and why, from its `config.json`."""
        found = {"packing": self.packing, "export": self.export}
        text = config.get("text_config") or config
        kinds = set(text.get("layer_types") or ()) - {"full_attention"}
        if (
            not text.get("layer_types")
            and text.get("use_sliding_window", True)
            and text.get("sliding_window")
        ):
            kinds = {"sliding_attention"}
        if kinds and not self.packing:
            found["packing"] = f"its layers attend by {', '.join(sorted(kinds))}, which mixes packed samples"
        return {what: f"{self.name}: {why}" for what, why in found.items() if why}

    def patches_per_token(self, config: Any) -> float:
        """Patches that the vision tower sees for each vision token of the language model."""
        return 1.0
