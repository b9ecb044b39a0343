from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.core.manifest import commit_checkpoint, open_checkpoint
from components.core.runner import stage_main
from components.promotion.config import Config
from components.promotion.scores import STAGES
from components.promotion.stage import IO, run


def interval(value: float, half: float) -> dict:
    return {"value": value, "low": value - half, "high": value + half, "n": 400}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    weights = tmp_path / "checkpoint"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights")
    commit_checkpoint(weights)
    for stage in STAGES:
        write_scores(tmp_path, stage, 0.8 if stage == "hybrid_rl" else 0.3)
    return tmp_path


def write_scores(world: Path, stage: str, domain: float, digest: str | None = None) -> None:
    final = open_checkpoint(world / "checkpoint").digest
    metrics = {
        "domain_accuracy": interval(domain, 0.03),
        "general_accuracy": interval(0.9, 0.02),
        "hallucination_rate": interval(0.2, 0.03),
        "mean_response_tokens": interval(15, 1),
    }
    digest = digest or (final if stage == "hybrid_rl" else stage)
    content = {
        "label": stage,
        "checkpoint_digest": digest,
        "metrics": metrics,
        "by_category": {},
        "settings": {},
    }
    (world / f"scores_{stage}").write_text(json.dumps(content))


def call(world: Path, monkeypatch: pytest.MonkeyPatch, name: str = "out") -> int:
    monkeypatch.setenv("VLM_WORK_ROOT", str(world / "work"))
    argv = ["--config", json.dumps({"domain": "cars", "registry": str(world / "registry")})]
    for one in IO.inputs:
        argv += [f"--{one.replace('_', '-')}", str(world / one)]
    for one in (*IO.outputs, "metrics", "report"):
        argv += [f"--{one}", str(world / name / one)]
    return stage_main("promotion", Config, IO, run, argv)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_a_pass_is_registered_and_becomes_current(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(world, monkeypatch) == 0
    verdict = read(world / "out" / "verdict")
    assert verdict["passed"] is True
    assert [c["name"] for c in verdict["criteria"]] == [
        "domain_gain",
        "general_kept",
        "hallucination",
        "length",
    ]
    assert verdict["criteria"][0]["measured"] == pytest.approx(50)
    assert verdict["registry"] == {
        "version": 1, "path": "cars/1", "is_current": True, "current": 1, "previous": None, "pointer": "moved",
    }  # fmt: skip
    version = world / "registry" / "cars" / "1"
    assert (version / "checkpoint" / "model.safetensors").read_bytes() == b"weights"
    assert read(version / "summary.json") == read(world / "out" / "summary")
    assert [row["stage"] for row in read(world / "out" / "summary")["rows"]] == list(STAGES)
    assert read(world / "out" / "metrics")["passed"] == 1
    page = (world / "out" / "report").read_text()
    assert "Verdict: passed" in page
    assert "data:image/png" in page


def test_the_same_promotion_again_finds_its_version(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(world, monkeypatch, "first") == 0
    assert call(world, monkeypatch, "second") == 0
    assert [p.name for p in (world / "registry" / "cars").iterdir() if p.name.isdecimal()] == ["1"]
    second = read(world / "second" / "verdict")["registry"]
    assert (second["version"], second["is_current"], second["pointer"]) == (1, True, "it is current already")


def test_a_fail_is_registered_but_not_current(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(world, monkeypatch, "good") == 0
    write_scores(world, "hybrid_rl", 0.31)
    assert call(world, monkeypatch, "bad") == 0
    verdict = read(world / "bad" / "verdict")
    assert verdict["passed"] is False
    assert (verdict["registry"]["version"], verdict["registry"]["current"]) == (2, 1)
    assert read(world / "registry" / "cars" / "current")["version"] == 1


def test_scores_of_other_weights_are_refused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scores(world, "hybrid_rl", 0.8, digest="other")
    assert call(world, monkeypatch) == 65
    assert not (world / "registry").exists()
