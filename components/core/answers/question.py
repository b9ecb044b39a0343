"""The question that all stages carry: its words, the right answers, their type and the options."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.answers.comparison import agree, normalise
from components.core.answers.extraction import AnswerType


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and its right answers. Stages add what they know: votes, pass rates, pictures, responses."""

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
        return any(self.same(answer, right) for right in self.answers)

    def same(self, a: str, b: str) -> bool:
        """Whether two answers to this question say the same; see `agree`."""
        return agree(a, b, self.answer_type, self.choices)

    def normalised(self, answer: str) -> str:
        """The canonical form of an answer to this question, "" if it is none; see `normalise`."""
        return normalise(answer, self.answer_type, self.choices)
