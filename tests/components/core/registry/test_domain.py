"""The registry's guarantees, on a directory and on a real S3 server."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.core.objects.directory import DirectoryStore
from components.core.registry import DomainRegistry, Version
from components.core.registry import domain as module
from components.core.registry.pointer import Pointer, PointerLog
from components.core.stage.errors import ConfigError, DataError, NoInputError, StageError


@pytest.fixture
def registry(root: str) -> DomainRegistry:
    return DomainRegistry(root, "cars")


def publish(
    registry: DomainRegistry, content: str, passed: bool = True, judged_at: int | None = None
) -> Version:
    at = registry.pointer().sequence if judged_at is None else judged_at
    files = {"checkpoint/weights": content.encode(), "verdict.json": b"{}"}
    return registry.publish(f"{content}@{at}", files, {"passed": passed, "judged_at": at})


def promote(registry: DomainRegistry, content: str) -> Version:
    version = publish(registry, content)
    assert registry.point_to(version)[1] == ""
    return version


def test_versions_are_numbered_whole_and_checked(registry: DomainRegistry, tmp_path: Path) -> None:
    assert (registry.pointer(), registry.versions()) == (Pointer(), [])
    for number, content in enumerate("ab", start=1):
        assert promote(registry, content).number == number
    assert [version.number for version in registry.versions()] == [1, 2]
    assert registry.pointer() == Pointer(2, 2, 1, (1, 2), "promote")
    fetched = registry.fetch(registry.version(2), tmp_path / "fetched", under="checkpoint/")
    assert [path.name for path in fetched.rglob("*") if path.is_file()] == ["weights"]
    assert (fetched / "checkpoint" / "weights").read_text() == "b"
    with pytest.raises(NoInputError, match="no version 3"):
        registry.version(3)


def test_publishing_twice_gives_the_same_version(registry: DomainRegistry) -> None:
    first = publish(registry, "a")
    assert publish(registry, "a") == first
    assert publish(registry, "b").number == 2


def test_a_version_that_passed_moves_the_pointer_once(registry: DomainRegistry) -> None:
    first = promote(registry, "a")
    promote(registry, "b")
    pointer, why_not = registry.point_to(first)
    assert "was current before" in why_not
    assert pointer.version == 2


def test_of_two_judged_against_the_same_pointer_one_wins(registry: DomainRegistry) -> None:
    first, second = publish(registry, "a", judged_at=0), publish(registry, "b", judged_at=0)
    assert registry.point_to(second)[1] == ""
    pointer, why_not = registry.point_to(first)
    assert "another promotion made version 2 current meanwhile" in why_not
    assert pointer == registry.pointer() == Pointer(1, 2, None, (2,), "promote")


def test_rollback_goes_back_step_by_step_and_is_no_promotion(registry: DomainRegistry) -> None:
    for content in "abc":
        promote(registry, content)
    assert registry.rollback() == Pointer(4, 2, 1, (1, 2, 3), "rollback")
    assert "was current before" in registry.point_to(registry.version(3))[1], "a re-run does not undo it"
    assert registry.rollback().version == 1
    with pytest.raises(DataError, match="no previous version"):
        registry.rollback()
    assert registry.rollback(to=3).version == 3
    assert promote(registry, "d").number == 4
    assert registry.pointer().previous == 3
    assert [entry.action for entry in registry.pointers()] == [
        *["promote"] * 3, *["rollback"] * 3, "promote",
    ]  # fmt: skip


def test_rollback_to_what_never_passed_is_refused(registry: DomainRegistry) -> None:
    promote(registry, "a")
    publish(registry, "bad", passed=False)
    with pytest.raises(DataError, match="never current"):
        registry.rollback(to=2)


def test_a_half_written_version_is_invisible_and_the_same_promotion_finishes_it(root: str) -> None:
    registry = DomainRegistry(root, "cars")
    claimed = registry._claim("a@0")
    registry._store.put(registry._key(claimed, "checkpoint/weights"), b"half")
    assert (registry.versions(), registry.find(1), registry.unfinished()) == ([], None, [1])
    assert publish(registry, "other").number == 2
    assert publish(registry, "a", judged_at=0).number == 1
    assert registry.read(registry.version(1), "checkpoint/weights") == b"a"
    assert registry.unfinished() == []


def test_pruned_versions_stay_invisible_and_their_writer_starts_again(registry: DomainRegistry) -> None:
    claimed = registry._claim("a@0")
    registry._store.put(registry._key(claimed, "checkpoint/weights"), b"half")
    assert registry.prune(1) == 1
    assert (registry.versions(), registry.unfinished()) == ([], [])
    assert publish(registry, "a").number == 2
    with pytest.raises(DataError, match="is published"):
        registry.prune(2)


def test_a_writer_that_was_given_up_meanwhile_says_so(
    registry: DomainRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = registry._check_stored

    def pruned_meanwhile(number: int, listed: list) -> None:
        check(number, listed)
        DomainRegistry(registry.root, "cars").prune(number)

    monkeypatch.setattr(registry, "_check_stored", pruned_meanwhile)
    with pytest.raises(StageError, match="given up"):
        publish(registry, "a")


def test_damage_is_named(tmp_path: Path) -> None:
    registry = DomainRegistry(str(tmp_path), "cars")
    version = promote(registry, "a")
    (tmp_path / "cars" / "1" / "checkpoint" / "weights").write_text("z")
    with pytest.raises(DataError, match="checksum differs"):
        registry.fetch(version, tmp_path / "out")
    with pytest.raises(DataError, match="checksum differs"):
        registry.read(version, "checkpoint/weights")
    (tmp_path / "cars" / "pointer" / "000001.json").write_text("{}")
    with pytest.raises(DataError, match="not a pointer"):
        registry.pointer()
    (tmp_path / "cars" / "1" / "_VERSION.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        registry.versions()


def test_an_entry_that_the_listing_lacks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = DomainRegistry(str(tmp_path), "cars")
    for content in "ab":
        promote(registry, content)
    everything = DirectoryStore.list
    monkeypatch.setattr(
        DirectoryStore,
        "list",
        lambda self, prefix="": (o for o in everything(self, prefix) if "000002" not in o.key),
    )
    assert registry.pointer().version == 2
    assert len(registry.versions()) == 2


def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = DirectoryStore.put
    monkeypatch.setattr(DirectoryStore, "put", lambda self, key, data, if_absent=False: put(self, key, data))
    with pytest.raises(ConfigError, match="ignores conditional writes"):
        publish(DomainRegistry(str(tmp_path), "cars"), "a")
    assert probes(tmp_path) == []


def probes(root: Path) -> list[Path]:
    return list(root.rglob("*conditional-write-probe*"))


def test_the_question_whether_conditions_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    """Nor what earlier releases left; another promotion's own question stays until it has its answer."""
    for name in ("conditional-write-probe", "conditional-write-probe-another"):
        (tmp_path / "cars" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "cars" / name).write_bytes(b"first")
    publish(DomainRegistry(str(tmp_path), "cars"), "a")
    assert [path.name for path in probes(tmp_path)] == ["conditional-write-probe-another"]


