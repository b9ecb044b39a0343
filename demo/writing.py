"""Writes the demo world: pictures, truth, general data, benchmarks."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from components.core.data.dataset import DatasetWriter
from components.core.data.hashing import rng_for
from components.core.vlm.messages import build_conversation
from components.image_ingest.duplicates.phash import luminance_thumbnail, phash, to_signed
from demo import general
from demo.conversation import general_turns
from demo.world.index import WorldIndex, pixel_hash
from demo.world.questions import TruthQA, catalogue
from demo.world.render import png_bytes, render
from demo.world.scene import Scene, sample_scene
from demo.world_settings import WorldSettings

LEVEL_SHARES = {0: 0.6, 1: 0.2, 2: 0.15, 3: 0.05}
"""How often the domain benchmark asks a question of a level."""

Row = dict[str, Any]


def scenes_of(seed: int) -> Iterator[tuple[Scene, Image.Image]]:
    """Endless different scenes with their pictures, the same for the same seed."""
    rng = rng_for("demo world", seed)
    seen: set[str] = set()
    while True:
        scene = sample_scene(rng)
        picture = render(scene)
        key = pixel_hash(picture)
        if key not in seen:
            seen.add(key)
            yield scene, picture


def _benchmark_row(
    name: str, place: int, data: bytes, qa: TruthQA | general.GeneralQA, choices: tuple[str, ...]
) -> Row:
    return {
        "item_id": f"{name}-{place:04d}",
        "image": data,
        "image_group": hashlib.sha256(data).hexdigest(),
        "question": qa.question,
        "answer": qa.answer,
        "answer_type": qa.answer_type,
        "choices": list(choices),
        "category": qa.kind,
    }


def domain_item(scene: Scene, rng: random.Random) -> TruthQA:
    """One question about a scene. A level is drawn by LEVEL_SHARES, then a kind, an answer and a question,
    each with equal chances; so yes and no are balanced."""
    by_level: dict[int, dict[str, list[TruthQA]]] = {}
    for qa in catalogue(scene, rng):
        by_level.setdefault(qa.level, {}).setdefault(qa.kind, []).append(qa)
    levels = sorted(by_level)
    kinds = by_level[rng.choices(levels, [LEVEL_SHARES[level] for level in levels])[0]]
    asked = kinds[rng.choice(sorted(kinds))]
    wanted = rng.choice(sorted({qa.answer for qa in asked}))
    return rng.choice([qa for qa in asked if qa.answer == wanted])


def probe_pair(
    scenes: Iterator[tuple[Scene, Image.Image]], rng: random.Random
) -> tuple[bytes, tuple[TruthQA, TruthQA]]:
    """The next picture with a light on, and two probes of it: one light that is off, one that is on.

    As in POPE (Li et al. 2023, arXiv 2305.10355) both truths are equally frequent. So a model that always
    denies scores no better than one that always affirms.
    """
    scene, picture = next(pair for pair in scenes if pair[0].lights)
    existence = [qa for qa in catalogue(scene, rng) if qa.kind == "existence"]
    absent = rng.choice([qa for qa in existence if not qa.present])
    present = rng.choice([qa for qa in existence if qa.present])
    return png_bytes(picture), (absent, present)


def _write_benchmarks(
    out: Path, scenes: Iterator[tuple[Scene, Image.Image]], settings: WorldSettings
) -> None:
    count = settings.benchmark_items
    rng = random.Random(settings.seed)
    with DatasetWriter(out / "domain", "benchmark") as writer:
        for place in range(count):
            scene, picture = next(scenes)
            qa = domain_item(scene, rng)
            writer.write([_benchmark_row("domain", place, png_bytes(picture), qa, qa.choices)])
    with DatasetWriter(out / "hallucination", "benchmark") as writer:
        for place in range(count):
            data, probes = probe_pair(scenes, rng)
            writer.write(
                [_benchmark_row("hallucination", 2 * place + n, data, qa, ()) for n, qa in enumerate(probes)]
            )
    draws = rng_for("demo general benchmark", settings.seed)
    with DatasetWriter(out / "general", "benchmark") as writer:
        for place in range(settings.general_items):
            task = general.sample_scene(draws, "test")
            asked = general.questions(task, draws)
            item = asked[int(draws.integers(len(asked)))]
            writer.write(
                [_benchmark_row("general", place, png_bytes(general.render(task)), item, item.choices)]
            )


def _write_general(out: Path, settings: WorldSettings) -> None:
    rng = rng_for("demo general data", settings.seed)
    with (
        DatasetWriter(out / "images", "images") as images,
        DatasetWriter(out / "samples", "samples") as samples,
    ):
        for place in range(settings.general_images):
            scene = general.sample_scene(rng, "train")
            picture = general.render(scene)
            data = png_bytes(picture)
            image_id = hashlib.sha256(data).hexdigest()
            turns = general_turns(
                scene, rng, settings.questions_per_general_image, settings.general_reasoning_share
            )
            images.write(
                [
                    {
                        "image_id": image_id,
                        "bytes": data,
                        "format": "PNG",
                        "width": picture.width,
                        "height": picture.height,
                        "phash": int(to_signed(phash(luminance_thumbnail(picture)[None]))[0]),
                        "source_uri": f"demo://general/{place}",
                        "split": "train",
                    }
                ]
            )
            samples.write(
                [
                    {
                        "sample_id": f"general-{place:05d}",
                        "messages": json.dumps(build_conversation(turns)),
                        "image_ids": [image_id],
                        "source": "general",
                        "weight": 1.0,
                    }
                ]
            )


def write_world(out: Path, settings: WorldSettings) -> None:
    """Write images, index, benchmarks and general data into `out`, which has none of them."""
    (out / "images").mkdir(parents=True)
    scenes = scenes_of(settings.seed)
    pool = [next(scenes) for _ in range(settings.images)]
    for place, (_, picture) in enumerate(pool):
        (out / "images" / f"cluster_{place:05d}.png").write_bytes(png_bytes(picture))
    WorldIndex.build((picture, scene) for scene, picture in pool).save(out / "index.jsonl")
    _write_benchmarks(out / "benchmarks", scenes, settings)
    _write_general(out / "general", settings)
