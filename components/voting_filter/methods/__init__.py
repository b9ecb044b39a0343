"""Voting methods: every module in this folder is one, and its name is the value of the setting `method`.

A method defines `decide(ballots: Sequence[Ballot], config: Config) -> Outcome` and is imported when used.
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
