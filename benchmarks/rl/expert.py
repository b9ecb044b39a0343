"""The teacher of `benchmarks.rl.teacher`: a larger model that knows the demo's domain by its truth.

It learns from scenes of its own, drawn from another seed than the demo's, with true answers. So it knows more
than the student's voted questions say, as a larger model is meant to.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.rl.grown import grow
from benchmarks.rl.questions import image_row, qa_row
from benchmarks.stages import Finished, run_stage
from components.core.data.dataset import DatasetWriter
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.pins import fingerprint
from demo.world.render import png_bytes
from demo.writing import domain_item, scenes_of

SEED = 7000
"""Of the expert's scenes; the demo's own worlds have small seeds."""
QUESTIONS = 8
"""About each of its pictures."""


def write_expert_data(out: Path, pictures: int, seed: int = SEED) -> Path:
    """Datasets `images` and `qa_kept` of true answers, and empty ones of what no expert needs."""
    if (out / "votes" / MANIFEST_NAME).is_file():
        return out
    rng = random.Random(seed)
    with DatasetWriter(out / "images", "images") as images, DatasetWriter(out / "qa_kept", "qa_kept") as kept:
        for scene, picture in itertools.islice(scenes_of(seed), pictures):
            data = png_bytes(picture)
            key = hashlib.sha256(data).hexdigest()
            images.write([image_row(key, data, picture)])
            asked = {qa.question: qa for qa in (domain_item(scene, rng) for _ in range(QUESTIONS))}
            kept.write([qa_row(key, n, qa) for n, qa in enumerate(asked.values())])
    for name in ("qa_rejected", "votes"):
        DatasetWriter(out / name, name).close()
    return out


def train_expert(start: Path, base: Path, data: Path, settings: dict[str, Any], group: str) -> Finished:
    """Grow `start` and train it on the expert's data; `settings` are those of `curriculum_sft`.

    Args:
        base: the base model, which the stage asks for and does not use.
    """
    large = RESULTS / group / f"grown-{fingerprint(start)[:16]}"
    if not (large / MANIFEST_NAME).is_file():
        grow(start, large)
    inputs: dict[str, Path | str] = {
        name: data / name for name in ("images", "qa_kept", "qa_rejected", "votes")
    }
    inputs |= {"init_checkpoint": large, "base_model": str(base), "general_data": ""}
    return run_stage("curriculum_sft", settings, inputs, group=group, note="the teacher")
