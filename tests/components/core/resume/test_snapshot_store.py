"""A work directory and its snapshots, in a directory and in a bucket of a real S3 server."""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import minio.helpers
import pytest

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.manifest import MANIFEST_NAME
from components.core.objects import open_store, s3
from components.core.resume import snapshot_index
from components.core.resume.journal import Journal
from components.core.resume.snapshot_store import SnapshotStore, TakenOverError
from components.core.resume.work_dir import WorkDir, mark_cache
from components.core.stage.errors import DataError
from tests.faults.stores import Dying, in_process
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401

LOG = logging.getLogger("test")
STEPS = ("4", "8")


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the snapshots go."""
    if request.param == "directory":
        return f"file://{tmp_path}/store"
    return f"{request.getfixturevalue('s3_bucket')}/work/stage/key"


def opened(place: str, local: Path, rank: int = 0) -> tuple[WorkDir, SnapshotStore]:
    """A work directory on this machine, as its snapshot says."""
    work = WorkDir(local, rank)
    work.dir("checkpoints", sealed_by=MANIFEST_NAME)
    snapshots = SnapshotStore(work, place, LOG)
    snapshots.restore()
    return work, snapshots


def save_checkpoint(work: WorkDir, step: int, size: int = 1000) -> Path:
    path = work.dir("checkpoints") / f"checkpoint-{step}"
    path.mkdir()
    (path / "weights").write_bytes(str(step).encode() * size)
    (path / "optimizer").write_bytes(str(step).encode() * size * 2)
    (path / "config.json").write_text("{}")  # the same in every checkpoint
    commit_checkpoint(path, extra={"step": step})
    return path


def contents(root: Path) -> dict[str, bytes]:
    """Every file but the hidden ones at the top."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def steps(root: Path) -> list[int]:
    """The checkpoints, each verified."""
    found = sorted((root / "checkpoints").glob("*"))
    return sorted(int(open_checkpoint(path).extra["step"]) for path in found)


def entries(root: Path, name: str = "replies") -> list[Any]:
    return list(Journal(root / f"{name}.jsonl").values())


def stored_steps(place: str, local: Path) -> list[int]:
    """The checkpoints of the snapshot, each verified; read beside its writer, without taking it over."""
    reader = SnapshotStore(WorkDir(local), place, LOG)
    reader.fetch()
    return steps(local)


def stored_objects(place: str) -> set[str]:
    store, prefix = open_store(place)
    return {info.key.rpartition("/")[2] for info in store.list(f"{prefix}/objects/".lstrip("/"))}


def test_another_machine_finds_what_was_saved(place: str, tmp_path: Path) -> None:
    work, snapshots = opened(place, tmp_path / "a")
    for number in range(20):
        work.journal("replies").put(str(number), "x" * number)
    work.journal("replies").put_all({"u": 1, "v": 2})
    work.journal("empty")
    (work.dir("scan") / "chunk-0").write_bytes(b"rows")
    (work.dir("scan") / "nothing").touch()
    (work.dir("scan") / "chunk-1.7.tmp").write_bytes(b"half")
    (work.path / ".hidden").write_bytes(b"mine")
    (mark_cache(work.dir("objects")) / "picture").write_bytes(b"fetched")
    save_checkpoint(work, 4)
    (save_checkpoint(work, 8) / MANIFEST_NAME).unlink()
    snapshots.sync()
    wanted = contents(work.path)
    for name in [name for name in wanted if "checkpoint-8" in name or "objects" in name or "tmp" in name]:
        del wanted[name]
    opened(place, tmp_path / "b")
    assert contents(tmp_path / "b") == wanted
    assert steps(tmp_path / "b") == [4]
    assert entries(tmp_path / "b") == ["x" * number for number in range(20)] + [1, 2]


def test_every_process_has_its_own(place: str, tmp_path: Path) -> None:
    for rank in (0, 1):
        work, snapshots = opened(place, tmp_path / "a", rank)
        work.journal("replies").put("rank", rank)
        (work.own / "outputs").mkdir()
        (work.own / "outputs" / "thrown away").touch()
        snapshots.sync()
    for rank in (1, 0):
        opened(place, tmp_path / "b", rank)
    assert sorted(contents(tmp_path / "b")) == [
        "outputs/thrown away",
        "rank-1/replies.jsonl",
        "replies.jsonl",
    ]
    assert entries(tmp_path / "b") == [0]
    assert entries(tmp_path / "b" / "rank-1") == [1]


