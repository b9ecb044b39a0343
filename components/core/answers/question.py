"""The question that all stages carry: its words, the answers that count as right, their type and the options."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.answers.comparison import agree
from components.core.answers.extraction import AnswerType


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and what counts as right. Stages add what they know: votes, pass rates, pictures, responses."""

    question: str
    """Its words, without the options unless the stage says so."""
    answers: tuple[str, ...]
    """Reference answers, at least one; the first is the usual one."""
    answer_type: AnswerType
    choices: tuple[str, ...] = ()
    """Texts of the options in the order of their letters; none unless `answer_type` is choice."""

    @property
    def reference(self) -> str:
        """The first reference answer."""
        return self.answers[0]

    def agrees(self, answer: str) -> bool:
        """Whether an answer is one of the reference answers, by the rules of the answer's type."""
        return any(agree(answer, right, self.answer_type, self.choices) for right in self.answers)
