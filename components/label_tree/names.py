"""Names of topics: how they are cleaned, compared and turned into stable ids."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from components.core.data.hashing import sha256_hex

MAX_NAME_CHARS = 80
MAX_DESCRIPTION_CHARS = 300
_NUMBERING = re.compile(r"^\s*(?:\d{1,3}[.)]|[-*•])\s+")
_NOT_WORD = re.compile(r"[\W_]+")
# Punctuation that tells one name from another ("C", "C++" and "C#"); any other punctuation is decoration.
_SPELLED = {"+": " plus ", "#": " sharp ", "%": " percent ", "&": " and "}


def clean_text(text: str, max_chars: int) -> str:
    """One line of text: NFKC, one space for control characters and white space, cut to `max_chars`."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(" " if unicodedata.category(c) in {"Cc", "Cf"} else c for c in text)
    return " ".join(text.split())[:max_chars].strip()


def clean_name(text: str) -> str:
    """A name as it is shown: without list numbering, and without ">", which joins the names of a path."""
    text = _NUMBERING.sub("", clean_text(text, 4 * MAX_NAME_CHARS)).replace(">", "/")
    return clean_text(text, MAX_NAME_CHARS).strip(" .,:;\"'`")


def name_key(text: str) -> str:
    """A name as it is compared: case-folded words without punctuation; empty when nothing is left.

    >>> name_key("  Warning-Lights: ") 'warning lights'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    for sign, word in _SPELLED.items():
        folded = folded.replace(sign, word)
    return " ".join(_NOT_WORD.sub(" ", folded).split())


def topic_id(dimension: str, path: Sequence[str]) -> str:
    """Id of a topic, the same in every run: SHA-256 over its dimension and the keys of its path's names."""
    return sha256_hex("\x1f".join([dimension, *map(name_key, path)]))
