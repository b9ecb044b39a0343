"""One set of other people's samples: rows of the table `samples`, and the pictures that its records hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.core.conversations import chatml, llava
from components.core.conversations.base import (
    SOURCE,
    BadRecord,
    Ids,
    ImageId,
    Record,
    Records,
    Reference,
    Row,
)
from components.core.conversations.pictures import FolderPictures, Size, data_bytes, header_size
from components.core.conversations.turns import Conversation
from components.core.stage.errors import DataError


def read(record: Mapping[str, Any]) -> Conversation:
    """A record of either form as a conversation: `from` in its first turn makes it LLaVA's.

    Raises:
        BadRecord: it has no turns, or they cannot be trained on.
    """
    turns = next((record[key] for key in ("messages", "conversations") if record.get(key)), None)
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except ValueError as error:
            raise BadRecord("bad_messages", f"its turns are no JSON ({error}); correct them") from error
    if isinstance(turns, Mapping) and all(isinstance(column, list) for column in turns.values()):
        # Hugging Face's older list of structs: a struct of lists.
        turns = [dict(zip(turns, values, strict=False)) for values in zip(*turns.values(), strict=False)]
    if not isinstance(turns, Sequence) or not turns or isinstance(turns, str):
        raise BadRecord("bad_messages", "no turns; give a list of them under messages or conversations")
    style = llava if isinstance(turns[0], Mapping) and turns[0].get("from") is not None else chatml
    return style.read(record, turns)


class SampleSet:
    """A set whose pictures lie in its records, in a folder, or in a dataset of table `images`.

    Pictures inside records get ids that say where they are; they are read again, one by one, when a batch asks for
    them. Picklable.

    Args:
        name: of the set.
        records: what its files hold.
        folder: pictures that are named by path.
        known: ids of the dataset `images` beside the set.
    """

    def __init__(self, name: str, records: Records, folder: FolderPictures, known: Ids) -> None:
        self.name = name
        self._records, self._folder, self._known = records, folder, known
        self._sizes: dict[str, Size] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_sizes": {}, "_known": ()}

    def __iter__(self) -> Iterator[Row | BadRecord]:
        """Every record as a row of the table `samples`, or what is wrong with it; the id is the record's place."""
        for record in self._records:
            if isinstance(record.value, BadRecord):
                yield record.value.at(record.place)
                continue
            try:
                yield self._row(record, read(record.value))
            except BadRecord as bad:
                yield bad.at(record.place)

    def __contains__(self, image_id: str) -> bool:
        return image_id.rpartition("#")[0] == self.name

    def get(self, image_id: str) -> bytes:
        """Encoded bytes of a picture inside a record."""
        number, _, place = image_id.rpartition("#")[2].partition(".")
        picture = read(self._records.value(int(number))).images[int(place)]
        if isinstance(picture, ImageId):
            raise DataError(f"{image_id}: the record changed while it was being trained on; run again")
        return picture if isinstance(picture, bytes) else data_bytes(picture)

    def size(self, image_id: str) -> Size:
        """Size of a picture inside a record, from its header."""
        return self._sizes.get(image_id) or header_size(self.get(image_id))

    def _row(self, record: Record, found: Conversation) -> Row:
        ids = [self._image_id(record.number, place, picture) for place, picture in enumerate(found.images)]
        return {
            "sample_id": record.place,
            "messages": found.messages,
            "image_ids": ids,
            "source": SOURCE,
            "set": self.name,
            "weight": 1.0,
        }

    def _image_id(self, number: int, place: int, picture: Reference) -> str:
        if isinstance(picture, ImageId):
            if picture.image_id not in self._known:
                raise BadRecord(
                    "image_missing",
                    f"no image {picture.image_id!r} in the dataset images/; add it or correct the id",
                )
            return picture.image_id
        if isinstance(picture, str) and not picture.startswith("data:"):
            return (
                picture
                if picture in self._known
                else self._folder.find(picture, self._records.folder(number))
            )
        image_id = f"{self.name}#{number}.{place}"
        # Measured now: later it would have to be read again, in another order.
        self._sizes[image_id] = header_size(picture if isinstance(picture, bytes) else data_bytes(picture))
        return image_id
