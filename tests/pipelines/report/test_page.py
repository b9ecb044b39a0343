"""Joining reports, the summary table, and answers before and after training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from components.core.data.dataset import DatasetWriter
from components.core.data.pins import pin
from components.core.stage.errors import DataError
from components.core.stage.report import Report
from pipelines.report.answers import COMPARED, SHOWN, changed_answers, choose, scored_answers
from pipelines.report.page import (
    load_summary,
    summary_text,
    write_picture,
    write_report,
    write_summary,
)

MEASURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
TOKENS = {"value": 12.34, "low": 11.2, "high": 13.5, "n": 10}
SUMMARY = {
    "columns": ["domain_accuracy", "pass_at_8", "mean_response_tokens"],
    "rows": [
        {"stage": "base", "domain_accuracy": MEASURE, "pass_at_8": None, "mean_response_tokens": TOKENS},
        dict.fromkeys(["domain_accuracy", "pass_at_8", "mean_response_tokens"], MEASURE)
        | {"stage": "hybrid_rl"},
    ],
}


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def evaluate(root: Path, label: str, outcomes: dict[str, float]) -> None:
    """Write the predictions of one model: item -> score, on the benchmark `cars`."""
    folder = root / "outputs" / f"evaluation_{label}" / "predictions"
    rows = [
        {
            "benchmark": "cars", "item_id": item, "group": item, "image_group": item, "category": item[:5],
            "model": label, "sample_no": sample, "stage": "rules",
            "response": f"{label} says {item}", "extracted": f"{label}-{item}",
            "score": score if sample == 0 else 1.0 - score, "response_tokens": 1,
        }
        for item, score in outcomes.items()
        for sample in (0, 1)
    ]  # fmt: skip
    with DatasetWriter(folder, "predictions", provenance={}) as writer:
        writer.write(rows)


@pytest.fixture
def run_folder(tmp_path) -> Path:
    root = tmp_path / "run"
    benchmark = tmp_path / "cars"
    with DatasetWriter(benchmark, "benchmark", provenance={}) as writer:
        writer.write(
            [
                {
                    "item_id": item, "image": picture("red"), "image_group": item,
                    "question": f"What is {item}?",
                    "answer": "A", "answer_type": "choice", "choices": ["one", "two"], "category": "",
                }
                for item in ("learned", "restored", "lost", "same")
            ]
        )  # fmt: skip
    evaluate(root, "base", {"learned": 0, "restored": 1, "lost": 1, "same": 1})
    evaluate(root, "sft_1_domain", {"learned": 1, "restored": 0, "lost": 0, "same": 1})
    evaluate(root, "hybrid_rl", {"learned": 1, "restored": 1, "lost": 0, "same": 1})
    (root / "outputs" / "preflight").mkdir(parents=True)
    reference = json.dumps([{"name": "cars", "role": "domain", "ref": pin(str(benchmark))}])
    (root / "outputs" / "preflight" / "benchmarks").write_text(reference)
    return root


def test_changed_answers_are_grouped_by_what_happened_to_them(run_folder):
    fragment = changed_answers(run_folder).fragment()
    learned, restored, lost = (fragment.index(f"What is {item}?") for item in ("learned", "restored", "lost"))
    titles = [fragment.index(title) for title in ("Learned:", "Restored:", "Lost:")]
    assert titles[0] < learned < titles[1] < restored < titles[2] < lost
    assert "What is same?" not in fragment
    assert "A. one\nB. two" in fragment
    for label, mark in zip(COMPARED, "✗✓✓", strict=True):
        assert f"{mark} {label}: {label}-learned" in fragment


def test_shown_answers_are_of_many_categories(tmp_path):
    """Of forty learned items of one category and two of others, the two are among the few that are shown."""
    items = [*(f"speed {i}" for i in range(40)), "clock", "title"]
    for label, score in (("base", 0), ("sft_1_domain", 1), ("hybrid_rl", 1)):
        evaluate(tmp_path, label, dict.fromkeys(items, score))
    folders = {label: tmp_path / "outputs" / f"evaluation_{label}" / "predictions" for label in COMPARED}
    said = {label: scored_answers(folder) for label, folder in folders.items()}
    chosen = choose(said, lambda base, domain, final: final and not base)
    assert len(chosen) == SHOWN and {"clock", "title"} < {item for _, item in chosen}
    assert chosen == choose(said, lambda base, domain, final: final and not base)


def test_no_answers_until_the_compared_models_are_evaluated(tmp_path):
    evaluate(tmp_path, "base", {"a": 1})
    assert changed_answers(tmp_path) is None


def test_report_joins_what_there_is_under_the_tasks_names(run_folder):
    for task, title in (("ids_scoring", "ids_scoring"), ("sft_1_domain", "curriculum_sft")):
        report = Report(title)
        report.text(f"<what> {task} did & why")
        report.write(run_folder / "outputs" / task / "report")
    (run_folder / "outputs" / "promotion").mkdir()
    (run_folder / "outputs" / "promotion" / "verdict").write_text(json.dumps({"summary": SUMMARY}))
    page = write_report(run_folder).read_text()
    anchors = ["overview", "result", "answers-before-and-after", "questions-that-changed"]
    anchors += ["ids_scoring", "sft_1_domain"]
    positions = [page.index(f'<div id="{anchor}">') for anchor in anchors]
    assert positions == sorted(positions)
    assert page.count("<h1>Domain training <small><code>sft_1_domain</code></small></h1>") == 1
    assert "curriculum_sft" not in page
    assert "&lt;what&gt; ids_scoring did &amp; why" in page
    assert page.count("<!doctype html>") == 1


def test_summary_is_a_table_in_percent_and_tokens():
    lines = summary_text(SUMMARY).splitlines()
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells == ["base", "50.0 [40.0, 60.0] n=10", "not measured", "12.3 [11.2, 13.5] n=10"]
    assert len({len(line) for line in lines}) == 1


def test_summary_round_trip(tmp_path):
    assert load_summary(tmp_path) is None
    folder = tmp_path / "outputs" / "promotion"
    folder.mkdir(parents=True)
    (folder / "verdict").write_text(json.dumps({"summary": SUMMARY}))
    assert json.loads(write_summary(tmp_path, load_summary(tmp_path)).read_text()) == SUMMARY
    for damaged in ("{", "{}"):
        (folder / "verdict").write_text(damaged)
        with pytest.raises(DataError, match="--from promotion"):
            load_summary(tmp_path)


def test_the_picture_of_the_stages_is_written_and_the_same_each_time(tmp_path):
    path = write_picture(tmp_path, SUMMARY)
    with Image.open(path) as drawn:
        assert drawn.width > drawn.height > 200
    first = path.read_bytes()
    assert write_picture(tmp_path, SUMMARY).read_bytes() == first
