"""Collators: batches from references. Pixels are decoded here, sample by sample, and nowhere earlier."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image

from components.core.stage.errors import DataError
from components.core.vlm import build_conversation, open_image
from components.core.vlm.families import family_of

IGNORED = -100
"""Label of a token without loss."""
_BLANK = {"role": "user", "content": [{"type": "image"}]}
_BLANK_PX = 32  # processors enlarge it to the smallest size that they take


class Pictures(Protocol):
    """Encoded images by id."""

    def get(self, image_id: str) -> bytes:
        """The encoded bytes of one image."""
        ...


class PictureStores:
    """Several image datasets as one; an image is taken from the first that holds it."""

    def __init__(self, stores: Sequence[Any]) -> None:
        self._stores = stores

    def __contains__(self, image_id: str) -> bool:
        return any(image_id in store for store in self._stores)

    def get(self, image_id: str) -> bytes:
        """Encoded bytes of one image.

        Raises:
            DataError: no dataset holds it.
        """
        store = next((store for store in self._stores if image_id in store), None)
        if store is None:
            raise DataError(f"image {image_id} is in none of the image datasets")
        return bytes(store.get(image_id))


class _Collator:
    """Chat-templated, right-padded batches that know which tokens are an assistant's."""

    def __init__(self, processor: Any, pictures: Pictures) -> None:
        self.processor, self.pictures = processor, pictures
        self._spans = answer_finder(processor)

    def encode(
        self, conversations: Iterable[Any], images: list[list[Image.Image]]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The model's inputs and a mask of the answers' tokens; no pixel values without any image."""
        texts = [self.processor.apply_chat_template(turns, tokenize=False) for turns in conversations]
        given = {"text": texts} | ({"images": images} if any(images) else {})
        batch = dict(self.processor(**given, padding=True, padding_side="right", return_tensors="pt"))
        answers = torch.zeros_like(batch["input_ids"])
        for ids, mask in zip(batch["input_ids"], answers, strict=True):
            for start, stop in self._spans(ids.tolist()):
                mask[start:stop] = 1
        return batch, answers


class ConversationCollator(_Collator):
    """Multi-turn samples to a padded batch whose labels are the assistant's tokens, their end token included.

    An answer stands between the header and the end that the model's family names. Input rows hold `messages`
    (JSON), `sample_id`, and image ids in `images` or `image_ids`. The batch adds `sample_ids`.

    Args:
        processor: of the model.
        pictures: encoded images by id.
        stand_in: give a batch without any image one more row, of a blank image and without labels. The ranks
            of sharded training exchange the vision tower's weights: all have to use it, or none.
    """

    def __init__(self, processor: Any, pictures: Pictures, *, stand_in: bool = False) -> None:
        super().__init__(processor, pictures)
        self.stand_in = stand_in

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        conversations = [json.loads(row["messages"]) for row in rows]
        images = [opened(row, self.pictures) for row in rows]
        if self.stand_in and not any(images):
            conversations.append([_BLANK])
            images.append([Image.new("RGB", (_BLANK_PX, _BLANK_PX))])
        batch, answers = self.encode(conversations, images)
        labels = batch["input_ids"].masked_fill(answers == 0, IGNORED)
        return {**batch, "labels": labels, "sample_ids": [row["sample_id"] for row in rows]}


class PreferenceCollator(_Collator):
    """Preference pairs to the batch of TRL's DPO trainer: all chosen responses, then all rejected ones.

    Input rows hold `prompt`, `chosen`, `rejected` (texts), `images` (ids), `sample_id`. `completion_mask` is
    1 on the response's tokens and its end token.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        conversations = [
            build_conversation([(row["prompt"], row[key])]) for key in ("chosen", "rejected") for row in rows
        ]
        images = [opened(row, self.pictures) for row in rows]
        batch, answers = self.encode(conversations, images * 2)
        return {**batch, "completion_mask": answers, "sample_ids": [row["sample_id"] for row in rows]}


def opened(row: Mapping[str, Any], pictures: Pictures) -> list[Image.Image]:
    """The decoded images of a row.

    Raises:
        DataError: one cannot be read or decoded; names the sample and the image.
    """
    found = []
    for image_id in row["images"] if "images" in row else row["image_ids"]:
        try:
            found.append(open_image(pictures.get(image_id)))
        except (DataError, OSError, ValueError) as error:
            raise DataError(
                f"sample {row['sample_id']}: image {image_id} cannot be read ({error}); replace it, or "
                "remove the sample"
            ) from error
    return found


def answer_finder(processor: Any) -> Callable[[Sequence[int]], list[tuple[int, int]]]:
    """A function that finds the answers in token ids, as `answer_spans` gives them."""
    family, tokenizer = family_of(processor), processor.tokenizer
    header, opening = (
        tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        for text in (family.header, family.opening)
    )
    end = tokenizer.convert_tokens_to_ids(family.end)
    return lambda ids: answer_spans(ids, header, end, opening)


def answer_spans(
    ids: Sequence[int], header: Sequence[int], end: int, opening: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Half-open spans (start, stop) of assistant answers in a token sequence, each with its end token.

    An answer begins after `header`, the ids of the assistant's turn header, and after `opening` if that
    follows. It stops after the id `end`. Without its end token it runs to the end of the sequence.
    """
    ids, header, opening = list(ids), list(header), list(opening)
    spans: list[tuple[int, int]] = []
    position = 0
    while (found := _index(ids, header[0], position)) < len(ids):
        start = found + len(header)
        if ids[found:start] != header:
            position = found + 1
            continue
        if ids[start : start + len(opening)] == opening:
            start += len(opening)
        position = min(_index(ids, end, start) + 1, len(ids))
        spans.append((start, position))
    return spans


def _index(ids: list[int], wanted: int, start: int) -> int:
    """First position of an id from `start` on; the length without any."""
    try:
        return ids.index(wanted, start)
    except ValueError:
        return len(ids)
