"""Lengths of samples whose pictures become more than a run of image tokens: frames, rows, line breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components.core.vlm.families import family_of
from components.core.vlm.family import Turns
from components.core.vlm.processor import token_ids

Size = tuple[int, int]


class Expansion:
    """Measures a conversation as its processor will write it, without decoding a picture.

    What stands around a picture's tokens may join with the words beside it. So the text is tokenised with
    its pictures, each run of image tokens as one.

    Args:
        processor: of the model.
    """

    def __init__(self, processor: Any) -> None:
        self._processor, self._family = processor, family_of(processor)
        self._token = processor.tokenizer.convert_ids_to_tokens(self._family.image_token_id(processor))
        self._runs = re.compile(f"(?:{re.escape(self._token)})+")
        self._known: dict[tuple[Size, int], tuple[str, int]] = {}

    def measure(self, turns: Turns, sizes: Sequence[Size]) -> tuple[int, int]:
        """Tokens of a conversation, and the image tokens among them.

        Args:
            turns: messages whose placeholders are as many as `sizes`.
            sizes: (height, width) px of the pictures, in order.
        """
        text = self._processor.apply_chat_template(turns, tokenize=False)
        parts = text.split(self._family.placeholder(self._processor))
        pictures = [self._picture(size, len(sizes)) for size in sizes]
        whole = "".join(a + b for a, b in zip(parts, [*(short for short, _ in pictures), ""], strict=True))
        ids, image = token_ids(self._processor, whole), self._family.image_token_id(self._processor)
        left_out = sum(count for _, count in pictures)
        return len(ids) + left_out, ids.count(image) + left_out

    def _picture(self, size: Size, pictures: int) -> tuple[str, int]:
        """What a picture becomes with one image token a run, and how many were left out."""
        key = (size, pictures)
        if key not in self._known:
            text = self._family.picture_text(self._processor, *size, pictures)
            short = self._runs.sub(lambda run: self._token, text)
            self._known[key] = (short, (len(text) - len(short)) // len(self._token))
        return self._known[key]
