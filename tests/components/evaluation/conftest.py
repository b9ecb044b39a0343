"""Benchmarks, held-out data and an argv for the evaluation stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.core.data.dataset import DatasetWriter
from components.core.data.pins import pin
from components.evaluation.engines import Response
from components.evaluation.items import Item
from components.evaluation.scoring import Scored

OUTPUTS = ("predictions", "scores", "confusion", "summary", "metrics", "report")


def benchmark_rows(pictures: list[bytes], items: int, kind: str = "domain") -> list[dict[str, Any]]:
    """Items of every answer type over the pictures; hallucination probes alternate between no and yes."""
    templates = [
        ("What colour is it?", "B", "choice", ["red", "green", "blue"]),
        ("How many shapes are there?", "3", "number", []),
        ("Is there a red square?", "no", "yes_no", []),
        ("Where is the triangle?", "left", "span", []),
    ]
    rows = []
    for i in range(items):
        question, answer, answer_type, choices = templates[i % 4]
        if kind == "hallucination":
            question, answer, answer_type, choices = (
                f"Is there shape {i}?",
                ("no", "yes")[i % 2],
                "yes_no",
                [],
            )
        rows.append(
            {
                "item_id": f"{kind}-{i}",
                "image": pictures[i % len(pictures)],
                "image_group": f"picture-{i % len(pictures)}",
                "question": question,
                "answer": answer,
                "answer_type": answer_type,
                "choices": choices,
                "category": answer_type,
            }
        )
    return rows


@pytest.fixture
def make_item() -> Callable[..., Item]:
    """An item of the domain benchmark `b`, yes or no, about a picture of its own; any field may be given."""

    def make(number: int, **fields: Any) -> Item:
        plain: dict[str, Any] = {
            "benchmark": "b", "role": "domain", "kind": "agreement", "item_id": str(number),
            "image_group": str(number), "question": "?", "answers": ("yes",), "answer_type": "yes_no",
            "choices": (), "category": "c", "pictures": (), "pixels": 0,
        }  # fmt: skip
        return Item(**{**plain, **fields})

    return make


@pytest.fixture
def answered() -> Callable[..., tuple[Response, Scored]]:
    """A response and its score."""

    def make(text: str, score: float, tokens: int = 1, finished: bool = True) -> tuple[Response, Scored]:
        return Response(text, tokens, finished), Scored(text, "exact", score)

    return make


@pytest.fixture
def write_benchmark(tmp_path: Path, coloured_pictures: list[bytes]) -> Callable[..., dict[str, str]]:
    """Write a benchmark dataset; returns its entry of the `benchmarks` parameter."""

    def write(
        role: str, items: int = 12, rows: list[dict[str, Any]] | None = None, **more: str
    ) -> dict[str, str]:
        path = tmp_path / "benchmarks" / role
        with DatasetWriter(path, "benchmark") as writer:
            writer.write(benchmark_rows(coloured_pictures, items, role) if rows is None else rows)
        return {"name": f"{role} set", "role": role, "ref": pin(str(path)), **more}

    return write


@pytest.fixture
def voted(tmp_path: Path, coloured_pictures: list[bytes]) -> dict[str, Path]:
    """An images and a qa_kept dataset: six pictures, the last three held out, two questions each."""
    images, kept = tmp_path / "images", tmp_path / "qa_kept"
    with DatasetWriter(images, "images") as writer:
        writer.write(
            [
                {
                    "image_id": f"image-{i}", "bytes": data, "format": "PNG", "width": 48, "height": 48,
                    "phash": i, "source_uri": f"{i}.png", "split": "heldout" if i >= 3 else "train",
                }
                for i, data in enumerate(coloured_pictures)
            ]
        )  # fmt: skip
    with DatasetWriter(kept, "qa_kept") as writer:
        writer.write([_qa(i, n) for i in range(6) for n in range(2)])
    return {"images": images, "qa_kept": kept}


def _qa(image: int, number: int) -> dict[str, Any]:
    answer_type, answer = (("yes_no", "no"), ("number", "3"))[number]
    return {
        "qa_id": f"qa-{image}-{number}", "image_id": f"image-{image}", "topic_id": "t",
        "split": "heldout" if image >= 3 else "train", "question": "Is there a red square?", "answer": answer,
        "answer_type": answer_type, "choices": [], "reasoning": "", "objects": [],
        "skills": ["counting"] if number else [], "round": 0, "parent_id": "", "history": "[]",
        "generator": "g", "prompt_hash": "h", "agreement": 1.0, "difficulty": 0.0,
    }  # fmt: skip


@pytest.fixture
def stage_argv(tmp_path: Path, tiny_checkpoint: Path, voted: dict[str, Path]):
    """The stage's command line for benchmarks and settings, and the directory of its outputs."""

    def build(
        benchmarks: list[dict[str, str]], config: dict[str, Any], name: str = "out", **more: str
    ) -> tuple[list[str], Path]:
        out = tmp_path / name
        arguments = {
            "config": json.dumps({"max_new_tokens": 4, "samples_per_item": 2, "pass_k": [1, 2], **config}),
            "base-model": pin(str(tiny_checkpoint)),
            "benchmarks": json.dumps(benchmarks),
            "label": "base",
            **{key.replace("_", "-"): str(path) for key, path in voted.items()},
            **{key: str(out / key) for key in OUTPUTS},
            **{key.replace("_", "-"): value for key, value in more.items()},
        }
        return [part for key, value in arguments.items() for part in (f"--{key}", value)], out

    return build


@pytest.fixture
def run_stage(stage_argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the stage from its command line; returns the exit code and the directory of its outputs."""
    from components.core.stage.runner import stage_main
    from components.evaluation.component import IO
    from components.evaluation.config import Config
    from components.evaluation.stage import run

    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))

    def start(
        benchmarks: list[dict[str, str]], config: dict[str, Any], name: str = "out", **more: str
    ) -> tuple[int, Path]:
        argv, out = stage_argv(benchmarks, config, name, **more)
        return stage_main("evaluation", Config, IO, run, argv), out

    return start


@pytest.fixture(scope="session")
def any_item() -> Callable[..., Item]:
    """An item with defaults for all that a test leaves out; `answer` stands for a single reference."""

    def make(**fields: Any) -> Item:
        if "answer" in fields:
            fields["answers"] = (fields.pop("answer"),)
        defaults = {
            "benchmark": "b", "role": "general", "kind": "agreement", "item_id": "0", "image_group": "g",
            "question": "q", "answers": ("yes",), "answer_type": "yes_no", "choices": (), "category": "c",
            "pictures": ((0, 0),), "pixels": 1,
        }  # fmt: skip
        return Item(**{**defaults, **fields})

    return make
