"""Number words, English and Chinese, with the places where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENGLISH = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30,
    "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_LARGE = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORD = "|".join(sorted((*_ENGLISH, *_LARGE), key=len, reverse=True))
_SIGN = r"(?:minus|negative)\s+"
_WORDS = re.compile(
    rf"\b(?P<sign>{_SIGN})?(?P<words>(?:a\s+(?=hundred|thousand|million))?(?:{_WORD})(?:(?:-"
    rf"|\s+(?:and\s+)?)(?:{_WORD}))*)\b"
    # "one and a half", "six tenths": phrases that are not read, and are not their first word either.
    r"(?P<part>[\s-]+(?:and\s+a\s+|and\s+one\s+)?(?:half|halves|thirds?|quarters?|fourths?|fifths?"
    r"|sixths?|sevenths?"
    r"|eighths?|ninths?|tenths?|hundredths?|point)\b)?"
)
# "the tallest one", "each one", "one another", "one can see": the pronoun, not the number.
_PRONOUN_BEFORE = re.compile(
    r"\b(?:the|this|that|which|each|every|any|another|no|some|as)\s+(?!only|just|exactly"
    r"|single)(?:[\w-]+\s+)?$",
    re.IGNORECASE,
)
_PRONOUN_AFTER = re.compile(
    r"\s+(?:another|can|could|must|should|would|may|might|needs?|has\s+to)\b|'s\b|-", re.I
)
_HAN = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}
_HAN_NUMBER = re.compile("负?[零〇一二两三四五六七八九十百千]+")
_HAN_IDIOM = re.compile(
    "一共|一些|一样|一直|一般|一起|一定|一下|一点(?!钟)|一种|一旦|一致|一半|一切|一边|一侧|唯一|统一|同一|之一|每一|另一|万一|某一"
    "|十分|三角|四边|五官|第[零〇一二两三四五六七八九十百千]+|千万|百姓"
)


def english_words(text: str) -> Iterator[tuple[int, int, float | None]]:
    """Start, end and value of each English number; None for a phrase that is not read."""
    lowered = text.lower()
    for match in _WORDS.finditer(lowered if len(lowered) == len(text) else text):
        if match["words"].lower() == "one" and not match["sign"]:
            if _PRONOUN_BEFORE.search(text[max(0, match.start() - 40) : match.start()]):
                continue
            if _PRONOUN_AFTER.match(text[match.end() :][:20]):
                continue
        value = None if match["part"] else float(_english(match["words"]))
        yield match.start(), match.end(), -value if value is not None and match["sign"] else value


def chinese_words(text: str) -> Iterator[tuple[int, int, float | None]]:
    """Start, end and value of each Chinese number; those in fixed phrases (一共, 十分) do not count."""
    if text.isascii():
        return
    text = _HAN_IDIOM.sub(lambda match: " " * len(match.group()), text)
    for match in _HAN_NUMBER.finditer(text):
        digits = match.group().removeprefix("负")
        value = float(_han(digits))
        yield match.start(), match.end(), -value if match.group() != digits else value


def _english(words: str) -> int:
    total = current = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word in _LARGE:
            total, current = total + max(current, 1) * _LARGE[word], 0
        else:
            current += _ENGLISH.get(word, 0)
    return total + current


def _han(numeral: str) -> int:
    if not any(c in _HAN_UNITS for c in numeral):
        return int("".join(str(_HAN[c]) for c in numeral))
    total = digit = 0
    for char in numeral:
        if char in _HAN_UNITS:
            total, digit = total + (digit or 1) * _HAN_UNITS[char], 0
        else:
            digit = _HAN[char]
    return total + digit
