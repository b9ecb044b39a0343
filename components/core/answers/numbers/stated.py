"""The one number that a text states. What is not one number (a range, a time, a list, a bound) is none.

Rules, in order; each looks only at what the ones before have left:

1. A refusal states nothing. Remarks in parentheses do not count.
2. Numbers that belong together are one entry without a value: ranges, times, dates, ratios, lists, products.
3. A bound ("more than 40"), a label ("step 2") or a share's whole ("of 20") is not the number that is stated.
4. A question for a year takes the only year, a question "how many X" the number before X.
5. The last sentence with a number counts; in it what follows the last ``=``, then the clause that concludes.
6. Of several numbers the first after the last verb counts. Two joined by "and" are not one number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.core.answers.numbers.reading import Placed, Quantity, placed_numbers, plain_text
from components.core.answers.refusals import without_refusal

_REMARK = re.compile(r"\([^()]*\)")
_BARE = re.compile(r"\s*[-+]?\d+(?:\.\d+)?(?![\d.,:/'-]|\s?[ap]\.?m\b)\s*(?:[A-Za-z%°/]{0,12})\s*\.?\s*")
_JOINS = re.compile(
    r"\s*(?:[-~–—～:：/&;；、±+*×x÷^']|\.{2,}|…|to|through|till|until|and|or|versus|vs\.?|by|至|到|和|或|与|及|点"
    r"|时|分|年|月|比)?\s*"
    r"(?:-|about\s+|roughly\s+|even\s+)?",
    re.IGNORECASE,
)
_COMMA = re.compile(r"\s*[,，]\s*(?:(?:and|or)\s+)?")
_DAY_TIME = re.compile(r"\s?(?:[ap]\.?\s?m\b|o['’]clock\b|点钟|点半|点整)", re.IGNORECASE)
_MONTHS = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|March|Mar|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_MONTH_BEFORE = re.compile(rf"\b{_MONTHS},?\s+$")
_MONTH_AFTER = re.compile(rf"(?:st|nd|rd|th)?(?:\s+of)?\s+{_MONTHS}(?!\w)")
_BOUND = re.compile(
    r"(?:\b(?:below|under|underneath|over|above|beyond|than|exceed(?:s|ed|ing)?|at\s+least|at\s+most"
    r"|up\s+to|minimum\s+of|maximum\s+of"
    r"|close\s+to\s+but\s+not)\s+(?:the\s+|about\s+|a\s+)?(?:value\s+(?:of\s+)?|mark\s+of\s+"
    r"|line\s+at\s+)?|[<>≤≥]=?\s*|\\[lg]eq?\s*"
    r"|大于|小于|超过|低于|高于|不到|至少|最多|多于|少于|不足|不超过)[$€£]?-?$",
    re.IGNORECASE,
)
_BOUND_AFTER = re.compile(
    r"\s*(?:or\s+(?:more|less|fewer|higher|lower|above|below)\b|and\s+(?:above|below|over)\b|以上|以下"
    r"|\+(?!\s?\d))",
    re.I,
)
_LABEL = re.compile(
    r"(?:\b(?:steps?|parts?|figures?|fig\.|questions?|options?|tables?|chapters?|no\.|number(?=\s)|item"
    r"|case|rule|line|row|column|panel|page|example"
    r"|equation|eq\.|level|grade|room|route|class|type|model|version)\s*|#|第)$",
    re.IGNORECASE,
)
_PLACED = re.compile(
    r"\b(?:in|of|with|per|from|for|at|by|after|before|on|out\s+of|each|every|between|since|until|to"
    r"|into|against|among|during|across|within)"
    r"\s+(?:the\s+|all\s+|a\s+|these\s+|those\s+|about\s+|total\s+)*[$€£]?-?$",
    re.IGNORECASE,
)
_DETERMINED = re.compile(r"\b(?:the|these|those|both|all|its|their)\s+$", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|equals?|equal\s+to|makes?|gives?|gave|comes?\s+to|came\s+to|totals?"
    r"|amounts?\s+to|reach(?:es|ed)|reads?|shows?"
    r"|has|have|had|contains?|becomes?|remains?|leaves?|yields?|gets?|count(?:s|ed)?|see|sees|finds?"
    r"|found|lasts?|weighs?|costs?|measures?|holds?|sold)\b"
    r"|[:：≈]|['’]s\b|是|为|有|等于|共|得|约",
    re.IGNORECASE,
)  # fmt: skip
_CONCLUDES = re.compile(
    r"\s*(?:and\s+)?(?:so|thus|hence|therefore|then|giving|gives|making|makes|leaving|leaves"
    r"|for\s+a\s+total|totall?ing|resulting|yielding"
    r"|which\s+(?:gives|makes|means|equals|is|leaves|yields)|i\.e\.|that\s+is|in\s+total|altogether"
    r"|we\s+get|there\s+(?:are|is)|the\s+answer"
    r"|(?:an?\s+|the\s+)?(?:overall\s+)?"
    r"(?:increase|decrease|difference|total|sum|change|gap|drop|rise|result)\b|所以|因此|共|即|得)",
    re.IGNORECASE,
)
_ADJUNCT = re.compile(
    r"\s*(?:of|in|at|with|from|out|after|before|by|for|to|on|among|adding|counting|since|if|when|as"
    r"|because|given|while|although|using|based|through"
    r"|during|over|between|taking|having|starting|summing|dividing|multiplying|subtracting|first"
    r"|although|在|根据|由于|因为)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?。！？；;]+(?=\s|$|[^\d\s.])|\n+")
_CLAUSE = re.compile(
    r"[,，](?=\s|[^\d\s])|:(?=\s)|\s+[-–—]+\s+|\b(?:because|since|so\s+that|where|which\s+means|while"
    r"|whereas)\b|因为|由于"
)
_AND = re.compile(r"[^.,;]*\b(?:and|or)\b\s*(?:\w+\s+)?|[^.,;]*[和或与]\s*", re.IGNORECASE)
_YEAR = re.compile(r"(?<![\d.,])(?:1[0-9]{3}|20[0-9]{2})(?![\d,]*\d|\.\d)")
_ASKS_YEAR = re.compile(r"\b(?:which|what)\s+(?:\w+\s+)?year\b|哪一?年", re.IGNORECASE)
_HOW_MANY = re.compile(r"\bhow\s+many\s+((?:[\w-]+\s+){1,3})", re.IGNORECASE)


def parse_number(text: str, question: str = "") -> Quantity | None:
    """The number that a text states, None if it states none or several.

    Args:
        text: an answer, or a response in words.
        question: what was asked, if it is known: it tells which of several numbers is meant.
    """
    if not text or text.isspace():
        return None
    text = plain_text(text)
    outside = _REMARK.sub(" ", text) if "(" in text else text
    outside = outside.replace("**", "").replace("$", "") if "*" in outside or "\\" in outside else outside
    if len(outside) > 12 or not outside.isascii():
        outside = without_refusal(outside, unseen=True)
        if not outside:
            return None
    found = _stated(outside, question)
    if found is None and outside != text and not placed_numbers(outside):
        found = _stated(text, question)
    return found.quantity if found else None


def first_number(text: str) -> Quantity | None:
    """The number of the first clause that has one, behind that clause's last ``=``."""
    plain = plain_text(text)
    if len(plain) < 24 and _BARE.fullmatch(plain):
        return parse_number(text)
    if "(" in plain:
        plain = _REMARK.sub(" ", plain)
    plain = plain.replace("$", "").replace("**", "")
    if refusal_free := without_refusal(plain, unseen=True):
        plain = refusal_free
    else:
        return None
    groups = _grouped(plain, placed_numbers(plain))
    if not groups:
        return parse_number(text)
    starts = [0, *(m.end() for m in _CLAUSE.finditer(plain)), *(m.end() for m in _SENTENCE.finditer(plain))]
    begin = max(start for start in starts if start <= groups[0].start)
    ends = [m.start() for p in (_CLAUSE, _SENTENCE) for m in p.finditer(plain) if m.start() >= groups[0].end]
    end = min(ends, default=len(plain))
    clause = [group for group in groups if begin <= group.start < end]
    clause = [group for group in clause if group.start > plain.rfind("=", begin, end)] or clause
    return clause[0].quantity


