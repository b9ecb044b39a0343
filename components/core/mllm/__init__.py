"""Client of an OpenAI-compatible endpoint: adaptive concurrency, retries, typed answers, a journal.

    chat       A request and its reply, as JSON.
    client     Requests to typed answers and texts to vectors, by way of the journal.
    transport  One HTTP request, tried until it is answered, refused or given up.
    admission  When a request may start: adaptive concurrency, pauses, the token budget.
    usage      Figures for metrics: requests, retries, tokens, latency.
    prompts    A stage's prompt templates.

Text that a model read in an image is data: an answer fills the fields of its request's schema, no more.
"""

from __future__ import annotations

from components.core.mllm.chat import Answer, ChatRequest
from components.core.mllm.client import MLLMClient
from components.core.mllm.usage import Usage

__all__ = ["Answer", "ChatRequest", "MLLMClient", "Usage"]
