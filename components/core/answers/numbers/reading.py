"""Numbers as people and models write them: separators, signs, fractions, percents, units, other scripts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from components.core.answers.numbers.units import SCALES, UNITS, alternatives
from components.core.answers.numbers.words import chinese_words, english_words


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


class Placed(NamedTuple):
    """A number with its place in a plain text; `quantity` is None for what only looks like one."""

    start: int
    end: int
    quantity: Quantity | None
    word: bool = False


_DIGITS = (
    r"(?:\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?"  # 1,234.5
    r"|(?<![\d,.])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])(?:\.\d+)?"  # 12,34,567: Indian grouping
    r"|(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d,]| \d)(?:\.\d+)?"  # 12 345
    r"|(?<![\d.,])\d{1,3}(?: \d{3})+,\d{1,2}(?!\d)"  # 12 345,6
    r"|(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])(?:,\d+)?"  # 1.234.567
    r"|(?<![\d.,])\d{1,3}(?:\.\d{3})+,\d{1,2}(?![\d,])"  # 1.234,5
    r"|(?<![\d.,])\d{1,3}(?:['’]\d{3})+(?!\d)"  # 1'234
    r"|(?<![,\d])\d+,\d{1,2}(?![\d,])"  # 3,5: a decimal comma, but not in 1,2,3
    r"|\d+(?:\.\d+)?|\.\d+)"
)
_SIGN = r"(?<![\w.)\]-])-\s?|(?<![A-Za-z])(?:minus|negative)\s+|负|零下"
_NUMBER = re.compile(
    rf"(?P<sign>{_SIGN})?[$€£¥]?(?P<late>(?<![\d\w])-(?<=[$€£¥]-))?(?:"
    r"(?P<whole>\d+)\s+(?P<num1>\d+)/(?!0+(?!\d))(?P<den1>\d+)(?![/\d])"
    r"|(?<!/)(?P<num2>\d+)\s?/\s?(?!0+(?!\d))(?P<den2>\d+)(?![/\d.])"
    r"|(?<![\d.])10\^\{?(?P<ten>-?\d{1,3})\}?"
    rf"|(?P<plain>{_DIGITS})(?:e(?P<exp>[+-]?\d{{1,3}})(?!\w)"
    r"|\s?[x×*·]\s?10\^\{?(?P<pow>-?\d{1,3})\}?|\^\{?(?P<power>-?\d{1,2})\}?)?"
    r")"
    rf"(?:\s?(?P<scale>(?!千[米克])(?:{alternatives(SCALES)})))?(?:\s?(?P<unit>{alternatives(UNITS)}))?"
    r"(?P<below>(?:\s+degrees?)?\s+below\s+zero\b)?",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_LEAD = re.compile(rf"(?:(?:{_SIGN})?[$€£¥]-?|(?:{_SIGN}))?\.?$", re.IGNORECASE)
# A digit glued to Latin letters belongs to a name or a unit (CO2, m/s2); Chinese text needs no space there.
_GLUED = re.compile(r"[A-Za-z_^.]$")
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴-⁹]+")
_MINUS = str.maketrans(dict.fromkeys("−﹣－–‒", "-") | {"⁄": "/", "∕": "/"})
_LATEX = (
    (re.compile(r"\\[dt]?frac\{\s*(\d+)\s*\}\{\s*(\d+)\s*\}"), r"\1/\2"),
    (re.compile(r"\\times|\\cdot"), "×"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;! ]"), " "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\pm"), "±"),
)
_GROUPED = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_VULGAR = re.compile("[¼½¾⅐-⅞]")


def plain_text(text: str) -> str:
    """One spelling of minus, digits, fractions and exponents (NFKC alone reads 10² as 102, 1½ as 11/2)."""
    if not text.isascii():
        text = _SUPERSCRIPTS.sub(lambda m: "^" + _compatible(m.group()), _GROUPED.sub("", text))
        text = _VULGAR.sub(lambda m: " " + _compatible(m.group()), text)
        text = _compatible(text).replace("\u066b", ".").replace("\u066c", ",")
    if "\\" in text or "{" in text:
        for pattern, by in _LATEX:
            text = pattern.sub(by, text)
    return text


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_MINUS)


def _value(match: re.Match[str]) -> tuple[float, bool] | None:
    """A match's value and whether it is written as a whole number; None without a value (overflow)."""
    group = match.groupdict()
    try:
        if group["den1"] or group["den2"]:
            numerator = float(group["num1"] or group["num2"])
            denominator = float(group["den1"] or group["den2"])
            value, exact = float(group["whole"] or 0) + numerator / denominator, False
        elif group["ten"]:
            value, exact = 10.0 ** int(group["ten"]), False
        else:
            digits, exact = _decimal(group["plain"])
            value = float(f"{digits}e{group['exp'] or group['pow'] or 0}")
            if group["power"]:
                value = value ** int(group["power"])
            exact = exact and not (group["exp"] or group["pow"] or group["power"])
    except (ZeroDivisionError, OverflowError):
        return None
    if group["scale"]:
        value *= SCALES[group["scale"].lower()]
    if group["sign"] or group["late"] or group["below"]:
        value = -value
    return (value + 0.0, exact) if math.isfinite(value) else None