def _stated(text: str, question: str) -> Placed | None:
    placed = placed_numbers(text)
    if len(placed) == 1 and _BARE.fullmatch(text):
        return placed[0]
    groups = _grouped(text, placed)
    if not groups:
        return None
    if question and (asked := _asked(text, groups, question)):
        return asked[0]
    spans = _spans(text)
    for begin, end in reversed(spans):
        inside = [group for group in groups if begin <= group.start < end]
        if inside:
            return _of_sentence(text, begin, end, inside)
    return None


def _spans(text: str) -> list[tuple[int, int]]:
    edges = [0, *(m.end() for m in _SENTENCE.finditer(text)), len(text)]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]


def _grouped(text: str, placed: Sequence[Placed]) -> list[Placed]:
    """Numbers with those that belong together as one without a value; bounds and labels are left out."""
    groups: list[list[Placed]] = []
    for number in placed:
        before = text[groups[-1][-1].end : number.start] if groups else None
        if before is not None and (_JOINS.fullmatch(before) or _lists(text, before, groups[-1], number)):
            groups[-1].append(number)
        else:
            groups.append([number])
    kept = []
    for group in groups:
        first, last = group[0], group[-1]
        left, right = text[max(0, first.start - 32) : first.start], text[last.end : last.end + 24]
        if _LABEL.search(left) or (_BOUND.search(left) and len(group) == 1) or _BOUND_AFTER.match(right):
            continue
        single = len(group) == 1 and not _is_time(left, right) and not re.search(r"±\s*$", left)
        single = single and not (right[:1].isdigit() and first.quantity and first.quantity.unit == "h")
        bracketed = (
            left[-1:] in ("[", "(") and right[:1] in ("]", ")") and "," in text[first.start : last.end]
        )
        quantity = first.quantity if single and not bracketed else None
        kept.append(Placed(first.start, last.end, quantity, first.word))
    return kept


