"""Vision-language models: one way to load them, to write their prompts and to sample from them.

Every stage that trains, samples or evaluates uses these functions. So prompt format, image limits and
decoding are the same in all of them. A name is loaded when it is asked for: strings need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.core.vlm.messages import build_conversation as build_conversation
    from components.core.vlm.messages import format_question as format_question
    from components.core.vlm.messages import format_response as format_response
    from components.core.vlm.messages import prompt_text as prompt_text
    from components.core.vlm.model import count_parameters as count_parameters
    from components.core.vlm.model import load_model as load_model
    from components.core.vlm.model import set_threads as set_threads
    from components.core.vlm.processor import CHATML_TEMPLATE as CHATML_TEMPLATE
    from components.core.vlm.processor import build_processor as build_processor
    from components.core.vlm.processor import load_processor as load_processor
    from components.core.vlm.processor import open_image as open_image
    from components.core.vlm.processor import vision_token_count as vision_token_count
    from components.core.vlm.sampling import Completion as Completion
    from components.core.vlm.sampling import generate as generate


def __getattr__(name: str) -> Any:
    for module in ("messages", "processor", "model", "sampling") if not name.startswith("_") else ():
        found = import_module(f"{__name__}.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
