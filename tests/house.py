"""What the rules of the house are checked with: imports, prose and lists, read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("components", "pipelines", "images", "demo", "benchmarks")
CODE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
"""Every module but the tests."""
PRODUCTION = [path for path in CODE if path.relative_to(ROOT).parts[0] in ("components", "pipelines")]


def module_of(path: Path) -> str:
    """The dotted name of a module of this repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it and by `importlib` too, with relative imports resolved."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            names.update({module, *(f"{module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
            names.add(_constant_part(node.args[0]))
    return names - {""}


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _constant_part(node: ast.expr) -> str:
    """The text of a constant, or what an f-string begins with."""
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    return node.value.rstrip(".") if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def import_circles(paths: list[Path]) -> list[set[str]]:
    """Groups of modules that import each other, wherever in the file the import stands."""
    modules = {module_of(path): path for path in paths}
    edges = {
        name: {other for other in imported(path) if other in modules and other != name}
        for name, path in modules.items()
    }
    reached = {name: _reachable(name, edges) for name in modules}
    groups = {frozenset({n for n in reached[name] if name in reached[n]}) for name in modules}
    return [set(group) for group in groups if group]


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges[name]
    return found


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring of a file, those under attributes and constants among them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for before, after in zip([None, *node.body], node.body, strict=False):
            text = after.value if isinstance(after, ast.Expr) else None
            if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                continue
            if before is None or isinstance(before, (ast.Assign, ast.AnnAssign)):
                yield after.lineno, text.value


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring: paragraphs and entries of lists apart, indented blocks left out."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
        block: list[str] = []
        for line in lines:
            entry = re.match(r"\s*(?:[-*] |\d+\. |[\w.*, `|-]{1,40}: |(?:Args|Returns|Raises|Yields):)", line)
            if entry and block and not line.startswith(" " * (indent + 6)):
                yield from _split(block)
                block = []
            block.append(line.strip())
        yield from _split(block)


def _split(lines: list[str]) -> Iterator[str]:
    for sentence in re.split(r"(?<=[.!?])[)\"'`]*\s+(?=[A-Z`(\"'\[])", " ".join(lines)):
        if sentence.strip():
            yield sentence.strip()


def words(sentence: str) -> int:
    """How many words a sentence has; numbers and names count, signs alone do not."""
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def lists_of(names: set[str], path: Path) -> Iterator[int]:
    """Lines at which a literal lists three of `names` or more."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        members: list[ast.expr | None] = []
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            members = list(node.elts)
        elif isinstance(node, ast.Dict):
            members = list(node.keys)
        found = {member.value for member in members if isinstance(member, ast.Constant)}
        if len(found & names) >= 3:
            yield node.lineno
