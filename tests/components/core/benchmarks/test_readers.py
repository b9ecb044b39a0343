"""Readers of published formats: VLMEvalKit's TSV, POPE's JSON lines, how a format and a kind are told."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.core.benchmarks import open_benchmark
from components.core.benchmarks.base import parse_list
from components.core.benchmarks.kinds import kind_for
from components.core.stage.errors import ConfigError, DataError, NoInputError

B64 = [base64.b64encode(bytes([n]) * 90).decode() for n in range(4)]


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _row(index: str, image: str, **more: str) -> dict[str, str]:
    return {"index": index, "image": image, "question": f"question {index}", "answer": "A", **more}


def test_pictures_by_reference_in_lists_and_without(tmp_path):
    path = _write(
        tmp_path / "x.tsv",
        [
            _row("2", "5"),  # a reference to a later row
            _row("5", B64[0]),
            _row("6", str(B64[1:3])),  # a list
            _row("7", json.dumps(B64[1:3])),
            _row("8", ""),  # no picture: left out, as in VLMEvalKit
            _row("9", "6"),  # a reference to several
        ],
    )
    benchmark = open_benchmark(path)
    assert [item.item_id for item in benchmark.items] == ["2", "5", "6", "7", "9"]
    assert benchmark.skipped == 1
    pictures = {item.item_id: [picture[0] for picture in benchmark.images(item)] for item in benchmark.items}
    assert pictures == {"2": [0], "5": [0], "6": [1, 2], "7": [1, 2], "9": [1, 2]}
    groups = {item.item_id: item.image_group for item in benchmark.items}
    assert groups["2"] == groups["5"] and groups["6"] == groups["9"] != groups["2"]
    assert [(key, data[0]) for key, data in benchmark.iter_images()] == [
        ("2", 0), ("6", 1), ("6", 2), ("7", 1), ("7", 2),
    ]  # fmt: skip


def test_columns_become_fields(tmp_path):
    row = _row("1", B64[0], A="x", B="None", C="", hint="look", category="c", split="val")
    (item,) = open_benchmark(_write(tmp_path / "x.tsv", [row])).items
    assert item.choices == ("x", "None")  # a text, though pandas would take it for a missing value
    assert (item.hint, item.category, item.fields["split"]) == ("look", "c", "val")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(
            st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"), min_size=1, max_size=20
        ),
        min_size=1,
        max_size=6,
    )
)
def test_rows_are_found_again_whatever_their_cells_hold(tmp_path, texts: list[str]):
    rows = [{**_row(str(n), B64[n % 4]), "question": text} for n, text in enumerate(texts)]
    benchmark = open_benchmark(_write(tmp_path / "x.tsv", rows))
    assert [item.question for item in benchmark.items] == texts
    assert [benchmark.images(item)[0][0] for item in reversed(benchmark.items)] == [
        n % 4 for n in reversed(range(len(texts)))
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([_row("1", "77")], "names row '77'"),
        ([_row("1", B64[0]), _row("1", B64[1])], "occurs twice"),
        ([{"index": "1", "answer": "A"}], "no column question"),
        ([_row("1", B64[0], choices="red; blue")], "its options are no list"),
    ],
)
def test_bad_files_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        open_benchmark(_write(tmp_path / "x.tsv", rows))


def test_gaps_between_options_are_closed_with_the_answers_letter(tmp_path):
    rows = [
        _row("1", B64[0], A="x", B="", C="z") | {"answer": "C"},
        _row("2", B64[1], A="x", B="", C="z") | {"answer": "B"},
        _row("3", B64[2], A="x", B="y", C="z") | {"answer": "C"},
    ]
    first, second, third = open_benchmark(_write(tmp_path / "x.tsv", rows)).items
    assert (first.choices, first.answer) == (("x", "z"), "B")
    assert second.answer == "B (an empty option)"  # no letter of an option: the item is reported
    assert (third.choices, third.answer) == (("x", "y", "z"), "C")


def test_a_question_may_stand_in_the_picture(tmp_path):
    row = {"index": "1", "image": B64[0], "answer": "A", "A": "x", "B": "y"}
    (item,) = open_benchmark(_write(tmp_path / "x.tsv", [row])).items
    assert (item.question, item.choices) == ("", ("x", "y"))


def test_base64_may_be_wrapped_and_be_an_address(tmp_path):
    wrapped = "\n".join(B64[1][i : i + 76] for i in range(0, len(B64[1]), 76))
    rows = [_row("1", wrapped), _row("2", f"data:image/png;base64,{B64[2]}")]
    benchmark = open_benchmark(_write(tmp_path / "x.tsv", rows))
    assert [benchmark.images(item)[0][0] for item in benchmark.items] == [1, 2]


def test_paths_may_be_escaped(tmp_path):
    (tmp_path / "山.jpg").write_bytes(b"mountain")
    (tmp_path / "😀.jpg").write_bytes(b"face")
    names = ["\\u5c71.jpg", "['\\u5c71.jpg']", "\\ud83d\\ude00.jpg", "山.jpg"]
    rows = [{"index": str(n), "image_path": p, "question": "q", "answer": "A"} for n, p in enumerate(names)]
    benchmark = open_benchmark(_write(tmp_path / "x.tsv", rows))
    assert [benchmark.images(item)[0] for item in benchmark.items] == [
        b"mountain",
        b"mountain",
        b"face",
        b"mountain",
    ]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("['san diego' 'San Diego']", ["san diego", "San Diego"]),  # numpy writes no commas
        ("['a', 'b']", ["a", "b"]), ('["a", "b"]', ["a", "b"]), ("[['x', 'y']]", ["x", "y"]),
        ("[[1, 2], [3, 4]]", ["[1, 2]", "[3, 4]"]), ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("['a'\n 'b']", ["a", "b"]), ("['a\nb', 'c']", ["a\nb", "c"]), ("[null, true]", ["None", "True"]),
        ("[2007 2008]", ["2007", "2008"]), ("['don\\'t' \"won't\"]", ["don't", "won't"]), ("[]", []),
        ("[1, 2", None), ("red", None), ("[red]", None),
    ],
)  # fmt: skip
def test_lists_as_files_write_them(text: str, entries: list[str] | None):
    assert parse_list(text) == entries


@pytest.mark.parametrize("column", ["choices", "options"])
@pytest.mark.parametrize(
    "cell", ["['red', 'blue']", "[['red', 'blue']]", "[\"['red', 'blue']\"]", "['red' 'blue']"]
)
def test_lists_of_options(tmp_path, column: str, cell: str):
    (item,) = open_benchmark(_write(tmp_path / "x.tsv", [_row("1", B64[0], **{column: cell})])).items
    assert item.choices == ("red", "blue")


def test_a_picture_that_is_not_base64_is_named(tmp_path):
    benchmark = open_benchmark(_write(tmp_path / "x.tsv", [_row("1", "?" * 80)]))
    with pytest.raises(DataError, match="row 1: the image is not base64"):
        benchmark.images(benchmark.items[0])


def test_paths_are_read_beside_the_file_and_nowhere_else(tmp_path):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(b"pixels")
    (tmp_path / "secret").write_bytes(b"no")
    paths = ("a.jpg", "../secret")
    rows = [{"index": str(n), "image_path": p, "question": "q", "answer": "A"} for n, p in enumerate(paths)]
    benchmark = open_benchmark(_write(folder / "x.tsv", rows))
    assert benchmark.images(benchmark.items[0]) == [b"pixels"]
    with pytest.raises(DataError, match="no picture"):
        benchmark.images(benchmark.items[1])


def _pope(folder: Path, name: str, rows: list[dict]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_pope_files_with_cocos_names(tmp_path):
    folder = tmp_path / "pope"
    probe = {"question_id": 1, "text": "Is there a dog?", "label": "yes"}
    _pope(folder, "coco_pope_random.json", [{**probe, "image": "COCO_val2014_000000000042.jpg"}])
    _pope(folder, "coco_pope_popular.json", [{**probe, "image": "42", "label": "no"}])
    (folder / "val2014").mkdir()
    (folder / "val2014" / "COCO_val2014_000000000042.jpg").write_bytes(b"dog")
    benchmark = open_benchmark(folder)
    assert [(i.item_id, i.answer, i.category) for i in benchmark.items] == [
        ("coco_pope_popular/1", "no", "popular"),
        ("coco_pope_random/1", "yes", "random"),
    ]
    assert all(benchmark.images(item) == [b"dog"] for item in benchmark.items)
    assert kind_for("anything", benchmark) == "pope"


def test_pope_without_its_pictures_is_refused(tmp_path):
    _pope(tmp_path / "p", "x.json", [{"image": "1.jpg", "text": "q", "label": "yes"}])
    with pytest.raises(NoInputError, match="no picture '1.jpg'"):
        open_benchmark(tmp_path / "p")


def test_formats_that_nothing_tells_are_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(DataError, match="set `format`"):
        open_benchmark(tmp_path / "x.csv")
    with pytest.raises(NoInputError):
        open_benchmark(tmp_path / "missing.tsv")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MMBench_DEV_EN_V11", "circular"), ("mmstar", "choice"), ("AI2D_TEST", "choice"),
        ("MMMU_DEV_VAL", "mmmu"), ("MathVista_MINI", "mathvista"), ("MathVision", "mathvision"),
        ("OCRBench", "ocrbench"), ("DocVQA_VAL", "anls"),
        ("InfoVQA_VAL", "anls"), ("ChartQA_TEST", "relaxed_accuracy"), ("RealWorldQA", "choice"),
    ],
)  # fmt: skip
def test_known_names_tell_the_kind(tmp_path, name, kind):
    benchmark = open_benchmark(_write(tmp_path / "x.tsv", [_row("1", B64[0], A="x", B="y")]))
    assert kind_for(name, benchmark) == kind


def test_an_unknown_open_benchmark_needs_a_kind(tmp_path):
    benchmark = open_benchmark(_write(tmp_path / "x.tsv", [_row("1", B64[0])]))
    with pytest.raises(ConfigError, match="set `kind`"):
        kind_for("novel", benchmark)
