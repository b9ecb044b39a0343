"""The typed answer in a model's text: behind its thoughts, in a fence, after a sentence, or plain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from components.core.stage.errors import faults

T = TypeVar("T", bound=BaseModel)
_NAMES = r"(?:think|thinking|thought|thoughts|reasoning|reason|analysis|scratchpad|seed:think)"
# Wrappings of thoughts: tags, brackets (Magistral), Kimi's signs. A channel (gpt-oss) has no end.
_MARKS = (
    (re.compile(rf"(?P<open><{_NAMES}>)|</{_NAMES}>", re.IGNORECASE), True),
    (re.compile(r"(?P<open>\[THINK\])|\[/THINK\]"), False),
    (re.compile(r"(?P<open>◁think▷)|◁/think▷"), False),
)
"""Opening and closing marks; whether a block begins at its last opening, or at its first."""
_CHANNEL = re.compile(r"<\|channel\|>\s*analysis.*?(?=<\|channel\|>|\Z)", re.DOTALL)
# The opening may stand in the prompt (Qwen3, DeepSeek-R1): then the text has the closing alone.
_CLOSING = re.compile(rf"</{_NAMES}>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_OPEN = re.compile(rf"<{_NAMES}>|\[THINK\]|◁think▷", re.IGNORECASE)
_OPENING = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder()
_MAX_TRIES = 1000


def without_thoughts(text: str) -> str:
    """What the model says after thinking; "" where it was still thinking when it ended.

    Takes time in proportion to the text, whatever is in it: a model may answer with a flood.
    """
    for marks, from_last in _MARKS:
        text = _without_blocks(text, marks, from_last)
    text = _CHANNEL.sub("", text)
    for closing in [*_CLOSING.finditer(text)][-1:]:
        text = text[closing.end() :]
    opening = _OPEN.search(text)
    return (text[: opening.start()] if opening else text).strip()


def _without_blocks(text: str, marks: re.Pattern[str], from_last: bool) -> str:
    """The text without what stands between an opening mark and the next closing one, the marks included."""
    kept: list[str] = []
    begin: int | None = None
    done = 0
    for mark in marks.finditer(text):
        if mark["open"]:
            begin = mark.start() if begin is None or from_last else begin
        elif begin is not None:
            kept.append(text[done:begin])
            begin, done = None, mark.end()
    return "".join([*kept, text[done:]])


def read_answer(text: str, form: type[T]) -> tuple[T | None, str]:
    """The answer of this form in a text, or None and why there is none.

    The whole text is tried first. Else thoughts are taken off, and of all JSON values in the rest the last
    one that fits counts: drafts and examples come before the answer.
    """
    value, fault = _validated(text, form)
    if value is not None:
        return value, ""
    said = without_thoughts(text)
    if not said:
        return None, "the text ends before an answer, within the thoughts" if text.strip() else "empty answer"
    found = list(_values(said))
    for candidate in reversed(found):
        value, misfit = _validated(candidate, form)
        if value is not None:
            return value, ""
        fault = misfit
    return None, fault


def _values(text: str) -> Iterator[str]:
    """Every whole JSON object or list in a text that is not inside another one."""
    position = tries = 0
    while (opening := _OPENING.search(text, position)) is not None and tries < _MAX_TRIES:
        tries += 1
        start = opening.start()
        try:
            _, position = _DECODER.raw_decode(text, start)
        except RecursionError:
            return
        except json.JSONDecodeError as error:
            # Cut off: what stands inside it is no answer of its own.
            if error.msg.startswith("Unterminated string") or error.pos >= len(text):
                return
            position = start + 1
        else:
            yield text[start:position]


def _validated(text: str, form: type[T]) -> tuple[T | None, str]:
    try:
        return form.model_validate_json(text), ""
    except ValidationError as invalid:
        return None, faults(invalid)
