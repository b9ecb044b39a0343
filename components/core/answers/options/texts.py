"""Texts of options in a text: whole words, without articles, numbers with or without space before units."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from components.core.answers.folding import EDGE

_PREFIX = re.compile(r"^\s*\(?([A-Za-z])(?:[.:、．)]\s*|\s*[)）]\s*)")
_ARTICLE = r"(?:(?:a|an|the)\s+)?"
_INNER_ARTICLE = r"(?:(?-i:a|an|the|The|THE)\s+)?"  # "C) A and D" is not "C and D"
_WORD = re.compile(r"[A-Za-z]+|\d+(?:[.,]\d+)*|[^\W\d_]|[^\w\s]|_", re.UNICODE)
_SOFT = frozenset(".,;:!?\"'“”‘’`()[]{}*_-–—，。；：！？（）【】、…")
_SHORT_WORDS = frozenset(["no", "No", "NO", "on", "On", "up", "Up", "in", "In", "ok", "OK", "Ok", "go", "Go"])
_VERBS = frozenset(
    [
        "is", "are", "was", "were", "has", "have", "and", "or", "than", "does", "do", "can", "will",
        "would", "only", "alone", "both", "with", "but",
    ]
)  # fmt: skip
_NEGATES = re.compile(
    r"(?:\b(?:no|not|never|neither|nor|without|cannot\s+be|except(?:\s+for)?|not\s+in|rul\w+\s+out"
    r"|exclud\w+|eliminat\w+"
    r"|opposed\s+to|different\s+from|far\s+from|lacks?)|n['’]t(?:\s+be)?|∅)\s+(?:a\s+|an\s+|the\s+"
    r"|any\s+|in\s+|on\s+|at\s+|really\s+|quite\s+|just\s+|either\s+|option\s+|choice\s+)*[\"'“‘*(]*$"
    r"|(?:不是|没有|并非|而非|不|无|非|排除|除了)[“\"'（(]*$",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"(?:\b(?:than|instead\s+of|rather\s+than|unlike|compared\s+(?:to|with)|versus|vs\.?"
    r"|as\s+opposed\s+to)\s+|而不是|而非|比)(?:a\s+|an\s+|the\s+|in\s+|on\s+|at\s+|option\s+)*[\"'“‘*(]*$",
    re.IGNORECASE,
)
_NEGATED_AFTER = re.compile(
    r"[\"'”’*)]*\s*(?:is|are|was|were|would\s+be|seems?)\s+(?:\w+ly\s+)?(?:wrong|incorrect|false"
    r"|ruled\s+out|eliminated|excluded|impossible|unlikely|not\s+(?:\w+\s+){0,2}"
    r"(?:correct|right|true|possible|the\s+answer))\b|[”\"'）)]*(?:是错|错误|不正确|不对|不符)",
    re.IGNORECASE,
)
_JOINS = re.compile(
    r"\s*(?:,|、|，|\bor\b|\band\b|\bnor\b|和|或|也不是)+\s*(?:(?:or|and|nor|a|an|the|even)\s+)*",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[\"'”’*_)]*\s*(?:[.,:;!?。，：；！？\n—–]|$|\s-\s)")


class OptionTexts:
    """The texts of a question's options as patterns."""

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = _without_letters(choices)
        self.patterns = [_pattern(choice) for choice in self.choices]
        self._order = sorted(range(len(choices)), key=lambda i: -len(self.choices[i]))

    def __len__(self) -> int:
        return len(self.choices)

    def end_of_own(self, letter: str, text: str, place: int) -> int:
        """Where the text of a letter's option ends that follows the letter at `place`; else `place`."""
        number = ord(letter) - 65
        if number >= len(self.patterns):
            return place
        begin = re.compile(r"[\s.:,)\]*_\"'“”‘’`=—–-]*(?:\(\s*)?").match(text, place)
        match = self.patterns[number].match(text, begin.end() if begin else place)
        return match.end() + (text[match.end() : match.end() + 1] == ")") if match else place

    def equal(self, text: str) -> int | None:
        """The option that a text is, without its punctuation; None if it is none or several."""
        text = text.strip(EDGE + ".,;:!?。，；：！？ ")
        hits = [
            n
            for n, pattern in enumerate(self.patterns)
            if (m := pattern.match(text)) and m.end() == len(text)
        ]
        if len(hits) > 1:
            hits = [n for n in hits if self.choices[n] == text]
        return hits[0] if len(hits) == 1 else None

    def leading(self, text: str) -> tuple[int, int] | None:
        """The longest option that opens a text and that a punctuation mark ends, and where it ends."""
        start = len(text) - len(text.lstrip(EDGE + "(["))
        for number in self._order:
            match = self.patterns[number].match(text, start)
            if match and _ENDS.match(text, match.end()):
                return number, match.end()
        return None

    def found(self, text: str) -> dict[int, int]:
        """Options that occur in a text and are not denied there, with the place of the last occurrence.

        An option within a longer one ("red" in "dark red") does not count.
        """
        taken: list[tuple[int, int]] = []
        occurrences: list[tuple[int, int, int]] = []
        for number in self._order:
            for match in self.patterns[number].finditer(text):
                begin, end = match.span()
                if begin == end or any(a < end and begin < b for a, b in taken):
                    continue
                taken.append((begin, end))
                occurrences.append((begin, end, number))
        hits: dict[int, int] = {}
        denied_to = -1
        for begin, end, number in sorted(occurrences):
            joined = denied_to >= 0 and _JOINS.fullmatch(text[denied_to:begin])
            if _COMPARED.search(text[max(0, begin - 32) : begin]):
                continue
            if joined or _NEGATES.search(text[max(0, begin - 32) : begin]) or _NEGATED_AFTER.match(text, end):
                denied_to = end
            else:
                hits[number] = begin
        return hits


