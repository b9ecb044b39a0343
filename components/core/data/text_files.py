"""Text files as people's programs write them: byte order marks, UTF-16, and encodings from before Unicode."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TextIO

from charset_normalizer import from_bytes

# Longer marks first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_JUDGED_BYTES = 2**18
_BLOCK = 2**20


def open_text(path: Path) -> TextIO:
    """Open a text file with line breaks as they are; its byte order mark is no part of the text.

    Bytes that no encoding explains become lone surrogates, so that a reader can refuse the lines they are in.

    Raises:
        OSError: it cannot be read.
    """
    return open(path, encoding=encoding_of(path), errors="surrogateescape", newline="")


def encoding_of(path: Path) -> str:
    """Name of a text file's encoding: by its byte order mark, UTF-8 if it is that, else as charset-normalizer
    judges its first part that is not.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_BLOCK)
        if named := next((name for mark, name in _MARKS if head.startswith(mark)), ""):
            return named
        decoder = codecs.getincrementaldecoder("utf-8")()
        while head:
            try:
                decoder.decode(head)
            except UnicodeDecodeError as error:
                start = max(0, error.start - _JUDGED_BYTES // 2)
                best = from_bytes(head[start : start + _JUDGED_BYTES]).best()
                return best.encoding if best is not None else "utf-8"
            head = file.read(_BLOCK)
    return "utf-8"
