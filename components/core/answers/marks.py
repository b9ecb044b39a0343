"""Marks of a final answer in a response: thoughts, tags, boxes, ``Answer:``, a last line after ``####``.

The last mark counts. Text that a model writes after its answer as the next question does not.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from components.core.answers.folding import EDGE

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_CUT_THOUGHT = re.compile(r"<think>.*", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_BOX = re.compile(r"\\f?boxed\s*\{|\\fbox\s*\{")
_HASHES = re.compile(r"^#{4}[ \t]*(\S.*)$", re.MULTILINE)
_HEADING = re.compile(r"(?:step|part|section|phase|task|case|note|第)\b|.*[:：]\s*$", re.IGNORECASE)
_BARE = re.compile(r"[-+(\[$€£\s]*(?:[A-Za-z]|[\d.,/]+\s?%?)[)\].\s]*$")
_WORD = re.compile(r"[Aa](?:nswer|ns\b)|A(?:NSWER|NS\b)|答案|回答")
_MARKER = re.compile(
    r"(?:answer|ans\.?|答案|回答)\s*[*_]*\s*(?:is|是|为)?\s*[:：][ \t]*[*_]*|answer\s+[-–—]\s+(?=\S)",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"[#*_ \t]*(?:the\s+)?(?:(?:final|correct)\s+answer|answer(?=[*_ \t]*\n\s*\S{1,40}\s*$))[*_ \t]*(?:\n|$)",
    re.IGNORECASE,
)
_SOFT_MARKER = re.compile(r"(?:answer\s+is|答案是|答案为)\s*", re.IGNORECASE)
_FOLLOWING = re.compile(
    r"\n\s*[#*_\s]*(?:(?:next|new)\s+)?(?:question|q|problem|问题|题目|user|human)\s*\d*\s*[*_]*\s*[:：]"
    r"|\n\s*#+\s*(?:question|problem|问题|题目)\s*\d*[*_ \t]*\n",
    re.IGNORECASE,
)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boldsymbol|mbox)\s*\{([^{}]*)\}")
_CUE = re.compile("nswer|NSWER|\\\\|####|答|[Aa]ns|<")


_BOXES = 8
"""Boxes that are read, the last ones: each may reach to the end of the text."""


class Mark(NamedTuple):
    """A place where a response marks its answer."""

    start: int
    text: str
    """What stands there: the rest of the response, a box's content, the line after ``####``."""
    kind: Literal["mark", "sentence", "box", "hashes"]
    """mark: "Answer:"; sentence: "the answer is", which counts only where nothing else marks the answer."""


def spoken(response: str) -> str:
    """A response without its thoughts; what was cut while thinking leaves nothing."""
    if "think>" in response or "THINK>" in response:
        response = _CUT_THOUGHT.sub("", _THOUGHT.sub("", response)).rsplit("</think>", 1)[-1]
    return response.strip()


def marks(text: str) -> list[Mark]:
    """All marks of a text, in order."""
    if not _CUE.search(text):
        return []
    found = _words(text)
    if "\\" in text:
        found += [
            Mark(m.start(), _WRAPPED.sub(r"\1", _closed(text, m.end())), "box")
            for m in list(_BOX.finditer(text))[-_BOXES:]
        ]
    if "####" in text:
        found += _hashes(text)
    return sorted(found, key=lambda mark: mark.start)


def _words(text: str) -> list[Mark]:
    """Marks with the word "answer": before a colon, as a heading, in "the answer is"."""
    found: list[Mark] = []
    for word in _WORD.finditer(text):
        place = word.start()
        if text[place - 1 : place].isalnum() and text[place - 1].isascii() and place:
            continue
        line = text.rfind("\n", 0, place) + 1
        if match := _MARKER.match(text, place):
            found.append(Mark(place, text[match.end() :], "mark"))
        elif match := _SOFT_MARKER.match(text, place):
            found.append(Mark(place, text[match.end() :], "sentence"))
        elif place - line < 24 and (match := _ALONE.match(text, line)):
            found.append(
                Mark(place, text[match.end() - 1 if text[match.end() - 1] == "\n" else match.end() :], "mark")
            )
    return found


def _hashes(text: str) -> list[Mark]:
    """Answers after ``####``: GSM8K's last line, or a line that is nothing else; never a heading."""
    found = []
    for match in _HASHES.finditer(text):
        line, last = match[1].strip(), not text[match.end() :].strip()
        if (last and not _HEADING.match(line)) or _BARE.match(line):
            found.append(Mark(match.start(), line, "hashes"))
    return found


def _closed(text: str, start: int) -> str:
    """The text from `start` up to the brace that closes it."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return text[start:]


def boxed(text: str) -> str | None:
    """Content of the last ``\\boxed{…}`` or ``\\fbox{…}``, nested braces included; None if there is none."""
    starts = [match.end() for match in _BOX.finditer(text)] if "box" in text else []
    return _closed(text, starts[-1]) if starts else None


def tagged(text: str) -> str | None:
    """Content of the last ``<answer>`` tag, None if there is none."""
    found = _TAGGED.findall(text) if "<" in text else []
    return found[-1].strip() if found else None


def unboxed(text: str) -> str:
    """The content of a text's box without its dress (``\\text``); the text itself where it has no box."""
    inner = boxed(text)
    return text if inner is None else _WRAPPED.sub(r"\1", inner).strip()


def before_next_question(text: str) -> str:
    """A response up to the question that follows its answer; all of it if none follows or none precedes."""
    following = _FOLLOWING.search(text) if "\n" in text else None
    if following and following.start():
        head = text[: following.start()].strip()
        if head and (marks(head) or len(head) <= 60):
            return head
    return text


def final_text(response: str) -> str:
    """A response without its thoughts; an answer in tags, a box or after ``####`` becomes a marked one."""
    text = spoken(response)
    inner = tagged(text)
    if inner is None:
        strong = [mark for mark in marks(text) if mark.kind != "sentence"]
        if not strong or strong[-1].kind == "mark":
            return text
        inner = strong[-1].text.strip()
    inner = unboxed(inner)
    return f"Answer: {inner}" if inner else ""


def answer_mark(text: str) -> Mark | None:
    """The mark that counts: the last one; "the answer is" only where nothing else marks the answer."""
    found = marks(text)
    strong = [mark for mark in found if mark.kind != "sentence"]
    return (strong or found)[-1] if found else None


def marked(response: str, whole: bool = False) -> tuple[bool, str]:
    """Whether a response marks its answer, and the text to look for it in.

    Args:
        response: what was said.
        whole: take all that follows the mark, not its first line.
    """
    text = before_next_question(spoken(response))
    inner = tagged(text)
    mark = answer_mark(text if inner is None else inner)
    if mark is None:
        return inner is not None, text if inner is None else inner
    content = mark.text.strip()
    if not whole:
        content = next((line for line in content.splitlines() if line.strip(EDGE)), "")
    return True, content
