"""Vision-language models: one way to load them, to write their prompts and to sample from them.

Every stage that trains, samples or evaluates uses these functions. So prompt format, image limits and decoding are the
same in all of them. A name is loaded when it is first asked for: strings and tokens need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.core.vlm.messages import (
        IMAGE,
        build_conversation,
        build_messages,
        format_question,
        format_response,
        prompt_text,
    )
    from components.core.vlm.model import count_parameters, load_model, set_threads
    from components.core.vlm.processor import (
        CHATML_TEMPLATE,
        build_processor,
        load_processor,
        open_image,
        vision_token_count,
    )
    from components.core.vlm.sampling import Completion, generate

__all__ = [
    "CHATML_TEMPLATE",
    "IMAGE",
    "Completion",
    "build_conversation",
    "build_messages",
    "build_processor",
    "count_parameters",
    "format_question",
    "format_response",
    "generate",
    "load_model",
    "load_processor",
    "open_image",
    "prompt_text",
    "set_threads",
    "vision_token_count",
]


def __getattr__(name: str) -> Any:
    for module in ("messages", "processor", "model", "sampling") if name in __all__ else ():
        found = import_module(f"{__name__}.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
