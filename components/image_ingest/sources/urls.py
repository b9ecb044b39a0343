"""A list of URLs: one a line, or a column of a CSV, TSV or JSON Lines file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from components.core.data.files import path_of_key
from components.core.data.text_files import open_text
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.image_ingest.config import UrlSettings
from components.image_ingest.entry import Entry, Reason, Rejection, printable
from components.image_ingest.sources.fetch import check_url, fetch_all

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl")
_MAX_NAME = 2048
_MAX_LINE = 2**20  # characters; a longer line is cut, and its parts are no URLs


@dataclass(frozen=True)
class UrlSource:
    """The pictures that a list names. Downloads stay in a folder, so each is made once."""

    path: Path
    settings: UrlSettings
    downloads: Path
    max_bytes: int

    def __post_init__(self) -> None:
        if not self.settings.hosts:
            hint = "name them in image_ingest.urls.hosts, e.g. '*.example.org' ('*': any)"
            raise ConfigError(f"{self.path}: no host may be asked; {hint}")

    def entries(self) -> Iterator[Entry]:
        """The list's lines, in order; a row without an allowed URL is refused."""
        none = Rejection(Reason.REFUSED_URL, "no URL in this row")
        for number, url in enumerate(self._urls(), start=1):
            name = printable(url)[:_MAX_NAME] or f"row {number}"
            yield Entry(name, url, rejection=check_url(url, self.settings) if url else none)

    def _urls(self) -> Iterator[str]:
        try:
            with open_text(self.path) as file:
                lines = iter(lambda: file.readline(_MAX_LINE), "")
                match self.path.suffix.lower():
                    case ".jsonl":
                        yield from (_json_value(line, self.settings.column) for line in lines if line.strip())
                    case ".csv" | ".tsv":
                        yield from self._column(lines)
                    case _:
                        stripped = (line.strip() for line in lines)
                        yield from (line for line in stripped if line and not line.startswith("#"))
        except OSError as error:
            raise NoInputError(f"{self.path}: cannot be read ({error.strerror})") from error
        except UnicodeError as error:  # UTF-16 that breaks off
            raise DataError(f"{self.path}: not a text ({error}); write it anew as UTF-8") from error

    def _column(self, lines: Iterator[str]) -> Iterator[str]:
        column = self.settings.column
        head = next(lines, "")
        if head.lower().startswith("sep="):  # Excel's own line, which names the delimiter
            head = next(lines, "")
        # Excel writes semicolons where the comma is the decimal sign: the one that sets the column apart.
        usual = "\t,;|" if self.path.suffix.lower() == ".tsv" else ",;\t|"
        delimiter = next((mark for mark in usual if column in _cells(head, mark)), usual[0])
        reader = csv.DictReader(chain([head], lines), delimiter=delimiter, skipinitialspace=True)
        try:
            names = [name.strip() for name in reader.fieldnames or ()]
            if column not in names:
                missing = f"no column '{column}' among {', '.join(names)}"
                raise DataError(f"{self.path}: {missing}; set image_ingest.urls.column")
            reader.fieldnames = names
            yield from ((row[column] or "").strip() for row in reader)
        except csv.Error as error:
            raise DataError(f"{self.path}: not a table of text, line {reader.line_num}: {error}") from error

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Rejection]:
        """The downloads' bytes; missing ones are fetched, many at once."""
        failures = fetch_all([entry.at for entry in entries], self.downloads, self.settings, self.max_bytes)
        for entry in entries:
            yield failures.get(entry.at) or path_of_key(self.downloads, entry.at).read_bytes()

    def uri(self, entry: Entry) -> str:
        """The URL."""
        return entry.name


def _cells(line: str, delimiter: str) -> list[str]:
    """Cells of a table's first line; none where it cannot be read with this delimiter."""
    try:
        rows = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
        return [cell.strip() for cell in next(rows, [])]
    except csv.Error:
        return []


def _json_value(line: str, column: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return ""
    found = value.get(column) if isinstance(value, dict) else value
    return found.strip() if isinstance(found, str) else ""
