"""A data stage that is killed and continued on another machine: its work directory is in object storage."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from components.core.objects import open_store
from components.core.resume.work_root import WORK_LOCAL_ENV, WORK_SYNC_ENV
from tests.faults.stores import newest_snapshot
from tests.faults.world import DataHalf, build_pictures, serve_teachers
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401

pytestmark = pytest.mark.integration


def test_an_empty_disk_and_the_same_bucket_give_the_same_bytes(tmp_path, s3_bucket):  # noqa: F811
    """What was in the bucket when the stage was killed is not asked for again."""
    endpoint = serve_teachers(build_pictures(tmp_path / "pictures", 12), delay_s=0.2)
    try:
        half = DataHalf.over(tmp_path / "pictures", endpoint.url, max_concurrency=2)
        whole, out = tmp_path / "whole", tmp_path / "out"
        half.run("image_ingest", whole, whole, tmp_path / "work")
        half.run("ids_scoring", whole, whole, tmp_path / "work")
        wanted, asked = half.manifests("ids_scoring", whole), len(endpoint.counts.paid)

        endpoint.reset()
        place = f"{s3_bucket}/work"
        store, _ = open_store(s3_bucket)
        process = _on(half, tmp_path / "a").start("ids_scoring", whole, out, place)
        while not (saved := _entries(store)):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        saved = max(saved, _entries(store))

        before = {key: len(times) for key, times in endpoint.counts.paid.items()}
        _on(half, tmp_path / "b").run("ids_scoring", whole, out, place)
        assert half.manifests("ids_scoring", out) == wanted
        twice = sum(len(times) > before.get(key, 0) > 0 for key, times in endpoint.counts.paid.items())
        assert twice <= len(before) - saved
        assert len(endpoint.counts.paid) == asked
        assert 0 < saved < asked
    finally:
        endpoint.stop()


def _on(half: DataHalf, local) -> DataHalf:
    """The same stages on a machine with this disk."""
    here = {
        WORK_LOCAL_ENV: str(local),
        WORK_SYNC_ENV: "0.1",
        **{k: v for k, v in os.environ.items() if k.startswith(("AWS_", "S3_"))},
    }
    return replace(half, environment={**half.environment, **here})


def _entries(store) -> int:
    """Replies in the journals of the newest snapshot in the bucket."""
    base, files = newest_snapshot(store, "work/")
    pieces = [digest for name, listed in files.items() if name.startswith("replies") for digest, _ in listed]
    return sum(store.get(f"{base}/objects/{digest}").count(b"\n") for digest in pieces)
