"""Pictures as files, and helpers that write one set and read it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.core.conversations import open_general
from components.core.conversations.base import BadRecord


@pytest.fixture
def root(tmp_path: Path, coloured_pictures: list[bytes]) -> Path:
    """A folder with `images/0.png` … `images/5.png`."""
    (tmp_path / "images").mkdir()
    for number, data in enumerate(coloured_pictures):
        (tmp_path / "images" / f"{number}.png").write_bytes(data)
    return tmp_path


def write_lines(path: Path, *records: Any) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def plain(row: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """A row's turns: role, and its parts with "<image>" for a placeholder."""
    return [
        (turn["role"], ["<image>" if part["type"] == "image" else part["text"] for part in turn["content"]])
        for turn in json.loads(row["messages"])
    ]


def faults(folder: Path) -> list[BadRecord]:
    """What cannot be read of general data."""
    return [item for item in open_general(folder) if isinstance(item, BadRecord)]


@pytest.fixture
def lines() -> Callable[..., Path]:
    """The function `write_lines`."""
    return write_lines


@pytest.fixture
def turns_of() -> Callable[..., Any]:
    """The function `plain`."""
    return plain


@pytest.fixture
def faults_of() -> Callable[..., list[BadRecord]]:
    """The function `faults`."""
    return faults
