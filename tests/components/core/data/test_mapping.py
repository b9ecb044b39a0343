"""The same tasks on both engines give the same results in the same order."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from components.core.data.mapping import EngineSettings, map_tasks
from components.core.stage.errors import ConfigError, DataError, StageError


@dataclass(frozen=True)
class Scale:
    factor: int


def times(shared: Scale, task: int) -> tuple[int, int]:
    return task, shared.factor * task


def refuse(shared: None, task: int) -> int:
    raise DataError(f"task {task} is unusable")


def die(shared: None, task: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_local_keeps_the_order_of_more_tasks_than_are_looked_ahead(workers: int) -> None:
    found = list(map_tasks(times, range(50), Scale(3), EngineSettings(workers=workers)))
    assert found == [(task, 3 * task) for task in range(50)]


def test_no_task_gives_no_result() -> None:
    assert list(map_tasks(times, [], Scale(1), EngineSettings(workers=2))) == []


def test_tasks_are_read_a_bounded_number_ahead() -> None:
    read = []

    def tasks():
        for task in range(1000):
            read.append(task)
            yield task

    results = map_tasks(times, tasks(), Scale(1), EngineSettings(workers=2))
    next(results)
    results.close()
    assert len(read) <= 16


def test_a_tasks_own_error_comes_through() -> None:
    with pytest.raises(DataError, match="task 0 is unusable"):
        list(map_tasks(refuse, range(4), None, EngineSettings(workers=2)))


def test_a_killed_worker_is_a_transient_error() -> None:
    with pytest.raises(StageError, match="killed"):
        list(map_tasks(die, range(4), None, EngineSettings(workers=2)))


def test_a_cluster_that_is_not_there_is_named() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="no Ray cluster"):
        list(map_tasks(times, range(2), Scale(1), EngineSettings(kind="ray", address="127.0.0.1:1")))


@pytest.fixture(scope="module")
def ray_cluster():
    """A local cluster of two workers."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_ray_gives_what_local_gives(ray_cluster) -> None:
    local = list(map_tasks(times, range(40), Scale(7), EngineSettings(workers=2)))
    assert list(map_tasks(times, range(40), Scale(7), EngineSettings(kind="ray"))) == local
    assert ray_cluster.is_initialized(), "a cluster that was there before is left running"


def test_a_tasks_own_error_comes_through_ray(ray_cluster) -> None:
    with pytest.raises(DataError, match="is unusable"):
        list(map_tasks(refuse, range(4), None, EngineSettings(kind="ray")))
