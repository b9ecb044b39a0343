"""The short answer in a response to a benchmark: thoughts, boxes, tags, options, yes or no, numbers, lists.

Builds on `components.core.answers`, which reads the short responses of the project's own models.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from components.core.answers import Quantity, extract_staged, find_numbers, normalise, parse_number
from components.core.answers.extraction import LETTERS, Extraction, Stage
from components.core.benchmarks.rules import UNREAD, Item, Scored

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_CUT_THOUGHT = re.compile(r"<think>.*", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_HASHES = re.compile(r"^#{4}\s*(.+)$", re.MULTILINE)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boldsymbol)\{([^{}]*)\}")
_EDGE = " \t\r\n\"'“”‘’`*_"


def final_text(response: str) -> str:
    """A response without its thoughts; an answer in tags, ``\\boxed`` or after ``####`` becomes a marked one.

    Thoughts that were cut leave nothing: the model did not come to an answer.
    """
    text = _CUT_THOUGHT.sub("", _THOUGHT.sub("", response))
    text = text.rsplit("</think>", 1)[-1].strip()
    for pattern in (_TAGGED, _HASHES):
        if found := pattern.findall(text):
            return f"Answer: {found[-1].strip()}" if found[-1].strip() else ""
    inner = boxed(text)
    return text if inner is None else "Answer: " + _WRAPPED.sub(r"\1", inner).strip()


def boxed(text: str) -> str | None:
    """Content of the last ``\\boxed{…}`` or ``\\fbox{…}``, nested braces included; None if there is none."""
    starts = [match.end() for match in re.finditer(r"\\f?boxed\s*\{|\\fbox\s*\{", text)]
    if not starts:
        return None
    depth = 1
    for place in range(starts[-1], len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[starts[-1] : place]
    return text[starts[-1] :]


def answer_line(response: str) -> tuple[bool, str]:
    """Whether a response marks its answer, and the marked line (else the whole text)."""
    text = final_text(response)
    line = extract_staged(text, "span").text
    return line != text.strip(_EDGE).rstrip(".。").strip(_EDGE) and line != text.strip(_EDGE), line


def score_closed(response: str, item: Item) -> Scored:
    """Right or wrong for options and yes/no: the letter or word is the reference."""
    text = final_text(response)
    answer, stage = _choice(text, item.choices) if item.answer_type == "choice" else _yes_no(text)
    if not answer:
        return UNREAD
    said, truth = (normalise(text, item.answer_type, item.choices) for text in (answer, item.reference))
    return Scored(answer, stage, float(said == truth))


# ---- numbers -------------------------------------------------------------------------------------

_CLAUSE = re.compile(
    r"[.。!?;；](?=\s|$|[^\d\s.])|[,，](?=\s|[^\d\s])|\b(?:because|since|so that|where)\b|因为"
)


def read_number(response: str) -> tuple[Quantity | None, Stage]:
    """The number that answers, with its stage.

    After a mark: the first number of the first clause that has one, behind its last ``=``.
    Without a mark: the last number of the response.
    """
    marked, line = answer_line(response)
    if not marked:
        quantity = parse_number(line)
        if quantity is None:
            return None, "none"
        bare = line.strip(_EDGE + ".。$()").casefold() in (quantity.text.casefold(), f"{quantity.text}%")
        return quantity, "exact" if bare else "rules"
    for clause in _CLAUSE.split(line):
        found = find_numbers((clause or "").rsplit("=", 1)[-1])
        if found:
            return found[0], "exact"
    return None, "none"


def values_of(quantity: Quantity) -> tuple[float, ...]:
    """A quantity's value; with a percent sign also the fraction that it means."""
    return (quantity.value, quantity.value / 100) if quantity.unit in ("%", "percent") else (quantity.value,)


def is_number(text: str) -> bool:
    """Whether a reference is a number, with a sign, separators, a currency or a percent sign at most."""
    return bool(re.fullmatch(r"\s*[-+−]?[$€£¥]?\s*[\d.,]*\d\s*%?\s*", text))


def entries(line: str, targets: Sequence[str]) -> list[str]:
    """Entries of an enumeration, in its last brackets if it has any: numbers if `targets` are, else texts."""
    brackets = re.findall(r"\[([^\[\]]*)\]|\{([^{}]*)\}|\(([^()]*,[^()]*)\)", line)
    inner = next((part for part in brackets[-1] if part), "") if brackets else line
    if all(map(is_number, targets)):
        return [quantity.text for quantity in find_numbers(inner.replace(", ", " ; ").replace("，", " ; "))]
    parts = re.split(r"\s*[,;、，；/]\s*(?:and\s+)?|\s+and\s+|和|以及", inner)
    return [part.strip(" '\"“”.") for part in parts if part.strip(" '\"“”.")]


