from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.stage.errors import ConfigError
from components.image_ingest.sources.folder import Shards
from components.image_ingest.sources.parquet import ParquetSource


def source(path, column: str = "") -> ParquetSource:
    return ParquetSource(Shards(path, ".parquet", str(path)), column)


def values(count: int) -> list[bytes]:
    return [f"picture {number}".encode() for number in range(count)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("group_rows", [7, 1000])
def test_rows_in_any_chunks(tmp_path, kind, group_rows) -> None:
    table = pa.table({"id": range(100), "jpg": pa.array(values(100), kind)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=group_rows)
    entries = list(source(tmp_path).entries())
    assert [entry.name for entry in entries][:2] == ["a.parquet/row-000000000", "a.parquet/row-000000001"]
    assert list(source(tmp_path).read(entries)) == values(100)
    picked = [entries[number] for number in (3, 40, 41, 99, 5)]  # forwards, over groups, and back
    assert list(source(tmp_path).read(picked)) == [values(100)[number] for number in (3, 40, 41, 99, 5)]


def test_the_struct_of_hugging_face(tmp_path, read_all) -> None:
    rows = [
        {"bytes": b"one", "path": "a.jpg"},
        None,
        {"bytes": None, "path": "b.jpg"},
        {"bytes": b"", "path": None},
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(rows, kind), "label": [0, 1, 2, 3]}), tmp_path / "a.parquet")
    assert list(read_all(source(tmp_path)).values()) == [b"one", b"", "unreadable", b""]


def test_which_column(tmp_path) -> None:
    pq.write_table(pa.table({"mask": [b"m"], "image": [b"i"], "n": [1]}), tmp_path / "a.parquet")
    read = lambda column: list(source(tmp_path, column).read(list(source(tmp_path, column).entries())))  # noqa: E731
    assert read("") == [b"i"]
    assert read("mask") == [b"m"]
    with pytest.raises(ConfigError, match="columns of bytes: mask, image"):
        read("n")
    pq.write_table(pa.table({"left": [b"m"], "right": [b"i"]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"image_ingest\.image_column"):
        read("")


def test_damaged_files_are_told_apart_from_whole_ones(tmp_path, read_all) -> None:
    pq.write_table(pa.table({"image": values(3)}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    spoilt = bytearray(whole)
    spoilt[4:60] = bytes(56)  # the pages; the footer stays
    (tmp_path / "c.parquet").write_bytes(spoilt)
    found = read_all(source(tmp_path))
    assert [found[f"a.parquet/row-{n:09d}"] for n in range(3)] == values(3)
    assert found["b.parquet"] == "damaged_archive"
    assert {found[f"c.parquet/row-{n:09d}"] for n in range(3)} == {"damaged_archive"}


def test_a_column_that_would_unfold_to_gigabytes_is_refused(tmp_path, monkeypatch, read_all) -> None:
    monkeypatch.setattr("components.image_ingest.sources.parquet._RATIO_FROM_BYTES", 2**20)
    table = pa.table({"image": [bytes(2**20)] * 4})
    pq.write_table(table, tmp_path / "bomb.parquet", compression="zstd", use_dictionary=False)
    assert set(read_all(source(tmp_path)).values()) == {"damaged_archive"}
