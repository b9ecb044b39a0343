"""The stages that ask models, on a real vLLM: every request is taken, and every row is accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.accounts import ASKING, balance
from tests.faults.world import STAGES, DataHalf, build_pictures, serve_teachers, table
from tests.vllm.conftest import endpoint_of

PICTURES = 4
FAILED = {"endpoint_refused", "refused_by_endpoint", "request_failed", "malformed_answer", "unusable_answer"}
"""Reasons of rows whose request got no answer that fits."""


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
def test_a_stage_s_requests_are_answered_and_its_rows_add_up(stage, calm, server, key, tmp_path):
    half, folder = calm
    metrics = asking(half, server).call(stage, folder, tmp_path / "out", tmp_path / "work")
    asked = {name: value for name, value in metrics.items() if "requests" in name or "failures" in name}
    accounts = balance(stage, folder, tmp_path / "out", metrics)
    assert all(account.balanced for account in accounts), accounts
    rejected = [] if stage == "label_tree" else table(tmp_path / "out", stage, "rejected")
    reasons = Counter(row["reason"] for row in rejected)
    assert not FAILED & set(reasons), (reasons, rejected[:2], asked)
