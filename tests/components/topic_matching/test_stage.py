from __future__ import annotations

import hashlib
import io
import json
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.stage.runner import stage_main
from components.topic_matching.component import IO
from components.topic_matching.config import Config
from components.topic_matching.fine import REASONS
from components.topic_matching.stage import run

CAPTIONS = {
    "fuel": "fuel",
    "speed": "speed",
    "nothing": "fuel",
    "broken": "fuel",
    "refused": "fuel",
    "mute": " ",
    "off": "fuel",
}
PATHS = ["g", "g/fuel", "g/fuel/fuel tank", "g/fuel/fuel low", "g/speed", "g/speed/speed digits"]


def letters(text: str) -> list[float]:
    counts = np.array([text.count(chr(97 + i)) for i in range(26)], float)
    return list(counts / max(np.linalg.norm(counts), 1e-12))


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Images named by their captions' keys, a tree with letter-count embeddings."""
    images, ids = [], []
    for number, (name, caption) in enumerate(CAPTIONS.items()):
        data = picture(number)
        image_id = hashlib.sha256(data).hexdigest()
        images.append({"image_id": image_id, "bytes": data, "format": "PNG", "width": 16, "height": 16,
                       "phash": 0, "source_uri": name, "split": "train"})  # fmt: skip
        ids.append({"image_id": image_id, "subject_diversity": 1.0, "spatial_relationships": 1.0,
                    "ocr_text_richness": 1.0, "world_knowledge": 1.0, "ids": 1.0, "rationale": "",
                    "caption": caption, "scorer": "s", "n_qa": 1})  # fmt: skip
    tree = [
        {"topic_id": path, "path": path.split("/"), "level": path.count("/") + 1, "name": path.split("/")[-1],
         "description": "", "dimension": "domain", "parent_id": path.rpartition("/")[0], "origin": "model",
         "embedding": letters(path.split("/")[-1])}
        for path in PATHS
    ]  # fmt: skip
    for table, rows in (("images", images), ("ids", ids), ("label_tree", tree)):
        with DatasetWriter(tmp_path / table, table) as writer:
            writer.write(rows)
    return tmp_path


def call(world: Path, server, monkeypatch: pytest.MonkeyPatch, name: str = "out", **settings) -> int:
    monkeypatch.setenv("VLM_WORK_ROOT", str(world / "work"))
    config = {
        "model": server.endpoint(),
        "embedder": server.endpoint("e"),
        "coarse_topics": 1,
        "min_similarity": 0.1,
    }
    argv = ["--config", json.dumps({**config, **settings}), "--metrics", str(world / name / "metrics.json"),
            "--report", str(world / name / "report.html")]  # fmt: skip
    for table in IO.inputs:
        argv += [f"--{table.replace('_', '-')}", str(world / table)]
    for table in IO.outputs:
        argv += [f"--{table}", str(world / name / table)]
    return stage_main("topic_matching", Config, IO, run, argv)


def answering(world: Path):
    """Answers by which image is asked about, told from the request's own bytes."""
    import base64

    rows = Dataset.open(world / "images", "images").rows_iter()
    names = {base64.b64encode(row["bytes"]): row["source_uri"] for row in rows}
    answers = {
        "fuel": '{"topics": [{"index": 2, "score": 6}, {"index": 1, "score": 9}]}',
        "speed": '{"topics": [{"index": 1, "score": 10}]}',
        "nothing": '{"topics": []}',
        "broken": "I would say the first.",
        "refused": "HTTP 400",
        "off": '{"topics": [{"index": 77, "score": 9}]}',
    }
    return lambda prompt, images: answers[names[images[0].split(b",")[1]]]


def result(world: Path, name: str = "out") -> tuple[list[tuple], dict[str, str]]:
    uris = {
        row["image_id"]: row["source_uri"] for row in Dataset.open(world / "images", "images").rows_iter()
    }
    matches = Dataset.open(world / name / "matches", "matches").rows_iter()
    rejected = Dataset.open(world / name / "rejected", "rejected").rows_iter()
    return (
        [(uris[r["image_id"]], r["topic_id"], round(r["fine"], 2), r["rank"]) for r in matches],
        {uris[r["id"]]: r["reason"] for r in rejected},
    )


