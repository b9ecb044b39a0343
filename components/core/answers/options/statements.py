"""Explicit statements of an option: "the answer is B", "I choose B", a box, "B is correct", 应选B."""

from __future__ import annotations

import re
from typing import NamedTuple

from components.core.answers.folding import EDGE
from components.core.answers.marks import marks
from components.core.answers.options.letters import LETTERS, REJECTED, letters_at, named_by_noun
from components.core.answers.options.texts import OptionTexts

SEVERAL = "several"
"""What is read where a text states several options together."""
_NOUN = (
    r"(?:answers?|options?|choices?|letters?|selections?|picks?|alternatives?|solutions?|conclusions?"
    r"|guess|votes?|responses?|ans)"
)
_FILL = (
    r"(?:(?:therefore|thus|hence|clearly|indeed|most\s+likely|likely|probably|definitely|certainly"
    rf"|simply|just|actually|obviously|then|so|also|both|either|{_NOUN}"
    r"|the|number|labell?ed|marked|with|given\s+by|in|as|only|one|found\s+in|correct|right|best)\b"
    r"|[\s:：,*_]|选项)*"
)
_IS = (
    r"(?:\b(?:is|are|was|would\s+be|must\s+be|should\s+be|will\s+be|has\s+to\s+be|seems\s+to\s+be"
    r"|appears\s+to\s+be|to\s+be|being|remains|['’]s)\b|[:：=→]|\s[-–—]\s)"
)
_OF_ANSWER = re.compile(
    rf"\b{_NOUN}(?:\s+(?!is\b|are\b|was\b|not\b)[a-z][a-z'’-]+|\s*\([^()A-Z]*\))"
    + r"{0,8}?"
    + rf"[*_\s]*{_IS}[*_\s]*{_FILL}",
)
_BY_VERB = re.compile(
    r"\b(?:choos(?:e|ing)|chose|select(?:ed|ing|s)?|pick(?:ed|ing)?|go(?:ing)?\s+(?:with|for)"
    r"|went\s+with|opt(?:ed|ing)?\s+for|vot(?:e|ing)\s+for|settl(?:e|ing)\s+(?:on|for)"
    r"|say|guess|answer|prefer|conclude|leav(?:es|ing)|left\s+with|point(?:s|ing)?\s+to|favou?rs?"
    r"|must\s+be|has\s+to\s+be|should\s+be"
    r"|makes\s+it|(?:it|this|that|which|answer)(?:['’]s|\s+is|\s+means|\s+leaves|\s+would\s+be)"
    r"|['’]s)\b(?:\s+(?:us|me|only|behind|that|it|is)\b)*" + _FILL,
)
_BY_NOUN = re.compile(
    r"\b(?:correspond(?:s|ing)?\s+to|match(?:es|ing)?|labell?ed(?:\s+as)?|marked(?:\s+as)?|get|gives?"
    r"|found\s+in|shown\s+in|is|in\s+line\s+with|agrees\s+with|supports?"
    rf"|consistent\s+with|described\s+by)\s+(?:the\s+)?{_NOUN}\s+",
)
_BY_SO = re.compile(
    r"(?:\b(?:so|thus|hence|therefore|consequently|accordingly|finally|overall|in\s+(?:conclusion|short"
    r"|summary)|ultimately)\b|⇒|=>|∴|→|因此|所以|综上)\s*[,:，]?" + _FILL,
)
_BY_BUT = re.compile(
    rf"{REJECTED}[^.。\n]" + r"{0,40}?(?:\bbut\b|\brather\b|\binstead\b|而是|但是?|应该?是)" + _FILL
)
_BY_HAN = re.compile(
    r"(?:答案|选项|正确选项|正确答案|结论)[^。，,\nA-Z∅]{0,12}?(?:是|为|选择?|[:：])\s*(?:选项)?|(?:应该?|故|因此|所以|我|可以?|最终|最后|还是"
    r"|就|只能|必须|请|)选(?:择|的是|项是|定)?[:：]?\s*(?:选项)?"
    r"|(?:而是|就是|应是|应为|应该是)\s*(?:选项)?|(?:只剩下?|剩下的?是?|留下)\s*(?:选项)?"
)
_BY_IS_HAN = re.compile(r"(?:是|为)\s*(?=[(（]?[A-Z][)）]?\s*(?:选项|项|$|[。，,.\s]))")
_ONLY = re.compile(rf"(?:\bonly\s+(?:{_NOUN}\s+)?|只有\s*(?:选项)?)$", re.IGNORECASE)
_NOUN_END = re.compile(rf"{_NOUN}\s*$|选项\s*$", re.IGNORECASE)
_IF_END = re.compile(r"\b(?:if|whether)\s+(?:option\s+)?$", re.IGNORECASE)
_PREDICATE = re.compile(
    r"\s*(?:\([^()]*\)\s*)?,?\s*(?:(?:is|are|was|must\s+be|would\s+be|should\s+be|has\s+to\s+be"
    r"|seems?(?:\s+to\s+be)?|appears?\s+to\s+be|remains|['’]s)\s+(?:\w+ly\s+|also\s+|both\s+|the\s+|my\s+"
    r"|our\s+|a\s+|an\s+|much\s+|thus\s+|therefore\s+|hence\s+|then\s+|indeed\s+|only\s+|most\s+"
    r"|single\s+|one\s+){0,4}(?:correct|right(?!\s+(?:next|of|side|above|hand|angle|below|behind))|true"
    r"|best|answers?|choice|option"
    r"|closest|better|ideal|perfect|proper|appropriate|likely|valid|accurate|fit|match|pick|solution"
    r"|winner|final)\b|(?:correct|right|yes|true)\b(?=\s*[.,;:!]|\s*$)|(?:选项|项)?\s*(?:是|都|最|才"
    r"|为)*\s*(?:正确|对的|对|符合|合适|恰当|答案|成立))",
    re.IGNORECASE,
)
_FITS = re.compile(
    r"\s*(?:fits?|match(?:es)?|works?|does|satisf(?:y|ies)|makes?\s+sense|holds?|remains?|is\s+left"
    r"|stands|it\s+is)\b",
    re.IGNORECASE,
)
_STATED_END = re.compile(
    r"[*_\"'”’$)]*\s*(?:$|[.,;:!?()\n。，；！—–]|-\s|\b(?:because|since|as|for|over|given|which|with|in|by"
    r"|instead|rather)\b|选项|项|的|因|是)",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?。！？])(?=\s|[^\s\d.)*\"'”’])|\n+")


