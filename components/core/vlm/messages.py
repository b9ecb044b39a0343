"""The one prompt and response format of training, sampling and evaluation. Pure strings; loads no model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Part = dict[str, Any]
"""Content part of a message: `{"type": "image"}` or `{"type": "text", "text": ...}`."""
IMAGE: dict[str, str] = {"type": "image"}
"""The image placeholder of a message's content list; the chat template makes vision tokens of it."""
IMAGE_MARKER = "<image>"
"""The image placeholder inside a text: the next picture."""
_NUMBERED_MARKER = r"<image[ _]?(\d+)>"

ANSWER_MARK = "Answer:"
"""What a reasoned response writes before its final answer."""


def format_question(question: str, choices: Sequence[str] | None = None) -> str:
    """Question text as the model sees it: the question, then one ``A. text`` line for each choice.

    A question that stands in the picture is empty.
    """
    lines = [question.strip()] if question.strip() else []
    lines += [f"{chr(ord('A') + i)}. {str(choice).strip()}" for i, choice in enumerate(choices or ())]
    return "\n".join(lines)


def format_response(answer: str, reasoning: str = "") -> str:
    """Response text: the short answer alone, or ``<reasoning> Answer: <answer>``."""
    answer, reasoning = answer.strip(), reasoning.strip()
    return f"{reasoning} {ANSWER_MARK} {answer}" if reasoning else answer


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
        text: the question (see `format_question`), a user turn's parts, or messages up to a user turn.
        images: number of image placeholders before a text.
    """
    if isinstance(text, str):
        turns = build_conversation([(text, None)], images)
    elif text and "role" in text[0]:
        turns = [dict(message) for message in text]
    else:
        turns = [{"role": "user", "content": [dict(part) for part in text]}]
    return processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def split_at_images(text: str, pictures: int | None = None) -> list[int | str]:
    """A text in order: numbers of pictures from 0, and the non-empty texts between them.

    Args:
        text: with a marker where a picture belongs.
        pictures: None takes each `<image>` for the next picture. A number takes `<image n>` for picture n, up
            to that number. Other or repeated markers stay in the text.
    """
    parts: list[int | str] = []
    shown = begin = 0
    for match in re.finditer(IMAGE_MARKER if pictures is None else _NUMBERED_MARKER, text):
        number = shown if pictures is None else int(match[1]) - 1
        if pictures is None or (0 <= number < pictures and number not in parts):
            parts += [text[begin : match.start()], number]
            begin, shown = match.end(), shown + 1
    return [part for part in [*parts, text[begin:]] if part != ""]


def numbered_images(text: str) -> list[int]:
    """The numbers of the pictures that `<image n>` markers name, from 1, in order."""
    return [int(number) for number in re.findall(_NUMBERED_MARKER, text)]


def parts_of(message: Mapping[str, Any]) -> list[Part]:
    """Content parts of a ChatML message; plain string content is one text part."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def words(parts: Iterable[Part]) -> str:
    """The texts of a turn's parts."""
    return " ".join(part["text"] for part in parts if part["type"] == "text")


def images_in(parts: Iterable[Part]) -> int:
    """Pictures that a turn's parts show."""
    return sum(part["type"] == "image" for part in parts)
