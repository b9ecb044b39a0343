"""Letters of options in a text: where one stands, and which of them the text rejects.

A bare letter is an option's only where nothing says otherwise: "point A", "24 °C", "∠C", "C#m" and
"A mirror" name none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.core.answers.options.texts import OptionTexts

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
REJECTED = "∅"
"""Stands where a rejected letter stood."""

# Not within a word, a unit, an angle, a chord or a formula.
_BEFORE = r"(?<![A-Za-z0-9_'’&°∠△#♯♭/\-^+=⊙∥⊥])(?<!° )(?<!\d )(?<!∠ )(?<!△ )(?<![=+<] )(?<![^=]> )"
_AFTER = r"(?![A-Za-z0-9_'’°#♯♭²³₀-₉⁺⁻^]|-[A-Za-z]|\s?[=+<>∥⊥]|\s?°)"
_DRESS = r"(?:\*\*|__|[\"'“‘`$*])*"
_UNDRESS = r"(?:\*\*|__|[\"'”’`$*])*"
_BARE = rf"{_BEFORE}([A-Z]){_AFTER}"
_INNER = (
    r"\(\s*\*{0,2}([A-Za-z])\*{0,2}\s*\)|\[\s*([A-Za-z])\s*\]|(?<![A-Za-z0-9])\(?([A-Z])\)(?![A-Za-z0-9])"
)
LETTER = rf"{_DRESS}(?:{_INNER}|\*\*([A-Z])\*\*|{_BARE})[.]?{_UNDRESS}"
"""One letter of an option: "(B)", "[B]", "**B**", "B"; lower case only in brackets."""
DECORATED = re.compile(
    rf"{_DRESS}(?:\(\s*\*{{0,2}}([A-Z])\*{{0,2}}\s*\)|\[([A-Z])\]|\*\*\(?([A-Z])[.)]?\*\*"
    rf"|{_BEFORE}([A-Z])[.:)](?=\s|$))"
)
_NOUN = r"(?:options?|choices?|answers?|letters?|alternatives?|选项)"
_BETWEEN = (
    r"\s*(?:[,，、/&;+]|\band\b|\bor\b|\bas\s+well\s+as\b|\bnor\b|和|或|及|与|以及|还是)\s*(?:(?:and|or|also|both"
    r"|then|even)\b\s*)*"
    rf"(?:{_NOUN}\s*)?"
)
_LETTER = re.compile(LETTER)
_LOWER = re.compile(
    rf"{_DRESS}([a-z])(?![A-Za-z0-9_'’-])(?!\s+(?!and\b|or\b|because\b|since\b|as\b|is\b"
    rf"|was\b)[a-z]){_UNDRESS}"
)
_SEPARATOR = re.compile(rf"{_BETWEEN}|\s+(?=[(\[*])|[.\s]*(?=[(\[])")
_NOUN_BEFORE = re.compile(rf"{_NOUN}\s*[:：]?\s*", re.IGNORECASE)
_VERB_AFTER = re.compile(
    r"\s+(?:is|was|has|does|did|would|can|could|will|shows?|looks?|seems?|fits|matches|contains?|cannot"
    r"|isn|doesn|holds?|carries|only)\b",
    re.IGNORECASE,
)
# "A mirror", "I see": English words, unless a word that follows an option comes next.
_ENGLISH_WORD = re.compile(
    r"[AI][ \t]+(?!(?:or|and|is|because|since|as|for|but|instead|rather|which|with|would|was|must"
    r"|should|seems?|fits?|matches|over|only"
    r"|over|than|nor|does|has|can|cannot|in\s+this|in\s+the\s+picture)\b)[a-zA-Z]"
)

_REJECTS = (
    r"\b(?:not|never|(?:any|every)thing\s+but|all\s+but|cannot\s+be|can['’]?t\s+be|rather\s+than"
    r"|instead\s+of|as\s+opposed\s+to|unlike|than|over|except(?:\s+for)?|neither|nor"
    r"|rul(?:e|es|ed|ing)\s+out|eliminat\w+|exclud\w+|discard\w*|reject\w*|dismiss\w*|cross(?:ed"
    r"|ing)?\s+out|against|besides|ignor\w+|discount\w*|avoid\w*"
    r"|disqualif\w+|different\s+from)\s+|n['’]t(?:\s+be)?\s+|(?:不是|并非|而不是|而非|不选择?|不能选|不应选|不该选|不会是|不可能是"
    r"|排除了?|除了|不为|非)\s*"
)
_WORDS_BETWEEN = (
    r"(?:(?:both|all|the|either|in|at|of|any\s+of|simply|just|necessarily|possibly|also|outright|my"
    rf"|{_NOUN})\s+|{_NOUN}\s*)*"
)
_WRONG = (
    r"wrong|incorrect|false|untrue|inaccurate|invalid|impossible|implausible|unlikely|irrelevant"
    r"|unsuitable|unsupported|out(?=\s*[.,;]|\s*$)|ruled\s+out|eliminated"
    r"|excluded|rejected|discarded|dismissed|mistaken|too\b|neither"
)
_COPULA = (
    r"(?:is|are|was|were|would\s+be|can\s+be|could\s+be|must\s+be|should\s+be|seems?|appears?|looks?|['’]s)"
)
_REJECTED_AFTER = (
    rf"\s*(?:\([^()]*\)\s*)?,?\s*(?:(?:{_COPULA}\s+|[:：=\-–—]\s*)(?:\w+ly\s+|both\s+|all\s+|also\s+"
    rf"|therefore\s+|thus\s+|just\s+|far\s+)*(?:{_WRONG})"
    r"|(?:incorrect|wrong|false|no)\b(?=\s*[.,;:!]|\s*$)"
    r"|(?:is|are|was|were|do|does|did|would|could|can|should|will|must|has|have)(?:\s+(?:\w+ly|both"
    r"|also)\s+|\s*)(?:not\b(?!\s+only)|n['’]t\b)|cannot\b|can['’]?t\b|won['’]t\b"
    r"|fails?\b|lacks?\b|contradicts?\b|(?:选项|项)?\s*(?:都|均|也|是|显然|明显)*\s*(?:错误|错的|错|不正确|不对|不符|不成立|有误"
    r"|被?排除|不合|不满足|不可能|不是|不能|不应|不恰当))"
)


def lettered(choices: Sequence[str]) -> list[str]:
    """The options with their letters: "A. red", "B. blue"."""
    return [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]


def letter_of(match: re.Match[str]) -> str:
    """The upper-case letter that a pattern of this module matched."""
    return next(g for g in match.groups() if g).upper()


def without_rejected(text: str, texts: OptionTexts) -> str:
    """The text with every letter that it rejects, and that option's text behind it, made unreadable."""
    lowered = text.lower()
    if any(cue in lowered for cue in _CUES):
        text = _forward(text, texts)
        text = _backward(text, texts)
    return text