# ---- multiple choice -----------------------------------------------------------------------------

_ONE = r"[(\[（]?\s*(?<![A-Za-z])[A-H](?![A-Za-z])\s*[)\]）.]?"
_SEVERAL = re.compile(rf"^{_ONE}(?:\s*(?:[,，、/&;]|\band\b|\bor\b|和|或|\s)\s*{_ONE})+$")
_ENUMERATED = re.compile(r"(?<![\w'’(（])[(（]?([A-H])[.):：）]\s*(?=\S)")
_HAN_NAMED = re.compile(
    r"(?:是|选|为)\s*[(（]?([A-Z])[)）]?(?=选项|项|$|[。，,.\s])|([A-Z])\s*(?:选项|项)?(?:是)?正确"
)


def _choice(text: str, choices: Sequence[str]) -> Extraction:
    """The option's letter; "" where several are named or the options are only gone through."""
    text = unicodedata.normalize("NFKC", text)
    marked, line = answer_line(text)
    line = line.strip(_EDGE)
    if _SEVERAL.match(line.rstrip(".。!")) and len(set(re.findall(r"[A-H]", line))) > 1:
        return Extraction("", "none")
    if not marked and _goes_through_options(line):
        return Extraction("", "none")
    found = extract_staged(text, "choice", choices)
    if found.text:
        return found
    valid = LETTERS[: len(choices)] if choices else LETTERS[:8]
    named = {first or second for first, second in _HAN_NAMED.findall(line)} & set(valid)
    return Extraction(named.pop(), "rules") if len(named) == 1 else Extraction("", "none")


def _goes_through_options(text: str) -> bool:
    """Whether a text discusses "A: …, B: …" from its start, so that the first letter is no answer."""
    opening = _ENUMERATED.match(text)
    if not opening or opening.group(1) != "A":
        return False
    return "B" in {match.group(1) for match in _ENUMERATED.finditer(text[opening.end() :])}


# ---- yes / no ------------------------------------------------------------------------------------

_UNSURE = re.compile(
    r"\b(?:sorry|unable|uncertain|unsure|not\s+(?:sure|certain|possible|clear)|unclear|cannot|can't|can’t|could\s+not"
    r"|couldn't|impossible|difficult|hard)\b|无法|不确定|不清楚|抱歉|看不清|不能确定",
    re.IGNORECASE,
)
_UNSURE_HAN = re.compile(r"(?:我|这)?\s*(?:不确定|不清楚|不知道|不能确定|无法)")
_DENIES = re.compile(
    r"\b(?:no|not|none|never|nothing|neither|without|absent)\b|n['’]t\b|没有|没看到|未见|未|不存在|不是|并非|并没有|看不到|无",
    re.IGNORECASE,
)
_AFFIRMS = re.compile(
    r"\bthere\s+(?:is|are|appears?|seems?)\b|\b(?:i|we|you)\s+(?:can\s+)?see\b|\b(?:is|are)\s+(?:\w+\s+)?(?:visible|present|shown)\b"
    r"|\b(?:shows?|contains?|depicts?|includes?|features?)\b"
    r"|\b(?:absolutely|definitely|certainly|indeed|sure|of course|affirmative)\b"
    r"|有|存在|可以看到|能看到|看得到",
    re.IGNORECASE,
)  # fmt: skip
_NEGATIVE_WORD = re.compile(r"^\W*(?:negative|none|never|absent)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.。!！?？\n]")


def _yes_no(text: str) -> Extraction:
    """Yes or no: said so, or the response's first sentence affirms or denies that something is there."""
    text = unicodedata.normalize("NFKC", text)
    found = extract_staged(text, "yes_no")
    sentence = next((part for part in _SENTENCE_END.split(answer_line(text)[1]) if part.strip(_EDGE)), "")
    if found.text and not (found.stage == "rules" and _UNSURE_HAN.match(sentence)):
        return found
    if _UNSURE.search(sentence):
        return Extraction("", "none")
    if _DENIES.search(sentence) or _NEGATIVE_WORD.match(sentence):
        return Extraction("no", "rules")
    return Extraction("yes", "rules") if _AFFIRMS.search(sentence) else Extraction("", "none")
