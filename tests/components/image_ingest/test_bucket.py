"""The whole stage on a bucket of a real S3 server, which is killed too: single pictures and archives."""

from __future__ import annotations

import itertools
import threading

import pytest
from minio import Minio

from components.core.data.pins import pin
from components.core.objects import open_store
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401
from tests.s3.server import missing, swift


def test_pictures_and_broken_files_of_a_bucket(ingest, photographs, s3_bucket) -> None:  # noqa: F811
    store, _ = open_store(s3_bucket)
    for path in photographs.iterdir():
        store.upload(path, f"fleet/2026/{path.name}")
    store.put("fleet/letter.jpg", b"Dear Sir")
    store.put("other/empty.jpg", b"")
    uri = f"{s3_bucket}/fleet/"
    pinned = pin(uri)
    done = ingest(pinned, chunk_files=2)
    assert done.code == 0
    folder = ingest(photographs, out="folder")
    assert {row["image_id"] for row in done.images} == {row["image_id"] for row in folder.images}
    assert [row["reason"] for row in done.rejected.values()] == ["not_an_image"]
    assert all(row["source_uri"].startswith(uri) for row in done.images)
    store.put("fleet/more.jpg", b"more")
    assert pin(uri) != pinned, "a bucket that changed has another pin"


def test_archives_in_a_bucket(ingest, photographs, make_tar, tmp_path, s3_bucket) -> None:  # noqa: F811
    store, _ = open_store(s3_bucket)
    contents = {path.name: path.read_bytes() for path in photographs.iterdir()}
    store.upload(make_tar(tmp_path / "0.tar", contents), "shards/0.tar")
    done = ingest(f"{s3_bucket}/shards/")
    assert done.code == 0
    folder = ingest(photographs, out="folder")
    assert {row["image_id"] for row in done.images} == {row["image_id"] for row in folder.images}


def test_a_server_restarted_while_pictures_are_read(ingest, photographs, tmp_path, monkeypatch) -> None:
    why = missing()
    if why:
        pytest.skip(why)
    (tmp_path / "s3").mkdir()
    with swift(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("pictures")
        store, _ = open_store("s3://pictures")
        for path in photographs.iterdir():
            store.upload(path, path.name)
        pinned = pin("s3://pictures")
        read, calls = Minio.get_object, itertools.count(1)

        def restart_at_the_third(self, **kwargs):
            if next(calls) == 3:
                server.kill()
                threading.Timer(0.2, server.start).start()
            return read(self, **kwargs)

        monkeypatch.setattr(Minio, "get_object", restart_at_the_third)
        done = ingest(pinned)
    assert done.code == 0
    assert next(calls) > 3
    assert done.rejected == {}
    folder = ingest(photographs, out="folder")
    assert {row["image_id"] for row in done.images} == {row["image_id"] for row in folder.images}


def test_neighbours_of_a_prefix_are_not_taken_and_files_beside_shards_are_told(
    ingest,
    photographs,
    make_tar,
    tmp_path,
    s3_bucket,  # noqa: F811
) -> None:
    store, _ = open_store(s3_bucket)
    first, *rest = sorted(photographs.iterdir())
    store.upload(first, f"photos/{first.name}")
    for path in rest:
        store.upload(path, f"photos2/{path.name}")
    pinned = pin(f"{s3_bucket}/photos")
    done = ingest(pinned)
    assert (done.code, len(done.images)) == (0, 1)
    store.put("photos2/more.jpg", b"more")
    assert pin(f"{s3_bucket}/photos") == pinned
    contents = {path.name: path.read_bytes() for path in photographs.iterdir()}
    store.upload(make_tar(tmp_path / "0.tar", contents), "shards/0.tar")
    store.put("shards/1.tar.gz", b"packed")
    told = ingest(f"{s3_bucket}/shards", out="shards")
    assert told.code == 0
    assert {name: row["reason"] for name, row in told.rejected.items()} == {"1.tar.gz": "not_a_shard"}
