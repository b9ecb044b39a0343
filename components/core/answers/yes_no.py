"""Yes or no in a text, English and Chinese.

A plain word counts first ("No, it is a toy"), a refusal is neither. Else the first sentence that affirms or
denies that something is there or is so. "Not correct" denies, "no doubt" does not.
"""

from __future__ import annotations

import re
import unicodedata

from components.core.answers.folding import EDGE
from components.core.answers.refusals import refuses, without_refusal

_PLAIN = {"yes": "yes", "no": "no", "yes.": "yes", "no.": "no"}
_YES = r"yes|yeah|yep|yup|affirmative"
_NO = r"no|nope|nah|negative"
# "no" that does not answer: "no doubt", "no more than", "no idea" (a refusal), "no. 5".
_NO_DOUBT = re.compile(
    r"\bno\s+(?:doubt|question|problem|wonder|matter|longer\s+any\s+doubt|surprise)\b"
    r"|\bwithout\s+(?:a\s+|any\s+)?doubt\b|\bno\.\s*\d"
    r"|\bnot\s+only\b|\bnot\s+(?:just|merely)\b|毫无疑问|没错|不错|无疑|没问题|不得不|不仅|不但|不过",
    re.IGNORECASE,
)
_LEADING = re.compile(
    rf"\W*(?:(?P<yes>{_YES})|(?P<no>{_NO}))\b(?!\s+(?:{_YES}|{_NO})\b|\s*/|-)", re.IGNORECASE
)
_WORD = re.compile(rf"\b(?:(?P<yes>{_YES})|(?P<no>no|nope|nah))\b", re.IGNORECASE)
_BOTH = re.compile(
    r"\byes\s*(?:/|or|and|,\s*and|nor)\s*no\b|\bno\s*(?:/|or|and)\s*yes\b|(?:是否|能否|有没有|是不是"
    r"|对不对)[^，。,.]{0,60}[？?]",
    re.I,
)
_VERDICT = re.compile(
    r"\b(?:(?P<right>true|correct|accurate|valid|the\s+case|right\s+(?:order|sequence|place|position"
    r"|one|answer|way|size|shape|spot|pair|label|match))|(?P<wrong>false|incorrect|wrong|untrue"
    r"|inaccurate|mistaken|invalid))\b",
    re.IGNORECASE,
)
_NEGATOR = re.compile(
    r"(?:\b(?:no|not|never|hardly|no\s+longer|far\s+from|cannot|anything\s+but|neither|nor)\b"
    r"|n['’]t\b)(?:\s+[\w'’-]+){0,4}\s*$",
    re.IGNORECASE,
)
_LEADING_VERDICT = re.compile(
    r"\W*(?:(?P<right>true|correct|right|accurate)|(?P<wrong>false|incorrect|wrong|untrue))\b(?!\s+\w+ly\b)",
    re.I,
)
_DENIES = re.compile(
    r"\b(?:no|not|none|never|nothing|neither|nor|nobody|nowhere|without|absent|cannot|lacks?|missing"
    r"|false|incorrect|wrong|untrue)\b|n['’]t\b",
    re.IGNORECASE,
)
_AFFIRMS = re.compile(
    r"\bthere(?:['’]s|\s+(?:is|are|was|were|appears?|seems?))\b|\b(?:i|we"
    r"|you)\s+(?:can\s+)?(?:clearly\s+)?see\b"
    r"|\b(?:is|are|was|were)\s+(?:\w+\s+)?(?:visible|present|shown|seen|there)\b|\b(?:can"
    r"|could)\s+be\s+(?:\w+\s+)?seen\b"
    r"|\b(?:shows?|contains?|depicts?|includes?|features?)\b"
    r"|\b(?:absolutely|definitely|certainly|indeed|sure|of course|affirmative|exactly|surely|clearly"
    r"|undoubtedly|without\s+(?:a\s+|any\s+)?doubt|no\s+doubt)\b"
    r"|\b(?:is|are|was|were|that['’]s|it['’]s)\s+(?:\w+ly\s+)?(?:right|so)\b|\b(?:think|believe"
    r"|suppose)\s+so\b",
    re.IGNORECASE,
)
_HAN_DENIES = re.compile(
    "没有|没看到|没见|没在|未见|未能|不存在|不是|并非|并不|并没有|看不到|看不见|不能|不会|不对|不正确|不成立|不符|不在|不属于|不同意|不应|不可|不含|不包"
    "|不一样|不相同|不同|不比|不如|不算|不等|不需|不具|错误|有误|错的|是错|否定|无(?!论|疑|数)|非(?!常)|缺少|否(?!则)|没(?!错|关系)|未(?!来)|不(?!仅|但"
    "|过|错|得不|少|断|久)"
)
_HAN_AFFIRMS = re.compile(
    "有|存在|可以看到|能看到|看得到|确实|的确|肯定|当然|正确|属实|成立|肯定|没错|不错|毫无疑问|无疑|可以断定|可以确定|可以肯定|可以判断|可见|显然|对的|属于|包含|包括|位于"
    "|相同|一致|符合|同意"
)
_HAN_LEADING_NO = re.compile("不|没(?!错)|否|无(?!疑|论)|错|非(?!常)|未")
_HAN_LEADING_YES = re.compile(
    "是(?!否|不是)|有(?!没有)|对(?!于|比|不对)|正确|存在|能(?!否)|可以|会(?!不会)|确实|的确|当然|没错|肯定|属实|嗯"
)
_HAN_CONCLUDES = re.compile("综上|因此|所以|总之|由此|故|总的来说|可知|说明")
_SENTENCE_END = re.compile(r"[.。!！?？\n]+(?=\s|$|[^\d\s])")
_CONTRAST = re.compile(r"\bbut\b|\bhowever\b|但是?|不过|然而", re.IGNORECASE)
_LATIN = re.compile("[A-Za-z]{2}")