class Statement(NamedTuple):
    """A place where a text commits itself."""

    place: int
    answer: str
    """Letter; `SEVERAL`; "" for an explicit end without an answer."""


def valid(letter: str, count: int) -> str:
    return letter if len(letter) == 1 and letter in LETTERS[:count] else ""


def joined(letters: list[str]) -> str:
    return letters[0] if len(set(letters)) == 1 else SEVERAL


def statements(text: str, texts: OptionTexts) -> list[Statement]:
    """All explicit statements of a text, in order of their places."""
    found: list[Statement] = []
    for mark in marks(text):
        if mark.kind in ("box", "hashes"):
            if answer := _of_content(mark.text, texts):
                found.append(Statement(mark.start, answer))
        elif not mark.text.strip(EDGE + ":"):
            found.append(Statement(mark.start, ""))
    lowered = _lowered(text)
    if any(noun in lowered for noun in _NOUNS):
        for match in _OF_ANSWER.finditer(lowered):
            found += _slot(text, match, texts, lower=True, free=True) or _text_slot(text, match, texts)
        for match in _BY_NOUN.finditer(lowered):
            found += _slot(text, match, texts, lower=True, free=True)
    lettered = bool(CAPITAL.search(text))
    for match in _BY_VERB.finditer(lowered):
        found += _slot(text, match, texts, lower=True)
    if lettered and any(word in lowered for word in _SO_WORDS):
        for match in _BY_SO.finditer(lowered):
            found += _slot(text, match, texts)
    if REJECTED in text:
        for match in _BY_BUT.finditer(lowered):
            found += _slot(text, match, texts, lower=True)
    if not text.isascii():
        for pattern in (_BY_HAN, _BY_IS_HAN):
            for match in pattern.finditer(text):
                found += _slot(text, match, texts, free=True) or _text_slot(text, match, texts)
    if lettered:
        found += _predicates(text, texts)
    return sorted(found, key=lambda statement: statement.place)


