"""Equality of mathematical answers, LaTeX or plain: as strings, as values, or as lists. Pure functions.

Values are decimals of 50 digits with exponents of any usual size, so a quotient of huge powers has its value.
Every operation takes bounded time and memory: a tower of powers overflows and is no value.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from decimal import Clamped, Context, Decimal, Inexact, Rounded, Subnormal

from components.core.answers import parse_number

TOLERANCE = Decimal("1e-6")
"""Two values are equal if they differ by at most this, relative to the reference where that exceeds 1."""

_INNERMOST = (
    (r"\\[dtc]?frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))"),
    (r"\\sqrt\[([^\[\]{}]*)\]\{([^{}]*)\}", r"((\2)**(1/(\1)))"),
    (r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)"),
    (r"\^\{([^{}]*)\}", r"**(\1)"),
    (r"_\{([^{}]*)\}", r"_\1"),
)
_REPLACED = (
    (r"\\[dtc]?frac\s*(\d)\s*(\d)", r"((\1)/(\2))"),
    (r"\\pm|±", "±"),
    (r"\\(?:big|Big|bigg|Bigg)?[lr]?(?=[()\[\]|])", ""),
    (r"\\sqrt\s*(\d+)|√\s*(\d+)", r"sqrt(\1\2)"),
    (r"√\s*\(", "sqrt("),
    (r"\\(?:left|right|displaystyle|,|!|;|:|quad| )", ""),
    (r"\^\s*\\?circ|\\degree|°|\bdegrees?\b", ""),
    (r"\\pi|π", "pi"),
    (r"\\times|\\cdot|×|·|⋅", "*"),
    (r"\\div|÷", "/"),
    (r"[−–]", "-"),
    (r"\\%|%", ""),
    (r"²", "**2"),
    (r"³", "**3"),
    (r"\^", "**"),
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"\\\{", "("),
    (r"\\\}", ")"),
)
_TEXT_UNIT = re.compile(r"(?<=\S)\s*\\(?:text|mathrm|mbox)\{[^{}]*\}(?:\^\{?\d\}?)?$")
_UNIT = re.compile(
    r"(?<=[\d)}\]])\s*(?:cm|mm|km|m|kg|g|s|h|min|ml|l|units?)(?:\^?\{?[23]\}?|²|³)?$", re.IGNORECASE
)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\{([^{}]*)\}")
_NAMED = re.compile(r"^[a-zA-Z]\w?\s*=\s*(?=\S)")
_INTEGER = re.compile(r"-?\d{1,400}")
_IMPLICIT = re.compile(r"(?<=[\d)])\s*(?=sqrt|pi|\()|(?<=pi)\s*(?=\d|\(|sqrt)|(?<=\))\s*(?=\d)")

_CONTEXT = Context(prec=50, Emax=10**12, Emin=-(10**12))
for _signal in (Clamped, Inexact, Rounded, Subnormal):
    _CONTEXT.traps[_signal] = False
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582")
_LONGEST = 500
"""Characters of a formula that is evaluated; a longer one is only compared as a string."""
_OPERATIONS: dict[type[ast.AST], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: _CONTEXT.add, ast.Sub: _CONTEXT.subtract, ast.Mult: _CONTEXT.multiply, ast.Div: _CONTEXT.divide,
    ast.Pow: _CONTEXT.power,
}  # fmt: skip


def equal(prediction: str, reference: str) -> bool:
    """Whether two answers are the same formula, value or list of them in order."""
    a, b = plain(prediction), plain(reference)
    if not a or not b:
        return False
    if _compact(a) == _compact(b):
        return True
    if _INTEGER.fullmatch(a) and _INTEGER.fullmatch(b):
        return int(a) == int(b)
    if "±" in a + b:
        return _same_roots(_roots(a), _roots(b))
    entries_a, entries_b = _entries(a), _entries(b)
    if len(entries_a) > 1 or len(entries_b) > 1:
        return len(entries_a) == len(entries_b) and all(
            equal(x, y) for x, y in zip(entries_a, entries_b, strict=True)
        )
    value_a, value_b = value(a), value(b)
    if value_a is None or value_b is None:
        return False
    return _CONTEXT.abs(_CONTEXT.subtract(value_a, value_b)) <= _CONTEXT.multiply(
        TOLERANCE, max(Decimal(1), abs(value_b))
    )


def _roots(text: str) -> list[str]:
    """Several solutions in any order: "±2" and "x = 2 or x = -2" are two each."""
    parts = [part.strip() for part in re.split(r"[,;]|\bor\b|\band\b|或|和", text.strip("() "))]
    parts = [_NAMED.sub("", part) for part in parts if part]
    return [root for part in parts for root in (
        [part.replace("±", sign, 1) for sign in ("+", "-")] if "±" in part else [part]
    )]  # fmt: skip


def _same_roots(a: list[str], b: list[str]) -> bool:
    return all(any(equal(x, y) for y in b) for x in a) and all(any(equal(x, y) for x in a) for y in b)


def plain(text: str) -> str:
    """LaTeX as an arithmetic expression, without dollar signs, degrees and a final unit."""
    text = text.strip().strip("$").strip()
    text = text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]").strip()
    text = text.rstrip(".。").replace("$", "").replace("{,}", ",")
    text = _UNIT.sub("", _TEXT_UNIT.sub("", text))
    text = _TEXT.sub(r"\1", text)
    before = ""
    while text != before:
        before = text
        for pattern, by in _INNERMOST:
            text = re.sub(pattern, by, text)
    for pattern, by in _REPLACED:
        text = re.sub(pattern, by, text)
    text = text.replace("{", "(").replace("}", ")").strip()
    return _NAMED.sub("", text).strip()


def value(expression: str) -> Decimal | None:
    """Value of an arithmetic expression, or of a number with words around it; None if it is neither."""
    if len(expression) > _LONGEST or "±" in expression:
        return None
    try:
        tree = ast.parse(_IMPLICIT.sub("*", expression.strip()), mode="eval")
        result = _evaluate(tree.body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        quantity = parse_number(expression) if len(expression) < 40 else None
        numbers = re.findall(r"\d+(?:\.\d+)?", expression)
        return Decimal(str(quantity.value)) if quantity and len(numbers) == 1 else None
    return result if result.is_finite() else None


def _evaluate(node: ast.AST) -> Decimal:
    """The value of a syntax tree.

    Raises:
        ValueError: it is not arithmetic of real numbers.
        ArithmeticError: it has no value, or a power in it overflows.
    """
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Decimal(str(node.value))
    if isinstance(node, ast.Name) and node.id == "pi":
        return _PI
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _evaluate(node.operand)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sqrt":
        return _CONTEXT.sqrt(_evaluate(node.args[0]))
    raise ValueError(f"not arithmetic: {type(node).__name__}")


def _entries(text: str) -> list[str]:
    """Entries of "(1, 2)", "[1, 2]" or "1, 2"; the text itself if it is no list."""
    inner = text[1:-1] if text[0] in "([" and text[-1] in ")]" else text
    parts, depth, start = [], 0, 0
    for place, char in enumerate(inner):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if depth < 0:
            return [text]
        if char in ",;" and depth == 0:
            parts.append(inner[start:place])
            start = place + 1
    return [*parts, inner[start:]] if parts else [text]


def _compact(text: str) -> str:
    return re.sub(r"\s+", "", text).lower()
