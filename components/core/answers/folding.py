"""Texts without case, width, punctuation and articles: the canonical form of spans and open answers."""

from __future__ import annotations

import re
import unicodedata

EDGE = " \t\r\n\"'“”‘’`*_"
"""Characters around an answer that are not part of it."""
_ARTICLES = {"a", "an", "the"}
_ASCII_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_DECIMAL_POINT = re.compile(r"(?<=\d)\.(?=\d)")


def fold(text: str) -> str:
    """Text without case, width, punctuation and articles; decimal points stay. "" only for a blank text.

    A last article stays: "Solution A" is no "solution".
    """
    folded = fold_case(text)
    kept = _DECIMAL_POINT.sub("\0", folded)
    if kept.isascii():
        kept = _ASCII_PUNCTUATION.sub(" ", kept)
    else:
        kept = "".join(" " if _is_punctuation(c) else c for c in kept)
    words = kept.replace("\0", ".").split()
    named = [w for w in words[:-1] if w not in _ARTICLES] + words[-1:]
    return " ".join(named or folded.split())


def fold_case(text: str) -> str:
    """NFKC without case; a fixed point, since case folding can undo the normalisation of a few letters."""
    if text.isascii():
        return text.lower().replace("\0", " ")
    while True:
        folded = unicodedata.normalize("NFKC", text).casefold()
        folded = unicodedata.normalize("NFKC", folded).replace("\0", " ")
        if folded == text:
            return folded
        text = folded


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] == "P" or bool(_ASCII_PUNCTUATION.match(char))
