"""A question about an image: what makes a draft well-formed, and the history of its versions. Pure.

The `history` column of table `qa` is a list, oldest first. It has one entry for each evolution round:

    {"round": 1, "direction": "reasoning", "verdict": "kept", "score": 8, "reason": "...", "form": "",
     "judge_prompt_hash": "...", "replaced": <the version before>}

`replaced` stands where the new version took over. Otherwise `eliminated` holds the version that lost: as the
model wrote it where it was malformed, null where the model wrote none. One more entry follows where reasoning
was sampled:

    {"reasoning": "sampled" | "no_correct_path", "sampled": 4, "correct": 3, "malformed": 0, "missing": 0,
     "answers": {"40": 1}, "paths": [<other correct reasoning, shortest first>], "replaced": <reasoning
     before>, "prompt_hash": "..."}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.core.answers import Question, extract, normalise
from components.core.data.hashing import sha256_hex
from components.qa_synthesis.config import Config
from components.qa_synthesis.schemas import EvolvedItem, QAItem, ability, task_form

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

# Chat and vision control tokens, whichever model family they come from: <|im_start|>, <image>, <|vision_pad|>
# ... A text in an image can make the teacher write them; in training they would end a turn or stand for
# another image.
_RESERVED = re.compile(r"<\|[^|<>]{1,40}\|>|</?(?:image|video|img|s)>", re.IGNORECASE)
_NO_ANSWER = {"number": "not_a_number", "yes_no": "not_yes_no", "choice": "answer_not_among_choices"}
_WORDING = (
    "qa_id",
    "question",
    "answer",
    "answer_type",
    "choices",
    "objects",
    "skills",
    "round",
    "parent_id",
)
_VERSION = (*_WORDING, "reasoning", "form", "prompt_hash")
History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ImageQuestion(Question):
    """One version of a question-answer item about an image."""

    image_id: str
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
    def answer(self) -> str:
        """The proposed answer: the only reference."""
        return self.reference

    @property
    def qa_id(self) -> str:
        """Depends on image and question alone, so the same question has the same id in every run."""
        return sha256_hex(f"{self.image_id}\n{question_key(self.question)}")

    def version(self) -> dict[str, Any]:
        """All but the image, the topic and the history, as the history keeps a version that lost."""
        values = {name: getattr(self, name) for name in _VERSION}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True)
class Malformed:
    """Why a draft is no item; `reason` is one of `REASONS`."""

    reason: str
    detail: str


def question_key(question: str) -> str:
    """Two questions are the same if they differ only in case, spacing and closing punctuation."""
    return one_line(question).rstrip("?.! ").casefold()


def one_line(text: str) -> str:
    """Text on one line: prompts number items by line, so a line break could forge another item."""
    return " ".join(text.split())


def has_reserved(*texts: str) -> bool:
    """Whether a text holds a chat or vision control token."""
    return any(_RESERVED.search(text) for text in texts)


def validate(
    draft: QAItem | EvolvedItem, image_id: str, config: Config, **extra: Any
) -> ImageQuestion | Malformed:
    """Check a model's draft and bring it into canonical form.

    Numbers, yes/no and choice letters are normalised. Spans and open answers keep their wording, without
    quotes or a span's full stop.
    `extra` are further fields of the item: topic, round, parent, prompt hash.
    """
    question, answer = one_line(draft.question), one_line(draft.answer)
    answer_type = draft.answer_type.strip().lower().replace("/", "_").replace("-", "_")
    choices = tuple(one_line(choice) for choice in draft.choices) if answer_type == "choice" else ()
    if not question:
        return Malformed("empty_question", answer)
    if not answer:
        return Malformed("empty_answer", question)
    longest = max(map(len, (question, *choices)))
    if longest > config.max_question_chars or len(answer) > config.max_answer_chars:
        return Malformed("too_long", question[:200])
    if has_reserved(question, answer, *choices, draft.reasoning, *draft.objects, *draft.skills):
        return Malformed("reserved_token", question)
    if answer_type not in config.answer_types:
        return Malformed("unknown_answer_type", f"{draft.answer_type}: {question}")
    canonical = normalise(answer, answer_type, choices)
    if reason := _fault(canonical, answer_type, choices):
        return Malformed(reason, f"{question} => {answer} {list(choices) if choices else ''}".strip())
    if answer_type in ("span", "open"):
        canonical = extract(answer, answer_type) or answer
    return ImageQuestion(
        image_id=image_id,
        question=question,
        answers=(canonical,),
        answer_type=answer_type,
        choices=choices,
        reasoning=one_line(draft.reasoning),
        objects=tuple(one_line(x) for x in draft.objects),
        skills=tuple(dict.fromkeys(ability(x) for x in draft.skills if x.strip())),
        form=task_form(draft.form) if isinstance(draft, EvolvedItem) else "",
        **extra,
    )


def _fault(canonical: str, answer_type: str, choices: Sequence[str]) -> str:
    """Why an answer, in canonical form, is none of its type; "" if it is one."""
    if answer_type == "choice" and (len(choices) < 2 or not all(choices)):
        return "too_few_choices"
    if answer_type == "choice" and len({choice.casefold() for choice in choices}) < len(choices):
        return "duplicate_choices"
    return "" if canonical else _NO_ANSWER.get(answer_type, "")


def evolution(history: History) -> Iterator[Mapping[str, Any]]:
    """The entries of evolution rounds."""
    return (entry for entry in history if "direction" in entry)


def reasoning(history: History) -> Mapping[str, Any] | None:
    """The entry of sampled reasoning paths, None where none were sampled."""
    return next((entry for entry in history if "reasoning" in entry), None)


def lineage(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The version of an item after each round, from a row of table `qa`.

    The first is the draft, the last the row's own. After a round that eliminated its version, the version
    before stands again.
    """
    history = json.loads(row["history"])
    sampled = reasoning(history)
    rounds = list(evolution(history))
    won = [entry["form"] for entry in rounds if entry["verdict"] == "kept"]
    latest = {
        **{name: row[name] for name in _WORDING},
        "reasoning": sampled["replaced"] if sampled else row["reasoning"],
        "form": won[-1] if won else "",
        "prompt_hash": row["prompt_hash"],
    }
    versions = [latest]
    for entry in reversed(rounds):
        latest = entry["replaced"] if entry["verdict"] == "kept" else latest
        versions.append(latest)
    return versions[::-1]
