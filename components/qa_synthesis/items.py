"""Items and what makes one well-formed. Pure: no files, no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.core.answers import AnswerType, extract, normalise
from components.core.data.hashing import sha256_hex
from components.qa_synthesis.config import Config
from components.qa_synthesis.schemas import EvolvedItem, QAItem
from components.qa_synthesis.taxonomy import ability, task_form

REASONS = (
    "not_scored",  # the image has no question budget: scoring left it out
    "no_answer",  # the teacher gave no usable answer for the image
    "not_written",  # the teacher wrote fewer items than asked for
    "surplus",  # more items than asked for
    "empty_question",
    "empty_answer",
    "too_long",
    "reserved_token",  # text that would be read as an image or control token in training
    "unknown_answer_type",
    "not_a_number",
    "not_yes_no",
    "too_few_choices",
    "duplicate_choices",
    "answer_not_among_choices",
    "duplicate_question",  # the image already has this question
)

# Chat and vision control tokens, whichever model family they come from: <|im_start|>, <image>, <|vision_pad|> ...
_RESERVED = re.compile(r"<\|[^|<>]{1,40}\|>|</?(?:image|video|img|s)>", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Item:
    """One version of a question-answer item about an image."""

    image_id: str
    question: str
    answer: str
    answer_type: str
    choices: tuple[str, ...] = ()
    reasoning: str = ""
    objects: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    form: str = ""
    topic_id: str = ""
    round: int = 0
    parent_id: str = ""
    prompt_hash: str = ""
    history: tuple[dict[str, Any], ...] = field(default=(), compare=False)

    @property
    def qa_id(self) -> str:
        """Depends on the image and the question's words only, so the same question has the same id in every run."""
        return sha256_hex(f"{self.image_id}\n{question_key(self.question)}")

    def version(self) -> dict[str, Any]:
        """What the history keeps of a version that was replaced or eliminated: all but the image, topic and history."""
        return {
            "qa_id": self.qa_id,
            "question": self.question,
            "answer": self.answer,
            "answer_type": self.answer_type,
            "choices": list(self.choices),
            "reasoning": self.reasoning,
            "objects": list(self.objects),
            "skills": list(self.skills),
            "form": self.form,
            "round": self.round,
            "parent_id": self.parent_id,
            "prompt_hash": self.prompt_hash,
        }


@dataclass(frozen=True)
class Malformed:
    """Why a draft is no item; `reason` is one of `REASONS`."""

    reason: str
    detail: str


def question_key(question: str) -> str:
    """Two questions are the same if they differ only in case, spacing and closing punctuation."""
    return _SPACE.sub(" ", question).strip().rstrip("?.! ").casefold()


def one_line(text: str) -> str:
    """Text on one line: prompts number items by line, so a line break in a question could forge another item."""
    return _SPACE.sub(" ", text).strip()


def has_reserved(*texts: str) -> bool:
    """Whether a text holds a chat or vision control token."""
    return any(_RESERVED.search(text) for text in texts)


def validate(draft: QAItem | EvolvedItem, image_id: str, config: Config, **extra: Any) -> Item | Malformed:
    """Check a model's draft and bring it into canonical form.

    Numbers, yes/no and choice letters are normalised; spans and open answers keep their wording, without quotes or a
    span's full stop.

    Args:
        draft: what the model wrote.
        image_id: the image it is about.
        config: accepted types and lengths.
        extra: further fields of the item (topic, round, parent, prompt hash).
    """
    question, answer = one_line(draft.question), one_line(draft.answer)
    answer_type = draft.answer_type.strip().lower().replace("/", "_").replace("-", "_")
    choices = tuple(one_line(choice) for choice in draft.choices) if answer_type == "choice" else ()
    texts = (question, answer, *choices, draft.reasoning, *draft.objects, *draft.skills)
    if not question:
        return Malformed("empty_question", answer)
    if not answer:
        return Malformed("empty_answer", question)
    if (
        max(map(len, (question, *choices))) > config.max_question_chars
        or len(answer) > config.max_answer_chars
    ):
        return Malformed("too_long", question[:200])
    if has_reserved(*texts):
        return Malformed("reserved_token", question)
    if answer_type not in config.answer_types:
        return Malformed("unknown_answer_type", f"{draft.answer_type}: {question}")
    canonical = _canonical_answer(answer, answer_type, choices)
    if isinstance(canonical, Malformed):
        return Malformed(
            canonical.reason, f"{question} => {answer} {list(choices) if choices else ''}".strip()
        )
    return Item(
        image_id=image_id,
        question=question,
        answer=canonical,
        answer_type=answer_type,
        choices=choices,
        reasoning=one_line(draft.reasoning),
        objects=tuple(one_line(x) for x in draft.objects),
        skills=tuple(dict.fromkeys(ability(x) for x in draft.skills if x.strip())),
        form=task_form(draft.form) if isinstance(draft, EvolvedItem) else "",
        **extra,
    )


def _canonical_answer(answer: str, answer_type: AnswerType, choices: Sequence[str]) -> str | Malformed:
    canonical = normalise(answer, answer_type, choices)
    if answer_type == "number" and not _is_number(canonical):
        return Malformed("not_a_number", answer)
    if answer_type == "yes_no" and canonical not in ("yes", "no"):
        return Malformed("not_yes_no", answer)
    if answer_type == "choice":
        if len(choices) < 2 or not all(choices):
            return Malformed("too_few_choices", answer)
        if len({choice.casefold() for choice in choices}) < len(choices):
            return Malformed("duplicate_choices", answer)
        if canonical not in [chr(ord("A") + i) for i in range(len(choices))]:
            return Malformed("answer_not_among_choices", answer)
    return (
        canonical if answer_type in ("number", "yes_no", "choice") else extract(answer, answer_type) or answer
    )


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
