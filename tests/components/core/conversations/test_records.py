"""Every fault of a record names its file, its line or row, and the remedy."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.conversations import open_general
from components.core.conversations.base import REASONS
from components.core.stage.errors import DataError

ASK = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}
SHOW = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}


def _llava(*turns: tuple[str, str], **more: object) -> dict:
    return {"conversations": [{"from": who, "value": text} for who, text in turns], **more}


@pytest.mark.parametrize(
    ("record", "reason", "said"),
    [
        ({"text": "a"}, "bad_messages", "no turns; give a list of them under messages or conversations"),
        ({"messages": []}, "bad_messages", "no turns"),
        ({"messages": "[{"}, "bad_messages", "its turns are no JSON"),
        ([1], "bad_messages", "a list and no record; give a JSON object"),
        (
            {"messages": [{"role": "robot", "content": "x"}, ANSWER]},
            "bad_messages",
            "turn 1 has the role 'robot'; known are system, user, assistant: rename it or remove the turn",
        ),
        (
            _llava(("human", "q"), ("bot", "a")),
            "bad_messages",
            "turn 2 is from 'bot'; known are system, human, user, gpt, chatgpt, assistant: rename it",
        ),
        ({"messages": [ASK, {"role": "assistant"}]}, "bad_messages", "the content of turn 2 is NoneType"),
        (
            {"messages": [ASK, {"role": "assistant", "content": [{"type": "audio"}]}]},
            "bad_messages",
            "turn 2 holds a part of type 'audio'; known are text",
        ),
        (
            {"conversations": [{"from": "human"}]},
            "bad_messages",
            "turn 1 has no text; give it from and value",
        ),
        ({"messages": [ASK]}, "bad_messages", "end with an answer; got user"),
        ({"messages": [ASK, ANSWER, ANSWER]}, "bad_messages", "got user, assistant, assistant"),
        ({"messages": [ANSWER, ASK, ANSWER]}, "bad_messages", "turns must be user, assistant"),
        (
            {"messages": [ASK, {"role": "assistant", "content": " \n"}]},
            "no_answer",
            "turn 2 is an empty answer; fill it or remove the record",
        ),
        (
            _llava(("human", "q"), ("gpt", "see <image>"), image="0.png"),
            "bad_messages",
            "turn 2 is an answer that shows an image; remove the placeholder",
        ),
        (
            {"messages": [SHOW, ANSWER]},
            "placeholder_mismatch",
            "1 image placeholders, 0 images; write one <image>",
        ),
        (
            _llava(("human", "<image><image>?"), ("gpt", "a"), image="0.png"),
            "placeholder_mismatch",
            "2 image placeholders, 1 images",
        ),
        (
            _llava(("human", "no placeholder"), ("gpt", "a"), image="0.png"),
            "placeholder_mismatch",
            "0 image placeholders, 1 images",
        ),
        (
            {"messages": [SHOW, ANSWER], "images": ["9.png"]},
            "image_missing",
            "no picture '9.png' in",
        ),
        (
            {"messages": [SHOW, ANSWER], "images": ["../outside.png"]},
            "image_missing",
            "links that lead out of it are not followed",
        ),
        (
            {"messages": [SHOW, ANSWER], "images": ["https://example.org/a.png"]},
            "image_missing",
            "nothing is downloaded here; fetch it and give its path",
        ),
        (
            {"messages": [SHOW, ANSWER], "image_ids": ["abc"]},
            "image_missing",
            "no image 'abc' in the dataset images/; add it or correct the id",
        ),
        (
            {"messages": [SHOW, ANSWER], "images": ["data:image/png;base64,aGVsbG8="]},
            "image_unreadable",
            "not a picture",
        ),
        (
            {"messages": [SHOW, ANSWER], "images": ["data:image/png;base64,a"]},
            "image_unreadable",
            "cannot be read",
        ),
        (
            {"messages": [SHOW, ANSWER], "images": [7]},
            "bad_messages",
            "a picture is given as int; give a path, a data: URI, bytes or an id",
        ),
    ],
)
def test_faults_name_line_and_remedy(record, reason, said, root, lines, faults_of):
    (root.parent / "outside.png").write_bytes((root / "images" / "0.png").read_bytes())
    lines(root / "set.jsonl", {"messages": [ASK, ANSWER]}, record)
    (fault,) = faults_of(root)
    assert fault.place == "set.jsonl, line 2"
    assert str(fault).startswith("set.jsonl, line 2: ")
    assert said in fault.detail
    assert fault.reason == reason
    assert reason in REASONS
    assert fault.row() == {"id": "set.jsonl, line 2", "reason": reason, "detail": fault.detail}


def test_faults_of_other_files_name_record_or_row(root, faults_of):
    good, bad = {"messages": [ASK, ANSWER]}, {"messages": [ASK]}
    (root / "a.json").write_text(json.dumps([good, bad]))
    (root / "b").mkdir()
    pq.write_table(pa.Table.from_pylist([good, good, bad]), root / "b" / "x.parquet")
    assert [fault.place for fault in faults_of(root)] == ["a.json, record 2", "b/x.parquet, row 2"]


def test_lines_that_are_no_json(root, faults_of):
    (root / "set.jsonl").write_text('{"messages": \n\n"x"\n')
    assert [(fault.place, fault.detail[:8]) for fault in faults_of(root)] == [
        ("set.jsonl, line 1", "not JSON"),
        ("set.jsonl, line 3", "a str an"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1}, {"a"', "record 2: not JSON"),
        ('[{"a": 1} {"a": 2}]', "record 1: the list breaks off behind it"),
        ('[{"a": 1}, ', "the list has no end"),
        ("[", "the list has no end"),
    ],
)
def test_a_list_that_is_cut_is_an_error_of_the_file(text, said, tmp_path):
    (tmp_path / "set.json").write_text(text)
    with pytest.raises(DataError, match=said):
        list(open_general(tmp_path))


def test_links_out_of_the_folder_are_not_followed(root, lines, faults_of, coloured_pictures):
    """What the pinned reference does not cover is not trained on."""
    (root.parent / "elsewhere.png").write_bytes(coloured_pictures[0])
    (root / "images" / "link.png").symlink_to(root.parent / "elsewhere.png")
    (root / "images" / "inside.png").symlink_to(root / "images" / "0.png")
    lines(
        root / "set.jsonl",
        *({"messages": [SHOW, ANSWER], "images": [name]} for name in ("link.png", "inside.png")),
    )
    first, second = list(open_general(root))
    assert "not followed" in str(first)
    assert second["image_ids"] == ["path:images/0.png"]


def test_hugging_faces_struct_of_lists_is_a_list_of_turns(root, turns_of):
    table = pa.Table.from_pylist(
        [{"conversations": {"from": ["human", "gpt"], "value": ["Why?", "Because."]}}]
    )
    pq.write_table(table, root / "x.parquet")
    (row,) = list(open_general(root))
    assert turns_of(row) == [("user", ["Why?"]), ("assistant", ["Because."])]


def test_records_are_found_again_behind_wide_characters(tmp_path, coloured_pictures):
    """Offsets count bytes, not characters."""
    from components.core.conversations.json_files import JsonRecords

    records = [
        {"messages": [ASK, {"role": "assistant", "content": "größer 大 😀"}], "n": n} for n in range(3)
    ]
    for text in (
        json.dumps(records, ensure_ascii=False, indent=1),
        "\ufeff" + json.dumps(records, ensure_ascii=False),
        "\n".join(json.dumps(r, ensure_ascii=False) for r in records),
    ):
        path = tmp_path / "set.json"
        path.write_text(text, encoding="utf-8")
        reader = JsonRecords(path, "set.json")
        numbers = [record.number for record in reader]
        assert [reader.value(number) for number in numbers] == records
