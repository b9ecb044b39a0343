"""What all readers of benchmarks give: rows without pixels, and the pictures of a row on demand."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from components.core.stage.errors import DataError

Format = Literal["auto", "dataset", "vlmevalkit", "pope", "needle"]
"""auto: by suffix, or by a directory's manifest. dataset: table `benchmark`. vlmevalkit: a TSV file.
pope: JSON lines beside a folder of pictures. needle: settings of a needle in a haystack (`*.needle.json`)."""


@dataclass(frozen=True)
class BenchmarkItem:
    """One question as it is distributed; nothing is interpreted yet."""

    item_id: str
    question: str
    """May hold placeholders ``<image 1>``, ``<image 2>`` … where the pictures belong."""
    answer: str
    """Reference answer, or a list of them as a Python or JSON literal; "" where it is not public."""
    image_group: str
    """Items about the same pictures share it."""
    pictures: tuple[Hashable, ...]
    """Places of its pictures, in order; only the reader that made the item can read them."""
    choices: tuple[str, ...] = ()
    """Texts of the options A, B, …"""
    answer_type: str = ""
    """Answer type of table `benchmark`; "" in other formats."""
    category: str = ""
    hint: str = ""
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The other columns of its row (split, unit, precision, question_type …)."""


class BenchmarkReader(ABC):
    """An opened benchmark."""

    format: ClassVar[Format]
    fallback_kind: ClassVar[str] = ""
    """Kind of a benchmark of this format whose name tells none."""
    items: list[BenchmarkItem]
    digest: str
    """Changes when the content does."""
    skipped: int = 0
    """Rows left out because they have no picture."""
    kind: str = ""
    """The kind that the file itself states, if it does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def load(self, picture: Any) -> bytes:
        """Encoded bytes of the picture at one place of `BenchmarkItem.pictures`."""

    def size(self, picture: Any) -> tuple[int, int]:
        """Width and height of a picture in pixels.

        Raises:
            DataError: it is no picture.
        """
        from components.core.pictures import UnreadablePicture, header_size  # settings load without Pillow

        try:
            return header_size(self.load(picture))
        except (UnreadablePicture, OSError) as error:
            raise DataError(f"{self.path}: the picture at {picture!r} cannot be read ({error})") from error

    def images(self, item: BenchmarkItem) -> list[bytes]:
        """Encoded pictures of an item, in order."""
        return [self.load(picture) for picture in item.pictures]

    def iter_images(self) -> Iterator[tuple[str, bytes]]:
        """Every stored picture once, with the id of the first item that shows it."""
        seen: set[Hashable] = set()
        for item in self.items:
            for picture in item.pictures:
                if picture not in seen:
                    seen.add(picture)
                    yield item.item_id, self.load(picture)


def parse_list(text: str) -> list[str] | None:
    """A list written as a Python or JSON literal, as strings; None if `text` is none."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return [str(entry) for entry in value]