def _decimal(digits: str) -> tuple[str, bool]:
    """Digits without separators and with a decimal point, and whether they are a whole number."""
    digits = re.sub("[ '’]", "", digits)
    if digits.count(".") > 1 or ("," in digits and 0 <= digits.find(".") < digits.rfind(",")):
        digits = digits.replace(".", "")
    if re.fullmatch(r"\d+,\d{1,2}", digits):
        digits = digits.replace(",", ".")
    digits = digits.replace(",", "")
    return digits, "." not in digits


def _matches(plain: str) -> Iterator[re.Match[str]]:
    """Matches of `_NUMBER`, in order. Digits are looked for first: that is much cheaper than the pattern."""
    done = 0
    while digit := _DIGIT.search(plain, done):
        start = max(done, digit.start() - 12)
        before = _LEAD.search(plain, start, digit.start())
        match = _NUMBER.match(plain, before.start() if before else digit.start())
        if match is None and before:
            match = _NUMBER.match(plain, digit.start())
        if match:
            yield match
        done = max(match.end() if match else 0, digit.end())


def placed_numbers(plain: str) -> list[Placed]:
    """All numbers of a plain text (see `plain_text`) in order; number words only where there are no digits,
    but for English ones above one, which count beside digits."""
    found: list[Placed] = []
    glued: list[Placed] = []
    for match in _matches(plain):
        parsed = _value(match)
        unit = re.sub(r"\s+", " ", (match["unit"] or "").lower())
        quantity = Quantity(parsed[0], unit, parsed[1], match.group().strip()) if parsed else None
        placed = Placed(match.start(), match.end(), quantity)
        (glued if _GLUED.search(plain[: match.start()][-1:]) else found).append(placed)
    words = list(_words(plain))
    if found:
        beside = [w for w in words if w.quantity is None or w.quantity.value > 1]
        apart = [w for w in beside if all(w.end <= f.start or w.start >= f.end for f in found)]
        return sorted([*found, *apart]) if apart else found
    return words or glued or list(_words(plain, chinese_words))


def _words(
    plain: str, reader: Callable[[str], Iterator[tuple[int, int, float | None]]] = english_words
) -> list[Placed]:
    return [
        Placed(start, end, None if value is None else Quantity(value, "", True, plain[start:end]), True)
        for start, end, value in reader(plain)
    ]


def find_numbers(text: str) -> list[Quantity]:
    """All numbers of a text in order: digits of any script, or number words if there are no digits."""
    placed = placed_numbers(plain_text(text))
    digits = [p for p in placed if not p.word]
    return [p.quantity for p in digits or placed if p.quantity is not None]


def canonical(value: float) -> str:
    """The canonical string of a float: twelve significant digits, no trailing zeros, no minus zero."""
    return f"{value + 0.0:.12g}"


def numbers_agree(a: Quantity, b: Quantity, tolerance: float | None = None) -> bool:
    """Whether two quantities are the same: relative to the larger one, so that the relation is symmetric.

    With `tolerance` None whole numbers must be equal: a count of 7 is not a count of 8. Anything else may
    then differ by 0.1 %. A unit counts only if both name one; 50 % is both 50 and 0.5.
    """
    dimension_a, factor_a = UNITS.get(a.unit, ("", 1.0))
    dimension_b, factor_b = UNITS.get(b.unit, ("", 1.0))
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
