"""A promotion killed between any two of its writes: readers see the old version or the new one."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

from components.core.registry import DomainRegistry
from tests.faults.stores import Dying, in_process

FILES = ("checkpoint/weights", "verdict.json")


def promote(root: str, content: str, moment: int = 0) -> None:
    """Register a version and make it current; killed before the change of this number, if there is one."""
    registry = DomainRegistry(root, "cars")
    registry._store = Dying(registry._store, moment)  # type: ignore[assignment]
    registry._pointers._store = registry._store
    files = {name: f"{name} {content}".encode() for name in FILES}
    judged = {"passed": True, "judged_at": 1 if content == "new" else 0}
    version = registry.publish(content, files, judged)
    assert registry.point_to(version)[1] == ""


def test_a_promotion_killed_at_any_moment_is_made_or_not(root: str, tmp_path: Path) -> None:
    seen = set()
    for moment in itertools.count(1, 3 if root.startswith("s3://") else 1):
        place = f"{root}-{moment}"
        promote(place, "old")
        code = in_process(promote, place, "new", moment)

        reader = DomainRegistry(place, "cars")
        current = reader.pointer().version
        for version in reader.versions():
            content = {1: "old", 2: "new"}[version.number]
            fetched = reader.fetch(version, tmp_path / str(moment) / content)
            assert {name: (fetched / name).read_text() for name in FILES} == {
                name: f"{name} {content}" for name in FILES
            }
        assert current in [version.number for version in reader.versions()]
        seen.add((current, len(reader.versions())))

        promote(place, "new")
        assert (reader.pointer().version, len(reader.versions()), reader.unfinished()) == (2, 2, [])
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert {(1, 1), (2, 2)} <= seen <= {(1, 1), (1, 2), (2, 2)}