def test_matches_and_every_reason(world: Path, chat_server, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_server.say = answering(world)
    assert call(world, chat_server, monkeypatch) == 0
    matches, rejected = result(world)
    assert matches == [
        ("fuel", "g/fuel/fuel tank", 0.9, 1),
        ("fuel", "g/fuel/fuel low", 0.6, 2),
        ("speed", "g/speed/speed digits", 1.0, 1),
    ]
    assert rejected == {
        "nothing": "no_topic", "broken": "unusable_answer", "refused": "endpoint_refused",
        "mute": "no_caption", "off": "unusable_answer",
    }  # fmt: skip
    assert set(rejected.values()) | {"no_candidate"} == set(REASONS)
    metrics = json.loads((world / "out" / "metrics.json").read_text())
    assert metrics["images"] == len(CAPTIONS)
    assert metrics["images"] == metrics["images_matched"] + metrics["images_rejected"]
    assert metrics["images_rejected"] == len(rejected)
    assert (metrics["images_matched"], metrics["images_without_topic"]) == (2, 1)
    assert (metrics["topics"], metrics["topics_without_image"]) == (3, 0)
    coverage = Dataset.open(world / "out" / "coverage", "coverage").rows_iter()
    assert {row["topic_id"]: (row["images"], round(row["mean_fine"], 4)) for row in coverage} == {
        "g": (2, 0.8333),  # (0.9 + 0.6 + 1.0) / 3
        "g/fuel": (1, 0.75), "g/fuel/fuel tank": (1, 0.9), "g/fuel/fuel low": (1, 0.6),
        "g/speed": (1, 1.0), "g/speed/speed digits": (1, 1.0),
    }  # fmt: skip
    assert "1. g > fuel > fuel tank\n2. g > fuel > fuel low\n" in chat_server.prompts[0]


@pytest.mark.parametrize("block", [1, 3])
def test_blocks_change_nothing(world: Path, chat_server, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    chat_server.say = answering(world)
    assert call(world, chat_server, monkeypatch, "whole") == 0
    assert call(world, chat_server, monkeypatch, "blocks", block_images=block, block_topics=1) == 0
    assert result(world, "whole") == result(world, "blocks")


def test_a_rerun_asks_for_no_answer_again(world: Path, chat_server, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_server.say = answering(world)
    assert call(world, chat_server, monkeypatch, "first") == 0
    # What was answered is never asked again. The refusal is, and the malformed reply with its repair is.
    before = len(chat_server.prompts)
    assert call(world, chat_server, monkeypatch, "second") == 0
    assert len(chat_server.prompts) == before + 1 + 2
    for table in IO.outputs:
        digests = [Dataset.open(world / name / table, table).digest for name in ("first", "second")]
        assert digests[0] == digests[1]


def test_without_the_fine_step_no_model_is_asked(
    world: Path, chat_server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(world, chat_server, monkeypatch, fine=False, max_topics=1) == 0
    matches, rejected = result(world)
    assert not chat_server.prompts
    assert rejected == {"mute": "no_caption"}
    # By letters, "fuel low" is f u e 2·l o w, so its cosine to "fuel" is (1+1+1+2) / (2 · √9) = 0.8333;
    # "fuel tank", letters f u e l t a n k: 4 / (2 · √8) = 0.7071.
    assert matches[0] == ("fuel", "g/fuel/fuel low", 0.83, 1)
    assert len(matches) == len(CAPTIONS) - 1


@pytest.mark.parametrize("fine", [True, False])
def test_what_nothing_is_near_to_is_listed(
    world: Path, chat_server, monkeypatch: pytest.MonkeyPatch, fine: bool
) -> None:
    chat_server.say = answering(world)
    # "speed" itself is at cosine 1 to its second-level topic and 7 / (√7 · √17) = 0.6417 to "speed digits".
    least = 0.99 if fine else 0.64
    assert call(world, chat_server, monkeypatch, fine=fine, min_similarity=least, max_topics=1) == 0
    rows = list(Dataset.open(world / "ids", "ids").rows_iter())
    with DatasetWriter(world / "ids", "ids") as writer:
        writer.write([{**row, "caption": "xyz"} for row in rows])
    before = len(chat_server.prompts)
    assert call(world, chat_server, monkeypatch, "far", fine=fine, min_similarity=least) == 0
    assert len(chat_server.prompts) == before, "an image without candidates is not asked about"
    matches, rejected = result(world, "far")
    assert not matches
    assert set(rejected.values()) == {"no_candidate"} and len(rejected) == len(CAPTIONS)
    metrics = json.loads((world / "far" / "metrics.json").read_text())
    assert metrics["topics_without_image"] == 3
    assert (metrics["topics_level_1_without_image"], metrics["topics_level_2_without_image"]) == (1, 2)
    page = (world / "far" / "report.html").read_text()
    lists = dict(re.findall(r'<a download="(\w+)\.csv" href="data:[^,]*,([^"]*)"', page))
    images = b64decode(lists["images_without_topic"]).decode().splitlines()
    assert sorted(line.split(",")[0] for line in images[1:]) == sorted(row["image_id"] for row in rows)
    topics = b64decode(lists["topics_without_images"]).decode().splitlines()
    assert topics[1:] == [
        "g/fuel/fuel tank,domain,g > fuel > fuel tank",
        "g/fuel/fuel low,domain,g > fuel > fuel low",
        "g/speed/speed digits,domain,g > speed > speed digits",
    ]


def test_another_embedder_than_the_trees_is_named(world: Path, chat_server, monkeypatch) -> None:
    rows = list(Dataset.open(world / "label_tree", "label_tree").rows_iter())
    with DatasetWriter(world / "label_tree", "label_tree") as writer:
        writer.write([{**row, "embedding": [1.0, 0.0]} for row in rows])
    assert call(world, chat_server, monkeypatch) == 65
