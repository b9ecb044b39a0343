"""Numbers as people and models write them: separators, fractions, percents, units, words, other scripts."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import NamedTuple


class Quantity(NamedTuple):
    """A number found in a text."""

    value: float
    """The number as written; percent sign and unit are not applied."""
    unit: str
    """Canonical unit, "" when none is written or it is not a known one."""
    exact: bool
    """Whether it is written as a whole number, which allows no tolerance."""
    text: str
    """The words it was read from, unit included."""


# Dimension, factor to the dimension's base unit, aliases, which are matched without case.
_UNIT_ROWS = (
    ("percent", 1.0, "%|percent|per cent"),
    ("speed", 1 / 3.6, "km/h|kmh|kph|kilometers per hour|kilometres per hour|公里/小时|千米/小时|公里每小时"),
    ("speed", 0.44704, "mph|miles per hour|英里/小时"),
    ("speed", 1.0, "m/s|meters per second|metres per second|米/秒"),
    ("length", 1e3, "km|kilometer|kilometers|kilometre|kilometres|公里|千米"),
    ("length", 1.0, "m|meter|meters|metre|metres|米"),
    ("length", 1e-2, "cm|centimeters|centimetres|厘米"),
    ("length", 1e-3, "mm|millimeters|millimetres|毫米"),
    ("length", 1609.344, "mi|mile|miles|英里"),
    ("length", 0.3048, "ft|foot|feet|英尺"),
    ("length", 0.0254, "inch|inches|英寸"),
    ("mass", 1.0, "kg|kilogram|kilograms|公斤|千克"),
    ("mass", 1e-3, "g|gram|grams|克"),
    ("mass", 0.45359237, "lb|lbs|pound|pounds|磅"),
    ("time", 1.0, "s|sec|secs|second|seconds|秒"),
    ("time", 1e-3, "ms|milliseconds|毫秒"),
    ("time", 60.0, "min|mins|minute|minutes|分钟"),
    ("time", 3600.0, "h|hr|hrs|hour|hours|小时"),
    ("time", 86400.0, "day|days|天"),
    ("celsius", 1.0, "°c|celsius|degrees celsius|摄氏度"),
    ("fahrenheit", 1.0, "°f|fahrenheit|degrees fahrenheit|华氏度"),
    ("volume", 1.0, "l|liter|liters|litre|litres|升"),
    ("volume", 1e-3, "ml|毫升"),
    ("pressure", 1e5, "bar"),
    ("pressure", 1e3, "kpa"),
    ("pressure", 6894.757, "psi"),
    ("rotation", 1.0, "rpm|r/min|转/分"),
    ("voltage", 1.0, "v|volt|volts"),
    ("power", 1e3, "kw"),
    ("energy", 1.0, "kwh"),
)
_UNITS = {alias: (dimension, factor) for dimension, factor, names in _UNIT_ROWS for alias in names.split("|")}
_SCALES = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
    "百": 1e2, "千": 1e3, "万": 1e4, "百万": 1e6, "亿": 1e8,
}  # fmt: skip


def _alternatives(words: dict[str, tuple[str, float]] | dict[str, float]) -> str:
    """Longest first; a Latin word must end there, or "3 green" would be three grams."""
    ordered = sorted(words, key=len, reverse=True)
    return "|".join(
        re.escape(w).replace(r"\ ", r"\s+") + (r"(?![A-Za-z])" if w[-1].isascii() else "") for w in ordered
    )


_DIGITS = (
    r"(?:\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?"  # 1,234.5
    r"|(?<![,\d])\d+,\d{1,2}(?![\d,])"  # 3,5: a decimal comma, but not in 1,2,3
    r"|\d+(?:\.\d+)?|\.\d+)"
)
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)\]-])-\s?)?(?:"
    r"(?P<whole>\d+)\s+(?P<num1>\d+)/(?!0+(?!\d))(?P<den1>\d+)(?![/\d])"
    r"|(?<!/)(?P<num2>\d+)\s?/\s?(?!0+(?!\d))(?P<den2>\d+)(?![/\d.])"
    rf"|(?P<plain>{_DIGITS})(?:e(?P<exp>[+-]?\d{{1,3}})(?!\w)"
    r"|\s?[x×*]\s?10\^(?P<pow>-?\d{1,3})|\^(?P<power>-?\d{1,2}))?"
    r")"
    rf"(?:\s?(?P<scale>(?!千[米克])(?:{_alternatives(_SCALES)})))?(?:\s?(?P<unit>{_alternatives(_UNITS)}))?",
    re.IGNORECASE,
)
# A digit glued to Latin letters belongs to a name or a unit (CO2, m/s2); Chinese text needs no space there.
_GLUED = re.compile(r"[A-Za-z_^.]$")

_ENGLISH = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30,
    "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_WORD = "|".join(sorted((*_ENGLISH, "hundred", "thousand"), key=len, reverse=True))
_WORDS = re.compile(rf"\b(?:{_WORD})(?:(?:-|\s+(?:and\s+)?)(?:{_WORD}))*\b", re.IGNORECASE)
_HAN = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}
_HAN_NUMBER = re.compile("[零〇一二两三四五六七八九十百千]+")

_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴-⁹]+")
_MINUS = str.maketrans(dict.fromkeys("−﹣－–‒", "-") | {"⁄": "/", "∕": "/"})
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{\s*(\d+)\s*\}\{\s*(\d+)\s*\}")
_GROUPED = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_VULGAR = re.compile("[¼½¾⅐-⅞]")


def _plain_text(text: str) -> str:
    """One spelling of minus, digits, fractions and exponents (NFKC alone reads 10² as 102, 1½ as 11/2)."""
    if text.isascii():
        return _LATEX_FRACTION.sub(r"\1/\2", text) if "\\" in text else text
    text = _SUPERSCRIPTS.sub(lambda m: "^" + _compatible(m.group()), _GROUPED.sub("", text))
    text = _VULGAR.sub(lambda m: " " + _compatible(m.group()), text)
    text = _compatible(text).replace("\u066b", ".").replace("\u066c", ",")
    return _LATEX_FRACTION.sub(r"\1/\2", text)


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_MINUS)


def _value(match: re.Match[str]) -> tuple[float, bool] | None:
    """A match's value and whether it is written as a whole number; None without a value (1/0, overflow)."""
    group = match.groupdict()
    try:
        if group["den1"] or group["den2"]:
            numerator = float(group["num1"] or group["num2"])
            denominator = float(group["den1"] or group["den2"])
            value, exact = float(group["whole"] or 0) + numerator / denominator, False
        else:
            digits = group["plain"]
            decimal_comma = re.fullmatch(r"\d+,\d{1,2}", digits)
            digits = digits.replace(",", "." if decimal_comma else "")
            value = float(f"{digits}e{group['exp'] or group['pow'] or 0}")
            if group["power"]:
                value = value ** int(group["power"])
            exact = "." not in digits and not (group["exp"] or group["pow"] or group["power"])
    except (ZeroDivisionError, OverflowError):
        return None
    if group["scale"]:
        value *= _SCALES[group["scale"].lower()]
    if group["sign"]:
        value = -value
    return (value + 0.0, exact) if math.isfinite(value) else None