def _is_time(left: str, right: str) -> bool:
    return bool(_DAY_TIME.match(right) or _MONTH_BEFORE.search(left) or _MONTH_AFTER.match(right))


def _lists(text: str, gap: str, group: Sequence[Placed], number: Placed) -> bool:
    """Whether a comma between two numbers makes a list of them, and does not separate clauses."""
    if not _COMMA.fullmatch(gap):
        return False
    if len(group) > 1 or re.search(r"and|or", gap):
        return True
    after = text[number.end : number.end + 12]
    return not re.match(r"\s*(?:[A-Za-z]|[^\W\d_])", after) or bool(
        re.match(r"\s*(?:,|and\b|or\b|和|或)", after)
    )


def _asked(text: str, groups: Sequence[Placed], question: str) -> list[Placed | None]:
    """The number that the question's words point at, in a list; an empty list if they point at none."""
    if _ASKS_YEAR.search(question):
        years = {match.group() for match in _YEAR.finditer(text)}
        if len(years) == 1:
            year = years.pop()
            return [Placed(0, 0, Quantity(float(year), "", True, year))]
        return []
    if not (many := _HOW_MANY.search(question)):
        return []
    stems = [_stem(word) for word in many[1].split()]
    hits = []
    for group in groups:
        following = re.findall(r"[\w-]+", text[group.end : group.end + 40])[:3]
        if group.quantity is not None and any(_stem(word) == stems[0] for word in following[:2]):
            hits.append(group)
    return [hits[-1]] if hits else []


def _stem(word: str) -> str:
    word = word.lower()
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _of_sentence(text: str, begin: int, end: int, groups: Sequence[Placed]) -> Placed | None:
    """The number that one sentence states."""
    equals = text.rfind("=", begin, end)
    behind = [group for group in groups if group.start > equals]
    if equals >= 0 and behind:
        begin, groups = equals + 1, behind
    groups, begin, end = _main_clause(text, begin, end, groups)
    if any(not group.word for group in groups):  # "the two lines cross at 7"
        groups = [
            g for g in groups if not (g.word and _DETERMINED.search(text, max(begin, g.start - 12), g.start))
        ]
    if len(groups) > 1:
        direct = [g for g in groups if not _PLACED.search(text[max(begin, g.start - 24) : g.start])]
        groups = direct or groups
    values = {group.quantity.value if group.quantity else None for group in groups}
    if len(values) == 1:
        return groups[-1] if None not in values else None
    for verb in reversed(list(_VERB.finditer(text, begin, end))):
        after = [group for group in groups if group.start >= verb.end()]
        if after:
            if len(after) > 1 and _AND.fullmatch(text[after[0].end : after[1].start]):
                return None
            return after[0] if after[0].quantity else None
    joined = _AND.fullmatch(text[groups[-2].end : groups[-1].start])
    return None if joined or groups[-1].quantity is None else groups[-1]


def _main_clause(
    text: str, begin: int, end: int, groups: Sequence[Placed]
) -> tuple[Sequence[Placed], int, int]:
    """The clause of a sentence that answers: the last that concludes, else the first that is no adjunct."""
    cuts = [m.end() for m in _CLAUSE.finditer(text, begin, end) if not _inside(m.start(), groups)]
    edges = [begin, *cuts, end]
    clauses = []
    for a, b in zip(edges, edges[1:], strict=False):
        inside = [group for group in groups if a <= group.start < b]
        if inside:
            clauses.append((inside, a, b))
    if len(clauses) < 2:
        return clauses[0] if clauses else (groups, begin, end)
    for clause in reversed(clauses[1:]):
        if _CONCLUDES.match(text[clause[1] : clause[2]]):
            return clause
    if _ADJUNCT.match(text[clauses[0][1] : clauses[0][2]]):
        return clauses[1]
    return clauses[0]


def _inside(place: int, groups: Sequence[Placed]) -> bool:
    return any(group.start <= place < group.end for group in groups)
