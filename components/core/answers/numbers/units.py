"""Units that numbers carry: their dimension, and the factor to its base unit."""

from __future__ import annotations

import re

# Dimension, factor to the dimension's base unit, aliases, which are matched without case.
_ROWS = (
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
UNITS = {alias: (dimension, factor) for dimension, factor, names in _ROWS for alias in names.split("|")}
"""Dimension and factor of each alias, in lower case."""
SCALES = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
    "百": 1e2, "千": 1e3, "万": 1e4, "百万": 1e6, "亿": 1e8,
}  # fmt: skip
"""Words that multiply the number before them."""


def alternatives(words: dict[str, tuple[str, float]] | dict[str, float]) -> str:
    """A pattern of all words, longest first; a Latin word must end there, or "3 green" would be grams."""
    ordered = sorted(words, key=len, reverse=True)
    return "|".join(
        re.escape(w).replace(r"\ ", r"\s+") + (r"(?![A-Za-z])" if w[-1].isascii() else "") for w in ordered
    )
