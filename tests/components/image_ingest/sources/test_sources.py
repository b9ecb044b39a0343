"""Which source a URI names, and objects of a store."""

from __future__ import annotations

import os
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.objects import open_store
from components.core.stage.errors import ConfigError, NoInputError
from components.image_ingest.config import Config
from components.image_ingest.entry import Entry, Reason, Rejection
from components.image_ingest.sources import open_source, source_kind
from components.image_ingest.sources.listing import write_listing


def test_the_kind_follows_from_what_is_there(tmp_path, make_tar) -> None:
    for name in ("folder", "tars", "tables", "mixed", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder/a.JPG").write_bytes(b"x")
    make_tar(tmp_path / "tars/a.tar", {})
    (tmp_path / "tars/README.md").write_text("x")
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "tables/a.parquet")
    make_tar(tmp_path / "mixed/a.tar", {})
    (tmp_path / "mixed/b.jpg").write_bytes(b"x")
    (tmp_path / "urls.csv").write_text("url\n")
    kinds = {"folder": "folder", "tars": "tar", "tables": "parquet", "mixed": "folder", "empty": "folder"}
    kinds |= {"tars/a.tar": "tar", "tables/a.parquet": "parquet", "urls.csv": "urls"}
    assert {name: source_kind(str(tmp_path / name)) for name in kinds} == kinds
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(ConfigError, match="unpacked first"):
        source_kind(str(tmp_path / "a.tar.gz"))
    with pytest.raises(NoInputError, match=r"preflight\.images"):
        source_kind(str(tmp_path / "nowhere"))


def test_objects_are_fetched_once(tmp_path, read_all) -> None:
    store, _ = open_store(str(tmp_path / "bucket"))
    pictures = {"a/1.jpg": b"one", "a/2.jpg": b"two", "b.jpg": b"three"}
    for key, data in pictures.items():
        store.put(key, data)
    open_ = lambda: open_source(str(tmp_path / "bucket"), Config(source_kind="objects"), tmp_path / "work")  # noqa: E731
    assert read_all(open_()) == pictures
    entries = list(open_().entries())
    assert open_().uri(entries[0]) == f"{tmp_path}/bucket/a/1.jpg"
    for key in pictures:
        store.delete(key)
    assert list(open_().read(entries)) == list(pictures.values())  # from the work directory
    gone = Entry("c.jpg", "c.jpg", 3)
    assert [refused.reason for refused in open_().read([gone])] == [Reason.UNREADABLE]


@pytest.mark.skipif("S3_ENDPOINT" not in os.environ, reason="needs an S3 server at $S3_ENDPOINT")
def test_a_bucket(tmp_path, make_tar, read_all) -> None:
    """The bucket is $S3_TEST_BUCKET; the test removes its objects again."""
    base = f"s3://{os.environ.get('S3_TEST_BUCKET', 'test')}/{uuid.uuid4().hex}"
    store, prefix = open_store(base)
    shard = make_tar(tmp_path / "a.tar", {"x.jpg": b"x"})
    stored = {"pictures/1.jpg": b"one", "pictures/d/2.jpg": b"two", "shards/a.tar": shard.read_bytes()}
    try:
        for key, data in stored.items():
            store.put(f"{prefix}/{key}", data)
        found = read_all(open_source(f"{base}/pictures", Config(), tmp_path / "work"))
        assert found == {"1.jpg": b"one", "d/2.jpg": b"two"}
        assert read_all(open_source(f"{base}/shards", Config(), tmp_path / "work")) == {"a.tar/x.jpg": b"x"}
    finally:
        for key in stored:
            store.delete(f"{prefix}/{key}")


def test_a_listing_is_read_by_chunks(tmp_path) -> None:
    entries = [Entry(f"{n}.jpg", f"caf\udce9{n}", n, n * 2, "s") for n in range(10)]
    entries[4] = Entry("4.jpg", "x", rejection=Rejection(Reason.UNSAFE_PATH, "why"))
    listing = write_listing(iter(entries), tmp_path / "listing.arrow", 4)
    assert (listing.rows, listing.chunks) == (10, 3)
    assert [entry for chunk in range(3) for entry in listing.read(chunk)] == entries
    assert [listing.name(position) for position in (0, 5, 9)] == ["0.jpg", "5.jpg", "9.jpg"]
    again = write_listing(entries, tmp_path / "again.arrow", 4)
    other = write_listing([*entries[:9], Entry("9.jpg", "y")], tmp_path / "other.arrow", 4)
    assert again.digest == listing.digest != other.digest
