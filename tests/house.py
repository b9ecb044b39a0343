"""What the rules of the house are checked with: imports, prose and lists, read from the sources."""

from __future__ import annotations

import ast
import inspect
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
    """Every module that a file imports, anywhere in it, by `importlib` or relatively too."""
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


_LISTED = re.compile(r"(?:[-*•] |\(?\d{1,2}[.)] |\|)")
"""How an entry of a list, or a row of a Markdown table, begins."""
_NAMED = re.compile(r"[`*\w.|]+(?:, [`*\w.|]+)*: ")
"""How an entry of `Args` begins."""
_COLUMNS = re.compile(r"(?<=\S) {2,}(?=\S)")
"""The gap between two columns of a table or of a formula."""
_SHORTENED = r"[A-Z]|al|cf|ch|ed|eq|e\.g|i\.e|vs|Fig|Sec|Eq|Ed|Stat|Statist|Surv|Methodol|Med|Math|Proc|Trans"
_NO_END = re.compile(rf"(?:^|[\s(])(?:{_SHORTENED})\.$")
"""A full stop that shortens a word: an initial, a journal's name, `et al.`"""
_END = re.compile(r"(?<=[.!?])[)\"'`]*\s+")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring. Entries of lists, rows of tables and lines of formulas are apart."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        for block in _blocks(paragraph.splitlines()):
            yield from _split(" ".join(line.strip() for line in block))


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """The lines of a paragraph in groups; a deeper line belongs to its entry, but not after a colon."""
    block: list[str] = []
    for line in lines:
        if block and _begins(line, block):
            yield block
            block = []
        block.append(line)
    yield block


def _begins(line: str, block: list[str]) -> bool:
    """Whether a line begins something else than the lines before it."""
    indent, first = _indent(line), _indent(block[0])
    text = line.strip()
    if _LISTED.match(text) or _COLUMNS.search(text) or indent < first:
        return True
    if indent > first:
        return block[-1].rstrip().endswith(":")
    # At the same depth: after a hanging line the next entry, in `Args` the next name.
    hanging = any(_indent(before) > first for before in block)
    return hanging or bool(_COLUMNS.search(block[0].strip())) or (first > 0 and bool(_NAMED.match(text)))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _split(text: str) -> Iterator[str]:
    """Sentences end with `.`, `!` or `?`; a semicolon ends none."""
    start = 0
    for end in _END.finditer(text):
        if not _NO_END.search(text[: end.start()]):
            yield text[start : end.start()]
            start = end.end()
    if text[start:]:
        yield text[start:]


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
