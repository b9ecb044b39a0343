from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from components.core.errors import DataError
from components.core.manifest import Checkpoint, commit_checkpoint, open_checkpoint
from components.promotion.registry import POINTER, DomainRegistry, Pointer


def checkpoint(root: Path, content: str) -> Checkpoint:
    directory = root / f"checkpoint-{content}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "weights").write_text(content)
    return commit_checkpoint(directory)


@pytest.fixture
def registry(tmp_path: Path) -> DomainRegistry:
    return DomainRegistry(tmp_path / "registry", "cars")


def promote(
    registry: DomainRegistry, weights: Checkpoint, passed: bool = True, expected: Pointer | None = None
):
    expected = expected or registry.pointer()
    with registry.locked():
        version, is_new = registry.publish(weights, {"passed": passed}, {"rows": []}, {"code": "x"})
        return version, is_new, registry.point_to(version.number, expected)[1] if passed else "fail"


def test_versions_are_numbered_whole_and_verified(registry: DomainRegistry, tmp_path: Path) -> None:
    for number, content in enumerate("ab", start=1):
        version, is_new, why_not = promote(registry, checkpoint(tmp_path, content))
        assert (version.number, is_new, why_not) == (number, True, "")
        assert open_checkpoint(version.path / "checkpoint").digest == version.manifest["checkpoint_digest"]
        assert sorted(p.name for p in version.path.iterdir()) == [
            "_VERSION.json", "checkpoint", "summary.json", "verdict.json",
        ]  # fmt: skip
    assert registry.pointer() == Pointer(2, 1, (1, 2))


def test_the_same_promotion_twice_changes_nothing(registry: DomainRegistry, tmp_path: Path) -> None:
    weights = checkpoint(tmp_path, "a")
    promote(registry, weights)
    before = {path: path.read_bytes() for path in registry.path.rglob("*") if path.is_file()}
    version, is_new, why_not = promote(registry, weights)
    assert (version.number, is_new, why_not) == (1, False, "it is current already")
    assert {path: path.read_bytes() for path in registry.path.rglob("*") if path.is_file()} == before


def test_another_verdict_on_the_same_weights_is_another_version(
    registry: DomainRegistry, tmp_path: Path
) -> None:
    weights = checkpoint(tmp_path, "a")
    promote(registry, weights, passed=False)
    assert registry.pointer() == Pointer()
    version, is_new, _ = promote(registry, weights, passed=True)
    assert (version.number, is_new) == (2, True)
    assert registry.pointer().version == 2


def test_running_an_old_promotion_again_does_not_undo_a_later_one(
    registry: DomainRegistry, tmp_path: Path
) -> None:
    first, second = checkpoint(tmp_path, "a"), checkpoint(tmp_path, "b")
    promote(registry, first)
    promote(registry, second)
    assert "was current before" in promote(registry, first)[2]
    assert registry.pointer().version == 2


def test_a_promotion_killed_before_the_pointer_moved_is_finished(
    registry: DomainRegistry, tmp_path: Path
) -> None:
    weights = checkpoint(tmp_path, "a")
    with registry.locked():
        registry.publish(weights, {"passed": True}, {"rows": []}, {})
    assert registry.pointer() == Pointer()
    assert promote(registry, weights)[1:] == (False, "")
    assert registry.pointer() == Pointer(1, None, (1,))


def test_a_late_finisher_does_not_step_back(registry: DomainRegistry, tmp_path: Path) -> None:
    first = checkpoint(tmp_path, "a")
    with registry.locked():
        registry.publish(first, {"passed": True}, {"rows": []}, {})
    promote(registry, checkpoint(tmp_path, "b"))
    assert "registered later" in promote(registry, first)[2]
    assert registry.pointer().version == 2


def test_of_two_promotions_that_saw_the_same_pointer_one_wins(
    registry: DomainRegistry, tmp_path: Path
) -> None:
    seen = registry.pointer()
    assert promote(registry, checkpoint(tmp_path, "a"), expected=seen)[2] == ""
    version, _, why_not = promote(registry, checkpoint(tmp_path, "b"), expected=seen)
    assert "made version 1 current meanwhile" in why_not
    assert version.number == 2
    assert registry.pointer().version == 1
    assert promote(registry, checkpoint(tmp_path, "b"))[2] == "", "run again, it follows"
    assert registry.pointer() == Pointer(2, 1, (1, 2))


def test_what_a_killed_process_left_is_removed(registry: DomainRegistry, tmp_path: Path) -> None:
    registry.path.mkdir(parents=True)
    (registry.path / ".staging" / "checkpoint").mkdir(parents=True)
    (registry.path / ".staging" / "checkpoint" / "half").write_text("half a file")
    assert registry.versions() == []
    version, _, _ = promote(registry, checkpoint(tmp_path, "a"))
    assert version.number == 1
    assert not (version.path / "checkpoint" / "half").exists()
    assert not (registry.path / ".staging").exists()


def test_a_damaged_pointer_or_version_is_named(registry: DomainRegistry, tmp_path: Path) -> None:
    version, _, _ = promote(registry, checkpoint(tmp_path, "a"))
    (registry.path / POINTER).write_text("{}")
    with pytest.raises(DataError, match="current"):
        registry.pointer()
    (version.path / "_VERSION.json").unlink()
    with pytest.raises(DataError, match="damaged version"):
        registry.versions()


def _promote_in_process(root: str, content: str, tmp: str) -> None:
    promote(DomainRegistry(root, "cars"), checkpoint(Path(tmp), content))


def test_processes_at_once_make_distinct_whole_versions(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    root = str(tmp_path / "registry")
    processes = [context.Process(target=_promote_in_process, args=(root, c, str(tmp_path))) for c in "abcdef"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 6
    registry = DomainRegistry(root, "cars")
    versions = registry.versions()
    assert [version.number for version in versions] == [1, 2, 3, 4, 5, 6]
    assert len({version.manifest["checkpoint_digest"] for version in versions}) == 6
    pointer = registry.pointer()
    assert pointer.version == pointer.history[-1]
    assert list(pointer.history) == sorted(set(pointer.history))


def test_the_lock_of_a_killed_process_is_free(registry: DomainRegistry, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with registry.locked():
            os.write(writer, b"x")
            signal.pause()
        os._exit(0)
    assert os.read(reader, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    assert promote(registry, checkpoint(tmp_path, "a"))[2] == ""
    assert json.loads((registry.path / POINTER).read_text()) == {
        "history": [1],
        "previous": None,
        "version": 1,
    }
