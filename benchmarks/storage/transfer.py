"""Large objects and work directories to and from an S3 server, against minio's own calls.

The server is OpenStack Swift with its S3 API on loopback, one replica (`tests/s3`). Measured:

- a file of random bytes, sent and fetched by `S3Store` and by minio's `fput_object` and `fget_object`
- the bytes that saving a journal sends after it grew
- the seconds to save a work directory of many files, to save it unchanged, and to restore it

Targets: transfers at least as fast as minio's. A saving of a journal sends its growth and at most 4 MiB more.

    python -m benchmarks.storage.transfer [--mib 256] [--files 1000]
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import result, side_by_side, timed
from components.core.objects.s3 import PART_BYTES, S3Store
from components.core.resume.snapshot_store import SnapshotStore
from components.core.resume.work_dir import WorkDir
from tests.s3.server import missing, swift

_BUCKET = "bench"
_LOG = logging.getLogger("bench")


@contextmanager
def server(root: Path) -> Iterator[None]:
    """A server with an empty bucket, and the environment that leads to it."""
    with swift(root) as running:
        os.environ.update(running.environment)
        running.make_bucket(_BUCKET)
        yield


def transfers(folder: Path, mib: int) -> dict[str, Any]:
    """Median seconds of each way to send and to fetch a file of `mib` MiB."""
    store = S3Store(_BUCKET)
    client = store.client
    source = folder / "source"
    source.write_bytes(os.urandom(mib * 2**20))

    def fput() -> None:
        client.fput_object(
            bucket_name=_BUCKET, object_name="theirs", file_path=str(source), part_size=PART_BYTES
        )

    def fget() -> None:
        client.fget_object(bucket_name=_BUCKET, object_name="theirs", file_path=str(folder / "theirs"))

    times = side_by_side(
        {
            "upload": lambda: store.upload(source, "ours"),
            "fput_object": fput,
            "download": lambda: store.download("ours", folder / "ours"),
            "fget_object": fget,
        },
        repeats=3,
    )
    assert (folder / "ours").read_bytes() == source.read_bytes()
    return {
        "mib": mib,
        **{f"{name}_mib_per_s": round(mib / t["median_s"], 1) for name, t in times.items()},
        "seconds": times,
    }


def journal(folder: Path, mib: int) -> dict[str, Any]:
    """Bytes sent by the first saving of a journal of `mib` MiB, and by one after it grew by 1 MiB."""
    work, snapshots = _opened("journal", folder / "journal")
    entries, sent = work.journal("replies"), 0
    put = snapshots._store.put

    def counted(key: str, data: bytes, **kwargs: Any) -> bool:
        nonlocal sent
        sent += len(data)
        return put(key, data, **kwargs)

    snapshots._store.put = counted  # type: ignore[method-assign]
    for number in range(mib * 64):
        entries.put(str(number), "x" * 2**14)
    _, first_s = timed(snapshots.sync)
    first, sent = sent, 0
    for number in range(64):
        entries.put(f"more {number}", "x" * 2**14)
    _, second_s = timed(snapshots.sync)
    return {
        "journal_mib": mib,
        "first_sent_mib": round(first / 2**20, 2),
        "first_s": round(first_s, 2),
        "grown_by_1_mib_sent_mib": round(sent / 2**20, 2),
        "grown_by_1_mib_s": round(second_s, 2),
    }


def many_files(folder: Path, count: int) -> dict[str, Any]:
    """Seconds to save `count` files of 10 kB, to save them again unchanged, and to restore them elsewhere."""
    work, snapshots = _opened("files", folder / "here")
    for number in range(count):
        (work.dir("scan") / f"{number:06d}").write_bytes(os.urandom(10_000))
    _, first_s = timed(snapshots.sync)
    _, again_s = timed(snapshots.sync)
    _, restore_s = timed(lambda: _opened("files", folder / "there"))
    return {
        "files": count,
        "save_s": round(first_s, 2),
        "unchanged_s": round(again_s, 3),
        "restore_s": round(restore_s, 2),
    }


def _opened(name: str, local: Path) -> tuple[WorkDir, SnapshotStore]:
    work = WorkDir(local)
    snapshots = SnapshotStore(work, f"s3://{_BUCKET}/{name}", _LOG)
    snapshots.restore()
    return work, snapshots


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mib", type=int, default=256, help="size of the large file, and of the journal")
    parser.add_argument("--files", type=int, default=1000)
    args = parser.parse_args()
    why = missing()
    if why:
        parser.exit(1, f"{why}\n")
    folder = Path(tempfile.mkdtemp(prefix="bench-storage-"))
    try:
        (folder / "s3").mkdir()
        with server(folder / "s3"):
            figures = {
                **transfers(folder, args.mib),
                "journal": journal(folder, args.mib),
                "many_files": many_files(folder, args.files),
            }
    finally:
        shutil.rmtree(folder)
    result("storage_transfer", **figures)


if __name__ == "__main__":
    main()