def find_numbers(text: str) -> list[Quantity]:
    """All numbers of a text in order: digits of any script, or number words if there are no digits."""
    text = _plain_text(text)
    found: list[Quantity] = []
    glued: list[Quantity] = []
    for match in _NUMBER.finditer(text):
        parsed = _value(match)
        if parsed is None:
            continue
        unit = re.sub(r"\s+", " ", (match["unit"] or "").lower())
        quantity = Quantity(parsed[0], unit, parsed[1], match.group().strip())
        (glued if _GLUED.search(text[: match.start()][-1:]) else found).append(quantity)
    return found or glued or _number_words(text)


def _number_words(text: str) -> list[Quantity]:
    english = [Quantity(float(_english(m.group())), "", True, m.group()) for m in _WORDS.finditer(text)]
    return english or [
        Quantity(float(_han(m.group())), "", True, m.group()) for m in _HAN_NUMBER.finditer(text)
    ]


def _english(words: str) -> int:
    total = current = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        else:
            current += _ENGLISH.get(word, 0)
    return total + current


def _han(numeral: str) -> int:
    if not any(c in _HAN_UNITS for c in numeral):
        return int("".join(str(_HAN[c]) for c in numeral))
    total = digit = 0
    for char in numeral:
        if char in _HAN_UNITS:
            total, digit = total + (digit or 1) * _HAN_UNITS[char], 0
        else:
            digit = _HAN[char]
    return total + digit


def parse_number(text: str) -> Quantity | None:
    """The last number of a text, remarks in parentheses left out: "120 km/h (75 mph)" is 120 km/h."""
    outside = re.sub(r"\([^()]*\)", " ", text)
    found = find_numbers(outside) or (find_numbers(text) if outside != text else [])
    return found[-1] if found else None


def canonical(value: float) -> str:
    """The canonical string of a float: twelve significant digits, no trailing zeros, no minus zero."""
    return f"{value + 0.0:.12g}"


def numbers_agree(a: Quantity, b: Quantity, tolerance: float | None = None) -> bool:
    """Whether two quantities are the same: relative to the larger one, so that the relation is symmetric.

    With `tolerance` None whole numbers must be equal: a count of 7 is not a count of 8. Anything else may
    then differ by 0.1 %. A unit counts only if both name one; 50 % is both 50 and 0.5.
    """
    dimension_a, factor_a = _UNITS.get(a.unit, ("", 1.0))
    dimension_b, factor_b = _UNITS.get(b.unit, ("", 1.0))
    both = bool(a.unit and b.unit)
    if both and dimension_a != dimension_b:
        return False
    converted = both and factor_a != factor_b
    if tolerance is None:
        tolerance = 0.0 if a.exact and b.exact and not converted else 1e-3

    def close(x: float, y: float) -> bool:
        return abs(x - y) <= tolerance * max(abs(x), abs(y))

    if converted:
        return close(a.value * factor_a, b.value * factor_b)
    if close(a.value, b.value):
        return True
    percent_a, percent_b = dimension_a == "percent", dimension_b == "percent"
    return percent_a != percent_b and close(
        a.value / (100 if percent_a else 1), b.value / (100 if percent_b else 1)
    )
