"""The option that a text states.

Rules, in order; each is asked only where the ones before find nothing:

1. Rejected options do not count ("not A", "B rather than A", "A is wrong", "neither A nor B").
2. The last explicit statement: a mark, a box, "the option is B", "I choose B", "B is correct".
3. A letter or an option's text at the start; a last line that is a letter.
4. The only option that is mentioned by letter, then the only one whose text occurs.
5. Of several the one in the concluding sentence, or in the sentence that repeats the question.

Several letters together ("A and C") are no answer. As in VLMEvalKit's option inference there is one candidate
or none; statements in sentences are read here without a judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from components.core.answers.folding import EDGE
from components.core.answers.marks import before_next_question, spoken, tagged
from components.core.answers.numbers import find_numbers, numbers_agree, parse_number
from components.core.answers.options.letters import LETTERS, REJECTED, without_rejected
from components.core.answers.options.mentions import (
    bare_of,
    last_line,
    leading_of,
    lists_options,
    mentioned_of,
)
from components.core.answers.options.statements import CAPITAL, SENTENCE, statements, valid
from components.core.answers.options.texts import OptionTexts, option_texts
from components.core.answers.refusals import refuses

_CONCLUDES = re.compile(
    r"\W*(?:so|thus|hence|therefore|consequently|in\s+(?:conclusion|summary|short|the\s+end)|overall"
    r"|finally|ultimately|we\s+(?:conclude|get)|因此|所以|综上|故|总之|可见|于是)\b",
    re.IGNORECASE,
)
_STOP = frozenset(
    [
        "the", "a", "an", "of", "in", "on", "at", "to", "is", "are", "was", "were", "be", "been", "do",
        "does", "did", "which", "what", "who", "whom", "whose", "when", "where", "why", "how", "and",
        "or", "than", "that", "this", "these", "those", "it", "its", "with", "for", "from", "by", "as",
    ]
)  # fmt: skip
_SUPPOSES = re.compile(r"\W*(?:if|suppose|assuming|were|whether|如果|假如|若)\b", re.IGNORECASE)
_NEITHER = re.compile(r"\bneither\b|\bnone\s+of\b|都不|均不|没有一个", re.IGNORECASE)


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
        return valid(plain.upper(), len(choices) or 8) or _by_equal(plain, option_texts(tuple(choices)))
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
        found = statements(without_rejected(_windows(text), texts), texts)
        return valid(found[-1].answer, len(choices) or 8) if found else ""
    return _read(text, texts, question) if text else ""


_FINAL = re.compile(
    r"\b(?:[Aa]nswer|[Oo]ption|[Cc]hoice)(?:\s+is\s*[:：]?|\s*[:：])\s*[*(\[]{0,3}([A-Z])[)\].*]{0,4}\s*$"
)
"""The commonest end of a response: nothing can follow that would state something else."""


def _read(text: str, texts: OptionTexts, question: str) -> str:
    count = len(texts) or 8
    if (final := _FINAL.search(text, max(0, len(text) - 40))) and valid(final[1], count):
        return final[1]
    if whole := _by_equal(text, texts):
        return whole
    short = without_rejected(_windows(text), texts)
    stated = statements(short, texts)
    if stated:
        return valid(stated[-1].answer, count)
    kept = short if len(short) >= len(text) - 2 else without_rejected(text, texts)
    if lists_options(kept, texts):
        return ""
    if (opening := leading_of(kept, texts)) is not None:
        return valid(opening, count)
    if (closing := last_line(kept, texts)) is not None:
        return valid(closing, count)
    if REJECTED in kept and _NEITHER.search(text):
        return ""
    mentioned, hits = mentioned_of(kept, texts), texts.found(kept)
    if len(hits) == 1 and mentioned <= set(CAPITAL.findall(texts.choices[next(iter(hits))])):
        mentioned = set()  # letters within an option's text: "C and D"
    if mentioned and not _BRACKETED.search(kept):
        mentioned |= bare_of(kept, count)
    if len(mentioned) == 1:
        return valid(mentioned.pop(), count)
    if not mentioned and len(hits) != 1:
        bare = bare_of(kept, count)
        if len(bare) == 1:
            return bare.pop()
        if bare:
            return ""
    return _by_text(kept, texts, question, mentioned, hits)


def _by_equal(text: str, texts: OptionTexts) -> str:
    """The option whose text is all that is said, unless that is an option's letter (gears P, R, N, D)."""
    plain = text.strip(EDGE + ".()[]")
    if len(plain) == 1 and plain.upper() in LETTERS[: len(texts)]:
        return ""
    number = texts.equal(text) if len(text) < 400 else None
    return LETTERS[number] if number is not None else ""


_CUE = re.compile(
    r"(?<![A-Za-z0-9'’])[A-HJ-Z](?![A-Za-z0-9'’])|[(\[][a-z][)\]]|[Aa]nswer|ANSWER|[Oo]ption|[Cc]hoice"
    r"|\\f?box|####|[选答正]|[是为对]\s*[A-Z]"
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


_BRACKETED = re.compile(r"[(\[*][A-Z][)\]*]|\b(?:[Oo]ption|[Cc]hoice)\s")


def _by_text(text: str, texts: OptionTexts, question: str, mentioned: set[str], hits: dict[int, int]) -> str:
    """The option whose text or letter answers in running text; a number option by the stated number."""
    if len(hits) == 1 and not mentioned:
        return LETTERS[next(iter(hits))]
    if not hits and not mentioned:
        return "" if refuses(text) else _by_number(text, texts, question)
    sentences = [s for s in SENTENCE.split(text) if s and s.strip(EDGE) and not _SUPPOSES.match(s)]
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
    mentioned = mentioned_of(sentence, texts)
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
