"""Numbers in texts: reading them, choosing the one that a text states, and comparing them."""

from __future__ import annotations

from components.core.answers.numbers.reading import Quantity, canonical, find_numbers, numbers_agree
from components.core.answers.numbers.stated import first_number, parse_number

__all__ = ["Quantity", "canonical", "find_numbers", "first_number", "numbers_agree", "parse_number"]
