"""A benchmark that exports are measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.data.dataset import DatasetWriter


@pytest.fixture
def coloured_benchmark(tmp_path, coloured_pictures) -> Path:
    """What colour is it? An item a picture."""
    rows = [
        {"item_id": f"i{n}", "image": data, "image_group": f"g{n}", "question": "What colour is it?",
         "answer": "red", "answer_type": "span", "choices": [], "category": "colour"}
        for n, data in enumerate(coloured_pictures)
    ]  # fmt: skip
    with DatasetWriter(tmp_path / "benchmark", "benchmark") as writer:
        writer.write(rows)
    return tmp_path / "benchmark"
