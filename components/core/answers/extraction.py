"""Find the short answer in a model's response, by the answer's type and without asking another model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from components.core.answers.numbers import parse_number

AnswerType = Literal["choice", "number", "yes_no", "span", "open"]
Stage = Literal["exact", "rules", "none"]


class Extraction(NamedTuple):
    """An extracted answer and how it was found."""

    text: str
    """The answer, "" if there is none."""
    stage: Stage
    """exact: the response marks its answer or is nothing else; rules: found in running text."""


_MARKER = re.compile(r"(?:\banswer|答案)\s*[*_]*\s*(?:is|是|为)?\s*[:：]\s*[*_]*", re.IGNORECASE)
_SOFT_MARKER = re.compile(r"(?:\banswer\s+is|答案是|答案为)\s*", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_EDGE = " \t\r\n\"'“”‘’`*_"


def extract(response: str, answer_type: AnswerType, choices: Sequence[str] = ()) -> str:
    """The short answer of `response`: the text after the last "Answer:" (or 答案：), else by `answer_type`.

    choice -> the letter; number -> the last number with its unit; yes_no -> "yes" or "no"; span, open -> the
    text. "" means that no answer was found, also when the response ends right after "Answer:".
    """
    return extract_staged(response, answer_type, choices).text


def extract_staged(response: str, answer_type: AnswerType, choices: Sequence[str] = ()) -> Extraction:
    """As `extract`, with the stage that found the answer."""
    marked, text = _marked(response, answer_type)
    if answer_type in ("span", "open"):
        answer = text.strip(_EDGE)
        if answer_type == "span" and answer.endswith((".", "。")) and not answer.endswith(".."):
            answer = answer[:-1].strip(_EDGE)
        return Extraction(answer, "exact" if answer else "none")
    if answer_type == "number":
        quantity = parse_number(text)
        answer = quantity.text if quantity else ""
    else:
        answer = yes_or_no(text) if answer_type == "yes_no" else choice_letter(text, choices)
    if not answer:
        return Extraction("", "none")
    bare = text.strip(_EDGE + ".。()[]").casefold() == answer.casefold()
    return Extraction(answer, "exact" if marked or bare else "rules")


def _marked(response: str, answer_type: AnswerType) -> tuple[bool, str]:
    """Whether the response marks its answer, and the text to look for it in."""
    for pattern in (_MARKER, _BOXED, _SOFT_MARKER):
        matches = list(pattern.finditer(response))
        if not matches:
            continue
        if pattern is _BOXED:
            return True, matches[-1].group(1)
        tail = response[matches[-1].end() :].strip()
        if answer_type == "open":
            return True, tail
        return True, next((line for line in tail.splitlines() if line.strip(_EDGE)), "")
    return False, response


# ---- yes / no ------------------------------------------------------------------------------------

_POSITIVE = {"yes", "yeah", "yep", "true", "correct"}
_NEGATIVE = {"no", "nope", "false", "incorrect"}
_LATIN_WORD = re.compile(r"[a-z]+")
_HAN_NEGATIVE = re.compile("不|没|否|无|错|非")
_HAN_POSITIVE = re.compile("是|有|对|正确|存在|能|可以")


def yes_or_no(text: str) -> str:
    """Yes, no, or "": the first such word; in Chinese the leading word, else a negation anywhere."""
    lowered = text.lower()
    for word in _LATIN_WORD.findall(lowered):
        if word in _POSITIVE:
            return "yes"
        if word in _NEGATIVE:
            return "no"
    if lowered.isascii():
        return ""
    leading = text.strip(_EDGE + "，。,.：:")
    if _HAN_NEGATIVE.match(leading):
        return "no"
    if _HAN_POSITIVE.match(leading):
        return "yes"
    return "no" if re.search("没有|不是|不存在|并非", leading) else ""


# ---- multiple choice -----------------------------------------------------------------------------

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHOICE_PREFIX = re.compile(r"^\s*\(?([A-Za-z])(?:[.:、．)]\s*|\s*[)）]\s*)")
_LEADING = re.compile(r"^(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])(?=[.,:;)、。，：]|\s*$|\s+[-–—]))")
_NAMED = re.compile(
    r"(?:\b(?i:option|choice|answer(?:\s+is)?|select|choose)|选项?|答案是?)\s*[:：]?\s*\(?([A-Z])\)?(?![A-Za-z'’])"
)
_DECORATED = re.compile(
    r"\(([A-Za-z])\)|\[([A-Za-z])\]|\*\*\(?([A-Za-z])[.)]?\*\*|(?<![\w'’])([A-Z])[.:)](?=\s|$)"
)
_STANDALONE = re.compile(r"(?<![\w'’&/-])([A-Z])(?![\w'’&/-])")
# "A" and "I" before a lower-case word are English words, not options.
_ENGLISH_WORD = re.compile(r"(?<![\w'’])(?:A|I)(?=\s+(?!(?:or|and|is)\b)[a-z])")


def lettered(choices: Sequence[str]) -> list[str]:
    """The options with their letters: "A. red", "B. blue"."""
    return [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]


def choice_letter(text: str, choices: Sequence[str] = ()) -> str:
    """The upper-case letter of the option that `text` names, "" if it names none or several.

    A letter counts before an option's text. In order: a leading letter ("B", "(b)", "B. red"), a named one
    ("option B", 选B), the only decorated letter, the only one that stands alone. Last comes the only option
    whose text occurs. Without `choices` the letters A to H are known. The rules follow the order of
    VLMEvalKit's option inference (one candidate or none).
    """
    valid = LETTERS[: len(choices)] if choices else LETTERS[:8]
    text = unicodedata.normalize("NFKC", text).strip(_EDGE)
    if by_text := _equal_choice(text, choices):
        return by_text
    if leading := _LEADING.match(text):
        letter = _group(leading)
        return letter if letter in valid else ""
    prose = _ENGLISH_WORD.sub(" ", text)
    named = _NAMED.findall(prose)
    if named and named[-1].upper() in valid:
        return str(named[-1].upper())
    for pattern in (_DECORATED, _STANDALONE):
        letters = {_group(m) for m in pattern.finditer(prose)} & set(valid)
        if len(letters) == 1:
            return letters.pop()
        if letters:
            return ""
    return _contained_choice(text, choices)


def _group(match: re.Match[str]) -> str:
    return next(g for g in match.groups() if g).upper()


def _choice_texts(choices: Sequence[str]) -> list[str]:
    """Options without a lettering of their own ("A. red" -> "red"), folded."""
    prefixes = [_CHOICE_PREFIX.match(choice) for choice in choices]
    lettered = all(m and m[1].upper() == letter for m, letter in zip(prefixes, LETTERS, strict=False))
    return [fold(_CHOICE_PREFIX.sub("", c) if lettered else c) for c in choices]


def _equal_choice(text: str, choices: Sequence[str]) -> str:
    """The option whose text equals `text`, unless `text` is the letter of an option (gears P, R, N, D)."""
    folded = fold(text)
    if not folded or (len(folded) == 1 and folded.upper() in LETTERS[: len(choices)]):
        return ""
    hits = [i for i, choice in enumerate(_choice_texts(choices)) if choice == folded]
    return LETTERS[hits[0]] if len(hits) == 1 else ""


def _contained_choice(text: str, choices: Sequence[str]) -> str:
    """The only option that occurs in `text`; "red" does not count within "dark red" if that is an option."""
    remaining, hits = f" {fold(text)} ", set()
    for index, choice in sorted(enumerate(_choice_texts(choices)), key=lambda item: -len(item[1])):
        if not choice:
            continue
        pattern = rf"(?<!\w){re.escape(choice)}(?!\w)" if choice.isascii() else re.escape(choice)
        replaced = re.sub(pattern, " ", remaining)
        if replaced != remaining:
            hits.add(index)
            remaining = replaced
    return LETTERS[hits.pop()] if len(hits) == 1 else ""


# ---- folding -------------------------------------------------------------------------------------

_ARTICLES = {"a", "an", "the"}
_ASCII_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_DECIMAL_POINT = re.compile(r"(?<=\d)\.(?=\d)")


def fold(text: str) -> str:
    """Text without case, width, punctuation and articles; decimal points stay. "" only for a blank text."""
    folded = _fold_case(text)
    kept = _DECIMAL_POINT.sub("\0", folded)
    if kept.isascii():
        kept = _ASCII_PUNCTUATION.sub(" ", kept)
    else:
        kept = "".join(" " if _is_punctuation(c) else c for c in kept)
    words = kept.replace("\0", ".").split()
    return " ".join([w for w in words if w not in _ARTICLES] or words or folded.split())


def _fold_case(text: str) -> str:
    if text.isascii():
        return text.lower().replace("\0", " ")
    while True:  # case folding can undo the normalisation of a few letters, so both repeat to a fixed point
        folded = unicodedata.normalize("NFKC", text).casefold()
        folded = unicodedata.normalize("NFKC", folded).replace("\0", " ")
        if folded == text:
            return folded
        text = folded


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] == "P" or bool(_ASCII_PUNCTUATION.match(char))
