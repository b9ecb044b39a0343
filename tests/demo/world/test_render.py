"""Pictures are a function of the scene alone, and the index finds the scene again."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from demo.world.index import WorldIndex
from demo.world.render import SIZE_PX, png_bytes, render
from demo.world.scene import COLUMNS, LIGHTS, MAX_LIGHTS, Scene, sample_scene


def _scenes(count: int, seed: int = 3) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng) for _ in range(count)]


def test_equal_scenes_give_equal_bytes() -> None:
    for scene in _scenes(5):
        again = Scene.from_json(scene.to_json())
        assert again == scene
        assert png_bytes(render(again)) == png_bytes(render(scene))
        assert render(scene).size == (SIZE_PX, SIZE_PX)


def test_sampling_is_decided_by_the_seed() -> None:
    assert _scenes(4, seed=1) == _scenes(4, seed=1)
    assert _scenes(4, seed=1) != _scenes(4, seed=2)


def test_scenes_keep_their_invariants() -> None:
    for scene in _scenes(300):
        columns = [light.column for light in scene.lights]
        assert columns == sorted(set(columns))
        assert all(0 <= column < COLUMNS for column in columns)
        assert len({light.name for light in scene.lights}) == len(scene.lights) <= MAX_LIGHTS
        assert {light.name for light in scene.lights} <= set(LIGHTS)


def test_every_light_changes_the_picture() -> None:
    scene = next(scene for scene in _scenes(50) if len(scene.lights) >= 2)
    dark = Scene(**{**scene.__dict__, "lights": scene.lights[1:]})
    assert render(dark).tobytes() != render(scene).tobytes()


def test_index_finds_the_scene_of_any_lossless_encoding(tmp_path) -> None:
    scenes = _scenes(6)
    WorldIndex.build((render(scene), scene) for scene in scenes).save(tmp_path / "index.jsonl")
    index = WorldIndex.load(tmp_path / "index.jsonl")
    assert len(index) == len(set(scenes))
    for scene in scenes:
        assert index.lookup(png_bytes(render(scene))) == scene
    buffer = io.BytesIO()
    render(scenes[0]).save(buffer, format="BMP")
    assert index.lookup(buffer.getvalue()) == scenes[0]


def test_index_does_not_know_other_pictures() -> None:
    index = WorldIndex.build((render(scene), scene) for scene in _scenes(3))
    assert index.lookup(png_bytes(Image.new("RGB", (SIZE_PX, SIZE_PX)))) is None
