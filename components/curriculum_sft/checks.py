"""Checks of samples before a GPU is asked for: what they find is quarantined with its reason, never cut or repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from components.core.conversations.base import BadRecord
from components.core.resume.journal import Journal
from components.core.vlm.messages import build_conversation
from components.curriculum_sft.samples import Row, content_id, parts_of

REASONS = (
    "bad_messages",  # not ChatML with text and image parts, or an image inside an answer
    "no_answer",  # the last turn is not an assistant's, or an answer is empty
    "placeholder_mismatch",  # another number of image placeholders than of images
    "control_token",  # a text spells a control token, which would become an image or a turn that is not there
    "image_missing",  # an image that no dataset, folder or record holds
    "image_unreadable",  # what should be an image is none
    "image_shape",  # an aspect ratio that the processor refuses
    "unknown_token",  # a token that the model has no embedding for
    "answer_lost",  # the chat template hides an answer, or its tokens merge with the turn's header
    "too_long",  # more tokens than max_length_tokens or the model's context, vision tokens included
)


class Sizes(Protocol):
    """(height, width) px by image id; a dict, or what reads headers when it is asked."""

    def __contains__(self, image_id: str, /) -> bool: ...

    def __getitem__(self, image_id: str, /) -> tuple[int, int]: ...


class Planned(NamedTuple):
    """What a sample costs, or why it is not trained on."""

    length: int
    """Tokens, vision tokens included."""
    reason: str = ""
    """Of REASONS; "" for a good sample."""
    detail: str = ""
    vision_tokens: int = 0


@dataclass
class Planner:
    """Knows what a sample costs in tokens without decoding a picture.

    Args:
        tokenize: token ids of a chat-templated conversation, each image placeholder one token.
        vision_tokens: placeholder tokens of a picture of (height, width) px.
        sizes: (height, width) px by image id, from columns or headers.
        control_tokens: strings that the tokenizer turns into control tokens.
        max_length_tokens: limit for a sample.
        count_answers: answers that the collator would find in token ids; None leaves them unchecked.
        image_token: id of the image placeholder; None leaves the template's placeholders unchecked.
        vocabulary: rows of the model's embedding; 0 leaves ids unchecked.
        kept: results by content, so that a stage that is run again plans nothing twice.
    """

    tokenize: Callable[[list[dict[str, Any]]], Sequence[int]]
    vision_tokens: Callable[[int, int], int]
    sizes: Sizes
    control_tokens: Iterable[str]
    max_length_tokens: int
    count_answers: Callable[[Sequence[int]], int] | None = None
    image_token: int | None = None
    vocabulary: int = 0
    kept: Journal | None = None
    _cache: dict[tuple[int, int], int] = field(default_factory=dict)

    def check(self, messages: str, image_ids: list[str]) -> Planned:
        """Length and vision tokens of a sample, or what is wrong with it."""
        if self.kept is None:
            return self._check(messages, image_ids)
        key = content_id(messages, *image_ids)
        found = self.kept.get(key)
        if found is None:
            found = self._check(messages, image_ids)
            self.kept.put(key, found)
        return Planned(*found)

    def _check(self, messages: str, image_ids: list[str]) -> Planned:
        try:
            turns = json.loads(messages)
            parts = [part for turn in turns for part in parts_of(turn)]
            placeholders = sum(part["type"] == "image" for part in parts)
            texts = [part["text"] for part in parts if part["type"] != "image"]
            last = turns[-1]
            answers = [
                "".join(part["text"] for part in parts_of(turn))
                for turn in turns
                if turn["role"] == "assistant"
            ]
            answered = last["role"] == "assistant" and all(answer.strip() for answer in answers)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            return Planned(0, "bad_messages", f"{type(error).__name__}: {error}")
        if not answered:
            return Planned(0, "no_answer", f"last turn: {last['role']}")
        if placeholders != len(image_ids):
            return Planned(0, "placeholder_mismatch", f"{placeholders} placeholders, {len(image_ids)} images")
        found = [token for token in self.control_tokens if any(token in text for text in texts)]
        if found:
            return Planned(0, "control_token", found[0])
        vision = 0
        for image_id in image_ids:
            if image_id not in self.sizes:
                return Planned(0, "image_missing", image_id)
            try:
                vision += self._vision(self.sizes[image_id])
            except BadRecord as error:
                return Planned(0, error.reason, error.detail)
            except ValueError as error:
                return Planned(0, "image_shape", str(error))
        return self._encoded(turns, placeholders, len(answers), vision)

    def _encoded(self, turns: list[dict[str, Any]], images: int, answers: int, vision: int) -> Planned:
        """What the chat template and the tokenizer make of a sample whose content is good."""
        ids = self.tokenize(turns)
        if self.vocabulary and max(ids) >= self.vocabulary:
            return Planned(
                0, "unknown_token", f"token {max(ids)}, the model has {self.vocabulary} embeddings"
            )
        if self.image_token is not None and (written := list(ids).count(self.image_token)) != images:
            return Planned(
                0, "placeholder_mismatch", f"the chat template writes {written} of {images} placeholders"
            )
        if self.count_answers is not None and (seen := self.count_answers(ids)) != answers:
            return Planned(
                0,
                "answer_lost",
                f"{seen} of {answers} answers stand behind a turn's header; strip line breaks before them",
            )
        length = len(ids) + vision - images
        if length > self.max_length_tokens:
            detail = f"{length} tokens, {vision} of them vision; the limit is {self.max_length_tokens}"
            return Planned(length, "too_long", detail, vision)
        return Planned(length, vision_tokens=vision)

    def _vision(self, size: tuple[int, int]) -> int:
        if size not in self._cache:
            self._cache[size] = self.vision_tokens(*size)
        return self._cache[size]


def partition(
    rows: list[Row], planner: Planner, track: Callable[[list[Row]], Iterable[Row]] = iter
) -> tuple[list[Row], list[Row]]:
    """Split samples or preference pairs into good ones, each with its `length` and `vision_tokens`, and rows of
    `rejected`."""
    good, rejected = [], []
    for row in track(rows):
        checked = [planner.check(messages, row["image_ids"]) for messages in variants(row)]
        bad = next((planned for planned in checked if planned.reason), None)
        if bad:
            rejected.append({"id": row["sample_id"], "reason": bad.reason, "detail": bad.detail})
        else:
            length, vision = max(planned.length for planned in checked), checked[0].vision_tokens
            good.append({**row, "length": length, "vision_tokens": vision})
    return good, rejected


def variants(row: Row) -> list[str]:
    """The conversations that a row is trained on, as JSON: a sample's one, a pair's two."""
    if "messages" in row:
        return [row["messages"]]
    return [_as_messages(row, key) for key in ("chosen", "rejected")]


def _as_messages(pair: Row, key: str) -> str:
    return json.dumps(build_conversation([(pair["prompt"], pair[key])]), ensure_ascii=False)
