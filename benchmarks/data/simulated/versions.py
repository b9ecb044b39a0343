"""Items of the demo world as every evolution round left them, with the truth about each version.

The pictures are rendered here. The stages ids_scoring and qa_synthesis run from their command lines against
the demo's simulated teachers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.harness import ROOT
from components.core.answers import AnswerType, agree
from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.hashing import sha256_hex
from components.core.mllm import Answer, ChatRequest
from components.qa_synthesis.image_question import lineage
from demo.teachers.background import running_teachers
from demo.teachers.knowledge.scene import Priors, SceneKnowledge
from demo.teachers.models import load_models
from demo.teachers.replies.topics import Ontology
from demo.teachers.server import PRIOR_SCENES
from demo.teachers.speaker import Request, Speaker
from demo.world.index import WorldIndex
from demo.world.questions import TruthQA
from demo.world.render import png_bytes, render
from demo.world.scene import Scene, sample_scene

Row = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """One item's version after a round, and the truth about it."""

    image_id: str
    row: Row
    truth: TruthQA

    def accepts(self, response: str) -> bool:
        """Whether a response is the true answer."""
        kind = cast(AnswerType, self.truth.answer_type)
        return agree(response, self.truth.answer, kind, self.truth.choices)

    @property
    def prompt(self) -> str:
        """The question as a numbered line with its choices."""
        options = (f"\n   {chr(65 + i)}. {choice}" for i, choice in enumerate(self.row["choices"]))
        return f"1. {self.row['question']}{''.join(options)}"


class World:
    """Pictures, what is true about them, and models that talk about them in this process."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng([77, seed])
        scenes = [sample_scene(rng) for _ in range(count)]
        self.pictures = {sha256_hex(data): data for data in map(png_bytes, map(render, scenes))}
        self.knowledge = {
            image_id: SceneKnowledge(scene) for image_id, scene in zip(self.pictures, scenes, strict=True)
        }
        prior_rng = np.random.default_rng(0)
        self._priors = Priors([sample_scene(prior_rng) for _ in range(PRIOR_SCENES)])
        self._models = load_models()

    def index(self) -> WorldIndex:
        """For the server."""
        scenes: list[Scene] = [known.scene for known in self.knowledge.values()]
        return WorldIndex.build((render(scene), scene) for scene in scenes)

    def speaker(self, name: str, step_error_rate: float = 0.0) -> Speaker:
        """One of the demo's models, with mistakes added for every level of difficulty."""
        spec = replace(self._models[name], step_error_rate=step_error_rate)
        return Speaker(spec, self._priors, Ontology())

    def ask(self, speaker: Speaker, requests: Sequence[ChatRequest]) -> list[Answer]:
        """The speaker's answers, without HTTP; a request's image is its picture's bytes."""
        answers = []
        for request in requests:
            assert request.schema is not None  # the stage asks for nothing but typed answers
            image_id = sha256_hex(request.images[0])
            asked = Request(request.prompt, image_id, self.knowledge[image_id], request.seed)
            said = speaker.schemas[request.schema.__name__](asked)
            answers.append(Answer(request.key, request.schema.model_validate(said), None, 0, 0))
        return answers


def synthesise(world: World, folder: Path, rounds: int) -> list[Row]:
    """Rows of table `qa`, by the stages' own command lines against the served teachers."""
    rows = {
        "images": [_image_row(image_id, data) for image_id, data in world.pictures.items()],
        "label_tree": [],
        "matches": [],
    }
    for name, own in rows.items():
        with DatasetWriter(folder / name, name) as writer:
            writer.write(own)
    with running_teachers(world.index()) as teachers:
        endpoint = {"base_url": teachers.base_url, "model": "teacher"}
        _stage(folder, "ids_scoring", {"endpoint": endpoint}, ["images"], ["ids", "rejected_ids"])
        config = {"endpoint": endpoint, "evolution_rounds": rounds, "report_images": 0}
        _stage(
            folder, "qa_synthesis", config, ["images", "ids", "label_tree", "matches"], ["qa", "rejected_qa"]
        )
    return list(Dataset.open(folder / "qa", "qa").rows_iter())


def _stage(folder: Path, stage: str, config: Row, inputs: list[str], outputs: list[str]) -> None:
    command = [sys.executable, "-m", f"components.{stage}", "--config", json.dumps(config)]
    for name in (*inputs, *outputs):
        flag = name.split("_")[0] if name.startswith("rejected") else name.replace("_", "-")
        command += [f"--{flag}", str(folder / name)]
    command += ["--metrics", str(folder / f"{stage}.json"), "--report", str(folder / f"{stage}.html")]
    subprocess.run(
        command,
        check=True,
        cwd=ROOT,
        env={**os.environ, "VLM_WORK_ROOT": str(folder / "work")},
        stdout=subprocess.DEVNULL,
    )


def _image_row(image_id: str, data: bytes) -> Row:
    names = {"image_id": image_id, "bytes": data, "format": "png", "source_uri": "", "split": "train"}
    return {**names, "width": 128, "height": 128, "phash": 0}


def versions_after(rows: Sequence[Row], world: World, round_no: int) -> list[Version]:
    """Every item's version after a round, with the truth."""
    found = []
    for row in rows:
        version = lineage(row)[round_no]
        truth = world.knowledge[row["image_id"]].truth(version["question"], tuple(version["choices"]))
        if truth is None:
            raise ValueError(f"the world has no answer to {version['question']!r}")
        found.append(Version(row["image_id"], version, truth))
    return found
