"""A small world for training tests: coloured pictures, kept and rejected items, votes, general data, a
checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.data.checkpoint import commit_checkpoint
from components.core.data.dataset import DatasetWriter
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def qa_row(
    qa_id: str, image_id: str, question: str, answer: str, answer_type: str = "span", **more: Any
) -> dict[str, Any]:
    """A row of `qa_kept` with defaults for everything that a test does not care about."""
    row = {
        "qa_id": qa_id,
        "image_id": image_id,
        "topic_id": "t",
        "split": "train",
        "question": question,
        "answer": answer,
        "answer_type": answer_type,
        "choices": [],
        "reasoning": "",
        "objects": [],
        "skills": [],
        "round": 0,
        "parent_id": "",
        "history": "[]",
        "generator": "test",
        "prompt_hash": "",
        "agreement": 1.0,
        "difficulty": 0.0,
    }
    return row | more


def vote(qa_id: str, answer: str, agrees: bool, voter: str = "v1", blind: bool = False) -> dict[str, Any]:
    """A row of `votes`."""
    return {
        "qa_id": qa_id,
        "voter": voter,
        "blind": blind,
        "answer": answer,
        "agrees": agrees,
        "tokens": 3,
    }


def _picture(colour: str, seed: int) -> tuple[str, bytes]:
    noise = np.random.default_rng(seed).integers(-20, 20, (48, 48, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return hashlib.sha256(buffer.getvalue()).hexdigest(), buffer.getvalue()


def _image_rows(count: int, first_seed: int) -> list[dict[str, Any]]:
    rows = []
    for i in range(count):
        colour = list(COLOURS)[i % 3]
        image_id, data = _picture(colour, first_seed + i)
        rows.append({"image_id": image_id, "bytes": data, "format": "PNG", "width": 48, "height": 48,
                     "phash": i, "source_uri": colour, "split": "train"})  # fmt: skip
    return rows


def _write(path: Path, table: str, rows: list[dict[str, Any]]) -> Path:
    with DatasetWriter(path, table) as writer:
        writer.write(rows)
    return path


@pytest.fixture(scope="session")
def sft_world(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> dict[str, Path]:
    """Directories of 24 images, three kept questions on each, rejected items, votes, general data, base
    model."""
    root = tmp_path_factory.mktemp("sft_world")
    images, general = _image_rows(24, 0), _image_rows(12, 1000)
    kept, rejected, votes = [], [], []
    for n, image in enumerate(images):
        colour, key = image["source_uri"], image["image_id"]
        other = list(COLOURS)[(n + 1) % 3]
        why = {"reasoning": f"The whole picture is {colour}."}
        kept.append(qa_row(f"c{n}", key, "What colour is the picture?", colour, **why))
        kept.append(qa_row(f"y{n}", key, f"Is the picture {colour}?", "yes", "yes_no", **why))
        kept.append(qa_row(f"n{n}", key, f"Is the picture {other}?", "no", "yes_no", **why))
        votes += [vote(f"c{n}", other, False), vote(f"n{n}", "yes", False), vote(f"y{n}", "yes", True)]
        wrong = qa_row(f"r{n}", key, "Is there a black dot?", "yes", "yes_no", agreement=0.0, difficulty=1.0)
        rejected.append({**wrong, "reason": "out_voted", "voted_answer": "no"})
    samples = [
        {
            "sample_id": f"g{n}",
            "messages": json.dumps(
                [
                    {
                        "role": "user",
                        "content": [{"type": "image"}, {"type": "text", "text": "Name the colour."}],
                    },
                    {"role": "assistant", "content": [{"type": "text", "text": image["source_uri"]}]},
                ]
            ),
            "image_ids": [image["image_id"]],
            "source": "colours",
            "weight": 1.0,
        }
        for n, image in enumerate(general)
    ]
    base = root / "base"
    base.mkdir()
    for file in tiny_checkpoint.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    commit_checkpoint(base)
    _write(root / "general" / "images", "images", general)
    _write(root / "general" / "samples", "samples", samples)
    return {
        "images": _write(root / "images", "images", images),
        "qa_kept": _write(root / "kept", "qa_kept", kept),
        "qa_rejected": _write(root / "rejected_qa", "qa_rejected", rejected),
        "votes": _write(root / "votes", "votes", votes),
        "general": root / "general",
        "base": base,
    }


def stage_argv(world: dict[str, Path], out: Path, config: dict[str, Any], **more: Path) -> list[str]:
    """Command line of the stage (without `python -m components.curriculum_sft`)."""
    paths = {
        **{
            f"--{name.replace('_', '-')}": world[name]
            for name in ("images", "qa_kept", "qa_rejected", "votes")
        },
        "--base-model": world["base"],
        "--general-data": world["general"],
        "--checkpoint": out / "checkpoint",
        "--rejected": out / "rejected",
        "--metrics": out / "metrics.json",
        "--report": out / "report.html",
        **{f"--{name.replace('_', '-')}": path for name, path in more.items()},
    }
    return ["--config", json.dumps(config), *(str(item) for pair in paths.items() for item in pair)]


@pytest.fixture(scope="session")
def argv():
    """The function `stage_argv`."""
    return stage_argv


@pytest.fixture(scope="session")
def row():
    """The function `qa_row`."""
    return qa_row


@pytest.fixture(scope="session")
def ballot():
    """The function `vote`."""
    return vote
