"""Equality of mathematical answers, LaTeX or plain: as strings, as values, or as lists. Pure functions."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from components.core.answers import parse_number

TOLERANCE = 1e-6
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
_IMPLICIT = re.compile(r"(?<=[\d)])\s*(?=sqrt|pi|\()|(?<=pi)\s*(?=\d|\(|sqrt)|(?<=\))\s*(?=\d)")

_OPERATIONS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def equal(prediction: str, reference: str) -> bool:
    """Whether two answers are the same formula, value or list of them in order."""
    a, b = plain(prediction), plain(reference)
    if not a or not b:
        return False
    if _compact(a) == _compact(b):
        return True
    entries_a, entries_b = _entries(a), _entries(b)
    if len(entries_a) > 1 or len(entries_b) > 1:
        return len(entries_a) == len(entries_b) and all(
            equal(x, y) for x, y in zip(entries_a, entries_b, strict=True)
        )
    value_a, value_b = value(a), value(b)
    if value_a is None or value_b is None:
        return False
    return abs(value_a - value_b) <= TOLERANCE * max(1.0, abs(value_b))


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


def value(expression: str) -> float | None:
    """Value of an arithmetic expression, or of a number with words around it; None if it is neither."""
    try:
        tree = ast.parse(_IMPLICIT.sub("*", expression.strip()), mode="eval")
        result = _evaluate(tree.body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        quantity = parse_number(expression) if len(expression) < 40 else None
        numbers = re.findall(r"\d+(?:\.\d+)?", expression)
        return quantity.value if quantity and len(numbers) == 1 else None
    return result if math.isfinite(result) else None


def _evaluate(node: ast.AST) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id == "pi":
        return math.pi
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        result = _OPERATIONS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
        if isinstance(result, complex):
            raise ValueError("not a real number")
        return result
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_evaluate(node.operand))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sqrt":
        return math.sqrt(_evaluate(node.args[0]))
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
