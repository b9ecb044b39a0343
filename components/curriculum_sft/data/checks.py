"""Checks of samples before training: a faulty one is rejected with its reason, never cut or repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from jinja2 import TemplateError

from components.core.conversations import GeneralData
from components.core.conversations.base import BadRecord, Ids
from components.core.conversations.content import read_content
from components.core.conversations.pictures import Size, Sizes
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.pictures import UnreadablePicture, check_whole
from components.core.resume.journal import Journal
from components.core.stage.errors import DataError
from components.core.vlm.messages import build_conversation, images_in, words
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.samples import Row, content_id

if TYPE_CHECKING:
    from components.core.vlm.expansion import Expansion


class Planned(NamedTuple):
    """The cost of a sample, or why it is not trained on."""

    length: int
    """Tokens, vision tokens included."""
    reason: str = ""
    """Of `conversations.base.REASONS`; "" for a good sample."""
    detail: str = ""
    vision_tokens: int = 0


@dataclass
class Planner:
    """Knows the cost of a sample in tokens without decoding a picture.

    Args:
        tokenize: token ids of a chat-templated conversation, each image placeholder one token.
        vision_tokens: placeholder tokens of a picture of (height, width) px.
        sizes: (height, width) px by image id, from columns or headers.
        control_tokens: strings that the tokenizer turns into control tokens.
        max_length_tokens: limit for a sample.
        count_answers: answers that the collator would find in token ids; None leaves them unchecked.
        image_token: id of the image placeholder; None leaves the template's placeholders unchecked.
        vocabulary: rows of the model's embedding; 0 leaves ids unchecked.
        expansion: measures samples of families whose pictures stand for more than image tokens.
        kept: results by content, so that a stage that is run again plans nothing twice.
        unproved: pictures that no earlier stage has decoded, see `prove`.
    """

    tokenize: Callable[[list[dict[str, Any]]], Sequence[int]]
    vision_tokens: Callable[[int, int], int]
    sizes: Mapping[str, Size] | Sizes
    control_tokens: Iterable[str]
    max_length_tokens: int
    count_answers: Callable[[Sequence[int]], int] | None = None
    image_token: int | None = None
    vocabulary: int = 0
    expansion: Expansion | None = None
    kept: Journal | None = None
    unproved: Pictures | None = None
    _damaged: dict[str, str] = field(default_factory=dict)
    _cache: dict[Size, int] = field(default_factory=dict)

    def prove(self, rows: Iterable[Row]) -> None:
        """Decode the pictures of general samples: a damaged one is found before training and not in it.

        The rows come in the order of their files: pictures inside tables are read fast in that order alone.
        """
        if self.unproved is None:
            return
        for image_id in (image_id for row in rows for image_id in row["image_ids"]):
            if image_id in self._damaged or image_id not in self.unproved:
                continue
            key = f"picture:{image_id}"
            fault = self.kept.get(key) if self.kept is not None else None
            if fault is None:
                fault = _fault(self.unproved, image_id)
                if self.kept is not None:
                    self.kept.put(key, fault)
            self._damaged[image_id] = fault

    def check(self, messages: str, image_ids: list[str]) -> Planned:
        """Length and vision tokens of a sample, or its fault."""
        key = content_id(messages, *image_ids)
        if fault := next((self._damaged[i] for i in image_ids if self._damaged.get(i)), ""):
            return Planned(0, "image_unreadable", fault)
        found = self.kept.get(key) if self.kept is not None else None
        if found is None:
            try:
                found = self._check(messages, image_ids)
            except BadRecord as error:
                found = Planned(0, error.reason, error.detail)
            if self.kept is not None:
                self.kept.put(key, found)
        return Planned(*found)

    def _check(self, messages: str, image_ids: list[str]) -> Planned:
        content = read_content(messages)
        if not content.turns:
            raise BadRecord("bad_messages", "no turns")
        if any(map(images_in, content.answers)):
            raise BadRecord("bad_messages", "an answer shows an image")
        if content.roles[-1] != "assistant" or not all(words(answer).strip() for answer in content.answers):
            raise BadRecord("no_answer", f"last turn: {content.roles[-1]}")
        if content.images != len(image_ids):
            raise BadRecord("placeholder_mismatch", f"{content.images} placeholders, {len(image_ids)} images")
        if token := content.spelled(self.control_tokens):
            raise BadRecord("control_token", token)
        vision = 0 if self.expansion else sum(map(self._vision, image_ids))
        try:
            ids = self.tokenize(content.turns)
        except TemplateError as error:
            raise BadRecord("bad_messages", f"the model's chat template refuses it: {error}") from error
        self._check_tokens(ids, content.images, len(content.answers))
        if self.expansion:
            sizes = [self._size(image_id) for image_id in image_ids]
            length, vision = self.expansion.measure(content.turns, sizes)
        else:
            length = len(ids) + vision - content.images
        if length > self.max_length_tokens:
            detail = f"{length} tokens, {vision} of them vision; the limit is {self.max_length_tokens}"
            return Planned(length, "too_long", detail, vision)
        return Planned(length, vision_tokens=vision)

    def _check_tokens(self, ids: Sequence[int], images: int, answers: int) -> None:
        """See that the chat template and the tokenizer keep placeholders and answers."""
        if self.vocabulary and max(ids) >= self.vocabulary:
            raise BadRecord("unknown_token", f"token {max(ids)}, the model has {self.vocabulary} embeddings")
        if self.image_token is not None and (written := list(ids).count(self.image_token)) != images:
            detail = f"the chat template writes {written} of {images} placeholders"
            raise BadRecord("placeholder_mismatch", detail)
        if self.count_answers is not None and (seen := self.count_answers(ids)) != answers:
            lost = f"{seen} of {answers} answers stand behind a turn's header; strip line breaks before them"
            raise BadRecord("answer_lost", lost)

    def _size(self, image_id: str) -> Size:
        if image_id not in self.sizes:
            raise BadRecord("image_missing", image_id)
        return self.sizes[image_id]

    def _vision(self, image_id: str) -> int:
        size = self._size(image_id)
        if size not in self._cache:
            try:
                self._cache[size] = self.vision_tokens(*size)
            except ValueError as error:
                raise BadRecord("image_shape", str(error)) from error
        return self._cache[size]


def _fault(pictures: Pictures, image_id: str) -> str:
    """Why a picture cannot be decoded, "" if it can."""
    try:
        check_whole(pictures.get(image_id))
    except (DataError, OSError, UnreadablePicture) as error:
        return f"image {image_id} cannot be read ({error}); replace it"
    return ""


class Pictures(Ids, Protocol):
    """Encoded pictures by id."""

    def get(self, image_id: str, /) -> bytes:
        """The encoded bytes of one picture."""
        ...


def planner_for(
    start: Path,
    processor: Any,
    image_sets: list[Dataset],
    general: GeneralData,
    config: Config,
    kept: Journal | None = None,
) -> Planner:
    """A planner with sizes from image tables and headers, and token counts from the processor."""
    from transformers import AutoConfig

    from components.core.vlm import vision_token_count
    from components.core.vlm.expansion import Expansion
    from components.core.vlm.families import family_of
    from components.core.vlm.processor import token_ids
    from components.curriculum_sft.data.batches import PictureStores, answer_finder

    columns = {
        row["image_id"]: (row["height"], row["width"])
        for images in reversed(image_sets)
        for row in images.rows_iter(["image_id", "height", "width"])
    }
    family, find = family_of(processor), answer_finder(processor)
    tokenizer, model = processor.tokenizer, AutoConfig.from_pretrained(start).get_text_config()
    longest = max(phase.max_length_tokens for phase in config.by_phase())
    return Planner(
        tokenize=lambda turns: token_ids(processor, processor.apply_chat_template(turns, tokenize=False)),
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes=Sizes(columns, general.stores),
        control_tokens=[str(token) for token in tokenizer.added_tokens_decoder.values() if token.special],
        max_length_tokens=min(longest, model.max_position_embeddings),
        count_answers=lambda ids: len(find(ids)),
        image_token=tokenizer.convert_tokens_to_ids(family.placeholder(processor)),
        vocabulary=model.vocab_size,
        expansion=None if family.counts_tokens else Expansion(processor),
        kept=kept,
        unproved=PictureStores([*map(ImageStore, general.image_sets), *general.stores]),
    )


def partition(
    rows: list[Row], planner: Planner, track: Callable[[list[Row]], Iterable[Row]] = iter
) -> tuple[list[Row], list[Row]]:
    """Split samples or preference pairs into good ones and rows of the table `rejected`.

    Good ones get their `length` and `vision_tokens`.
    """
    good, rejected = [], []
    for row in track(rows):
        checked = [planner.check(messages, row["image_ids"]) for messages in variants(row)]
        bad = next((planned for planned in checked if planned.reason), None)
        if bad:
            rejected.append({"id": row["sample_id"], "reason": bad.reason, "detail": bad.detail})
        else:
            length = max(planned.length for planned in checked)
            good.append({**row, "length": length, "vision_tokens": checked[0].vision_tokens})
    return good, rejected


def variants(row: Row) -> list[str]:
    """The conversations that a row is trained on, as JSON: a sample's one, a pair's two."""
    if "messages" in row:
        return [row["messages"]]
    sides = (build_conversation([(row["prompt"], row[key])]) for key in ("chosen", "rejected"))
    return [json.dumps(side, ensure_ascii=False) for side in sides]
