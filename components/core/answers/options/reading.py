"""The option that a text states.

Rules, in order; each is asked only where the ones before find nothing:

1. Rejected options do not count ("not A", "B rather than A", "A is wrong", "neither A nor B").
2. The last explicit statement: a mark, a box, "the option is B", "I choose B", "B is correct", "leaving B".
3. A letter or an option's text at the start; a last line that is a letter.
4. The only option that is mentioned by letter, then the only one whose text occurs.
5. Of several that occur, the one in the concluding sentence, or in the one sentence that repeats the question.

Several letters together ("A and C") are no answer. The rules follow the order of VLMEvalKit's option inference
(one candidate or none), but read statements where that asks a judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from components.core.answers.folding import EDGE
from components.core.answers.marks import answer_mark, before_next_question, boxed, marks, spoken, tagged
from components.core.answers.numbers import find_numbers, numbers_agree, parse_number
from components.core.answers.options.letters import (
    DECORATED,
    LETTERS,
    REJECTED,
    letter_of,
    letters_at,
    named_by_noun,
    without_rejected,
)
from components.core.answers.options.texts import OptionTexts, option_texts
from components.core.answers.refusals import refuses

SEVERAL = "several"
"""What is read where a text states several options together."""
_NOUN = r"(?:answers?|options?|choices?|letters?|selections?|picks?|alternatives?|solutions?|conclusions?|guess|votes?|responses?|ans)"
_FILL = (
    rf"(?:(?:therefore|thus|hence|clearly|indeed|most\s+likely|likely|probably|definitely|certainly|simply|just|actually|obviously|then|so|also|both|either|{_NOUN}"
    r"|the|number|labell?ed|marked|with|given\s+by|in|as|only|one|found\s+in|correct|right|best)\b|[\s:：,*_]|选项)*"
)
_IS = r"(?:\b(?:is|are|was|would\s+be|must\s+be|should\s+be|will\s+be|has\s+to\s+be|seems\s+to\s+be|appears\s+to\s+be|to\s+be|being|remains|['’]s)\b|[:：=→]|\s[-–—]\s)"
_OF_ANSWER = re.compile(
    rf"\b{_NOUN}(?:\s+(?!is\b|are\b|was\b|not\b)[a-z][a-z'’-]+|\s*\([^()A-Z]*\))"
    + r"{0,8}?"
    + rf"[*_\s]*{_IS}[*_\s]*{_FILL}",
)
_BY_VERB = re.compile(
    r"\b(?:choos(?:e|ing)|chose|select(?:ed|ing|s)?|pick(?:ed|ing)?|go(?:ing)?\s+(?:with|for)|went\s+with|opt(?:ed|ing)?\s+for|vot(?:e|ing)\s+for|settl(?:e|ing)\s+(?:on|for)"
    r"|say|guess|answer|prefer|conclude|leav(?:es|ing)|left\s+with|point(?:s|ing)?\s+to|favou?rs?|must\s+be|has\s+to\s+be|should\s+be"
    r"|makes\s+it|(?:it|this|that|which|answer)(?:['’]s|\s+is|\s+means|\s+leaves|\s+would\s+be)|['’]s)\b(?:\s+(?:us|me|only|behind|that|it|is)\b)*"
    + _FILL,
)
_BY_NOUN = re.compile(
    r"\b(?:correspond(?:s|ing)?\s+to|match(?:es|ing)?|labell?ed(?:\s+as)?|marked(?:\s+as)?|get|gives?|found\s+in|shown\s+in|is|in\s+line\s+with|agrees\s+with|supports?"
    rf"|consistent\s+with|described\s+by)\s+(?:the\s+)?{_NOUN}\s+",
)
_BY_SO = re.compile(
    r"(?:\b(?:so|thus|hence|therefore|consequently|accordingly|finally|overall|in\s+(?:conclusion|short|summary)|ultimately)\b|⇒|=>|∴|→|因此|所以|综上)\s*[,:，]?"
    + _FILL,
)
_BY_BUT = re.compile(
    rf"{REJECTED}[^.。\n]" + r"{0,40}?(?:\bbut\b|\brather\b|\binstead\b|而是|但是?|应该?是)" + _FILL
)
_BY_HAN = re.compile(
    r"(?:答案|选项|正确选项|正确答案|结论)[^。，,\nA-Z∅]{0,12}?(?:是|为|选择?|[:：])\s*(?:选项)?|(?:应该?|故|因此|所以|我|可以?|最终|最后|还是|就|只能|必须|请|)选(?:择|的是|项是|定)?[:：]?\s*(?:选项)?"
    r"|(?:而是|就是|应是|应为|应该是)\s*(?:选项)?|(?:只剩下?|剩下的?是?|留下)\s*(?:选项)?"
)
_BY_IS_HAN = re.compile(r"(?:是|为)\s*(?=[(（]?[A-Z][)）]?\s*(?:选项|项|$|[。，,.\s]))")
_ONLY = re.compile(rf"(?:\bonly\s+(?:{_NOUN}\s+)?|只有\s*(?:选项)?)$", re.IGNORECASE)
_NOUN_END = re.compile(rf"{_NOUN}\s*$|选项\s*$", re.IGNORECASE)
_IF_END = re.compile(r"\b(?:if|whether)\s+(?:option\s+)?$", re.IGNORECASE)
_PREDICATE = re.compile(
    r"\s*(?:\([^()]*\)\s*)?,?\s*(?:(?:is|are|was|must\s+be|would\s+be|should\s+be|has\s+to\s+be|seems?(?:\s+to\s+be)?|appears?\s+to\s+be|remains|['’]s)\s+(?:\w+ly\s+|also\s+|both\s+|the\s+|my\s+"
    r"|our\s+|a\s+|an\s+|much\s+|thus\s+|therefore\s+|hence\s+|then\s+|indeed\s+|only\s+|most\s+|single\s+|one\s+){0,4}(?:correct|right(?!\s+(?:next|of|side|above|hand|angle|below|behind))|true|best|answers?|choice|option"
    r"|closest|better|ideal|perfect|proper|appropriate|likely|valid|accurate|fit|match|pick|solution|winner|final)\b|(?:correct|right|yes|true)\b(?=\s*[.,;:!]|\s*$)|(?:选项|项)?\s*(?:是|都|最|才|为)*\s*(?:正确|对的|对|符合|合适|恰当|答案|成立))",
    re.IGNORECASE,
)
_FITS = re.compile(
    r"\s*(?:fits?|match(?:es)?|works?|does|satisf(?:y|ies)|makes?\s+sense|holds?|remains?|is\s+left|stands|it\s+is)\b",
    re.IGNORECASE,
)
_STATED_END = re.compile(
    r"[*_\"'”’$)]*\s*(?:$|[.,;:!?()\n。，；！—–]|-\s|\b(?:because|since|as|for|over|given|which|with|in|by|instead|rather)\b|选项|项|的|因|是)",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"[\s\"'“‘`*_$]*(?:(?:(?:option|choice|answer|letter|ans)\b\.?|选项?|答案?)\s*[:：]?\s*)?", re.IGNORECASE
)
_LEADING_END = re.compile(
    r"[*_\"'”’`$]*\s*(?:$|[.,:;)!?、。，：；！\]\n]|[-–—]\s|\b(?:because|since|as|for|is|but|rather|instead|over)\b|[一-鿿])"
)
_ENUMERATED = re.compile(
    r"(?<![\w'’(（])(?:[-*•]\s*)?(?:\*\*)?(?:[Oo]ption\s+)?[(（]?([A-Z])[.):：）](?:\*\*)?\s*(?=\S)"
)
_MENTION = re.compile(
    r"\b(?:[Oo]ption|[Cc]hoice|[Ll]etter)s?\s+(?=[*_\"'“(\[]*[A-Z])|选项?\s*(?=[(（]?[A-Z])"
)
_LABEL_NOUN = re.compile(
    r"\b(?:panel|figure|fig\.?|image|picture|photo|graph|part|section|point|box|diagram|step|equation|eq\.?|row|column|group|region|area|curve|line|circle|triangle|label"
    r"|labell?ed|marked|position|place|site|node|vertex|spot|object|item|structure|arrow|map|plot|chart|sample|tube|jar|flask|beaker)s?\s+[*_\"'“]*$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?。！？])(?=\s|[^\s\d.)*\"'”’])|\n+")
_CONCLUDES = re.compile(
    r"\W*(?:so|thus|hence|therefore|consequently|in\s+(?:conclusion|summary|short|the\s+end)|overall|finally|ultimately|we\s+(?:conclude|get)|因此|所以|综上|故|总之|可见|于是)\b",
    re.IGNORECASE,
)
_STOP = frozenset(
    "the a an of in on at to is are was were be been do does did which what who whom whose when where why how and or than that this these those it its with for from by as".split()
)
_SUPPOSES = re.compile(r"\W*(?:if|suppose|assuming|were|whether|如果|假如|若)\b", re.IGNORECASE)
_NEITHER = re.compile(r"\bneither\b|\bnone\s+of\b|都不|均不|没有一个", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:than|instead\s+of|rather\s+than|unlike|while|whereas|but|compared\s+(?:to|with))\b", re.IGNORECASE
)


class Statement(NamedTuple):
    """A place where a text commits itself."""

    place: int
    answer: str
    """Letter; `SEVERAL`; "" for an explicit end without an answer."""


def choice_letter(text: str, choices: Sequence[str] = (), question: str = "", *, stated: bool = False) -> str:
    """The upper-case letter of the option that `text` states, "" if it states none or several.

    Args:
        text: an answer or a whole response.
        choices: texts of the options; without them the letters A to H are known.
        question: what was asked, if it is known: it tells apart sentences about several options.
        stated: look only for an explicit statement, not for options that are mentioned.
    """
    plain = text.strip(EDGE)
    if len(plain) == 1 and plain.isascii() and plain.isalpha():
        return _valid(plain.upper(), len(choices) or 8) or _by_equal(plain, option_texts(tuple(choices)))
    if not plain:
        return ""
    if not plain.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = before_next_question(spoken(text))
    texts = option_texts(tuple(choices))
    inner = tagged(text)
    if inner is not None:
        text = inner
    if stated:
        found = _statements(without_rejected(_windows(text), texts), texts)
        return _valid(found[-1].answer, len(choices) or 8) if found else ""
    return _read(text, texts, question) if text else ""


def _read(text: str, texts: OptionTexts, question: str) -> str:
    count = len(texts) or 8
    if whole := _by_equal(text, texts):
        return whole
    short = without_rejected(_windows(text), texts)
    stated = _statements(short, texts)
    if stated:
        return _valid(stated[-1].answer, count)
    kept = short if len(short) >= len(text) - 2 else without_rejected(text, texts)
    if _lists_options(kept, texts):
        return ""
    if (opening := _leading(kept, texts)) is not None:
        return _valid(opening, count)
    if (closing := _last_line(kept, texts)) is not None:
        return _valid(closing, count)
    if REJECTED in kept and _NEITHER.search(text):
        return ""
    mentioned, hits = _mentioned(kept, texts), texts.found(kept)
    if len(hits) == 1 and mentioned <= set(_CAPITAL.findall(texts.choices[next(iter(hits))])):
        mentioned = set()  # letters within an option's text: "C and D"
    if mentioned and not _BRACKETED.search(kept):
        mentioned |= _bare(kept, count)
    if len(mentioned) == 1:
        return _valid(mentioned.pop(), count)
    if not mentioned and len(hits) != 1:
        bare = _bare(kept, count)
        if len(bare) == 1:
            return bare.pop()
        if bare:
            return ""
    return _by_text(kept, texts, question, mentioned, hits)


def _valid(letter: str, count: int) -> str:
    return letter if len(letter) == 1 and letter in LETTERS[:count] else ""


def _by_equal(text: str, texts: OptionTexts) -> str:
    """The option whose text is all that is said, unless that is the letter of an option (gears P, R, N, D)."""
    plain = text.strip(EDGE + ".()[]")
    if len(plain) == 1 and plain.upper() in LETTERS[: len(texts)]:
        return ""
    number = texts.equal(text) if len(text) < 400 else None
    return LETTERS[number] if number is not None else ""


_CUE = re.compile(
    r"(?<![A-Za-z0-9'’])[A-HJ-Z](?![A-Za-z0-9'’])|[(\[][a-z][)\]]|[Aa]nswer|ANSWER|[Oo]ption|[Cc]hoice|\\f?box|####|[选答正]|[是为对]\s*[A-Z]"
)
_AROUND = 140


def _windows(text: str) -> str:
    """A long text without the parts that name no letter and no answer: statements stand near one of these."""
    if len(text) <= 2 * _AROUND:
        return text
    spans = [(0, _AROUND)]
    for cue in [*((m.start(), m.end()) for m in _CUE.finditer(text)), (len(text), len(text))]:
        begin, end = max(0, cue[0] - _AROUND), cue[1] + _AROUND
        if begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((text.find(" ", begin, cue[0]) + 1 or begin, end))
    return text if len(spans) == 1 else "\n\n".join(text[a:b] for a, b in spans)


def _joined(letters: list[str]) -> str:
    return letters[0] if len(set(letters)) == 1 else SEVERAL


# ---- statements ----------------------------------------------------------------------------------


def _statements(text: str, texts: OptionTexts) -> list[Statement]:
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
    lettered = bool(_CAPITAL.search(text))
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
        return _joined(letters)
    if re.fullmatch(r"[A-Z](?:\s*[,、]?\s*[A-Z])+", content) and texts.equal(content) is None:
        return SEVERAL
    if letters:
        return _joined(letters)
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
    if _joined(letters) == letters[0] and not _valid(letters[0], len(texts) or 8):
        named = texts.equal(letters[0])
        return [Statement(match.start(), LETTERS[named] if named is not None else "")]
    return [Statement(match.start(), _joined(letters))]


def _text_slot(text: str, match: re.Match[str], texts: OptionTexts) -> list[Statement]:
    """The option whose text stands in the sentence behind "the answer is"."""
    rest = _SENTENCE.split(text[match.end() :].lstrip("\n "), maxsplit=1)[0]
    if not rest or not len(texts):
        return []
    leading = texts.leading(rest)
    if leading is not None:
        return [Statement(match.start(), LETTERS[leading[0]])]
    hits = texts.found(rest) if len(rest) < 300 else {}
    if len(hits) == 1:
        return [Statement(match.start(), LETTERS[next(iter(hits))])]
    return []


_CAPITAL = re.compile(r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9])|(?<=\()[a-z](?=\))")


def _predicates(text: str, texts: OptionTexts) -> list[Statement]:
    """Letters with a predicate behind them: "option B is the right answer", "only C fits", B正确."""
    found: list[Statement] = []
    done = 0
    for match in _CAPITAL.finditer(text):
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
        if _PREDICATE.match(text, end) and not _IF_END.search(before):
            found.append(Statement(start, _joined(letters)))
        elif (option or text[start] in "([" or text.startswith(" it is", end)) and _FITS.match(text, end):
            found.append(Statement(start, _joined(letters)))
        elif _ONLY.search(before):
            found.append(Statement(start, _joined(letters)))
    return found


# ---- letters without a statement -----------------------------------------------------------------


def _lists_options(text: str, texts: OptionTexts) -> bool:
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


def _leading(text: str, texts: OptionTexts) -> str | None:
    """The letter or option's text at the start of a text; None if it starts with neither."""
    begin = _LEADING.match(text)
    start = begin.end() if begin else 0
    letters, end = letters_at(text, start, texts, lower=True)
    if letters and _leads(text, start, end, letters, texts):
        if letters == ["A"] and (other := _answer_colon(text, start, texts)):
            return other
        single = _joined(letters)
        if len(single) == 1 and not _valid(single, len(texts) or 8):
            named = texts.equal(single)
            return LETTERS[named] if named is not None else ""
        return single
    leading = texts.leading(text)
    if leading is None:
        return None
    sentence = _SENTENCE.split(text.strip(), maxsplit=1)[0]
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


