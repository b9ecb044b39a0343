"""What all readers of benchmarks give: rows without pixels, and the pictures of a row on demand."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
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


_ARRAY = re.compile(r"array\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)


def parse_list(text: str) -> list[str] | None:
    """A list written as a Python or JSON literal or as numpy prints one, as strings; None if `text` is none.

    A list that only holds another one is that one. Numpy writes no commas: ``['san diego' 'San Diego']``.
    """
    text = text.strip()
    if "array(" in text:
        text = _ARRAY.sub(r"\1", text).strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    value = _literal(text)
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list | tuple):
        value = list(value[0])
    return [str(entry) for entry in value] if isinstance(value, list) else None


def _literal(text: str) -> object:
    for spelled in (text, text.replace("\n", "\\n")):  # a text with a bare line break is no Python
        try:
            return ast.literal_eval(_with_commas(spelled))
        except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
            continue
    try:
        return json.loads(text)  # null, true and false are no Python
    except (ValueError, RecursionError):
        return None


def _with_commas(text: str) -> str:
    """A literal with commas between entries that only space separates, which Python would join or refuse."""
    if not re.search(r"""['"\d.\]]\s+['"\d.\[-]|['"]{2}|\]\[""", text):
        return text
    parts: list[str] = []
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text.replace("\n", " ")).readline):
        if token.type in (
            tokenize.NEWLINE,
            tokenize.NL,
            tokenize.ENDMARKER,
            tokenize.INDENT,
            tokenize.DEDENT,
        ):
            continue
        starts = token.type in (tokenize.STRING, tokenize.NUMBER) or token.string in ("[", "(", "-")
        if starts and before in ("value", "close"):
            parts.append(",")
        parts.append(token.string)
        value = token.type in (tokenize.STRING, tokenize.NUMBER)
        before = "value" if value else "close" if token.string in ("]", ")") else ""
    return " ".join(parts)
