"""Options of a multiple choice: their letters and texts, and the one that a text states."""

from __future__ import annotations

from components.core.answers.options.letters import LETTERS, lettered
from components.core.answers.options.reading import choice_letter
from components.core.answers.options.texts import option_texts

__all__ = ["LETTERS", "choice_letter", "lettered", "option_texts"]
