from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.hashing import sha256_hex
from components.core.stage.runner import stage_main
from components.qa_synthesis.component import IO
from components.qa_synthesis.config import Config
from components.qa_synthesis.stage import run
from demo.teachers.background import Running, running_teachers
from demo.world.index import WorldIndex
from demo.world.render import png_bytes, render
from demo.world.scene import Scene, sample_scene

N_IMAGES = 12


@pytest.fixture(scope="module")
def world() -> dict[str, Scene]:
    """image_id -> scene; pictures are rendered again where needed (rendering is deterministic)."""
    rng = np.random.default_rng(5)
    scenes = [sample_scene(rng) for _ in range(N_IMAGES)]
    return {sha256_hex(png_bytes(render(scene))): scene for scene in scenes}


@pytest.fixture
def teachers(world: dict[str, Scene]) -> Iterator[Running]:
    with running_teachers(WorldIndex.build((render(scene), scene) for scene in world.values())) as running:
        yield running


def image_row(image_id: str, data: bytes, split: str) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "bytes": data,
        "format": "png",
        "width": 128,
        "height": 128,
        "phash": 0,
        "source_uri": "",
        "split": split,
    }


def topic_row(topic_id: str, name: str, dimension: str) -> dict[str, Any]:
    return {
        "topic_id": topic_id,
        "path": ["Root", name],
        "level": 2,
        "name": name,
        "description": "",
        "dimension": dimension,
        "parent_id": "root",
        "origin": "expert",
        "embedding": [],
    }


@pytest.fixture
def inputs(world: dict[str, Scene], tmp_path: Path) -> Path:
    """Datasets: 12 images (every third held out), 3 items each but for the last, no match for the first."""
    ids = list(world)
    scores = dict.fromkeys(
        ("subject_diversity", "spatial_relationships", "ocr_text_richness", "world_knowledge", "ids"), 5.0
    )
    texts = {"rationale": "", "caption": "", "scorer": "test"}
    rows = {
        "images": [
            image_row(image_id, png_bytes(render(world[image_id])), "heldout" if i % 3 == 2 else "train")
            for i, image_id in enumerate(ids)
        ],
        "ids": [{"image_id": image_id, **scores, **texts, "n_qa": 3} for image_id in ids[:-1]],
        "label_tree": [
            topic_row("lights", "Warning lights", "domain"),
            topic_row("read", "Reading", "capability"),
        ],
        "matches": [
            {"image_id": image_id, "topic_id": "lights", "coarse": 1.0, "fine": 9.0, "rank": 0}
            for image_id in ids[1:]
        ],
    }
    for name, own in rows.items():
        with DatasetWriter(tmp_path / name, name) as writer:
            writer.write(own)
    return tmp_path


@pytest.fixture
def run_stage(
    inputs: Path, teachers: Running, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Path]]:
    """Run the real stage from its command line; returns the exit code and the folder of its outputs."""

    def call(attempt: str = "out", **settings: Any) -> tuple[int, Path]:
        model = settings.pop("model", "teacher")
        endpoint = settings.pop("endpoint", {"base_url": teachers.base_url, "model": model})
        monkeypatch.setenv("VLM_WORK_ROOT", str(inputs / "work" / settings.pop("work", "")))
        out = inputs / attempt
        argv = ["--config", json.dumps({"endpoint": endpoint, **settings})]
        for name in IO.inputs:
            argv += [f"--{name.replace('_', '-')}", str(inputs / name)]
        for name in IO.outputs:
            argv += [f"--{name}", str(out / name)]
        argv += ["--metrics", str(out / "metrics.json"), "--report", str(out / "report.html")]
        return stage_main("qa_synthesis", Config, IO, run, argv), out

    return call


@pytest.fixture
def read() -> Callable[[Path, str], list[dict[str, Any]]]:
    def rows(folder: Path, table: str) -> list[dict[str, Any]]:
        return list(Dataset.open(folder / table, table).rows_iter())

    return rows
