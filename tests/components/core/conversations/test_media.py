"""What shows something that is not read is refused; what shows nothing is a sample of text."""

from __future__ import annotations

import base64

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.conversations import open_general
from components.core.conversations.base import BadRecord
from components.core.conversations.left_out import left_out

ASK = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}


def chat(text: str, **more: object) -> dict:
    return {"messages": [{"role": "user", "content": text}, ANSWER], **more}


OTHER = {
    "video column": chat("What happens?", videos=["a.mp4"]),
    "audio column": chat("What is said?", audio={"path": "a.wav", "bytes": None}),
    "video placeholder": chat("<video>\nWhat happens?"),
    "audio placeholder": chat("<audio>What is said?"),
    "numbered placeholder": chat("Look at <image1>. What is it?"),
    "Phi's placeholder": chat("<|image_1|>\nWhat is it?"),
    "Qwen's inline picture": chat("Picture 1: <img>images/0.png</img>\nWhat is it?"),
    "HTML's inline picture": chat('<img src="images/0.png"> What is it?'),
    "HTML's inline picture, in LLaVA's form": {
        "conversations": [
            {"from": "human", "value": "<IMG alt='x' SRC='images/0.png'/> What?"},
            {"from": "gpt", "value": "A cat."},
        ]
    },
    "markdown's inline picture": chat("![a cat](images/0.png) What is it?"),
    "inline data": chat("data:image/png;base64,iVBORw0KGgo= What is it?"),
    "Pixtral's placeholder": chat("[IMG] What is it?"),
    "pictures under another name": chat("What is it?", image_path="images/0.png"),
    "frames": chat("What happens?", frames=["images/0.png", "images/1.png"]),
    "a video beside a picture": chat("<image> and <video>", images=["images/0.png"]),
    "in the system's turn": {"messages": [{"role": "system", "content": "<video>"}, ASK, ANSWER]},
}


@pytest.mark.parametrize("name", OTHER)
def test_media_that_nothing_reads_are_refused_and_no_text(name, root, lines, faults_of) -> None:
    lines(root / "set.jsonl", chat("Why?"), OTHER[name])
    (fault,) = faults_of(root)
    assert (fault.reason, fault.place) == ("other_media", "set.jsonl, line 2")


TEXT = {
    "code in backticks": chat("What does `<video>` do, and ```<img src='x.png'>```?"),
    "an answer about HTML": {"messages": [ASK, {"role": "assistant", "content": "Use <video src='a.mp4'>."}]},
    "comparison signs": chat("Is 3 < 4 and 5 > 2? [IMAGES] of [a](b)!"),
    "an empty column of videos": chat("Why?", videos=[], audio=None, video=""),
    "no picture: null": chat("Why?", images=None),
    "no picture: a list of null": chat("Why?", images=[None]),
    "no picture: a list of an empty text": chat("Why?", images=[""]),
    "no picture: an empty text": chat("Why?", image=""),
    "no picture: an empty struct": chat("Why?", image={"bytes": None, "path": None}),
    "no picture: a list of an empty struct": chat("Why?", images=[{"bytes": None, "path": None}]),
    "no picture: an empty struct of texts": chat("Why?", images=[{"bytes": "", "path": ""}]),
}


@pytest.mark.parametrize("name", TEXT)
def test_rows_that_show_nothing_are_samples_of_text(name, root, lines) -> None:
    lines(root / "set.jsonl", TEXT[name])
    (row,) = open_general(root)
    assert not isinstance(row, BadRecord)
    assert row["image_ids"] == []


def test_an_empty_column_does_not_hide_the_one_behind_it(root, lines) -> None:
    lines(root / "set.jsonl", chat("<image>?", images=[None], image="images/0.png"))
    (row,) = open_general(root)
    assert row["image_ids"] == ["path:images/0.png"]


def test_a_placeholder_without_its_picture_is_still_a_fault(root, lines, faults_of) -> None:
    lines(root / "set.jsonl", chat("<image>?", images=[{"bytes": None, "path": None}]))
    (fault,) = faults_of(root)
    assert fault.reason == "placeholder_mismatch"


def test_tables_with_null_pictures_and_videos(root, coloured_pictures) -> None:
    turns = [[ASK, ANSWER], [{"role": "user", "content": "<image>?"}, ANSWER], [ASK, ANSWER]]
    struct = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
    images = [[{"bytes": None, "path": None}], [{"bytes": coloured_pictures[0], "path": None}], [None]]
    table = pa.table(
        {
            "messages": turns,
            "images": pa.array(images, pa.list_(struct)),
            "videos": pa.array([None, None, ["a.mp4"]], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, root / "set.parquet")
    first, second, third = open_general(root)
    assert (first["image_ids"], len(second["image_ids"]), third.reason) == ([], 1, "other_media")


def test_endings_in_capitals_are_read_and_the_rest_is_named(root, lines, unreadable) -> None:
    lines(root / "a.jsonl", chat("Why?"))
    lines(root / "MORE.JSONL", chat("When?"))
    lines(root / "c.Json", chat("Who?"))
    pq.write_table(pa.table({"messages": [[ASK, ANSWER]]}), root / "D.PARQUET")
    for name in ("x.jsonl.gz", "notes.csv", "y.jsonl.bak", "README.md", ".hidden.jsonl"):
        (root / name).write_bytes(b"x")
    deep = root / "a/b/c/d"
    deep.mkdir(parents=True)
    lines(deep / "deep.jsonl", chat("Where?"))
    unreadable(root / "lost+found")
    general = open_general(root)
    assert {row["set"] for row in general} == {"a.jsonl", "MORE.JSONL", "c.Json", root.name}
    taken = frozenset(file for found in general.sets for file in found.files)
    named = dict(left_out(root, taken))
    assert set(named) == {"x.jsonl.gz", "notes.csv", "y.jsonl.bak", "a/b/c/d/deep.jsonl", "lost+found/"}
    assert named["x.jsonl.gz"] == "packed; unpack it"


def test_inline_data_in_wrapped_lines_are_read(root, lines, coloured_pictures) -> None:
    wrapped = base64.encodebytes(coloured_pictures[0]).decode()
    assert "\n" in wrapped.strip()
    lines(root / "set.jsonl", chat("<image>?", images=[f"data:image/png;base64,{wrapped}"]))
    general = open_general(root)
    (row,) = general
    assert general.sets[0].get(row["image_ids"][0]) == coloured_pictures[0]
