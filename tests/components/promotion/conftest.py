from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.dataset import DatasetWriter
from components.core.data.pins import fingerprint
from components.core.data.tables import SCHEMAS
from components.stages import EVALUATED
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401

ITEMS = 240
BENCHMARKS = [
    {"name": "cars", "role": "domain", "digest": "d1"},
    {"name": "everything", "role": "general", "digest": "d2"},
    {"name": "probes", "role": "hallucination", "digest": "d3"},
]


def interval(value: float, half: float = 0.02) -> dict:
    return {"value": value, "low": value - half, "high": value + half, "n": ITEMS}


@dataclass
class World:
    """Inputs of a promotion below one directory. Shares say how many of the first items a model has right."""

    path: Path

    def checkpoint(self, content: bytes = b"weights") -> None:
        directory = self.path / "checkpoint"
        directory.mkdir(exist_ok=True)
        (directory / "model.safetensors").write_bytes(content)
        (directory / "config.json").write_text("{}")
        commit_checkpoint(
            directory,
            provenance={"stage": "hybrid_rl", "inputs": {"qa_kept": fingerprint(self.path / "qa_kept")}},
        )

    def evaluate(
        self,
        stage: str,
        domain: float,
        general: float = 0.9,
        affirmed: float = 0.1,
        tokens: float = 15,
        digest: str | None = None,
        benchmarks: list[dict] = BENCHMARKS,
    ) -> None:
        final = open_checkpoint(self.path / "checkpoint")
        of_final = stage == "hybrid_rl"
        metrics = {
            "domain_accuracy": interval(domain),
            "general_accuracy": interval(general),
            "hallucination_rate": interval(affirmed),
            "mean_response_tokens": interval(tokens, 1),
        }
        scores = {
            "label": stage,
            "checkpoint_digest": digest or (final.digest if of_final else stage),
            "metrics": metrics,
            "settings": {"benchmarks": benchmarks},
        }
        (self.path / f"scores_{stage}").write_text(json.dumps(scores))
        if stage not in ("base", "hybrid_rl"):
            return
        rows = [row("cars", i, i < domain * ITEMS, stage) for i in range(ITEMS)]
        rows += [row("everything", i, i < general * ITEMS, stage) for i in range(ITEMS)]
        for i in range(ITEMS):  # even: the thing is absent; odd: it is there, and seen
            says_yes = i % 2 == 1 or i < affirmed * ITEMS
            rows.append(row("probes", i, says_yes == (i % 2 == 1), stage, "yes" if says_yes else "no"))
        inputs = {"checkpoint": fingerprint(final.path)} if of_final else {}
        with DatasetWriter(
            self.path / f"predictions_{stage}", "predictions", provenance={"inputs": inputs}
        ) as writer:
            writer.write(rows)

    def questions(self, images: int = 5) -> None:
        blank = {
            field.name: [] if "list" in str(field.type) else 0 if "int" in str(field.type) else ""
            for field in SCHEMAS["qa_kept"]
        }
        blank |= {"agreement": 1.0, "difficulty": 0.0}
        with DatasetWriter(self.path / "qa_kept", "qa_kept") as writer:
            writer.write(
                [
                    {**blank, "qa_id": f"q{i}", "image_id": f"{i % images:064x}", "split": "train"}
                    for i in range(2 * images)
                ]
                + [{**blank, "qa_id": "h", "image_id": "f" * 64, "split": "heldout"}]
            )

    def images(self, first: int = 0, count: int = 5) -> None:
        """An `images` dataset of so many pictures, of which only the ids matter."""
        rows = [
            {"image_id": f"{number:064x}", "bytes": b"", "format": "PNG", "width": 1, "height": 1,
             "phash": number, "source_uri": "", "split": "train"}
            for number in range(first, first + count)
        ]  # fmt: skip
        with DatasetWriter(self.path / "images", "images") as writer:
            writer.write(rows)

    def argv(self, registry: str, out: str = "out", **criteria: object) -> list[str]:
        config = {"domain": "cars", "registry": registry, "criteria": criteria}
        argv = ["--config", json.dumps(config), "--section-evaluation", json.dumps({"batch_size": 8})]
        names = (
            "checkpoint",
            *(f"scores_{s}" for s in EVALUATED),
            "predictions_base",
            "predictions_hybrid_rl",
            "qa_kept",
        )
        for name in (*names, *(["images"] if (self.path / "images").is_dir() else [])):
            argv += [f"--{name.replace('_', '-')}", str(self.path / name)]
        for name in ("verdict", "metrics", "report"):
            argv += [f"--{name}", str(self.path / out / name)]
        return argv


def row(benchmark: str, item: int, right: bool, model: str, extracted: str = "a") -> dict:
    return {
        "benchmark": benchmark, "item_id": f"i{item:04d}", "group": f"i{item:04d}",
        "image_group": f"g{item // 3}", "category": "c", "model": model, "sample_no": 0,
        "response": extracted, "extracted": extracted, "stage": "exact", "score": float(right),
        "response_tokens": 5,
    }  # fmt: skip


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A run whose final model is far better in the domain and as good elsewhere."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))
    made = World(tmp_path)
    made.questions()
    made.checkpoint()
    for stage in EVALUATED:
        made.evaluate(stage, 0.8 if stage == "hybrid_rl" else 0.3)
    return made


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Root of a registry: a directory, and a bucket of a real S3 server."""
    if request.param == "directory":
        return str(tmp_path / "registry")
    bucket: str = request.getfixturevalue("s3_bucket")
    return f"{bucket}/models"


@pytest.fixture
def another(tmp_path: Path, world: World) -> Callable[[bytes, float], World]:
    """Makes a further run, with other weights and another domain accuracy."""

    def make(weights: bytes, domain: float) -> World:
        path = tmp_path / f"run-{weights.decode()}"
        path.mkdir()
        made = World(path)
        made.questions()
        made.checkpoint(weights)
        for stage in EVALUATED:
            made.evaluate(stage, domain if stage == "hybrid_rl" else 0.3)
        return made

    return make
