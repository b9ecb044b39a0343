"""The whole stage on a bucket of a real S3 server: single pictures, and archives of them."""

from __future__ import annotations

from components.core.pins import pin
from components.core.storage import open_store
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401


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
