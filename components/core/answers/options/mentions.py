"""Options that a text mentions without a statement: at its start or end, by letter, as a list."""

from __future__ import annotations

import re

from components.core.answers.folding import EDGE
from components.core.answers.options.letters import DECORATED, LETTERS, letter_of, letters_at, named_by_noun
from components.core.answers.options.statements import SENTENCE, joined, valid
from components.core.answers.options.texts import OptionTexts

_LEADING = re.compile(
    r"[\s\"'“‘`*_$]*(?:(?:(?:option|choice|answer|letter|ans)\b\.?|选项?|答案?)\s*[:：]?\s*)?", re.IGNORECASE
)
_LEADING_END = re.compile(
    r"[*_\"'”’`$]*\s*(?:$|[.,:;)!?、。，：；！\]\n]|[-–—]\s|\b(?:because|since|as|for|is|but|rather|instead"
    r"|over)\b|[一-鿿])"
)
_ENUMERATED = re.compile(
    r"(?<![\w'’(（])(?:[-*•]\s*)?(?:\*\*)?(?:[Oo]ption\s+)?[(（]?([A-Z])[.):：）](?:\*\*)?\s*(?=\S)"
)
_MENTION = re.compile(
    r"\b(?:[Oo]ption|[Cc]hoice|[Ll]etter)s?\s+(?=[*_\"'“(\[]*[A-Z])|选项?\s*(?=[(（]?[A-Z])"
)
_LABEL_NOUN = re.compile(
    r"\b(?:panel|figure|fig\.?|image|picture|photo|graph|part|section|point|box|diagram|step|equation"
    r"|eq\.?|row|column|group|region|area|curve|line|circle|triangle|label"
    r"|labell?ed|marked|position|place|site|node|vertex|spot|object|item|structure|arrow|map|plot|chart"
    r"|sample|tube|jar|flask|beaker)s?\s+[*_\"'“]*$",
    re.IGNORECASE,
)


def lists_options(text: str, texts: OptionTexts) -> bool:
    """Whether a text only goes through the options: "A: …, B: …" from its start, "(A) oak (C) birch"."""
    opening = _ENUMERATED.match(text.lstrip())
    if not opening:
        return False
    others = {m[1] for m in _ENUMERATED.finditer(text.lstrip(), opening.end())} - {opening[1]}
    if opening[1] == "A" and "B" in others:
        return True
    place, letters = 0, set()
    while place < len(text):
        found, end = letters_at(text, place, texts, lower=True)
        if not found:
            break
        letters |= set(found)
        place = end + len(text[end:]) - len(text[end:].lstrip(" \n\t,;.、，；:)"))
    return place >= len(text) and len(letters) > 1


def leading_of(text: str, texts: OptionTexts) -> str | None:
    """The letter or option's text at the start of a text; None if it starts with neither."""
    begin = _LEADING.match(text)
    start = begin.end() if begin else 0
    letters, end = letters_at(text, start, texts, lower=True)
    if letters and _leads(text, start, end, letters, texts):
        if letters == ["A"] and (other := _answer_colon(text, start, texts)):
            return other
        single = joined(letters)
        if len(single) == 1 and not valid(single, len(texts) or 8):
            named = texts.equal(single)
            return LETTERS[named] if named is not None else ""
        return single
    leading = texts.leading(text)
    if leading is None:
        return None
    sentence = SENTENCE.split(text.strip(), maxsplit=1)[0]
    return LETTERS[leading[0]] if len(texts.found(sentence)) == 1 else None


def _leads(text: str, start: int, end: int, letters: list[str], texts: OptionTexts) -> bool:
    if not _LEADING_END.match(text, end):
        return len(letters) == 1 and texts.end_of_own(letters[0], text, start + 1) > start + 1
    return True


def _answer_colon(text: str, start: int, texts: OptionTexts) -> str:
    """The option behind "A:" where that stands for "Answer:"."""
    colon = re.compile(r"A\s*[:：]\s*").match(text, start)
    leading = texts.leading(text[colon.end() :]) if colon else None
    return LETTERS[leading[0]] if leading and leading[0] else ""


def last_line(text: str, texts: OptionTexts) -> str | None:
    """The letter that is all of the last line, alone or with its option's text."""
    lines = [line for line in text.splitlines() if line.strip(EDGE)]
    if len(lines) < 2:
        return None
    line = lines[-1].strip(EDGE + "#$")
    letters, end = letters_at(line, 0, texts, lower=True)
    if not letters or line[end:].strip(EDGE + ".$!。"):
        return None
    before = _ENUMERATED.match(lines[-2].strip())
    return None if before and before[1] != letters[0] else joined(letters)


def mentioned_of(text: str, texts: OptionTexts) -> set[str]:
    """Letters that are written as options: "(B)", "option B"; not those of panels and points."""
    letters = set()
    for match in DECORATED.finditer(text):
        before = text[max(0, match.start() - 24) : match.start()]
        bare = match[4] is not None and named_by_noun(text, match.start(4))
        if not _LABEL_NOUN.search(before) and not bare:
            letters.add(letter_of(match))
    for match in _MENTION.finditer(text):
        letters |= set(letters_at(text, match.end(), texts)[0])
    return {letter for letter in letters if valid(letter, len(texts) or 8)}


_ALONE = re.compile(
    r"(?<![A-Za-z0-9_'’&/°∠△#.^+=-])(?<!° )(?<!\d )(?<![=+<>] )([A-Z])(?![A-Za-z0-9_'’°#♯♭&/^+=-]|\s[=+<>])"
)


_ENGLISH_WORD = re.compile(r"\s+(?!(?:or|and|is|because|since)\b|to\s+[A-Z]\b)[A-Za-z]")


def bare_of(text: str, count: int) -> set[str]:
    """Bare letters that no noun before them and no word behind "A" or "I" makes something else."""
    letters = set()
    for match in _ALONE.finditer(text):
        if match[1] in "AI" and _ENGLISH_WORD.match(text, match.end()):
            continue
        if not named_by_noun(text, match.start()) and valid(match[1], count):
            letters.add(match[1])
    return letters
