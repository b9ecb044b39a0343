"""Client of an OpenAI-compatible endpoint: adaptive concurrency, retries, typed answers, a journal.

Text that a model read in an image is data: an answer fills the fields of its request's schema, no more.
"""

from __future__ import annotations

from components.core.mllm.chat import Answer, ChatRequest
from components.core.mllm.client import MLLMClient
from components.core.mllm.usage import Usage

__all__ = ["Answer", "ChatRequest", "MLLMClient", "Usage"]
