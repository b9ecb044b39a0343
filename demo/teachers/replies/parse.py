"""Read the lists in a prompt: lines "<n>. text", each perhaps followed by indented lines "A. choice"."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBERED = re.compile(r"^(\d+)\. (.*)$")
_CHOICE = re.compile(r"^\s+([A-Z])\. (.*)$")
_AFTER = re.compile(r"^\s+after: (.*)$")
_DIRECTED = re.compile(r"^\[(\w+)\] (?:before: )?(.*)$")
_COUNT = re.compile(r"\bwrite (\d+)\b", re.IGNORECASE)
_AT_MOST = re.compile(r"\b(?:at most|up to|no more than) (\d+)\b", re.IGNORECASE)
_QUOTA = re.compile(r"^- (\d+) (about|of type): (.+)$", re.MULTILINE)
_ABSENT = re.compile(r"^Of these, (\d+) ask as yes_no whether something is there", re.MULTILINE)
_TOPIC = re.compile(r"^(?:Topic|Parent): (.+)$", re.MULTILINE)


@dataclass
class Line:
    """One numbered line."""

    index: int
    text: str
    choices: tuple[str, ...] = ()
    after: str = ""


def numbered(prompt: str) -> list[Line]:
    """All numbered lines of a prompt, in order."""
    lines: list[Line] = []
    for raw in prompt.splitlines():
        if match := _NUMBERED.match(raw):
            lines.append(Line(int(match[1]), match[2].strip()))
        elif lines and (match := _CHOICE.match(raw)):
            lines[-1].choices = (*lines[-1].choices, match[2].strip())
        elif lines and (match := _AFTER.match(raw)):
            lines[-1].after = match[1].strip()
    return lines


def directed(text: str) -> tuple[str, str]:
    """("reasoning", rest) of "[reasoning] rest"; no direction gives ""."""
    match = _DIRECTED.match(text)
    return (match[1], match[2]) if match else ("", text)


def question_and_answer(text: str) -> tuple[str, str]:
    """Both sides of "question => answer"."""
    question, _, answer = text.rpartition(" => ")
    return (question.strip(), answer.strip()) if question else (answer.strip(), "")


def wanted_count(prompt: str) -> int:
    """N of "Write N ...", 1 if the prompt does not say."""
    match = _COUNT.search(prompt)
    return int(match[1]) if match else 1


def quotas(prompt: str, what: str) -> list[str]:
    """Wanted aspects ("about") or answer types ("of type") of a prompt: "- 2 about: x" gives ["x", "x"]."""
    found = _QUOTA.findall(prompt)
    return [name for count, kind, name in found if kind == what for _ in range(int(count))]


def absent(prompt: str) -> int:
    """How many items a prompt wants about absent things."""
    match = _ABSENT.search(prompt)
    return int(match[1]) if match else 0


def limit(prompt: str, default: int) -> int:
    """N of "at most N" or "up to N"."""
    match = _AT_MOST.search(prompt)
    return int(match[1]) if match else default


def topic_path(prompt: str) -> list[str]:
    """The path of "Topic: A > B", [] if the prompt names none."""
    match = _TOPIC.search(prompt)
    return [part.strip() for part in match[1].split(" > ")] if match else []
