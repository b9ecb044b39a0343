"""Ways to turn votes into decisions: every module in this folder is a method, and its name is the setting's value.

A method defines `decide(ballots: Sequence[Ballot], config: Config) -> Outcome`. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def method_names() -> list[str]:
    """The methods there are, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_method(name: str) -> Any:
    """The `decide` function of a method."""
    return importlib.import_module(f"{__name__}.{name}").decide
