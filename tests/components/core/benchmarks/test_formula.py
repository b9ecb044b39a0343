"""Formulas: equal in all spellings, and never evaluated where they are not arithmetic."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from components.core.benchmarks.formula import equal, plain, value

WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x9FFF, exclude_categories=("Cs",)), max_size=60
)


def test_formulas_that_are_not_arithmetic_are_not_evaluated():
    assert value("__import__('os').getcwd()") is None
    assert value("9**9**9**9") is None  # too large, and refused as a float
    assert value("(0-8)**(1/3)") is None  # not a real number
    assert value("1/0") is None
    assert value("[1][0]") is None


@given(st.integers(-999, 999), st.integers(1, 99))
def test_fractions_in_all_spellings_are_equal(numerator: int, denominator: int):
    spellings = [
        f"{numerator}/{denominator}",
        rf"\frac{{{numerator}}}{{{denominator}}}",
        rf"$\dfrac{{{numerator}}}{{{denominator}}}$",
        repr(numerator / denominator),
        f"({numerator})/({denominator})",
    ]
    assert all(equal(a, b) for a in spellings for b in spellings)
    assert not any(equal(a, f"{numerator + denominator}/{denominator}") for a in spellings)


@given(WORDS)
def test_a_formula_equals_itself_and_reading_it_never_fails(text: str):
    assert equal(text, text) == bool(plain(text))
    found = value(text)
    assert found is None or math.isfinite(found)
