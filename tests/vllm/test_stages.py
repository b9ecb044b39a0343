"""The stages that ask models, on a real vLLM: it takes every request, and its answers fit their schemas."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from components.core.mllm import Answer, MLLMClient
from components.core.stage.io import stage_io
from components.core.stage.runner import WORK_ROOT_ENV, stage_main
from components.core.stage.settings import stage_config
from tests.faults.accounts import ASKING, balance
from tests.faults.world import STAGES, DataHalf, build_pictures, metrics_of, serve_teachers
from tests.vllm.conftest import endpoint_of

PICTURES = 4
NOTHING_LEFT = 65
"""How a stage ends that got answers of which none is of use: the model knows nothing."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataHalf, Path]:
    """What each stage reads, written with simulated teachers; their embedder serves the tests too."""
    folder = tmp_path_factory.mktemp("calm")
    simulated = serve_teachers(build_pictures(folder / "pictures", PICTURES))
    half = DataHalf.over(folder / "pictures", simulated.url)
    for stage in STAGES:
        half.call(stage, folder, folder, folder / "work")
    return half, folder


def asking(half: DataHalf, server) -> DataHalf:
    """The same stages with every model but the embedder at the server."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            inner = {key: moved(item) for key, item in value.items()}
            chats = "base_url" in inner and inner["model"] != "embedder"
            return {**inner, **endpoint_of(server, model=inner["model"])} if chats else inner
        return [moved(item) for item in value] if isinstance(value, (list, tuple)) else value

    return replace(half, sections=moved(dict(half.sections)))


@pytest.mark.parametrize("stage", ASKING)
def test_every_request_of_a_stage_is_answered(stage, calm, server, key, tmp_path, monkeypatch):
    """Greedily, such a model may fill a list to the answer's limit; what is not cut fits."""
    half, folder = calm
    monkeypatch.setenv(WORK_ROOT_ENV, str(tmp_path / "work"))
    answers: list[Answer] = []
    ask = MLLMClient.map
    monkeypatch.setattr(MLLMClient, "map", lambda *args, **options: noted(answers, ask(*args, **options)))
    arguments = asking(half, server).arguments(stage, folder, tmp_path / "out")
    run = import_module(f"components.{stage}.stage").run
    code = stage_main(stage, stage_config(stage), stage_io(stage), run, arguments)
    assert code in (0, NOTHING_LEFT)
    assert len(answers) >= PICTURES
    faults = [answer.error for answer in answers if answer.error]
    assert [fault for fault in faults if not fault.startswith("malformed: cut off")] == []
    assert len(faults) < len(answers)
    if code == 0:
        accounts = balance(stage, folder, tmp_path / "out", metrics_of(stage, tmp_path / "out"))
        assert all(account.balanced for account in accounts), accounts


def noted(answers: list[Answer], found: list[Answer]) -> list[Answer]:
    """The answers, kept for the test."""
    answers += found
    return found
