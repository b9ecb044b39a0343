"""The data stages on a few of the demo's pictures, its simulated teachers behind a `FaultyEndpoint`."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from components.core.data.dataset import Dataset
from components.core.data.hashing import rng_for
from components.core.data.pins import fingerprint
from components.core.stage.io import stage_io
from components.core.stage.runner import WORK_ROOT_ENV, stage_main
from components.core.stage.settings import stage_config
from demo.teachers.models import load_models
from demo.teachers.server import BadRequest, Teachers
from demo.world.index import WorldIndex
from demo.world.render import render
from demo.world.scene import sample_scene
from pipelines.profile.run_profile import load_profile
from tests.faults.endpoint import Faults, FaultyEndpoint, Json, Refusal

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("image_ingest", "label_tree", "ids_scoring", "topic_matching", "qa_synthesis", "voting_filter")
# Which stage writes what a later one reads, by the name that both give it.
WRITER = {
    "images": "image_ingest",
    "label_tree": "label_tree",
    "ids": "ids_scoring",
    "matches": "topic_matching",
    "qa": "qa_synthesis",
}
METRICS = "metrics.json"
SMALL = (
    "image_ingest.engine.workers=1",
    "ids_scoring.budget={mode: bands}",
    "label_tree={rounds: 1, max_children_l2: 3, max_children_l3: 3}",
    "qa_synthesis.evolution_rounds=1",
)


def build_pictures(folder: Path, count: int, seed: int = 0) -> WorldIndex:
    """Write `count` rendered scenes as PNG files; returns the truth about them."""
    folder.mkdir(parents=True)
    rng = rng_for("faults", seed)
    pictures: list[tuple[Image.Image, Any]] = []
    for number in range(count):
        scene = sample_scene(rng)
        picture = render(scene)
        picture.save(folder / f"scene_{number:05d}.png")
        pictures.append((picture, scene))
    return WorldIndex.build(pictures)


def png(picture: Image.Image) -> bytes:
    """Encoded as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def serve_teachers(index: WorldIndex, faults: Faults | None = None, delay_s: float = 0.0) -> FaultyEndpoint:
    """The demo's simulated teachers behind an endpoint with faults."""
    teachers = Teachers(index, load_models())

    def chat(body: Json) -> Json:
        try:
            return teachers.chat(body)
        except BadRequest as error:
            raise Refusal(error.status, str(error)) from error

    return FaultyEndpoint(chat, teachers.embeddings, faults, delay_s)


@dataclass(frozen=True)
class DataHalf:
    """The data stages as processes of their own, on one folder of pictures and one endpoint."""

    pictures: Path
    sections: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str]

    @classmethod
    def over(cls, pictures: Path, url: str, overrides: list[str] | None = None, **endpoint: Any) -> DataHalf:
        """The demo profile's stages, smaller, every endpoint at `url` with further settings of `Endpoint`."""
        profile = load_profile(ROOT / "configs" / "demo.yaml", [*SMALL, *(overrides or [])])
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "VLM_LOG_FORMAT": "json",
        }
        return cls(pictures, _at(profile.sections, {"base_url": url, **endpoint}), environment)

    def outputs(self, stage: str) -> tuple[str, ...]:
        """Names of the datasets that a stage writes."""
        return stage_io(stage).outputs

    def arguments(self, stage: str, inputs: Path, out: Path) -> list[str]:
        """The stage's command line: it reads what stages wrote below `inputs` and writes below `out`."""
        io_ = stage_io(stage)
        arguments = ["--config", json.dumps(self.sections[stage])]
        for name in io_.inputs:
            arguments += [_flag(name), str(inputs / WRITER[name] / name)]
        for name, value in self._params().items():
            if name in io_.params:
                arguments += [_flag(name), value]
        for name in (*io_.outputs, *io_.output_params):
            arguments += [_flag(name), str(out / stage / name)]
        return [
            *arguments,
            "--metrics",
            str(out / stage / METRICS),
            "--report",
            str(out / stage / "report.html"),
        ]

    def start(self, stage: str, inputs: Path, out: Path, work: Path) -> subprocess.Popen[bytes]:
        """Start a stage as the process that it is in a container, in a process group of its own."""
        command = [sys.executable, "-m", f"components.{stage}", *self.arguments(stage, inputs, out)]
        out.mkdir(parents=True, exist_ok=True)
        with open(out / f"{stage}.log", "ab") as output:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.environment, WORK_ROOT_ENV: str(work)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self, stage: str, inputs: Path, out: Path, work: Path) -> dict[str, float]:
        """Run a stage as a process to its end; returns its metrics."""
        code = self.start(stage, inputs, out, work).wait()
        assert code == 0, f"{stage} ended with {code}: {(out / f'{stage}.log').read_text()[-3000:]}"
        return metrics_of(stage, out)

    def call(self, stage: str, inputs: Path, out: Path, work: Path) -> dict[str, float]:
        """Run a stage in this process, which saves its imports; returns its metrics."""
        os.environ[WORK_ROOT_ENV] = str(work)
        module = importlib.import_module(f"components.{stage}.stage")
        arguments = self.arguments(stage, inputs, out)
        code = stage_main(stage, stage_config(stage), stage_io(stage), module.run, arguments)
        assert code == 0, f"{stage} ended with {code}"
        return metrics_of(stage, out)

    def manifests(self, stage: str, out: Path) -> dict[str, bytes]:
        """The manifests of all that a stage wrote, after checking the files that they list."""
        found = {}
        for name in self.outputs(stage):
            path = out / stage / name / "_MANIFEST.json"
            found[name] = path.read_bytes()
            Dataset.open(path.parent, json.loads(found[name])["table"])
        return found

    def _params(self) -> dict[str, str]:
        return {"source": f"{self.pictures}#sha256={fingerprint(self.pictures)}", "benchmarks": "[]"}


def table(out: Path, stage: str, name: str, schema: str = "") -> list[dict[str, Any]]:
    """All rows of a dataset that a stage wrote."""
    return list(Dataset.open(out / stage / name, schema or name).rows_iter())


def metrics_of(stage: str, out: Path) -> dict[str, float]:
    """The metrics that a stage wrote."""
    metrics: dict[str, float] = json.loads((out / stage / METRICS).read_text())
    return metrics


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _at(value: Any, endpoint: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        moved = {key: _at(item, endpoint) for key, item in value.items()}
        return {**moved, **endpoint} if "base_url" in value else moved
    return [_at(item, endpoint) for item in value] if isinstance(value, (list, tuple)) else value
