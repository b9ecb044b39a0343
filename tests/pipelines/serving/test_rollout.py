"""A pod fetches one version; the watcher follows the pointer forwards and back, and lives through faults."""

from __future__ import annotations

import pytest

from components.core.stage.errors import EndpointError, NoInputError
from pipelines.serving.rollout import VERSION_FILE, fetch, watch


class Wanted:
    """A Deployment: the annotation of its pods, and every change of it."""

    def __init__(self, *faults: bool) -> None:
        self.moves: list[str] = []
        self._faults = iter(faults)

    def version(self) -> str:
        if next(self._faults, False):
            raise EndpointError("Kubernetes: Forbidden")
        return self.moves[-1] if self.moves else ""

    def roll_to(self, version: str) -> None:
        self.moves.append(version)


def test_a_pod_takes_the_version_of_its_annotation_or_the_current_one(promoted, tmp_path):
    assert fetch(promoted.registry, "", tmp_path / "a") == 2
    assert fetch(promoted.registry, "1", tmp_path / "b") == 1
    assert (tmp_path / "b" / VERSION_FILE).read_text() == "1"
    weights = "checkpoint/model.safetensors"
    assert (tmp_path / "b" / weights).read_bytes() == (
        promoted.checkpoint(1) / "model.safetensors"
    ).read_bytes()
    with pytest.raises(NoInputError, match="no version 9"):
        fetch(promoted.registry, "9", tmp_path / "c")


def test_pods_that_serve_the_current_version_are_left_alone(promoted):
    wanted = Wanted()
    watch(promoted.registry, wanted, "2", print, every_s=0, looks=3)
    assert wanted.moves == []


def test_a_rollback_and_the_way_forward_are_each_followed_once(promoted):
    wanted, said = Wanted(), []
    promoted.registry.rollback()
    watch(promoted.registry, wanted, "2", said.append, every_s=0, looks=3)
    assert wanted.moves == ["1"]
    promoted.registry.rollback(2)
    watch(promoted.registry, wanted, "2", said.append, every_s=0, looks=3)
    assert wanted.moves == ["1", "2"]
    assert said == ["rolling over from version 2 to 1", "rolling over from version 1 to 2"]


def test_a_cluster_that_refuses_is_asked_again_and_the_fault_said_once(promoted):
    wanted, said = Wanted(True, True, False), []
    promoted.registry.rollback()
    watch(promoted.registry, wanted, "2", said.append, every_s=0, looks=4)
    assert [line.startswith("error: Kubernetes: Forbidden") for line in said] == [True, False]
    assert wanted.moves == ["1"]