_CUES = (
    "not", "n't", "n’t", "never", "cannot", "can't", "can’t", "rather", "instead", "opposed", "unlike",
    "than", "over", "except", "neither", "nor", "out",
    "eliminat", "exclu", "discard", "reject", "dismiss", "against", "beside", "ignor", "discount", "avoid",
    "disqual", "different",
    "thing but", "all but",
    "no.", "no,", "no;", "wrong", "incorrect", "false", "untrue", "accura", "valid", "possible",
    "plausible", "likely", "relevant", "suitable", "supported",
    "mistaken", "too", "fail", "lack", "contradict", "won", "不", "非", "除", "错", "误", "排",
)  # fmt: skip
"""One of these stands in every rejection."""
_REJECTION = re.compile(rf"(?:{_REJECTS}){_WORDS_BETWEEN}(?=[*_\"'“‘`$(\[]*[A-Za-z])", re.IGNORECASE)
_AFTERWARDS = re.compile(_REJECTED_AFTER, re.IGNORECASE)


def _forward(text: str, texts: OptionTexts) -> str:
    """Blank letters after a word that rejects: "not A", "rule out A and C", 不是A."""
    done = 0
    while match := _REJECTION.search(text, done):
        letters, end = letters_at(text, match.end(), texts)
        if letters:
            text = f"{text[: match.end()]}{REJECTED * len(letters)}{text[end:]}"
        done = max(match.end(), done + 1)
    return text