_NOUNS = (
    "answer",
    "option",
    "choice",
    "letter",
    "selection",
    "pick",
    "alternative",
    "solution",
    "conclusion",
    "guess",
    "vote",
    "response",
    "ans",
)
_SO_WORDS = (
    "so",
    "thus",
    "hence",
    "fore",
    "consequently",
    "accordingly",
    "finally",
    "overall",
    "in ",
    "ultim",
    "⇒",
    "=>",
    "∴",
    "→",
    "因",
    "所",
    "综",
)


def _lowered(text: str) -> str:
    """The text in lower case at the same places."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if c.isascii() else c for c in text)


def _of_content(content: str, texts: OptionTexts) -> str:
    """The answer in a box: a letter, letters, or an option's text."""
    content = content.strip(EDGE + "$")
    letters, end = letters_at(content, 0, texts, lower=True)
    if letters and not content[end:].strip(EDGE + ".$"):
        return joined(letters)
    if re.fullmatch(r"[A-Z](?:\s*[,、]?\s*[A-Z])+", content) and texts.equal(content) is None:
        return SEVERAL
    if letters:
        return joined(letters)
    number = texts.equal(content)
    return LETTERS[number] if number is not None else ""


def _slot(
    text: str, match: re.Match[str], texts: OptionTexts, lower: bool = False, free: bool = False
) -> list[Statement]:
    """The letters right behind a pattern; bare ones that are not `free` have to end a clause."""
    letters, end = letters_at(text, match.end(), texts, lower)
    if not letters:
        run = re.compile(r"([A-Z]{2,})(?![A-Za-z])").match(text, match.end())
        if run and lower and list(run[1]) == sorted(set(run[1])) and ord(run[1][-1]) - 65 < (len(texts) or 8):
            return [Statement(match.start(), SEVERAL)] if texts.equal(run[1]) is None else []
        return []
    if not free and text[match.end() : match.end() + 1].isalpha() and not _STATED_END.match(text, end):
        return []
    if len(letters) > 1 and (named := texts.equal(text[match.end() : end])) is not None:
        return [Statement(match.start(), LETTERS[named])]
    if joined(letters) == letters[0] and not valid(letters[0], len(texts) or 8):
        named = texts.equal(letters[0])
        return [Statement(match.start(), LETTERS[named] if named is not None else "")]
    return [Statement(match.start(), joined(letters))]


def _text_slot(text: str, match: re.Match[str], texts: OptionTexts) -> list[Statement]:
    """The option whose text stands in the sentence behind "the answer is"."""
    rest = SENTENCE.split(text[match.end() :].lstrip("\n "), maxsplit=1)[0]
    if not rest or not len(texts):
        return []
    leading = texts.leading(rest)
    if leading is not None:
        return [Statement(match.start(), LETTERS[leading[0]])]
    hits = texts.found(rest) if len(rest) < 300 else {}
    if len(hits) == 1:
        return [Statement(match.start(), LETTERS[next(iter(hits))])]
    return []


CAPITAL = re.compile(r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9])|(?<=\()[a-z](?=\))")


def _predicates(text: str, texts: OptionTexts) -> list[Statement]:
    """Letters with a predicate behind them: "option B is the right answer", "only C fits", B正确."""
    found: list[Statement] = []
    done = 0
    for match in CAPITAL.finditer(text):
        if match.start() < done:
            continue
        start = match.start() - (
            text[match.start() - 1 : match.start()] in ("(", "[", "*", '"', "'", "$") if match.start() else 0
        )
        letters, end = letters_at(text, start, texts, lower=True)
        if not letters:
            continue
        done = end
        before = text[max(0, start - 24) : start]
        if text[start : start + 1].isalpha() and named_by_noun(text, start):
            continue
        option = bool(_NOUN_END.search(before))
        if (
            (_PREDICATE.match(text, end) and not _IF_END.search(before))
            or ((option or text[start] in "([" or text.startswith(" it is", end)) and _FITS.match(text, end))
            or _ONLY.search(before)
        ):
            found.append(Statement(start, joined(letters)))
    return found
