"""One conversation in every format is one sample with the same pictures."""

from __future__ import annotations

import base64
import json
import pickle
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core import conversations as sources
from components.core.conversations import open_general
from components.core.conversations.pictures import Sizes
from components.core.data.dataset import DatasetWriter
from components.core.stage.errors import DataError, NoInputError
from components.curriculum_sft.data.batches import PictureStores

EXPECTED = [
    ("system", ["Be brief."]),
    ("user", ["<image>", "What colour?"]),
    ("assistant", ["red"]),
    ("user", ["And ", "<image>", " beside it?"]),
    ("assistant", ["blue"]),
]


def _chatml(first, second) -> dict:
    """Pictures in place; None leaves a bare placeholder."""

    def image(picture):
        return {"type": "image"} if picture is None else {"type": "image_url", "image_url": {"url": picture}}

    return {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [image(first), {"type": "text", "text": "What colour?"}]},
            {"role": "assistant", "content": "red"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "And "},
                    image(second),
                    {"type": "text", "text": " beside it?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "blue\n"}]},
        ]
    }


def _llava(images) -> dict:
    return {
        "id": "1",
        "system": "Be brief.",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat colour?"},
            {"from": "gpt", "value": "red"},
            {"from": "human", "value": "And <image> beside it?"},
            {"from": "gpt", "value": "\nblue"},
        ],
        **images,
    }