@lru_cache(maxsize=4096)
def option_texts(choices: tuple[str, ...]) -> OptionTexts:
    """The texts of these options, made once."""
    return OptionTexts(choices)


def _without_letters(choices: Sequence[str]) -> list[str]:
    """Options without a lettering of their own ("A. red" -> "red")."""
    normal = [unicodedata.normalize("NFKC", choice).strip() for choice in choices]
    prefixes = [_PREFIX.match(choice) for choice in normal]
    own = all(m and ord(m[1].upper()) - 65 == n for n, m in enumerate(prefixes))
    return [_PREFIX.sub("", choice) if own else choice for choice in normal]


def _pattern(choice: str) -> re.Pattern[str]:
    """A pattern of one option: words in any case, articles free, punctuation soft."""
    tokens = _WORD.findall(choice)
    words = [t for t in tokens if t not in _SOFT] or tokens
    if not words:
        return re.compile(r"(?!)")
    while (
        len(words) > 1
        and words[0].lower() in ("a", "an", "the")
        and words[1].lower() not in _VERBS
        and not words[1].isupper()
    ):
        words = words[1:]
    kept = [w for n, w in enumerate(words) if n == 0 or n == len(words) - 1 or w.lower() not in ("an", "the")]
    # Beside a short option in letters ("A", "Am", "G") the case tells it from a word.
    short = "".join(kept)
    exact = (
        short.isascii()
        and short.isalpha()
        and (len(short) == 1 or (len(short) == 2 and short not in _SHORT_WORDS))
    )
    parts = [re.escape(kept[0])]
    for before, word in zip(kept, kept[1:], strict=False):
        glued = not (
            before[-1].isascii() and before[-1].isalpha() and word[0].isascii() and word[0].isalpha()
        )
        gap = r"[\s.,;:!?\"'“”‘’`()\[\]{}$*_–—-]"
        parts.append((rf"{gap}*" if glued else rf"{gap}+") + _INNER_ARTICLE + re.escape(word))
    first, last = kept[0], kept[-1]
    left = (r"(?<![A-Za-z0-9_])" if first[0].isascii() and first[0].isalnum() else "") + (
        r"(?<!\d[.,])" if first[0].isdigit() else ""
    )
    right = r"(?![A-Za-z0-9_])" if last[-1].isascii() and last[-1].isalnum() else ""
    if last[-1].isdigit():
        right += r"(?![.,]\d)"
    if last[-1].isalpha() and last[-1].isascii():
        right += r"(?!['’][a-z])"
    return re.compile(
        left + ("" if exact else _ARTICLE) + "".join(parts) + right, 0 if exact else re.IGNORECASE
    )
