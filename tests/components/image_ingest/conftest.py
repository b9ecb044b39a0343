"""Real photographs, files of every bad kind, and a run of the stage through its command line."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import skimage
import sklearn.datasets
from PIL import Image

from components.core.manifest import Dataset
from components.core.runner import stage_main
from components.image_ingest.config import Config
from components.image_ingest.stage import IO, run

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.datasets.__file__).parent / "images"
PHOTOGRAPHS = (
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
    SKIMAGE / "astronaut.png",
    SKIMAGE / "chelsea.png",
    SKIMAGE / "coffee.png",
    SKIMAGE / "rocket.jpg",
    SKIMAGE / "camera.png",
)


@dataclass(frozen=True)
class Ingested:
    """What one run of the stage left behind."""

    code: int
    out: Path

    @property
    def images(self) -> list[dict[str, Any]]:
        return list(Dataset.open(self.out / "images", "images").rows_iter())

    @property
    def rejected(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in Dataset.open(self.out / "rejected", "rejected").rows_iter()}

    @property
    def reasons(self) -> dict[str, str]:
        return {key: row["reason"] for key, row in self.rejected.items()}

    @property
    def metrics(self) -> dict[str, float]:
        return json.loads((self.out / "metrics.json").read_text())

    def shards(self) -> dict[str, bytes]:
        """Every byte of both datasets, by file name."""
        files = [file for name in ("images", "rejected") for file in sorted((self.out / name).iterdir())]
        return {file.relative_to(self.out).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ingested]:
    """Run the stage as its container does: ingest(source, out="...", benchmarks=[...], **settings)."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))

    def go(
        source: Path, out: str = "out", benchmarks: list[dict[str, str]] | None = None, **settings: Any
    ) -> Ingested:
        folder = tmp_path / out
        argv = ["--config", json.dumps({"workers": 1, **settings}), "--source", str(source)]
        argv += ["--benchmarks", json.dumps(benchmarks or [])]
        for name in ("images", "rejected"):
            argv += [f"--{name}", str(folder / name)]
        argv += ["--metrics", str(folder / "metrics.json"), "--report", str(folder / "report.html")]
        return Ingested(stage_main("image_ingest", Config, IO, run, argv), folder)

    return go


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of seven real photographs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photograph in PHOTOGRAPHS:
        shutil.copy(photograph, folder)
    return folder


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    """A real photograph of 451x300 RGB pixels."""
    with Image.open(SKIMAGE / "chelsea.png") as image:
        return image.convert("RGB")


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(image, "JPEG", quality=90) -> bytes."""

    def go(image: Image.Image, image_format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return go