def _uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _saved(path, table: pa.Table, shards: int = 1) -> None:
    """What `datasets.Dataset.save_to_disk` writes: Arrow streams, and a state that lists them."""
    path.mkdir(parents=True)
    names = [f"data-{n:05d}-of-{shards:05d}.arrow" for n in range(shards)]
    rows = -(-table.num_rows // shards)
    for n, name in enumerate(names):
        with pa.OSFile(str(path / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table.slice(n * rows, rows))
    state = {"_data_files": [{"filename": name} for name in names], "_format_type": None, "_split": "train"}
    (path / "state.json").write_text(json.dumps(state))
    (path / "dataset_info.json").write_text("{}")


def _table(pictures: list[bytes], kind: str) -> pa.Table:
    """One row of LLaVA's turns in columns, in the typed form that tables have."""
    record = _llava({})
    images = {
        "bytes": pictures,
        "structs": [{"bytes": data, "path": None} for data in pictures],
        "paths": [{"bytes": None, "path": f"images/{n}.png"} for n in (0, 5)],
        "names": ["0.png", "5.png"],
    }[kind]
    return pa.Table.from_pylist(
        [{"system": record["system"], "conversations": record["conversations"], "images": images}]
    )


def _write(form: str, root, pictures: list[bytes]) -> None:
    two = [pictures[0], pictures[5]]
    names = ["images/0.png", "images/5.png"]
    if form == "chatml paths":
        (root / "set.jsonl").write_text(json.dumps(_chatml(*names)))
    elif form == "chatml data uris":
        (root / "set.jsonl").write_text("\n" + json.dumps(_chatml(*map(_uri, two))) + "\n\n")
    elif form == "chatml listed":
        (root / "set.jsonl").write_text(json.dumps(_chatml(None, None) | {"images": names}))
    elif form == "chatml file url and listed":
        record = _chatml((root / names[0]).as_uri(), None) | {"images": [names[1]]}
        (root / "set.jsonl").write_text(json.dumps(record))
    elif form == "llava list":
        (root / "set.json").write_text(json.dumps([_llava({"image": ["0.png", "5.png"]})], indent=2))
    elif form == "llava lines":
        (root / "set.json").write_text("\ufeff" + json.dumps(_llava({"images": names})))
    elif form == "llava list of data uris":
        (root / "set.json").write_text(
            "\ufeff [ " + json.dumps(_llava({"image": [_uri(d) for d in two]})) + " ] "
        )
    elif form == "parquet of json texts":
        record = _chatml(None, None)
        table = pa.Table.from_pylist([{"messages": json.dumps(record["messages"]), "images": two}])
        pq.write_table(table, root / "set.parquet")
    elif form.startswith("parquet "):
        pq.write_table(_table(two, form.removeprefix("parquet ")), root / "train-00000.parquet")
    elif form.startswith("saved "):
        _saved(root / "set", _table(two, form.removeprefix("saved ")))


FORMS = [
    "chatml paths",
    "chatml data uris",
    "chatml listed",
    "chatml file url and listed",
    "llava list",
    "llava lines",
    "llava list of data uris",
    "parquet of json texts",
    "parquet bytes",
    "parquet structs",
    "parquet paths",
    "parquet names",
    "saved structs",
    "saved paths",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_sample(form, root, coloured_pictures, turns_of):
    _write(form, root, coloured_pictures)
    general = open_general(root)
    (row,) = list(general)
    assert turns_of(row) == EXPECTED
    assert row["source"] == "general"
    assert row["set"] in ("set.jsonl", "set.json", "set", "set.parquet", root.name)
    pictures, sizes = PictureStores(general.stores), Sizes({}, general.stores)
    assert [pictures.get(image) for image in row["image_ids"]] == [coloured_pictures[0], coloured_pictures[5]]
    assert [sizes[image] for image in row["image_ids"]] == [(48, 48), (64, 32)]
    # A loader's worker has a copy of its own.
    copy = PictureStores(pickle.loads(pickle.dumps(general.stores)))
    assert [copy.get(image) for image in row["image_ids"]] == [coloured_pictures[0], coloured_pictures[5]]


def test_what_hugging_face_saves_is_read(root, coloured_pictures, turns_of):
    """Written by the package itself: an image feature, a dict of splits, several shards."""
    datasets = pytest.importorskip("datasets")
    turns = json.dumps(_chatml(None, None)["messages"])
    features = datasets.Features(
        {"messages": datasets.Value("string"), "images": datasets.List(datasets.Image(decode=False))}
    )
    train = datasets.Dataset.from_list(
        [
            {"messages": turns, "images": [{"bytes": coloured_pictures[i], "path": None} for i in (n, 5)]}
            for n in range(3)
        ],
        features=features,
    )
    datasets.DatasetDict({"train": train, "test": train}).save_to_disk(
        str(root / "saved"), num_shards={"train": 2, "test": 1}
    )
    general = open_general(root)
    found = list(general)
    assert [row["sample_id"] for row in found] == [f"saved/train, row {n}" for n in range(3)]
    assert turns_of(found[2]) == EXPECTED
    pictures = PictureStores(general.stores)
    assert [pictures.get(row["image_ids"][0]) for row in found] == coloured_pictures[:3]


def test_pictures_by_id_come_from_the_dataset_beside(root, coloured_pictures):
    (root / "photos").mkdir()
    (root / "images").rename(root / "photos" / "images")
    image = {
        "image_id": "abc",
        "bytes": coloured_pictures[0],
        "format": "PNG",
        "width": 48,
        "height": 48,
        "phash": 0,
        "source_uri": "",
        "split": "train",
    }
    with DatasetWriter(root / "images", "images") as writer:
        writer.write([image])
    record = _chatml(None, None) | {"image_ids": ["abc", "abc"]}
    inline = _chatml(None, "photos/images/1.png") | {"images": ["abc"]}
    (root / "set.jsonl").write_text(json.dumps(record) + "\n" + json.dumps(inline))
    general = open_general(root)
    assert [row["image_ids"] for row in general] == [["abc", "abc"], ["abc", "path:photos/images/1.png"]]
    assert [images.rows for images in general.image_sets] == [1]


def test_the_readme_s_examples_are_read(root, coloured_pictures, turns_of):
    """Every line in the README's table of formats is a sample as it stands."""
    readme = (Path(sources.__file__).with_name("README.md")).read_text(encoding="utf-8")
    examples = re.findall(r"\| `(\{.*\})` \|", readme)
    for name in ("photos/1.jpg", "coco/1.jpg"):
        (root / name).parent.mkdir()
        (root / name).write_bytes(coloured_pictures[0])
    (root / "set.jsonl").write_text("\n".join(examples))
    rows = list(open_general(root))
    assert len(rows) == 3
    for row in rows:
        (_, asked), (_, answered) = turns_of(row)
        assert (asked[0], answered) == ("<image>", ["the left one"])
        assert len(row["image_ids"]) == 1


def test_fields_that_are_null_do_not_count(root, coloured_pictures, turns_of):
    """Typed columns give every part all fields, and pictures come with numbers of their own."""
    content = [
        {"type": "image", "text": None, "image": {"bytes": None, "path": None}},
        {"type": "text", "text": "What colour?", "image": None},
    ]
    answer = [{"type": "text", "text": "red", "image": None}]
    record = {
        "messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer}],
        "images": [coloured_pictures[1]],
        "image_id": 17,
    }
    pq.write_table(pa.Table.from_pylist([record]), root / "set.parquet")
    (row,) = list(open_general(root))
    assert turns_of(row) == [("user", ["<image>", "What colour?"]), ("assistant", ["red"])]
    assert row["image_ids"] == [f"{root.name}#0.0"]


def test_sets_are_named_by_their_path_in_order(root, lines, coloured_pictures):
    record = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    lines(root / "b.jsonl", record)
    (root / "a" / "data").mkdir(parents=True)
    for name in ("train-0", "train-1", "test-0"):
        pq.write_table(
            pa.Table.from_pylist([record | {"split": name}] * 2), root / "a" / "data" / f"{name}.parquet"
        )
    general = open_general(root)
    assert [(row["set"], row["sample_id"]) for row in general] == [
        ("a/data", "a/data/train-0.parquet, row 0"),
        ("a/data", "a/data/train-0.parquet, row 1"),
        ("a/data", "a/data/train-1.parquet, row 0"),
        ("a/data", "a/data/train-1.parquet, row 1"),
        ("b.jsonl", "b.jsonl, line 1"),
    ]


def test_a_file_alone_holds_its_pictures_itself(root, lines, coloured_pictures):
    path = lines(root / "set.jsonl", _chatml(*map(_uri, coloured_pictures[:2])), _chatml("0.png", "1.png"))
    good, bad = list(open_general(path))
    assert good["image_ids"] == ["set.jsonl#0.0", "set.jsonl#0.1"]
    assert "name the folder that holds both" in str(bad)


def test_nothing_to_read(tmp_path):
    with pytest.raises(NoInputError, match="no such general data"):
        open_general(tmp_path / "none")
    with pytest.raises(DataError, match="no training samples; give"):
        open_general(tmp_path)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(
        DataError, match="x.parquet: no column messages or conversations, only text; rename the column"
    ):
        open_general(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="not a Parquet file"):
        open_general(tmp_path)
