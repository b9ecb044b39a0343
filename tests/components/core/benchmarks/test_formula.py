"""Formulas: equal in all spellings, and never evaluated where they are not arithmetic."""

from __future__ import annotations

import math
import time

import pytest
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


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac{1}{25}", r"$\frac{5^{801}}{5^{803}}$", True),  # no float holds 5^801
        ("49", r"\frac{7^{100000}}{7^{99998}}", True),
        ("2^{5000}", "4^{2500}", True),
        ("2^{5000}", "2^{5001}", False),
        ("10000000", "10000001", False),  # whole numbers are exact
        (r"m = \pm 11", "11", False),
        ("6", r"\pm 6", False),
        (r"\pm 7", r"$\pm 7$", True),
        ("x = 2 or x = -2", r"\pm 2", True),
        ("-2, 2", "±2", True),
        (r"\pm 2", r"\pm 3", False),
    ],
)
def test_powers_and_signs(a: str, b: str, same: bool):
    assert equal(a, b) is same
    assert equal(b, a) is same


@pytest.mark.parametrize(
    "tower", ["9^{9^{9^{9}}}", "9" * 400 + "**" + "9" * 90, "(" * 400, "2**" * 150 + "2"]
)
def test_a_tower_of_powers_takes_no_time(tower: str):
    start = time.process_time()
    assert not equal(tower, "5")
    assert time.process_time() - start < 1