def _last_line(text: str, texts: OptionTexts) -> str | None:
    """The letter that is all of the last line, alone or with its option's text."""
    lines = [line for line in text.splitlines() if line.strip(EDGE)]
    if len(lines) < 2:
        return None
    line = lines[-1].strip(EDGE + "#$")
    letters, end = letters_at(line, 0, texts, lower=True)
    if not letters or line[end:].strip(EDGE + ".$!。"):
        return None
    before = _ENUMERATED.match(lines[-2].strip())
    return None if before and before[1] != letters[0] else _joined(letters)


def _mentioned(text: str, texts: OptionTexts) -> set[str]:
    """Letters that are written as options: "(B)", "option B"; not those of panels and points."""
    letters = set()
    for match in DECORATED.finditer(text):
        before = text[max(0, match.start() - 24) : match.start()]
        bare = match[4] is not None and named_by_noun(text, match.start(4))
        if not _LABEL_NOUN.search(before) and not bare:
            letters.add(letter_of(match))
    for match in _MENTION.finditer(text):
        letters |= set(letters_at(text, match.end(), texts)[0])
    return {letter for letter in letters if _valid(letter, len(texts) or 8)}


_BRACKETED = re.compile(r"[(\[*][A-Z][)\]*]|\b(?:[Oo]ption|[Cc]hoice)\s")
_ALONE = re.compile(
    r"(?<![A-Za-z0-9_'’&/°∠△#.^+=-])(?<!° )(?<!\d )(?<![=+<>] )([A-Z])(?![A-Za-z0-9_'’°#♯♭&/^+=-]|\s[=+<>])"
)


