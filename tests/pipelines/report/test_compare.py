"""The page that compares two runs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from components.core.data.dataset import DatasetWriter
from components.core.data.pins import pin
from components.core.stage.errors import DataError, NoInputError
from pipelines.report.compare import write_comparison

MEASURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4}
ITEMS = ("one", "two", "three@0", "three@1")


@pytest.fixture
def benchmark(tmp_path: Path) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    with DatasetWriter(tmp_path / "cars", "benchmark", provenance={}) as writer:
        writer.write(
            [
                {
                    "item_id": item, "image": buffer.getvalue(), "image_group": item,
                    "question": f"What is {item}?",
                    "answer": "A", "answer_type": "choice", "choices": ["x", "y"], "category": "c",
                }
                for item in ("one", "two", "three")
            ]
        )  # fmt: skip
    return pin(str(tmp_path / "cars"))


def evaluate(run: Path, benchmark: str, outcomes: dict[str, float], label: str = "base") -> Path:
    """Write the outputs of one evaluation; `<question>@<shift>` is a rotation of a circular question."""
    folder = run / "outputs" / f"evaluation_{label}"
    with DatasetWriter(folder / "predictions", "predictions", provenance={}) as writer:
        writer.write(
            [
                {
                    "benchmark": "cars", "item_id": item, "group": item.partition("@")[0],
                    "image_group": item.partition("@")[0], "category": "c", "model": label, "sample_no": 0,
                    "response": f"{run.name} says {item}", "extracted": "", "stage": "none", "score": score,
                    "response_tokens": 1,
                }
                for item, score in outcomes.items()
            ]
        )  # fmt: skip
    settings = {"benchmarks": [{"name": "cars", "role": "domain"}]}
    scores = {"metrics": {"domain_accuracy": MEASURE}, "settings": settings}
    (folder / "predictions" / "scores").write_text(json.dumps(scores))
    (run / "outputs" / "preflight").mkdir(exist_ok=True)
    reference = json.dumps([{"name": "cars", "role": "domain", "ref": benchmark}])
    (run / "outputs" / "preflight" / "benchmarks").write_text(reference)
    return run


def test_differences_count_circular_questions_once_and_flips_are_shown(tmp_path, benchmark):
    a = evaluate(tmp_path / "a", benchmark, dict(zip(ITEMS, (0, 1, 1, 0), strict=True)))
    b = evaluate(tmp_path / "b", benchmark, dict(zip(ITEMS, (1, 1, 1, 1), strict=True)))
    text = write_comparison(a, b, tmp_path / "page" / "compare.html").read_text()
    # A has 1 of 3 questions right (one rotation of "three" is wrong), B all: two gained.
    assert "+66.7 points" in text
    assert "only B is right (2 items)" in text
    assert "What is one?" in text
    assert "What is three?" in text
    assert "What is two?" not in text
    assert "✗ a (A): a says one\n✓ b (B): b says one" in text


def test_the_wanted_model_is_shown(tmp_path, benchmark):
    runs = [tmp_path / name for name in "ab"]
    for run in runs:
        for label in ("base", "sft_1_domain"):
            evaluate(run, benchmark, dict.fromkeys(ITEMS, 1.0), label)
    text = write_comparison(*runs, tmp_path / "compare.html").read_text()
    assert "sft_1_domain: by category" in text
    text = write_comparison(*runs, tmp_path / "compare.html", "base").read_text()
    assert "base: by category" in text
    with pytest.raises(NoInputError, match="choose from base, sft_1_domain"):
        write_comparison(*runs, tmp_path / "compare.html", "hybrid_rl")


def test_runs_that_cannot_be_compared_are_refused(tmp_path, benchmark):
    a = evaluate(tmp_path / "a", benchmark, {"one": 1.0})
    b = evaluate(tmp_path / "b", benchmark, {"two": 1.0})
    with pytest.raises(DataError, match="no item in common"):
        write_comparison(a, b, tmp_path / "compare.html")
    with pytest.raises(NoInputError, match="finish the runs first"):
        write_comparison(a, tmp_path / "nowhere", tmp_path / "compare.html")