def _backward(text: str, texts: OptionTexts) -> str:
    """Blank letters before a verdict against them: "A is wrong", "B and C do not fit", A错误."""
    done = 0
    while match := _LETTER.search(text, done):
        letters, end = letters_at(text, match.start(), texts)
        if (
            letters
            and (match.group()[:1] != "A" or not _ENGLISH_WORD.match(text, match.start()) or len(letters) > 1)
            and _AFTERWARDS.match(text, end)
            and not _named_by_noun(text, match)
        ):
            text = f"{text[: match.start()]}{REJECTED * len(letters)}{text[end:]}"
            done = match.start() + len(letters)
            continue
        done = max(match.end(), end)
    return text


def letters_at(text: str, place: int, texts: OptionTexts, lower: bool = False) -> tuple[list[str], int]:
    """Letters at a place, joined or alone, each with its option's text if that follows; and their end."""
    letters: list[str] = []
    end = place
    while True:
        match = _LETTER.match(text, place)
        if match is None and lower:
            match = _LOWER.match(text, place)
        if match is None:
            break
        if _is_word(text, match, texts) or (not lower and not letters and match.group().islower()):
            break
        following = _VERB_AFTER.match(text, match.end())
        if letters and following:
            break
        letter = letter_of(match)
        if letter in letters:
            break
        letters.append(letter)
        end = texts.end_of_own(letter, text, match.end())
        separator = _SEPARATOR.match(text, end)
        if not separator or separator.end() == end:
            break
        place = separator.end()
        if noun := _NOUN_BEFORE.match(text, place):
            place = noun.end()
    return letters, end


def _is_word(text: str, match: re.Match[str], texts: OptionTexts) -> bool:
    """Whether a bare "A" or "I" is an English word: "A mirror", but not "A red" where option A is red."""
    if match.group() not in ("A", "I"):
        return False
    if texts.end_of_own(match.group(), text, match.end()) > match.end():
        return False
    return bool(_ENGLISH_WORD.match(text, match.start()))


_NAME = re.compile(r"(?:^|[\s(\"'“‘*])([A-Za-z][A-Za-z-]*)[.]?\s+[*_\"'“(\[]*$")
_NO_NAME = frozenset(
    [
        "option", "options", "choice", "choices", "answer", "answers", "letter", "letters",
        "alternative", "is", "are", "be", "was", "it", "its", "it's", "that", "this", "so", "thus",
        "hence", "therefore", "then", "with", "for", "think", "believe", "say", "guess", "maybe",
        "probably", "likely", "definitely", "clearly", "or", "and", "but", "to", "as", "only", "just",
        "choose", "select", "pick", "leaving", "leaves", "because", "since", "while", "whereas", "if",
        "when", "either", "both", "all", "also", "not", "the", "correct", "right", "final", "my",
        "would", "must", "should", "i'd", "guess:", "say:", "conclude", "indeed", "perhaps", "surely",
        "certainly", "of", "between", "from", "than", "over", "'d", "actually", "instead", "rather",
        "i'm", "reason", "means", "mean", "by", "on", "at", "in",
    ]
)  # fmt: skip


def _named_by_noun(text: str, match: re.Match[str]) -> bool:
    """Whether a bare letter is part of a name: "Box A", "point A", "vitamin C"."""
    if match.group().strip("*_\"'“”‘’`$.")[:1] in "([":
        return False
    return named_by_noun(text, match.start())


def named_by_noun(text: str, place: int) -> bool:
    """Whether the word before a letter makes a name of it."""
    before = _NAME.search(text[max(0, place - 24) : place])
    return bool(before and before[1].lower() not in _NO_NAME)
