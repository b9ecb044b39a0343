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
from components.voting_filter.component import IO
from components.voting_filter.config import Config
from components.voting_filter.stage import run
from demo.teachers.background import Running, running_teachers
from demo.world.index import WorldIndex
from demo.world.questions import TruthQA, catalogue
from demo.world.render import png_bytes, render
from demo.world.scene import sample_scene


def qa_row(qa_id: str, image_id: str, truth: TruthQA, answer: str) -> dict[str, Any]:
    return {
        "qa_id": qa_id,
        "image_id": image_id,
        "topic_id": "",
        "split": "train",
        "question": truth.question,
        "answer": answer,
        "answer_type": truth.answer_type,
        "choices": list(truth.choices),
        "reasoning": truth.reasoning,
        "objects": [],
        "skills": [],
        "round": 0,
        "parent_id": "",
        "history": "[]",
        "generator": "test",
        "prompt_hash": "",
    }


def flip(answer: str) -> str:
    """Another answer of the same type."""
    return {"yes": "no", "no": "yes", "A": "B"}.get(answer, "A" if answer in "BCD" else f"{answer}0")


@pytest.fixture(scope="module")
def scenes() -> list[Any]:
    rng = np.random.default_rng(7)
    return [sample_scene(rng) for _ in range(10)]


@pytest.fixture
def teachers(scenes) -> Iterator[Running]:
    with running_teachers(WorldIndex.build((render(scene), scene) for scene in scenes)) as running:
        yield running


@pytest.fixture
def inputs(scenes, tmp_path: Path) -> Path:
    """10 images with 10 items each, every fifth wrong (its id says so), and one item of an unknown image."""
    images, items = [], []
    for number, scene in enumerate(scenes):
        data = png_bytes(render(scene))
        image_id = sha256_hex(data)
        images.append(
            {
                "image_id": image_id,
                "bytes": data,
                "format": "png",
                "width": 128,
                "height": 128,
                "phash": 0,
                "source_uri": "",
                "split": "train",
            }
        )
        questions = [
            truth for truth in catalogue(scene) if truth.answer_type in ("yes_no", "number", "choice")
        ]
        for i, truth in enumerate(questions[:10]):
            wrong = i % 5 == 4
            answer = flip(truth.answer) if wrong else truth.answer
            items.append(qa_row(f"{'wrong' if wrong else 'right'}-{number}-{i}", image_id, truth, answer))
    items.append(qa_row("lost", "no such image", catalogue(scenes[0])[0], "1"))
    for name, rows in (("images", images), ("qa", items)):
        with DatasetWriter(tmp_path / name, name) as writer:
            writer.write(rows)
    return tmp_path


@pytest.fixture
def run_stage(
    inputs: Path, teachers: Running, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Path]]:
    """Run the real stage from its command line; returns the exit code and the folder of its outputs."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(inputs / "work"))

    def call(*models: str, attempt: str = "out", **settings: Any) -> tuple[int, Path]:
        voters = [
            {"base_url": teachers.base_url, "model": model}
            for model in models or ("voter-a", "voter-b", "voter-c")
        ]
        out = inputs / attempt
        argv = ["--config", json.dumps({"voters": voters, **settings})]
        argv += ["--images", str(inputs / "images"), "--qa", str(inputs / "qa")]
        for name in IO.outputs:
            argv += [f"--{name.replace('_', '-')}", str(out / name)]
        argv += ["--metrics", str(out / "metrics.json"), "--report", str(out / "report.html")]
        return stage_main("voting_filter", Config, IO, run, argv), out

    return call


@pytest.fixture
def read() -> Callable[[Path, str], list[dict[str, Any]]]:
    def rows(folder: Path, table: str) -> list[dict[str, Any]]:
        return list(Dataset.open(folder / table, table).rows_iter())

    return rows