def test_of_a_journal_only_the_last_block_is_sent_again(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_index, "BLOCK_BYTES", 10_000)
    work, snapshots = opened(place, tmp_path / "a")
    journal, sent = work.journal("replies"), []
    put = snapshots._store.put

    def counted(key: str, data: bytes, **kwargs: Any) -> bool:
        sent.append(len(data) if "/objects/" in f"/{key}" else 0)
        return put(key, data, **kwargs)

    monkeypatch.setattr(snapshots._store, "put", counted)
    for number in range(60):
        journal.put(str(number), "x" * 990)
        if number % 6 == 5:
            sent.clear()
            snapshots.sync()
            assert sum(sent) < 6_100 + 10_000
    assert journal.end > 59_000
    assert len(stored_objects(place)) == 6
    sent.clear()
    snapshots.sync()
    assert not sent, "nothing has changed"
    opened(place, tmp_path / "b")
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


def test_a_torn_tail_of_a_journal_is_never_stored(place: str, tmp_path: Path) -> None:
    work, snapshots = opened(place, tmp_path / "a")
    work.journal("replies").put("a", 1)
    snapshots.sync()
    work.close()
    with open(tmp_path / "a" / "replies.jsonl", "ab") as file:
        file.write(b'["b",2]\n["c"')  # as a SIGKILL leaves it
    work, snapshots = opened(place, tmp_path / "a")
    snapshots.sync()
    assert work.journal("replies").get("b") == 2, "what lies here and continues the snapshot is kept"
    work.journal("replies").put("d", 4)
    snapshots.sync()
    opened(place, tmp_path / "b")
    assert entries(tmp_path / "b") == [1, 2, 4]


def test_what_is_removed_is_removed_there(place: str, tmp_path: Path) -> None:
    work, snapshots = opened(place, tmp_path / "a")
    (work.dir("scan") / "chunk").write_bytes(b"rows")
    save_checkpoint(work, 4)
    snapshots.sync()
    save_checkpoint(work, 8)
    shutil.rmtree(work.path / "checkpoints" / "checkpoint-4")
    shutil.rmtree(work.path / "scan")
    snapshots.sync()
    opened(place, tmp_path / "b")
    assert (steps(tmp_path / "b"), (tmp_path / "b" / "scan").exists()) == ([8], False)
    work, snapshots = opened(place, tmp_path / "b")
    shutil.rmtree(work.path / "checkpoints")
    snapshots.sync()
    assert stored_objects(place) == set()


