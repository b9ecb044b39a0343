"""Does a text say that it gives no answer? English and Chinese."""

from __future__ import annotations

import re

_KNOW = (
    r"determin\w*|tell|say|answer\w*|count\w*|read|giv\w+|identif\w+|know\w*|provid\w+|comput\w+|calculat\w+"
    r"|ma[dk]e\s+out|decid\w+|judg\w+|establish\w*|infer\w*|discern\w*|assess\w*|verif\w+|confirm\w*"
    r"|conclud\w+|deduc\w+"
    r"|view\w*|access\w*|process\w*|analy[sz]\w+|help|assist|recogni[sz]\w+|estimat\w+|evaluat\w+"
    r"|work(?:ed)?\s+out"
    r"|ascertain\w*|distinguish\w*|deriv\w+|reach\w*|draw\w*|resolv\w+|solv\w+|state|stated|specif\w+"
    r"|measur\w+|obtain\w*|compar\w+"
    r"|name|rate|pick|choose|interpret\w*"
)
_FACTS = r"information|data|details?|context|evidence|clues?|basis"
_LACK = rf"{_FACTS}|figures?|image|picture|photo\w*|graph|chart|diagram|sketch|table"
_REFUSES = re.compile(
    r"\b(?:cannot|can\s?not|can['’]?t|could\s+not|couldn['’]?t|unable\s+to|not\s+able\s+to"
    rf"|impossible\s+to|not\s+possible\s+to"
    r"|no\s+way\s+(?:to|of)|difficult\s+to|hard\s+to|fail(?:ed)?\s+to|not\s+in\s+a\s+position\s+to"
    rf"|(?:do|did)(?:\s+not|n['’]t)\s+know\s+how\s+to)"
    rf"\s+(?:(?!and\b|but\b)[\w'’]+\s+){{0,3}}?(?:be\s+)?(?:\w+ly\s+)?(?:{_KNOW})\b"
    r"|\b(?:do|does|did)(?:\s+not|n['’]t)\s+(?:\w+ly\s+)?(?:know|have)\b|\bhave\s+no\s+(?:idea|clue|way"
    r"|information|data|access|knowledge)\b"
    r"|\bno\s+(?:\w+\s+)?(?:idea|clue|answer|result|conclusion|solution|value|number|count"
    r"|statement)(?:\s+(?:can|could|is|was|may)\b|\s*[.!,]|\s*$"
    r"|\s+(?:about|how|what|which|whether|of)\b)"
    r"|\b(?:am|is|are|['’]m|['’]s|remains?|it)\s+(?:still\s+|really\s+|quite\s+"
    r"|simply\s+)?(?:not\s+(?:\w+ly\s+)?(?:sure|certain|clear|known|given|possible)"
    r"|unsure|uncertain|unclear|unknown|undetermined|indeterminable|unanswerable|undecidable|impossible)\b"
    r"|\b(?:not\s+enough|insufficient|inadequate|too\s+little|lacking"
    rf"|not\s+sufficient)\s+(?:\w+\s+){{0,2}}(?:{_LACK})\b"
    rf"|\b(?:lacks?|without|missing|no)\s+(?:(?!doubt)\w+\s+){{0,2}}(?:{_FACTS})\b"
    rf"|\bwithout\s+(?:seeing|access|the|an|any)\s+(?:\w+\s+){{0,2}}(?:{_LACK})\b"
    r"(?!\s+(?:is|are)\s+(?:needed|required|necessary))"
    rf"|(?:\bnot|n['’]t)\s+(?:\w+\s+){{0,3}}(?:enough|sufficient|any)\s+(?:\w+\s+){{0,2}}(?:{_FACTS})\b"
    r"|\b(?:cannot|can['’]?t|unable\s+to|not\s+able\s+to)\s+(?:\w+ly\s+)?see\s+(?:\w+\s+)?(?:image"
    rf"|picture|photo\w*|graph|chart|diagram|attachment)s?\b(?!\s+of)"
    rf"|\b(?:{_LACK})\b[^.!?\n]{{0,60}}?\b(?:(?:is|are|was|were|been|be)(?:\s+not"
    rf"|n['’]t)\s+(?:\w+ly\s+)?(?:attached|provided|given|included|supplied|shown"
    r"|visible|available|loaded|uploaded|enough|sufficient|legible|readable)|(?:is|are|was|were"
    r"|been)\s+(?:left\s+out|missing|absent|unreadable|illegible"
    r"|unavailable|insufficient|too\s+(?:blurry|blurred|dark|small))|came\s+along)\b"
    rf"|\bno\s+(?:{_LACK})\s+(?:was|were|is|has\s+been|have\s+been|came)\s+(?:provided|attached|given"
    rf"|included|supplied|uploaded|loaded|available|along|shown\s+to)\b"
    r"|\bit['’]s\s+(?:impossible|unclear|uncertain)\b|^\W*(?:unknown|unclear|uncertain|unsure"
    r"|not\s+sure|not\s+certain|n/?a|sorry)\b"
    r"|\b(?:i['’]m|i\s+am|we\s+are)\s+(?:sorry|afraid)\b|\bsorry,\s+(?:but\s+)?i\b|\bapologi[sz]e\b"
    r"|\bbeats\s+me\b|\bhard\s+to\s+(?:say|tell)\b|\bnobody\s+(?:can|could)\s+(?:tell|say|know)\b"
    r"|\bnothing\s+(?:is\s+)?known\b"
    r"|n['’o]t\s+(?:show|say|tell|state|indicate|reveal|specify|mention)\s+(?:whether|if|how|which|who"
    r"|what|when|where)\b",
    re.IGNORECASE,
)  # fmt: skip
_REFUSES_HAN = re.compile(
    "无法|无从|不(?:太|大|能|敢|很|怎么)?(?:确定|清楚)|不好(?:说|判断|确定)|看不出|很难(?:说|下|判断|确定|得出)|难说|没有答案|抱歉|看不清|不能确定|不知道|不能判断|难以"
    "|没法|不能得出|得不出|得不到|不好说|说不准|说不清|未知"
    "|没有(?:给出|提供|足够|任何)?(?:足够的?|充分的?|相关的?|更多的?|具体的?)?(?:信息|线索|依据|数据|资料|图片|条件|内容|证据|把握|办法)"
    "|(?:信息|线索|依据|数据|资料|条件|证据)(?:不足|不够|缺失|有限|太少)|缺乏|缺少(?:信息|线索|依据|数据|资料|条件|证据|图)|没有办法|不能回答|不便回答"
    "|(?:未|没有|没)(?:给出|提供|上传|附上)(?:图|信息|足够|相关|任何)|不足以|判断不了|确定不了|回答不了|不得而知|对不起"
)
_UNSEEN = re.compile(
    r"\b(?:cannot|can\s?not|can['’]?t|could\s+not|couldn['’]?t|unable\s+to"
    r"|not\s+able\s+to)\s+(?:\w+ly\s+)?(?:be\s+)?(?:see|seen|look|find|found)\b",
    re.IGNORECASE,
)
"""Denies that something is there; of a count it says that there is none to give."""
_BUT = re.compile(r"\b(?:but|however|still|nevertheless|nonetheless|yet)\b|但|不过|然而|可是")
_HINTS = (
    "n't", "n’t", "not", "no ", "no-", "un", "impossible", "sorry", "afraid", "lack", "insuff", "fail",
    "hard", "difficult", "without",
    "missing", "inade", "little", "apolog", "nobody", "nothing", "beats", "left out", "illegible", "absent",
        "too"
        " ", "n/a", "na", "indeterm",
)  # fmt: skip
"""One of these stands in every refusal; looking for them is much cheaper than the patterns."""
_SENTENCE = re.compile(r"[.!?\n]+(?=\s|$)|\n")


def refuses(text: str, unseen: bool = False) -> bool:
    """Whether a text says that it does not know or cannot tell; with `unseen`, also that it cannot see."""
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        for sentence in _SENTENCE.split(lowered) if len(text) > 80 else (lowered,):
            if any(hint in sentence for hint in _HINTS) and (
                _REFUSES.search(sentence) or (unseen and _UNSEEN.search(sentence))
            ):
                return True
    return not text.isascii() and bool(_REFUSES_HAN.search(text))


def without_refusal(text: str, unseen: bool = False) -> str:
    """What a text says beside a refusal: what follows a "but" after it, "" if nothing does.

    "I am not sure, but there seem to be 5" says that there seem to be 5.
    """
    if not refuses(text, unseen):
        return text
    parts = _BUT.split(text)
    kept = parts[-1] if len(parts) > 1 else ""
    return kept if kept and not refuses(kept, unseen) else ""
