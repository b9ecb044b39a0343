"""One set of general samples: rows of the table `samples`, and the pictures that its records hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from components.core.conversations.base import SOURCE, BadRecord, Ids, ImageId, Records, Reference, Row
from components.core.conversations.formats import read
from components.core.conversations.pictures import FolderPictures, Size, data_bytes, header_size
from components.core.stage.errors import DataError


class SampleSet:
    """A set whose pictures lie in its records, in a folder, or in a dataset of table `images`.

    Pictures inside records have ids that say where they are. They are read again when a batch asks for them.
    Picklable.

    Args:
        name: of the set.
        records: those of its files.
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
        """Every record as a row of the table `samples`, or its fault; the row's id is the record's place."""
        for record in self._records:
            try:
                if isinstance(record.value, BadRecord):
                    raise record.value
                found = read(record.value)
                ids = [
                    self._image_id(record.number, place, shown) for place, shown in enumerate(found.images)
                ]
            except BadRecord as bad:
                yield bad.at(record.place)
                continue
            yield {
                "sample_id": record.place,
                "messages": found.messages,
                "image_ids": ids,
                "source": SOURCE,
                "set": self.name,
                "weight": 1.0,
            }

    @property
    def files(self) -> Sequence[Path]:
        """The files that hold the records."""
        return self._records.files

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

    def _image_id(self, number: int, place: int, picture: Reference) -> str:
        if isinstance(picture, ImageId):
            if picture.image_id not in self._known:
                raise BadRecord(
                    "image_missing",
                    f"no image {picture.image_id!r} in the dataset images/; add it or correct the id",
                )
            return picture.image_id
        if isinstance(picture, str) and not picture.startswith("data:"):
            known = picture in self._known
            return picture if known else self._folder.find(picture, self._records.folder(number))
        image_id = f"{self.name}#{number}.{place}"
        # Measured now: later it would have to be read again, in another order.
        self._sizes[image_id] = header_size(picture if isinstance(picture, bytes) else data_bytes(picture))
        return image_id
