"""VLMEvalKit's TSV files (https://github.com/open-compass/VLMEvalKit): one row a question, base64 pictures.

Columns: `index`, `question`, `answer`, options `A`, `B`, …, `hint`, `category`, `l2-category`, `split`.
A file with pictures may lack `question`: it stands in the picture.
Options may also be a list in `choices` or `options`; gaps between `A`, `B`, … are closed.
Pictures: `image` holds base64, a list of it, or the index of another row whose pictures are meant.
Or `image_path` holds a path, or a list of them.
Files reach gigabytes, so the reader keeps where rows start, not pictures.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import string
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from components.core.benchmarks.base import BenchmarkItem, BenchmarkReader, parse_list
from components.core.data.hashing import sha256_hex
from components.core.data.pins import fingerprint
from components.core.stage.errors import DataError

REFERENCE_CHARS = 64
"""An image cell of at most so many characters names another row, as in VLMEvalKit."""
_CACHED_ROWS = 4
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_DATA_URI = re.compile(r"^data:[\w/+.-]*;base64,")
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_TAKEN = frozenset({"index", "question", "answer", "hint", "image", "image_path", "choices", "options"})


class TsvReader(BenchmarkReader):
    """A TSV file of VLMEvalKit."""

    format = "vlmevalkit"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.is_file():
            raise DataError(f"{path}: not a file; VLMEvalKit's benchmarks are .tsv files")
        csv.field_size_limit(sys.maxsize)  # one cell holds a whole picture; the limit is global to the module
        self.digest = fingerprint(path)
        self._spans: dict[str, tuple[int, int]] = {}
        self._cache: OrderedDict[str, list[str]] = OrderedDict()
        records = _records(path)
        _, _, header = next(records, (0, 0, []))
        self._header = [name.strip() for name in header]
        self._column = next((name for name in ("image", "image_path") if name in self._header), "")
        needed = {"index"} if self._column else {"index", "question"}
        if missing := ", ".join(sorted(needed - set(self._header))):
            raise DataError(
                f"{path}: no column {missing}; VLMEvalKit's TSV has index, and question or pictures"
            )
        self.items = list(self._items(records))

    def load(self, picture: tuple[str, int]) -> bytes:
        """Encoded picture: (index of the row that stores it, its place there)."""
        index, place = picture
        cell = self._cells(index)[place]
        if self._column == "image_path":
            return self._file(cell, index).read_bytes()
        try:
            return base64.b64decode("".join(_DATA_URI.sub("", cell).split()), validate=True)
        except ValueError as error:
            raise DataError(f"{self.path}, row {index}: the image is not base64 ({error})") from error

    def _items(self, records: Iterator[tuple[int, int, list[str]]]) -> Iterator[BenchmarkItem]:
        """Items of all rows with pictures (or of all rows where no column has any)."""
        counts: dict[str, int] = {}  # row -> its own pictures
        hashes: dict[str, str] = {}
        cells: dict[str, list[str]] = {}  # row -> the rows it refers to
        rows: dict[str, dict[str, str]] = {}
        for start, end, values in records:
            if len(values) != len(self._header):
                raise DataError(
                    f"{self.path}, byte {start}: {len(values)} cells under {len(self._header)} columns; "
                    "the file is cut or not tab-separated"
                )
            row = dict(zip(self._header, values, strict=True))
            index, cell = row["index"].strip(), row.pop(self._column, "")
            if index in self._spans:
                raise DataError(f"{self.path}: index {index} occurs twice")
            self._spans[index] = (start, end)
            listed = _listed(cell)
            if self._column == "image" and any(len(entry) <= REFERENCE_CHARS for entry in listed):
                cells[index] = listed
            else:
                counts[index], hashes[index] = len(listed), sha256_hex(cell)[:32]
            rows[index] = row
        for index, row in rows.items():
            stored = self._resolved(index, cells, counts)
            if self._column and not stored:
                self.skipped += 1
                continue
            group = "+".join(dict.fromkeys(hashes[owner] for owner, _ in stored)) if stored else index
            yield self._item(row, index, stored, group)

    def _resolved(
        self, index: str, references: dict[str, list[str]], counts: dict[str, int]
    ) -> tuple[tuple[str, int], ...]:
        """Where the pictures of a row are stored: in itself, or in the rows that it names."""
        stored: list[tuple[str, int]] = []
        for owner in references.get(index, [index]):
            owner = owner.strip()
            if owner not in counts or (not counts[owner] and owner != index):
                raise DataError(
                    f"{self.path}, row {index}: its image names row {owner!r}, which has no picture; "
                    "the file is incomplete"
                )
            stored += [(owner, place) for place in range(counts[owner])]
        return tuple(stored)

    def _item(
        self, row: dict[str, str], index: str, stored: tuple[tuple[str, int], ...], group: str
    ) -> BenchmarkItem:
        choices, letters = self._choices(row, index)
        fields = {
            name: value
            for name, value in row.items()
            if name not in _TAKEN and not (len(name) == 1 and name in string.ascii_uppercase)
        }
        if "answer_option" in fields:
            fields["answer_option"] = _closed_up(fields["answer_option"].strip(), letters)
        return BenchmarkItem(
            item_id=index,
            question=row.get("question", ""),
            answer=_closed_up(row.get("answer", "").strip(), letters),
            image_group=group,
            pictures=stored,
            choices=choices,
            category=row.get("category", "").strip(),
            hint=row.get("hint", "").strip(),
            fields=fields,
        )

    def _choices(self, row: dict[str, str], index: str) -> tuple[tuple[str, ...], str]:
        """Options in order, and the letters of the columns that hold them."""
        cells = (row.get("choices", "").strip(), row.get("options", "").strip())
        if listed := cells[0] or (cells[1] if cells[1].startswith("[") else ""):
            choices = parse_list(listed)
            if choices and len(choices) == 1:  # MMMU-Pro: a list written into a list
                choices = parse_list(choices[0]) or choices
            if choices is None:
                raise DataError(f"{self.path}, row {index}: its options are no list: {listed[:60]}")
            return tuple(choices), string.ascii_uppercase[: len(choices)]
        letters = "".join(letter for letter in string.ascii_uppercase if row.get(letter, "") != "")
        return tuple(row[letter] for letter in letters), letters

    def _cells(self, index: str) -> list[str]:
        """Pictures of one row as they are stored, read from where the row lies."""
        if index not in self._cache:
            start, end = self._spans[index]
            with open(self.path, "rb") as file:
                file.seek(start)
                text = file.read(end - start).decode("utf-8")
            values = next(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))
            self._cache[index] = _listed(values[self._header.index(self._column)])
            if len(self._cache) > _CACHED_ROWS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        return self._cache[index]

    def _file(self, name: str, index: str) -> Path:
        root = self.path.parent.resolve()
        for folder in (root, root / "images", root / self.path.stem, root / "images" / self.path.stem):
            for spelled in dict.fromkeys((name, _unescaped(name))):
                candidate = (folder / spelled).resolve()
                if candidate.is_relative_to(root) and candidate.is_file():
                    return candidate
        raise DataError(f"{self.path}, row {index}: no picture {name!r} in {root} or its folder images/")


def _closed_up(answer: str, letters: str) -> str:
    """An answer's letter after the gaps between the options are closed; other answers as they are.

    The letter of an empty option names none, so that the row is reported as one that cannot be scored.
    """
    if len(answer) != 1 or not letters or letters == string.ascii_uppercase[: len(letters)]:
        return answer
    place = letters.find(answer.upper())
    return string.ascii_uppercase[place] if place >= 0 else f"{answer} (an empty option)"


def _unescaped(name: str) -> str:
    r"""A path with its ``\uXXXX`` as characters."""
    return _ESCAPE.sub(lambda found: json.loads(f'"{found.group()}"'), name)


def _listed(cell: str) -> list[str]:
    """Entries of a picture cell: one, or those of a list (megabytes: too large to parse as Python)."""
    cell = cell.strip()
    if cell.startswith("[") and cell.endswith("]"):
        return [single or double for single, double in _QUOTED.findall(cell) if single or double]
    return [cell] if cell else []


def _records(path: Path) -> Iterator[tuple[int, int, list[str]]]:
    """Rows with the bytes at which they start and end; a quoted cell may hold line breaks."""
    with open(path, "rb") as file:
        offset = 3 if file.read(3) == b"\xef\xbb\xbf" else 0
        file.seek(offset)

        def lines() -> Iterator[str]:
            nonlocal offset
            for raw in file:
                offset += len(raw)
                yield raw.decode("utf-8")

        reader = csv.reader(lines(), delimiter="\t")
        while True:
            start = offset  # the reader takes just the lines of one row at a time
            try:
                values = next(reader)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                raise DataError(f"{path}, byte {start}: not a UTF-8 TSV ({error})") from error
            if values:
                yield start, offset, values
