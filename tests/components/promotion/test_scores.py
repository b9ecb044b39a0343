from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.core.stage.errors import DataError
from components.promotion.scores import METRICS, read_scores, summarise

GOOD = {
    "label": "base",
    "checkpoint_digest": "d",
    "metrics": {"domain_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 300}},
    "by_category": {},
    "settings": {"seed": 0},
}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "scores"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_summary_has_a_row_a_stage_and_none_where_nothing_was_measured(tmp_path: Path) -> None:
    summary = summarise([read_scores(written(tmp_path, GOOD), "base")])
    assert summary["columns"] == list(METRICS)
    (row,) = summary["rows"]
    assert row["stage"] == "base"
    assert row["domain_accuracy"] == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 300}
    assert all(row[metric] is None for metric in METRICS if metric != "domain_accuracy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "not a scores file"),
        (
            {**GOOD, "metrics": {"m": {"value": 1.0, "low": 2.0, "high": 0.0, "n": 1}}},
            "low 2.0 above high 0.0",
        ),
        ({**GOOD, "metrics": {"m": {"value": float("nan"), "low": 0, "high": 0, "n": 1}}}, "finite"),
        ({"label": "base"}, "checkpoint_digest"),
        ({**GOOD, "label": "sft_1_domain"}, "check the wiring"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, change: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_scores(written(tmp_path, change), "base")
