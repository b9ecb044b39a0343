"""The world of `benchmarks.rl.rewards`: training questions with true answers, held-out ones, their measures.

No teacher takes part: labels are the truth, so that an arm's effect is its reward's and not its labels'.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from components.core.data.dataset import DatasetWriter
from components.core.vlm.messages import format_question
from demo.teachers.replies.thinking import abilities
from demo.world import open_questions
from demo.world.index import WorldIndex
from demo.world.questions import TruthQA, answer, catalogue
from demo.world.render import png_bytes
from demo.world.scene import Scene
from demo.writing import domain_item, probe_pair, scenes_of

Scenes = Iterator[tuple[Scene, Image.Image]]
_CLOSED, _OPEN = 6, 2
"""Closed and open training questions about a picture."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    pictures: int = 800
    epochs: int = 4
    items: int = 300
    """Held-out questions answered greedily; pairs of probes; pairs of swapped pictures by half."""
    sampled: int = 150
    """Questions with eight sampled answers, closed and open."""
    steps: int = 60
    candidates: int = 384


SMALL = Sizes(pictures=400, epochs=3, items=200, sampled=100, steps=20, candidates=256)
"""What a quarter of a core does in an hour."""
MINI = Sizes(pictures=12, epochs=1, items=6, sampled=4, steps=2, candidates=8)


@dataclass(frozen=True)
class Item:
    """One held-out question about a picture whose scene is known."""

    benchmark: str
    item_id: str
    picture: bytes
    group: str
    """What counts as one trial: the picture, or a pair of pictures."""
    question: str
    answer: str
    answer_type: str
    choices: tuple[str, ...]
    scene: Scene
    absent: bool = False
    """A probe of a light that is off."""


def write_training(out: Path, sizes: Sizes, seed: int, items: Sequence[Item]) -> dict[str, Path]:
    """Write pictures and questions, and the truth behind these and the held-out items, for the judges.

    Returns the stages' inputs: images, qa_kept, and those that training reads beside them, without rows.
    """
    if not (out / "done").is_file():
        rng = random.Random(f"training {seed}")
        pool = list(islice(scenes_of(seed), sizes.pictures))
        out.mkdir(parents=True, exist_ok=True)
        known = [(picture, scene) for scene, picture in pool]
        known += [(Image.open(io.BytesIO(i.picture)), i.scene) for i in items if i.benchmark == "open"]
        WorldIndex.build(known).save(out / "index.jsonl")
        with DatasetWriter(out / "images", "images") as images, DatasetWriter(out / "qa", "qa_kept") as kept:
            for scene, picture in pool:
                data = png_bytes(picture)
                key = hashlib.sha256(data).hexdigest()
                images.write([image_row(key, data, picture)])
                kept.write([qa_row(key, n, qa) for n, qa in enumerate(_asked(scene, rng))])
        for name in ("qa_rejected", "votes"):
            with DatasetWriter(out / name, name):
                pass
        (out / "done").touch()
    return {
        "images": out / "images",
        "qa_kept": out / "qa",
        "qa_rejected": out / "qa_rejected",
        "votes": out / "votes",
    }


def _asked(scene: Scene, rng: random.Random) -> Iterator[TruthQA]:
    closed = {qa.question: qa for qa in (domain_item(scene, rng) for _ in range(_CLOSED))}
    yield from closed.values()
    probes = [qa for qa in catalogue(scene, rng) if qa.kind == "existence" and qa.question not in closed]
    yield rng.choice([qa for qa in probes if not qa.present])
    if len(scene.lights) >= open_questions.MIN_LIGHTS:
        for kind in rng.sample(sorted(open_questions.QUESTIONS), _OPEN):
            yield _open(scene, kind, rng)


def _open(scene: Scene, kind: str, rng: random.Random) -> TruthQA:
    question = rng.choice(open_questions.QUESTIONS[kind])
    said = open_questions.example(scene, kind, rng)
    return TruthQA(question, said, "open", (), "", f"open {kind}", (), (), 0)


def image_row(key: str, data: bytes, picture: Image.Image) -> dict[str, Any]:
    """A picture of the table `images`, for training; `key` is its id."""
    size = {"width": picture.width, "height": picture.height}
    return {"image_id": key, "bytes": data, "format": "PNG", **size, "phash": 0, "source_uri": "demo://world",
            "split": "train"}  # fmt: skip


def qa_row(key: str, number: int, qa: TruthQA) -> dict[str, Any]:
    """A question of the table `qa_kept` with its true answer, as if all voters had agreed."""
    return {
        "qa_id": f"{key[:16]}-{number}",
        "image_id": key,
        "topic_id": "",
        "split": "train",
        "question": qa.question,
        "answer": qa.answer,
        "answer_type": qa.answer_type,
        "choices": list(qa.choices),
        "reasoning": qa.reasoning,
        "objects": list(qa.objects),
        "skills": abilities(qa.skills),
        "round": 0,
        "parent_id": "",
        "history": "[]",
        "generator": "truth",
        "prompt_hash": "",
        "agreement": 1.0,
        "difficulty": qa.level / 3,
    }


def heldout(sizes: Sizes, seed: int) -> list[Item]:
    """Held-out items of the benchmarks domain, hallucination, swapped and open."""
    rng = random.Random(f"held out {seed}")
    scenes = scenes_of(seed + 10_000)
    found: list[Item] = []
    for place in range(sizes.items):
        scene, picture = next(scenes)
        found.append(_item("domain", f"{place:04d}", scene, png_bytes(picture), domain_item(scene, rng)))
        data, probes = probe_pair(scenes, rng)
        # A probe has its truth; its scene is not needed.
        found += [_item("hallucination", f"{place:04d}-{n}", scene, data, qa) for n, qa in enumerate(probes)]
    for place in range(sizes.items // 2):
        found += _pair(place, scenes, rng)
    kinds = sorted(open_questions.QUESTIONS)
    rich = (pair for pair in scenes if len(pair[0].lights) >= open_questions.MIN_LIGHTS)
    for place in range(sizes.sampled):
        scene, picture = next(rich)
        qa = _open(scene, kinds[place % len(kinds)], rng)
        found.append(_item("open", f"{place:04d}", scene, png_bytes(picture), qa))
    return found


def _pair(place: int, scenes: Scenes, rng: random.Random) -> list[Item]:
    """The same words about two pictures of which different answers are right."""
    first, picture = next(scenes)
    qa = domain_item(first, rng)
    second, other, swapped = next(
        (scene, shown, found)
        for scene, shown in scenes
        if (found := answer(scene, qa.question, qa.choices)) is not None and found.answer != qa.answer
    )
    name = f"{place:04d}"
    return [
        _item("swapped", f"{name}-a", first, png_bytes(picture), qa, name),
        _item("swapped", f"{name}-b", second, png_bytes(other), swapped, name),
    ]


def _item(benchmark: str, name: str, scene: Scene, data: bytes, qa: TruthQA, group: str = "") -> Item:
    key = group or hashlib.sha256(data).hexdigest()
    absent = qa.kind == "existence" and qa.answer == "no"
    question = format_question(qa.question, qa.choices)
    own = (question, qa.answer, qa.answer_type, qa.choices, scene, absent)
    return Item(benchmark, f"{benchmark}-{name}", data, f"{benchmark} {key}", *own)


def save_items(items: list[Item], path: Path) -> str:
    """Write a digest of the items, which stands for them in the names of what is measured on them."""
    told = [[i.item_id, i.question, i.answer, hashlib.sha256(i.picture).hexdigest()] for i in items]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    path.write_text(digest, encoding="utf-8")
    return digest