def test_a_checkpoint_pruned_while_it_is_sent_arrives_whole(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, snapshots = opened(place, tmp_path / "a")
    save_checkpoint(work, 4)
    snapshots.sync()
    path = save_checkpoint(work, 8)
    upload, lock = snapshots._store.upload, threading.Lock()

    def prune_first(source: Path, key: str) -> None:
        with lock:
            if path.exists():
                shutil.rmtree(path)
                shutil.rmtree(path.with_name("checkpoint-4"))
                save_checkpoint(work, 12)
        upload(source, key)

    with monkeypatch.context() as patch:
        patch.setattr(snapshots._store, "upload", prune_first)
        snapshots.sync()
    assert stored_steps(place, tmp_path / "b") == [4, 8], "12 came too late for this call"
    snapshots.sync()
    assert stored_steps(place, tmp_path / "c") == [12]


def test_a_checkpoint_that_is_being_removed_is_not_half_stored(place: str, tmp_path: Path) -> None:
    work, snapshots = opened(place, tmp_path / "a")
    path = save_checkpoint(work, 4)
    (path / "weights").unlink()
    snapshots.sync()
    opened(place, tmp_path / "b")
    assert steps(tmp_path / "b") == []


def test_a_file_that_changes_while_it_is_sent_is_sent_later(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, snapshots = opened(place, tmp_path / "a")
    path = work.dir("scan") / "chunk"
    path.write_bytes(b"old")
    upload = snapshots._store.upload

    def change_first(source: Path, key: str) -> None:
        source.write_bytes(b"newer")
        upload(source, key)

    with monkeypatch.context() as patch:
        patch.setattr(snapshots._store, "upload", change_first)
        snapshots.sync()
    assert stored_objects(place) == set()
    snapshots.sync()
    opened(place, tmp_path / "b")
    assert (tmp_path / "b" / "scan" / "chunk").read_bytes() == b"newer"


def test_the_newest_machine_wins(place: str, tmp_path: Path) -> None:
    first, here = opened(place, tmp_path / "a")
    first.journal("replies").put("a", 1)
    here.sync()
    second, there = opened(place, tmp_path / "b")
    second.journal("replies").put("b", 2)
    there.sync()
    first.journal("replies").put("lost", 0)
    (first.path / "left over").touch()
    with pytest.raises(TakenOverError):
        here.sync()
    opened(place, tmp_path / "a")
    assert entries(tmp_path / "a") == [1, 2]
    assert sorted(contents(tmp_path / "a")) == ["replies.jsonl"]


def test_what_lay_here_before_there_was_a_store_goes_there(place: str, tmp_path: Path) -> None:
    WorkDir(tmp_path / "a").journal("replies").put("a", 1)
    work, snapshots = opened(place, tmp_path / "a")
    assert work.journal("replies").get("a") == 1
    snapshots.sync()
    opened(place, tmp_path / "b")
    assert entries(tmp_path / "b") == [1]


def test_damage_is_named(tmp_path: Path) -> None:
    place = f"file://{tmp_path}/store"
    work, snapshots = opened(place, tmp_path / "a")
    (work.dir("scan") / "chunk").write_bytes(b"rows")
    snapshots.sync()
    next((tmp_path / "store" / "objects").iterdir()).write_bytes(b"wors")
    with pytest.raises(DataError, match="scan/chunk does not match its checksum"):
        opened(place, tmp_path / "b")
    max((tmp_path / "store" / "index").iterdir()).write_bytes(b"{}")
    with pytest.raises(DataError, match="not an index"):
        opened(place, tmp_path / "b")


def train_on(place: str, local: Path, moment: int) -> None:
    """Add a checkpoint, remove the earlier one, add entries; the process dies at a given moment."""
    work = WorkDir(local)
    work.dir("checkpoints", sealed_by=MANIFEST_NAME)
    snapshots = SnapshotStore(work, place, LOG)
    snapshots._store = Dying(snapshots._store, moment)  # type: ignore[assignment]
    snapshots.restore()
    save_checkpoint(work, 8)
    work.journal("replies").put("b", 2)
    snapshots.sync()
    shutil.rmtree(work.path / "checkpoints" / "checkpoint-4")
    work.journal("replies").put("c", 3)
    snapshots.sync()


def test_a_kill_at_any_moment_leaves_whole_snapshots(tmp_path: Path) -> None:
    """Before every change of the store; the next process is on this machine, or on another."""
    seen = set()
    for moment in itertools.count(1):
        root = tmp_path / str(moment)
        place = f"file://{root}/store"
        work, snapshots = opened(place, root / "a")
        save_checkpoint(work, 4)
        work.journal("replies").put("a", 1)
        snapshots.sync()
        code = in_process(train_on, place, root / "a", moment)

        shutil.copytree(root / "store", root / "copy")
        opened(f"file://{root}/copy", root / "b")
        found = (tuple(steps(root / "b")), len(entries(root / "b")))
        assert found in {((4,), 1), ((4,), 2), ((4, 8), 2), ((4, 8), 3), ((8,), 3)}
        seen.add(found)

        work, snapshots = opened(place, root / "a")
        work.journal("replies").put("d", 4)
        snapshots.sync()
        opened(place, root / "c")
        assert contents(root / "c") == contents(root / "a"), "nothing that was on the disk is lost"
        newest = max((root / "store" / "index").iterdir())
        named = json.loads(newest.read_bytes())["files"].values()
        assert stored_objects(place) == {digest for pieces in named for digest, _ in pieces}, "and no litter"
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert moment > 15
    assert {((4,), 1), ((4, 8), 2), ((8,), 3)} <= seen


def test_a_kill_in_a_multipart_upload_of_a_checkpoint(
    s3_bucket: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parts of 64 KiB: the process is killed at the fifth. The next one sends the checkpoint again."""
    monkeypatch.setattr(minio.helpers, "MIN_PART_SIZE", 2**16)
    monkeypatch.setattr(s3, "PART_BYTES", 2**16)
    place = f"{s3_bucket}/work"
    work, snapshots = opened(place, tmp_path / "a")
    save_checkpoint(work, 4)
    snapshots.sync()
    save_checkpoint(work, 8, size=400_000)  # weights of 7 parts, optimizer of 13
    send, calls = minio.Minio._upload_part, itertools.count(1)

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return send(self, *args, **kwargs)

    def save() -> None:
        monkeypatch.setattr(minio.Minio, "_upload_part", counted)
        opened(place, tmp_path / "a")[1].sync()

    assert in_process(save) == -signal.SIGKILL
    assert stored_steps(place, tmp_path / "b") == [4]
    again = []
    monkeypatch.setattr(
        minio.Minio, "_upload_part", lambda self, *args, **kw: again.append(args) or send(self, *args, **kw)
    )
    opened(place, tmp_path / "a")[1].sync()
    assert len(again) == 20
    assert stored_steps(place, tmp_path / "c") == [4, 8]
