from __future__ import annotations

from pathlib import Path

import pytest

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.stage.errors import DataError
from components.promotion.paired import Answer, compare, read_answers
from components.promotion.scores import Scores, ScoresSettings, Source


def scores(label: str = "base", role: str = "domain", digest: str = "d") -> Scores:
    source = Source(name="b", role=role, digest=digest)
    return Scores(
        label=label, checkpoint_digest="c", metrics={}, settings=ScoresSettings(benchmarks=[source])
    )


def predictions(path: Path, rows: list[tuple[str, int, float, str]], model: str = "base") -> Dataset:
    """Rows of (item, sample number, score, extracted)."""
    with DatasetWriter(path, "predictions") as writer:
        writer.write(
            [
                {
                    "benchmark": "b", "item_id": item, "group": item.partition("@")[0], "image_group": "g",
                    "category": "", "model": model, "sample_no": sample, "response": said, "extracted": said,
                    "stage": "exact", "score": score, "response_tokens": 1,
                }
                for item, sample, score, said in rows
            ]
        )  # fmt: skip
    return Dataset.open(path, "predictions")


def test_greedy_answers_are_read(tmp_path: Path) -> None:
    given = predictions(tmp_path, [("i", 0, 1.0, "a"), ("i", 1, 0.0, "b"), ("j", 0, 0.5, "c")])
    assert read_answers(given, scores()) == {
        ("b", "i"): Answer("b\x1fg", 1.0, ""),
        ("b", "j"): Answer("b\x1fg", 0.5, ""),
    }


def test_a_circular_item_is_right_only_if_all_its_rotations_are(tmp_path: Path) -> None:
    given = predictions(tmp_path, [("7@0", 0, 1.0, "A"), ("7@1", 0, 0.0, "A"), ("8", 0, 1.0, "A")])
    found = read_answers(given, scores())
    assert {key[1]: answer.score for key, answer in found.items()} == {"7": 0.0, "8": 1.0}


def test_predictions_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="check the wiring"):
        read_answers(predictions(tmp_path, [("i", 0, 1.0, "a")], model="hybrid_rl"), scores())


def test_items_are_matched_by_name_and_other_versions_of_a_benchmark_are_not(tmp_path: Path) -> None:
    old = read_answers(predictions(tmp_path / "1", [("i", 0, 1.0, ""), ("j", 0, 0.0, "")]), scores())
    new = read_answers(predictions(tmp_path / "2", [("j", 0, 1.0, ""), ("k", 0, 1.0, "")]), scores())
    found = compare("base", "base", (scores(), old), (scores(), new)).domain
    assert found is not None
    assert (found.before.tolist(), found.after.tolist()) == ([0.0], [1.0])
    changed = compare("base", "base", (scores(digest="other"), old), (scores(), new))
    assert changed.domain is None
    assert changed.notes["domain"] == "base answered another version of the benchmark"
    assert changed.notes["general"] == "no benchmark"


def test_what_a_probe_asks_follows_from_an_answer_and_its_score(tmp_path: Path) -> None:
    rows = [
        ("absent", 0, 1.0, "no"),
        ("present", 0, 1.0, "yes"),
        ("unread", 0, 0.0, ""),
        ("lost", 0, 0.0, ""),
    ]
    old = read_answers(predictions(tmp_path / "1", rows), scores(role="hallucination"))
    rows = [
        ("absent", 0, 0.0, "yes"),
        ("present", 0, 0.0, "no"),
        ("unread", 0, 0.0, "yes"),
        ("lost", 0, 0.0, ""),
    ]
    new = read_answers(predictions(tmp_path / "2", rows), scores(role="hallucination"))
    both = scores(role="hallucination")
    found = compare("base", "base", (both, old), (both, new))
    assert found.absent is not None and found.probes is not None
    # "unread" was affirmed wrongly, so it is absent; "lost" was read from neither model.
    assert (found.absent.before.tolist(), found.absent.after.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert found.probes.truth_yes.tolist() == [False, True, False]
    assert found.probes.before_yes.tolist() == [False, True, False]
    assert found.probes.after_yes.tolist() == [True, False, True]