def yes_or_no(text: str) -> str:
    """ "yes", "no", or "" where a text says neither or refuses."""
    plain = text.strip(EDGE).lower()
    if plain in _PLAIN:
        return _PLAIN[plain]
    if not plain:
        return ""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if _BOTH.search(text):
        text = _BOTH.sub(" ", text).strip(EDGE + "/ 有？?")
    leading = _LEADING.match(text)
    if leading and leading["yes"]:
        return "yes"
    if leading and not _NO_DOUBT.match(text.lstrip(EDGE)) and not refuses(_first(text)):
        return "no"
    sentences = [part for part in _SENTENCE_END.split(text) if part.strip(EDGE)]
    if not sentences:
        return ""
    if word := _stated(text):
        return word
    first = without_refusal(sentences[0])
    if not first or any(refuses(sentence) for sentence in sentences[1:2]):
        return ""
    return _reads(first)


def _first(text: str) -> str:
    return next((part for part in _SENTENCE_END.split(text) if part.strip(EDGE)), "")


def _stated(text: str) -> str:
    """A plain yes or no somewhere in the text: "Without any doubt, yes", "It's a no from me"."""
    for match in _WORD.finditer(text):
        if match["yes"]:
            return "yes"
        after = text[match.end() :].lstrip(" ")
        said = text[: match.start()].rstrip()
        if (
            not after
            or after[0] in ".,;:!\n*\"'”"
            or said.lower().endswith((" a", " is", ":", " be", "answer"))
        ) and not _NO_DOUBT.match(text[match.start() :]):
            return "no"
    return ""


def _reads(sentence: str) -> str:
    """What one sentence affirms or denies."""
    if (not _LATIN.search(sentence) or not sentence.isascii()) and (found := _reads_chinese(sentence)):
        return found
    sentence = _CONTRAST.split(sentence)[-1] if _CONTRAST.search(sentence) else sentence
    leading = _LEADING_VERDICT.match(sentence)
    if leading:
        return "yes" if leading["right"] else "no"
    doubtless = bool(_NO_DOUBT.search(sentence))
    cleared = _NO_DOUBT.sub(" ", sentence) if doubtless else sentence
    if verdict := _VERDICT.search(cleared):
        negated = bool(_NEGATOR.search(cleared[max(0, verdict.start() - 48) : verdict.start()]))
        return "yes" if negated == bool(verdict["wrong"]) else "no"
    if _DENIES.search(cleared) or re.match(r"^\W*negative\b", cleared, re.IGNORECASE):
        return "no"
    return "yes" if doubtless or _AFFIRMS.search(cleared) else ""


def _reads_chinese(sentence: str) -> str:
    leading = sentence.strip(EDGE + "，。,.：: ")
    cleared = _NO_DOUBT.sub("", leading)
    if _HAN_LEADING_NO.match(leading) and cleared == leading:
        return "no"
    if _HAN_LEADING_YES.match(leading):
        return "yes"
    if _HAN_DENIES.search(cleared):
        return "no"
    if _HAN_CONCLUDES.match(leading) and re.search("[是在为]", leading):
        return "yes"
    return "yes" if cleared != leading or _HAN_AFFIRMS.search(leading) else ""