def _bare(text: str, count: int) -> set[str]:
    """Bare letters that no noun before them and no word behind "A" or "I" makes something else."""
    letters = set()
    for match in _ALONE.finditer(text):
        if match[1] in "AI" and re.match(r"\s+[A-Za-z]", text[match.end() :]):
            if not re.match(r"\s+(?:or|and|is|because|since|to(?=\s+[A-Z]\b))\b", text[match.end() :]):
                continue
        if not named_by_noun(text, match.start()) and _valid(match[1], count):
            letters.add(match[1])
    return letters


# ---- texts ---------------------------------------------------------------------------------------


def _by_text(text: str, texts: OptionTexts, question: str, mentioned: set[str], hits: dict[int, int]) -> str:
    """The option whose text or letter answers in running text; a number option by the stated number."""
    if len(hits) == 1 and not mentioned:
        return LETTERS[next(iter(hits))]
    if not hits and not mentioned:
        return "" if refuses(text) else _by_number(text, texts, question)
    sentences = [s for s in _SENTENCE.split(text) if s and s.strip(EDGE) and not _SUPPOSES.match(s)]
    if hits and not mentioned and (number := _by_number(text, texts, question)):
        return number
    named = [(s, _named_in(s, texts)) for s in sentences]
    named = [(s, letters) for s, letters in named if letters]
    if len(named) > 1 or (named and len(named[0][1]) == 1):
        last, letters = named[-1]
        if len(letters) == 1 and _CONCLUDES.match(last):
            return letters.pop()
        single = [(_overlap(s, question), letters) for s, letters in named if len(letters) == 1]
        if single and question:
            best = max(score for score, _ in single)
            winners = {next(iter(letters)) for score, letters in single if score == best}
            if best > 0 and len(winners) == 1:
                return winners.pop()
    return ""


def _named_in(sentence: str, texts: OptionTexts) -> set[str]:
    letters = {LETTERS[number] for number in texts.found(sentence)}
    mentioned = _mentioned(sentence, texts)
    return mentioned if mentioned and (not letters or mentioned & letters) else letters


def _overlap(sentence: str, question: str) -> int:
    """How many content words of the question a sentence repeats, by their first five letters."""
    return len(_stems(sentence) & _stems(question))


def _stems(text: str) -> set[str]:
    return {w[:5] for w in re.findall(r"[a-z]{3,}|[一-鿿]", text.lower()) if w not in _STOP}


def _by_number(text: str, texts: OptionTexts, question: str) -> str:
    """The option that writes the number that the text states, whatever its spaces and its unit's spelling."""
    if not any(any(c.isdigit() for c in choice) for choice in texts.choices):
        return ""
    quantities = [find_numbers(choice) for choice in texts.choices]
    if not all(len(found) == 1 for found in quantities):
        return ""
    stated = parse_number(text, question)
    if stated is None or "/" in stated.text:
        return ""
    same = [n for n, (q,) in enumerate(quantities) if "/" not in q.text and numbers_agree(q, stated, 1e-9)]
    return LETTERS[same[0]] if len(same) == 1 else ""
