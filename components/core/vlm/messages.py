"""The one prompt and response format that training, sampling and evaluation share. Pure strings; imports no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

IMAGE: dict[str, str] = {"type": "image"}
"""The image placeholder of a message's content list; the chat template turns it into the model's vision tokens."""

ANSWER_MARK = "Answer:"
"""What a reasoned response writes before its final answer."""


def format_question(question: str, choices: Sequence[str] | None = None) -> str:
    """Question text as the model sees it: the question, then one ``A. text`` line for each choice."""
    lines = [question.strip()]
    lines += [f"{chr(ord('A') + i)}. {str(choice).strip()}" for i, choice in enumerate(choices or ())]
    return "\n".join(lines)


def format_response(answer: str, reasoning: str = "") -> str:
    """Response text: the short answer alone, or ``<reasoning> Answer: <answer>``."""
    answer, reasoning = answer.strip(), reasoning.strip()
    return f"{reasoning} {ANSWER_MARK} {answer}" if reasoning else answer


def build_messages(
    question: str, choices: Sequence[str] | None = None, response: str | None = None, images: int = 1
) -> list[dict[str, Any]]:
    """One question about ``images`` pictures as ChatML messages; with the assistant's turn when ``response`` is given."""
    return build_conversation([(format_question(question, choices), response)], images)


def build_conversation(turns: Iterable[tuple[str, str | None]], images: int = 1) -> list[dict[str, Any]]:
    """Several questions about the same pictures as one multi-turn conversation.

    Args:
        turns: (question text, response text or None) in order; the texts are used as they are.
        images: number of pictures; their placeholders open the first user turn.
    """
    messages: list[dict[str, Any]] = []
    for question, response in turns:
        placeholders = [dict(IMAGE) for _ in range(images)] if not messages else []
        messages.append({"role": "user", "content": [*placeholders, {"type": "text", "text": question}]})
        if response is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": response}]})
    return messages


def prompt_text(processor: Any, text: str | Sequence[Mapping[str, Any]], images: int = 1) -> str:
    """Chat-templated prompt, open for the assistant's answer.

    Args:
        processor: a multimodal processor with a chat template.
        text: the question text (see `format_question`); or a user turn's content parts, placeholders included; or a
            whole conversation that ends with a user turn, as messages.
        images: number of image placeholders before a text.
    """
    turns: list[dict[str, Any]]
    if isinstance(text, str):
        turns = build_conversation([(text, None)], images)
    elif text and "role" in text[0]:
        turns = [dict(message) for message in text]
    else:
        turns = [{"role": "user", "content": [dict(part) for part in text]}]
    return processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
