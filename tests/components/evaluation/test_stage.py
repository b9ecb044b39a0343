"""The stage from its command line with a tiny untrained model: outputs, repeats, resumption, bad input."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import pytest

from components.core.answers import agree, extract
from components.core.data.checkpoint import commit_checkpoint
from components.core.data.dataset import Dataset
from components.evaluation.engines.transformers import TransformersEngine


def _scores(out: Path) -> dict:
    return json.loads((out / "scores").read_text())


def _predictions(out: Path) -> list[dict]:
    return Dataset.open(out / "predictions", "predictions").to_table().to_pylist()


def test_scores_and_predictions_of_all_roles(run_stage, write_benchmark):
    benchmarks = [write_benchmark(role) for role in ("domain", "general", "hallucination")]
    code, out = run_stage(benchmarks, {"pass_at_k_items": 5})
    assert code == 0
    scores, rows = _scores(out), _predictions(out)

    assert set(scores) == {
        "label", "checkpoint_digest", "metrics", "by_benchmark", "by_category", "details", "settings",
    }  # fmt: skip
    assert scores["label"] == "base"
    assert list(scores["metrics"]) == sorted(
        [
            "domain_accuracy",
            "general_accuracy",
            "hallucination_rate",
            "probe_accuracy",
            "probe_yes_ratio",
            "probe_present_accuracy",
            "probe_recall",
            "probe_f1",
            "pass_at_1",
            "pass_at_2",
            "mean_response_tokens",
        ]
    )
    for metric in scores["metrics"].values():
        assert set(metric) == {"value", "low", "high", "n"}
        assert metric["low"] <= metric["value"] <= metric["high"]
    counts = {name: m["n"] for name, m in scores["metrics"].items() if not name.startswith("probe_")}
    assert counts == {
        "domain_accuracy": 12, "general_accuracy": 12, "hallucination_rate": 6, "pass_at_1": 5,
        "pass_at_2": 5, "mean_response_tokens": 12,
    }  # fmt: skip

    # Every item once greedily, five of the domain twice more; scores and metrics follow from the responses.
    assert len(rows) == 36 + 5 * 2
    greedy = [row for row in rows if row["sample_no"] == 0]
    domain = [row for row in greedy if row["benchmark"] == "domain set"]
    answers = {
        "choice": ("B", ["red", "green", "blue"]),
        "number": ("3", []),
        "yes_no": ("no", []),
        "span": ("left", []),
    }
    assert {row["stage"] for row in rows} <= {"exact", "rules", "none"}
    assert all(row["group"] == row["item_id"] for row in rows)
    for row in domain:
        reference, choices = answers[row["category"]]
        assert row["extracted"] == extract(row["response"], row["category"], choices)
        assert row["score"] == agree(row["extracted"], reference, row["category"], choices)
        assert 1 <= row["response_tokens"] <= 4
    assert scores["metrics"]["domain_accuracy"]["value"] == pytest.approx(
        sum(r["score"] for r in domain) / 12
    )
    assert scores["metrics"]["mean_response_tokens"]["value"] == pytest.approx(
        sum(r["response_tokens"] for r in domain) / 12, abs=1e-6
    )
    drawn = defaultdict(list)
    for row in rows:
        if row["sample_no"]:
            drawn[row["item_id"]].append(row["score"])
    assert all(len(group) == 2 for group in drawn.values())
    assert scores["metrics"]["pass_at_1"]["value"] == pytest.approx(sum(map(sum, drawn.values())) / 10)
    assert scores["metrics"]["pass_at_2"]["value"] == pytest.approx(sum(map(max, drawn.values())) / 5)

    settings = scores["settings"]
    assert [source["items"] for source in settings["benchmarks"]] == [12, 12, 12]
    assert settings["engine"]["name"] == "transformers"
    metrics = json.loads((out / "metrics").read_text())
    assert metrics["domain_accuracy"] == scores["metrics"]["domain_accuracy"]["value"]
    assert "accuracy by category" in (out / "report").read_text()
    assert (out / "summary").read_text().startswith("# base\n\n| metric | value | low | high | items |")


def test_held_out_kept_questions_are_the_domain_without_a_domain_benchmark(run_stage, write_benchmark):
    code, out = run_stage([write_benchmark("general", 4)], {"samples_per_item": 0})
    assert code == 0
    voted = [row for row in _predictions(out) if row["benchmark"] == "voted_heldout"]
    assert [row["item_id"] for row in voted] == [f"qa-{i}-{n}" for i in (3, 4, 5) for n in (0, 1)]
    assert {row["image_group"] for row in voted} == {"image-3", "image-4", "image-5"}
    assert {row["category"] for row in voted} == {"yes_no", "counting"}
    assert "pass_at_1" not in _scores(out)["metrics"]
    assert _scores(out)["metrics"]["domain_accuracy"]["n"] == 6


def test_same_inputs_give_the_same_bytes(run_stage, write_benchmark, tmp_path, monkeypatch):
    benchmarks = [write_benchmark("domain")]
    assert run_stage(benchmarks, {}, "first")[0] == 0
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "elsewhere"))
    assert run_stage(benchmarks, {}, "second")[0] == 0
    for name in ("predictions/part-00000.parquet", "scores"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_killed_run_resumes_and_asks_nothing_twice(run_stage, write_benchmark, tmp_path, monkeypatch):
    benchmarks, config = [write_benchmark("domain")], {"chunk_items": 4}
    asked: list[int] = []
    answer = TransformersEngine.answer

    def dying(self, items, **how):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(items) * how["decoding"].samples)
        return answer(self, items, **how)

    monkeypatch.setattr(TransformersEngine, "answer", dying)
    assert run_stage(benchmarks, config, "resumed")[0] == 130
    assert not (tmp_path / "resumed" / "scores").exists()

    def counting(self, items, **how):
        asked.append(len(items) * how["decoding"].samples)
        return answer(self, items, **how)

    monkeypatch.setattr(TransformersEngine, "answer", counting)
    assert run_stage(benchmarks, config, "resumed")[0] == 0
    assert sum(asked) == 12 + 12 * 2

    monkeypatch.setattr(TransformersEngine, "answer", dying)  # would die: everything is answered already
    asked[:] = [0, 0]
    assert run_stage(benchmarks, config, "again")[0] == 0

    monkeypatch.setattr(TransformersEngine, "answer", answer)
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "elsewhere"))
    assert run_stage(benchmarks, config, "straight")[0] == 0
    for name in ("predictions/part-00000.parquet", "scores"):
        straight = (tmp_path / "straight" / name).read_bytes()
        assert (tmp_path / "resumed" / name).read_bytes() == straight
        assert (tmp_path / "again" / name).read_bytes() == straight


def test_a_checkpoint_is_evaluated_in_place_of_the_base_model(
    run_stage, write_benchmark, tmp_path, tiny_checkpoint
):
    import shutil

    directory = tmp_path / "trained"
    shutil.copytree(tiny_checkpoint, directory)
    digest = commit_checkpoint(directory).digest
    code, out = run_stage([write_benchmark("domain", 4)], {"samples_per_item": 0}, checkpoint=str(directory))
    assert code == 0
    assert _scores(out)["checkpoint_digest"] == digest


def test_a_fixed_choice_of_items(run_stage, write_benchmark):
    code, out = run_stage([write_benchmark("domain")], {"samples_per_item": 0, "items_per_benchmark": 5})
    assert code == 0
    assert len(_predictions(out)) == 5
    assert math.isclose(_scores(out)["metrics"]["domain_accuracy"]["n"], 5)


@pytest.mark.parametrize(
    ("config", "benchmarks", "code"),
    [
        ({"samples_per_item": 2, "pass_k": [1, 8]}, [], 78),
        ({"temprature": 1.0}, [], 78),
        ({}, [{"name": "x", "role": "domian", "ref": "nowhere"}], 78),
        ({}, [{"name": "x", "role": "domain", "ref": "nowhere"}], 66),
    ],
)
def test_bad_input_is_refused(run_stage, config, benchmarks, code, capfd):
    assert run_stage(benchmarks, config)[0] == code
    assert capfd.readouterr().err


def test_a_changed_benchmark_is_refused(run_stage, write_benchmark, capfd):
    pinned = write_benchmark("domain", 4)
    write_benchmark("domain", 8)
    assert run_stage([pinned], {})[0] == 65
    assert "changed since preflight" in capfd.readouterr().err
