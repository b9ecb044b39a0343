from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from demo.teachers.background import Running, running_teachers
from demo.teachers.knowledge.scene import Priors
from demo.teachers.models import ModelSpec
from demo.teachers.replies.topics import Ontology
from demo.teachers.speaker import Speaker
from demo.world.index import WorldIndex
from demo.world.render import png_bytes, render
from demo.world.scene import Scene, sample_scene


@pytest.fixture(scope="session")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(11)
    return [sample_scene(rng) for _ in range(300)]


@pytest.fixture(scope="session")
def picture_bytes(scenes: list[Scene]) -> list[bytes]:
    return [png_bytes(render(scene)) for scene in scenes[:6]]


@pytest.fixture(scope="session")
def index(scenes: list[Scene]) -> WorldIndex:
    return WorldIndex.build((render(scene), scene) for scene in scenes[:6])


@pytest.fixture(scope="session")
def priors(scenes: list[Scene]) -> Priors:
    return Priors(scenes[:48])


@pytest.fixture
def make_speaker(priors: Priors):
    def make(name: str = "some-model", **rates: float) -> Speaker:
        return Speaker(ModelSpec(name, **rates), priors, Ontology())

    return make


@pytest.fixture
def server(index: WorldIndex) -> Iterator[Running]:
    with running_teachers(index) as running:
        yield running
