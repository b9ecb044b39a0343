"""Records of a JSON Lines file, or of a JSON file that holds one list of them."""

from __future__ import annotations

import codecs
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.conversations.base import BadRecord, Record
from components.core.stage.errors import DataError

_MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark, which some editors write


class JsonRecords:
    """One file. Memory holds the start and end of each record, eight bytes each, but no record.

    Args:
        path: `.jsonl` or `.json`; its first character tells the two apart.
        name: of the file in messages.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self._name = path, name
        self._starts, self._ends = array("Q"), array("Q")

    def __iter__(self) -> Iterator[Record]:
        self._starts, self._ends = array("Q"), array("Q")
        with open(self.path, "rb") as file:
            head = file.read(256)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{self.path}: is UTF-16; JSON is UTF-8, convert it")
        head = head.removeprefix(_MARK).lstrip()
        return self._listed() if head.startswith(b"[") else self._lines()

    def value(self, number: int) -> Mapping[str, Any]:
        """One record that has been iterated over."""
        with open(self.path, "rb") as file:
            file.seek(self._starts[number])
            value: Mapping[str, Any] = json.loads(file.read(self._ends[number] - self._starts[number]))
        return value

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return [self.path]

    def folder(self, number: int) -> str:
        """Folder of the file."""
        return str(self.path.parent)

    def _lines(self) -> Iterator[Record]:
        with open(self.path, "rb") as file:
            end = 0
            for line_number, line in enumerate(file, start=1):
                start, end = end, end + len(line)
                if line_number == 1 and line.startswith(_MARK):
                    start, line = len(_MARK), line.removeprefix(_MARK)
                if line.strip():
                    yield self._record(start, end, f"{self._name}, line {line_number}", _parsed(line))

    def _listed(self) -> Iterator[Record]:
        """The text is in memory at once, its records are not."""
        data = self.path.read_bytes()
        offset = len(_MARK) if data.startswith(_MARK) else 0
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: not UTF-8 ({error}); convert it") from error
        del data
        decoder = json.JSONDecoder()
        position = _skip(text, text.index("[") + 1)
        offset += len(text[:position].encode())
        number = 0
        while text[position : position + 1] not in ("]", ""):
            try:
                value, end = decoder.raw_decode(text, position)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{self.path}, record {number + 1}: not JSON ({error}); correct the file"
                ) from error
            size = len(text[position:end].encode())
            number += 1
            place = f"{self._name}, record {number}"
            yield self._record(offset, offset + size, place, _checked(value))
            following = _skip(text, end)
            if text[following : following + 1] == ",":
                following = _skip(text, following + 1)
            elif text[following : following + 1] != "]":
                raise DataError(f"{place}: the list breaks off behind it; the file is cut, fetch it again")
            offset += size + len(text[end:following].encode())
            position = following
        if not text[position : position + 1]:
            raise DataError(f"{self.path}: the list has no end; the file is cut, fetch it again")

    def _record(self, start: int, end: int, place: str, value: Mapping[str, Any] | BadRecord) -> Record:
        self._starts.append(start)
        self._ends.append(end)
        return Record(len(self._starts) - 1, place, value)


def _parsed(line: bytes) -> Mapping[str, Any] | BadRecord:
    try:
        return _checked(json.loads(line))
    except (ValueError, RecursionError) as error:
        return BadRecord("bad_messages", f"not JSON ({error}); one record a line, correct or remove it")


def _checked(value: Any) -> Mapping[str, Any] | BadRecord:
    if isinstance(value, dict):
        return value
    return BadRecord("bad_messages", f"a {type(value).__name__} and no record; give a JSON object")


def _skip(text: str, position: int) -> int:
    """The next position without white space."""
    while text[position : position + 1].isspace():
        position += 1
    return position
