"""Reading numbers: every expected value follows from the text by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.answers import agree, find_numbers, normalise, parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-3", -3),
        ("−7", -7),  # U+2212
        ("1,234.5", 1234.5),
        ("1,234,567", 1_234_567),
        ("1\u202f234\u202f567", 1_234_567),  # narrow no-break spaces
        ("3,5", 3.5),  # decimal comma
        (".5", 0.5),
        ("3/4", 0.75),
        ("1 3/4", 1.75),
        ("½", 0.5),
        ("1½", 1.5),
        (r"\frac{3}{4}", 0.75),
        ("1.5e-7", 1.5e-7),
        ("2 × 10^3", 2000),
        ("10²", 100),
        ("5 m/s2", 5),
        ("CO2 at 400", 400),
        ("about CO2", 2),  # nothing better
        ("1.2 million", 1_200_000),
        ("5万", 50_000),
        ("3千米", 3),
        ("3 green lights", 3),  # not three grams
        ("１２０", 120),  # full width
        ("٣", 3),  # Arabic-Indic
        ("३५", 35),  # Devanagari
        ("twenty-five", 25),
        ("one hundred and seven", 107),
        ("There are two lamps.", 2),
        ("3 (three)", 3),
        ("120 km/h (75 mph)", 120),
        ("共3个", 3),
        ("两个", 2),
        ("三十二", 32),
        ("一百零五", 105),
        ("二〇二四", 2024),
    ],
)
def test_parse_number_value(text: str, value: float):
    quantity = parse_number(text)
    assert quantity is not None
    assert quantity.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "unknown", "none", "-", "...", "/", "1e999"])
def test_no_number(text: str):
    assert parse_number(text) is None
    assert normalise(text, "number") == ""


def test_order_and_units_are_kept():
    assert [(q.value, q.unit) for q in find_numbers("90 km/h, 20 °C and 50%")] == [
        (90, "km/h"),
        (20, "°c"),
        (50, "%"),
    ]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("120 km/h", "120", True),  # one without a unit
        ("120 km/h", "120 mph", False),
        ("120 km/h", "120 kmh", True),
        ("1 km", "1000 m", True),  # converted
        ("5 m", "5 kg", False),
        ("50 %", "50", True),
        ("50 percent", "0.5", True),
        ("50%", "0.5%", False),
        ("7", "8", False),
        ("1000", "1001", False),  # whole numbers are exact
        ("3.14", "3.1416", True),  # 0.05 % apart
        ("3.1", "3.14", False),  # 1.3 % apart
        ("0.75", "3/4", True),
        ("1/3", "0.333", True),  # 0.1 % of 1/3 is 0.000333
        ("three", "3", True),
        ("3", "three lamps", True),
        ("0", "0.0", True),
        ("-5", "5", False),
        ("unknown", "unknown", False),  # no number agrees with nothing
    ],
)
def test_number_agreement(a: str, b: str, same: bool):
    assert agree(a, b, "number") is same
    assert agree(b, a, "number") is same


def test_given_tolerance_holds_for_whole_numbers_too():
    assert agree("100", "104", "number", tolerance=0.05)
    assert not agree("100", "106", "number", tolerance=0.05)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_normalisation(value: float):
    text = normalise(repr(value), "number")
    assert float(text) == pytest.approx(value, rel=1e-11)
    assert normalise(text, "number") == text


@given(st.integers(-(10**9), 10**9))
def test_thousands_separators_do_not_matter(value: int):
    assert normalise(f"{value:,}", "number") == normalise(str(value), "number") == f"{value:.12g}"
