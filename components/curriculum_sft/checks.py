"""Checks of samples before a GPU is asked for: what they find is quarantined with its reason, never cut or repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.core.vlm.messages import build_conversation
from components.curriculum_sft.samples import Row, parts_of

REASONS = (
    "bad_messages",  # not ChatML with text and image parts
    "no_answer",  # the last turn is not an assistant's, or its text is empty
    "placeholder_mismatch",  # another number of image placeholders than of images
    "control_token",  # a text spells a control token, which would become an image or a turn that is not there
    "image_missing",  # an image id that no dataset holds
    "image_shape",  # an aspect ratio that the processor refuses
    "too_long",  # more tokens than max_length_tokens, vision tokens included
)


@dataclass
class Planner:
    """Knows what a sample costs in tokens without decoding a picture.

    Args:
        tokenize: number of tokens of a chat-templated conversation, each image placeholder counted once.
        vision_tokens: placeholder tokens of a picture of (height, width) px.
        sizes: (height, width) px by image id, from the image table's columns.
        control_tokens: strings that the tokenizer turns into control tokens.
        max_length_tokens: limit for a sample.
    """

    tokenize: Callable[[list[dict[str, Any]]], int]
    vision_tokens: Callable[[int, int], int]
    sizes: Mapping[str, tuple[int, int]]
    control_tokens: Iterable[str]
    max_length_tokens: int
    _cache: dict[tuple[int, int], int] = field(default_factory=dict)

    def check(self, messages: str, image_ids: list[str]) -> tuple[int, str, str]:
        """(length in tokens, reason, detail) of a sample; the reason is "" for a good one."""
        try:
            turns = json.loads(messages)
            parts = [part for turn in turns for part in parts_of(turn)]
            placeholders = sum(part["type"] == "image" for part in parts)
            texts = [part["text"] for part in parts if part["type"] != "image"]
            last = turns[-1]
            answered = last["role"] == "assistant" and any(p["text"].strip() for p in parts_of(last))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            return 0, "bad_messages", f"{type(error).__name__}: {error}"
        if not answered:
            return 0, "no_answer", f"last turn: {last['role']}"
        if placeholders != len(image_ids):
            return 0, "placeholder_mismatch", f"{placeholders} placeholders, {len(image_ids)} images"
        found = [token for token in self.control_tokens if any(token in text for text in texts)]
        if found:
            return 0, "control_token", found[0]
        missing = [image_id for image_id in image_ids if image_id not in self.sizes]
        if missing:
            return 0, "image_missing", missing[0]
        try:
            vision = sum(self._vision(self.sizes[image_id]) for image_id in image_ids)
        except ValueError as error:
            return 0, "image_shape", str(error)
        length = self.tokenize(turns) + vision - placeholders
        if length > self.max_length_tokens:
            return length, "too_long", f"{length} tokens, {vision} of them vision"
        return length, "", ""

    def vision(self, image_ids: Iterable[str]) -> int:
        """Vision tokens of a sample's pictures, which `check` has found good."""
        return sum(self._vision(self.sizes[image_id]) for image_id in image_ids)

    def _vision(self, size: tuple[int, int]) -> int:
        if size not in self._cache:
            self._cache[size] = self.vision_tokens(*size)
        return self._cache[size]


def partition(
    rows: Iterable[Row], planner: Planner, track: Callable[[Iterable[Row]], Iterable[Row]] = iter
) -> tuple[list[Row], list[Row]]:
    """Split samples or preference pairs into good ones, each with its `length` and `vision_tokens`, and rows of
    `rejected`."""
    good, rejected = [], []
    for row in track(rows):
        variants = (
            [row["messages"]]
            if "messages" in row
            else [_as_messages(row, key) for key in ("chosen", "rejected")]
        )
        checked = [planner.check(messages, row["image_ids"]) for messages in variants]
        bad = next((result for result in checked if result[1]), None)
        if bad:
            rejected.append({"id": row["sample_id"], "reason": bad[1], "detail": bad[2]})
        else:
            length, vision = max(result[0] for result in checked), planner.vision(row["image_ids"])
            good.append({**row, "length": length, "vision_tokens": vision})
    return good, rejected


def _as_messages(pair: Row, key: str) -> str:
    return json.dumps(build_conversation([(pair["prompt"], pair[key])]), ensure_ascii=False)
