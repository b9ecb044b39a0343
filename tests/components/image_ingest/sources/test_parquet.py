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


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(STRUCT),
        pa.large_list(STRUCT),
        pa.list_(pa.struct([("bytes", pa.binary())])),
        pa.list_(pa.binary()),
        pa.list_(pa.large_binary()),
    ],
    ids=str,
)
@pytest.mark.parametrize("group_rows", [1, 1000])
def test_every_picture_of_a_list_is_an_entry_and_a_row_without_any_is_told(
    tmp_path, read_all, kind, group_rows
) -> None:
    def cell(data: bytes | None):
        if not pa.types.is_struct(kind.value_type):
            return data
        return {"bytes": data, "path": "a.jpg"} if kind.value_type.num_fields == 2 else {"bytes": data}

    rows = [[cell(b"one"), cell(b"two")], [], None, [cell(b"three")]]
    table = pa.table({"images": pa.array(rows, kind)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=group_rows)
    assert read_all(source(tmp_path)) == {
        "a.parquet/row-000000000/0": b"one",
        "a.parquet/row-000000000/1": b"two",
        "a.parquet/row-000000001": "empty_file",
        "a.parquet/row-000000002": "empty_file",
        "a.parquet/row-000000003/0": b"three",
    }


def test_columns_of_views_and_of_dictionaries(tmp_path, read_all) -> None:
    view = pa.array([b"one", None, b"three"], pa.binary_view())
    pq.write_table(pa.table({"image": view}), tmp_path / "a.parquet")
    packed = pa.array([b"one", b"one", b"three"], pa.binary()).dictionary_encode()
    pq.write_table(pa.table({"image": packed}), tmp_path / "b.parquet")
    found = list(read_all(source(tmp_path)).values())
    assert found == [b"one", b"", b"three", b"one", b"one", b"three"]  # `verify` tells of the empty one