def test_a_write_whose_answer_was_lost_counts(tmp_path: Path) -> None:
    class Forgetful(DirectoryStore):
        """Stores, but reports that somebody else was first: what a repeated request hears."""

        def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
            return super().put(key, data, if_absent=if_absent) and False

    log = PointerLog(Forgetful(tmp_path), "pointer/")
    assert log.append(Pointer().promoted(7))
    assert log.current().version == 7
    assert not log.append(Pointer().promoted(8))


def _promote_in_process(root: str, content: str, seen: int, results: str) -> None:
    registry = DomainRegistry(root, "cars")
    version = publish(registry, content, judged_at=seen)
    _, why_not = registry.point_to(version)
    Path(results, content).write_text(json.dumps([version.number, why_not]))


def test_processes_at_once_make_distinct_whole_versions_and_one_wins(root: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names = "abcd"
    processes = [
        context.Process(target=_promote_in_process, args=(root, name, 0, str(tmp_path))) for name in names
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(names)
    outcomes = {name: json.loads((tmp_path / name).read_text()) for name in names}
    registry = DomainRegistry(root, "cars")
    assert sorted(number for number, _ in outcomes.values()) == [1, 2, 3, 4]
    assert [version.number for version in registry.versions()] == [1, 2, 3, 4]
    for name, (number, _) in outcomes.items():
        assert registry.read(registry.version(number), "checkpoint/weights") == name.encode()
    winners = [number for number, why_not in outcomes.values() if not why_not]
    assert winners == [registry.pointer().version]
    assert all("another promotion made version" in why_not for _, why_not in outcomes.values() if why_not)


def test_many_claims_at_once_are_distinct(registry: DomainRegistry) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(registry._claim, [f"p{i}" for i in range(16)]))
    assert sorted(numbers) == list(range(1, 17))
    assert registry.versions() == []
    assert module.highest(registry._store, registry._claims) == 16
