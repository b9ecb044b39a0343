"""The kinds of benchmarks: each module here (and in `published`) is one kind, found by its file's name.

A module defines `RULES`: how a row becomes an item, how it is asked and how a response is scored.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from components.core.benchmarks.base import BenchmarkReader
from components.core.benchmarks.rules import Rules
from components.core.stage.errors import ConfigError

_FOLDER = Path(__file__).parent
_MODULES = {
    path.stem: ".".join(path.relative_to(_FOLDER).with_suffix("").parts)
    for path in sorted(_FOLDER.rglob("*.py"), key=lambda path: path.stem)
    if path.stem != "__init__"
}
KINDS = tuple(_MODULES)
"""Names of all kinds."""

if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[("auto", *KINDS)]
"""Type of a setting that names a kind; auto: by the benchmark's name (see `kind_for`)."""


def rules_of(kind: str) -> Rules:
    """The rules of a kind."""
    return all_rules()[kind]


@cache
def all_rules() -> Mapping[str, Rules]:
    """The rules of all kinds, by name."""
    return {
        name: importlib.import_module(f"components.core.benchmarks.kinds.{module}").RULES
        for name, module in _MODULES.items()
    }


def kind_for(name: str, benchmark: BenchmarkReader) -> str:
    """The kind of a benchmark whose kind is not set: by its name or its file's, else by its content.

    Raises:
        ConfigError: a TSV file of an unknown name that is not multiple choice throughout.
    """
    if benchmark.kind:
        return benchmark.kind
    rules = all_rules()
    named = sorted((kind for kind in rules if rules[kind].names), key=lambda kind: rules[kind].rank)
    for candidate in [name] if benchmark.format == "dataset" else [name, benchmark.path.stem]:
        plain = re.sub(r"[^a-z0-9]", "", candidate.lower())
        for kind in named:
            if re.search(rules[kind].names, plain) and rules[kind].fits(benchmark.items):
                return kind
    if benchmark.fallback_kind:
        return benchmark.fallback_kind
    if rules["choice"].fits(benchmark.items):
        return "choice"
    raise ConfigError(
        f"benchmark '{name}' ({benchmark.path}): no known name and not multiple choice; "
        f"set `kind` to one of {', '.join(KINDS)}"
    )
