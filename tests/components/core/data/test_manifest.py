from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.image_store import ImageStore
from components.core.data.manifest import MANIFEST_NAME
from components.core.stage.errors import DataError, NoInputError


def rejected(count, start=0):
    return [{"id": str(i), "reason": "r", "detail": "d"} for i in range(start, start + count)]


def write(path, *chunks, table="rejected"):
    with DatasetWriter(path, table, provenance={"stage": "test"}) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return Dataset.open(path, table)


def test_rows_come_back_in_order(tmp_path):
    dataset = write(tmp_path / "d", rejected(3), rejected(2, start=3))
    assert dataset.rows == 5
    assert [row["id"] for row in dataset.rows_iter(batch_rows=2)] == list("01234")
    assert dataset.manifest["provenance"] == {"stage": "test"}


def test_an_empty_dataset_is_a_dataset(tmp_path):
    dataset = write(tmp_path / "d", [])
    assert (dataset.rows, dataset.to_table().num_rows) == (0, 0)


@given(cuts=st.lists(st.integers(0, 450), max_size=5))
def test_equal_rows_give_equal_bytes_however_they_were_split(tmp_path_factory, cuts):
    rows = [image_row(i) for i in range(450)]
    bounds = [0, *sorted(cuts), 450]
    root = tmp_path_factory.mktemp("split")
    whole = write(root / "whole", rows, table="images")
    split = write(
        root / "split", *(rows[a:b] for a, b in zip(bounds, bounds[1:], strict=False)), table="images"
    )
    assert split.digest == whole.digest


def test_an_exception_leaves_no_manifest(tmp_path):
    with pytest.raises(RuntimeError), DatasetWriter(tmp_path / "d", "rejected") as writer:
        writer.write(rejected(1))
        raise RuntimeError("killed")
    with pytest.raises(DataError, match="never finished"):
        Dataset.open(tmp_path / "d", "rejected")


def test_reopening_a_writer_revokes_the_old_manifest(tmp_path):
    write(tmp_path / "d", rejected(1))
    DatasetWriter(tmp_path / "d", "rejected")
    with pytest.raises(DataError):
        Dataset.open(tmp_path / "d", "rejected")


def test_leftover_shards_are_ignored(tmp_path):
    write(tmp_path / "d", rejected(2))
    (tmp_path / "d" / "part-00007.parquet").write_bytes(b"left over")
    assert Dataset.open(tmp_path / "d", "rejected").rows == 2


def test_damage_is_found(tmp_path):
    dataset = write(tmp_path / "d", rejected(100))
    shard = dataset.shards[0]
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        Dataset.open(tmp_path / "d", "rejected")
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match="another size"):
        Dataset.open(tmp_path / "d", "rejected")


def test_other_tables_versions_and_missing_directories_are_refused(tmp_path):
    dataset = write(tmp_path / "d", rejected(1))
    with pytest.raises(DataError, match="expected 'qa'"):
        Dataset.open(tmp_path / "d", "qa")
    with pytest.raises(NoInputError):
        Dataset.open(tmp_path / "nowhere", "qa")
    manifest = {**dataset.manifest, "schema_version": 99}
    (tmp_path / "d" / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="schema version 99"):
        Dataset.open(tmp_path / "d", "rejected")


@pytest.mark.parametrize("row", [{"id": "1"}, {"id": "1", "reason": "", "detail": "", "more": 1}])
def test_rows_with_other_columns_are_refused(tmp_path, row):
    with pytest.raises(DataError, match="missing or unknown"):
        DatasetWriter(tmp_path / "d", "rejected").write([row])


def test_rows_of_other_types_are_refused(tmp_path):
    with pytest.raises(DataError):
        DatasetWriter(tmp_path / "d", "rejected").write([{"id": 1.5, "reason": "", "detail": ""}])


def image_row(number):
    return {
        "image_id": f"id{number}",
        "bytes": f"bytes{number}".encode(),
        "format": "PNG",
        "width": 1,
        "height": 1,
        "phash": number,
        "source_uri": "",
        "split": "train",
    }


def test_images_are_stored_uncompressed_in_small_groups_and_read_by_id(tmp_path):
    dataset = write(tmp_path / "d", [image_row(i) for i in range(250)], table="images")
    metadata = pq.ParquetFile(dataset.shards[0]).metadata
    assert metadata.num_row_groups == 3
    assert metadata.row_group(0).column(1).compression == "UNCOMPRESSED"
    store = ImageStore(dataset, cached_groups=1)
    assert [store.get(f"id{i}") for i in (249, 0, 100)] == [b"bytes249", b"bytes0", b"bytes100"]
    with pytest.raises(DataError, match="nope"):
        store.get("nope")
