"""Vision-language models: one way to load them, to write their prompts and to sample from them.

Every stage that trains, samples or evaluates uses these functions, so prompt format, image limits and decoding are
the same in all of them.
"""

from __future__ import annotations

from components.core.vlm.generate import Completion, generate
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
