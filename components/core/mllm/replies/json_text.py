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
# What models wrap their thoughts in: tags, brackets (Magistral), Kimi's signs, gpt-oss's channels.
_THOUGHTS = (
    re.compile(rf"<{_NAMES}>(?:(?!<{_NAMES}>).)*?</{_NAMES}>", re.DOTALL | re.IGNORECASE),
    re.compile(r"\[THINK\].*?\[/THINK\]", re.DOTALL),
    re.compile(r"◁think▷.*?◁/think▷", re.DOTALL),
    re.compile(r"<\|channel\|>\s*analysis.*?(?=<\|channel\|>|\Z)", re.DOTALL),
)
# The opening may stand in the prompt (Qwen3, DeepSeek-R1): then the text has the closing alone.
_CLOSED = re.compile(rf".*(?:</{_NAMES}>|\[/THINK\]|◁/think▷)", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(rf"(?:<{_NAMES}>|\[THINK\]|◁think▷).*\Z", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder()
_MAX_TRIES = 1000


def without_thoughts(text: str) -> str:
    """What the model says after thinking; "" where it was still thinking when it ended."""
    for thoughts in _THOUGHTS:
        text = thoughts.sub("", text)
    return _OPEN.sub("", _CLOSED.sub("", text)).strip()


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
