"""The whole stage on general data in other people's formats."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.core.data.checkpoint import open_checkpoint
from components.core.data.dataset import Dataset
from components.core.stage.runner import stage_main
from components.curriculum_sft import stage
from components.curriculum_sft.component import IO
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.checks import Planner
from components.curriculum_sft.stage import run

FAST = {"batch_samples": 4, "learning_rate": 3e-3, "log_steps": 1, "max_steps": 2, "report_samples": 1}


@pytest.fixture(autouse=True)
def _work_root(tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))


@pytest.fixture
def general(tmp_path, coloured_pictures):
    """Twelve conversations with two pictures by path, twelve rows with one inside, and forty texts."""
    root = tmp_path / "general"
    (root / "photos").mkdir(parents=True)
    for number, data in enumerate(coloured_pictures):
        (root / "photos" / f"{number}.png").write_bytes(data)
    llava = [
        {
            "image": [f"photos/{n % 6}.png", f"photos/{(n + 1) % 6}.png"],
            "conversations": [
                {"from": "human", "value": "<image>\nWhat colour?"},
                {"from": "gpt", "value": "red"},
                {"from": "human", "value": f"<image>\nAnd this one, number {n}?"},
                {"from": "gpt", "value": "blue"},
            ],
        }
        for n in range(12)
    ]
    (root / "llava.json").write_text(json.dumps(llava))
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"<image>Which letter is shown? {n}"},
                {"role": "assistant", "content": "A"},
            ],
            "images": [{"bytes": coloured_pictures[n % 6], "path": None}],
        }
        for n in range(12)
    ]
    (root / "letters").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), root / "letters" / "train-0.parquet", row_group_size=4)
    with open(root / "text.jsonl", "w") as file:
        for n in range(40):
            turns = [
                {"role": "user", "content": f"How many circles are there? {n}"},
                {"role": "assistant", "content": "There are three of them. Answer: 3"},
            ]
            file.write(json.dumps({"messages": turns}) + "\n")
    return root


def _run(argv, world, out, general, config) -> tuple[int, dict]:
    code = stage_main("curriculum_sft", Config, IO, run, argv({**world, "general": general}, out, config))
    metrics = json.loads((out / "metrics.json").read_text()) if code == 0 else {}
    return code, metrics


def test_a_mixture_of_formats_is_trained_on(sft_world, argv, general, tmp_path, capsys):
    """By tokens, eight of text for one of vision, packed, loaded in a process of its own."""
    config = FAST | {
        "domain_share": 0.3,
        "mixture": {
            "by": "tokens",
            "text_image_ratio": 8.0,
        },
        "pack_tokens": 256,
        "max_length_tokens": 256,
        "loader_workers": 1,
    }
    code, metrics = _run(argv, sft_world, tmp_path, general, config)
    assert code == 0, capsys.readouterr().err
    assert metrics["text_image_ratio"] == pytest.approx(8.0, rel=0.1)
    assert metrics["rejected"] == 0
    assert open_checkpoint(tmp_path / "checkpoint").extra["samples"] == metrics["samples"]
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in ("llava.json", "letters", "text.jsonl"))
    # 24 domain samples, 12 + 12 + 40 general ones: every candidate was planned, once. So was each of the
    # 6 pictures of the folder and of the 12 in the table decoded.
    (lengths,) = (tmp_path / "work").rglob("lengths.jsonl")
    assert len(lengths.read_text().splitlines()) == 24 + 64 + 18


def test_bad_records_are_rejected_with_their_place_or_stop_the_stage(
    sft_world, argv, general, tmp_path, capsys
):
    with open(general / "text.jsonl", "a") as file:
        file.write(json.dumps({"messages": [{"role": "user", "content": "q"}]}) + "\n")
    (general / "photos" / "0.png").write_bytes(b"damaged")
    config = FAST | {"domain_share": 0.5}
    code, metrics = _run(argv, sft_world, tmp_path, general, config)
    assert code == 0, capsys.readouterr().err
    rejected = {row["id"]: row for row in Dataset.open(tmp_path / "rejected", "rejected").rows_iter()}
    assert rejected["text.jsonl, line 41"]["reason"] == "bad_messages"
    assert {row["reason"] for name, row in rejected.items() if "llava" in name} == {"image_unreadable"}
    assert metrics["rejected"] == len(rejected)

    assert _run(argv, sft_world, tmp_path / "again", general, config | {"unusable_samples": "stop"})[0] == 65
    said = capsys.readouterr().err
    assert "samples cannot be trained on; correct or remove them, or set unusable_samples to reject" in said
    assert "text.jsonl, line 41: bad_messages: turns must be user, assistant" in said


def test_a_cut_picture_of_the_general_data_does_not_end_training(
    sft_world, argv, general, tmp_path, coloured_pictures, capsys
):
    """Its header is sound, so that nothing but decoding tells; five others of six stay."""
    whole = io.BytesIO()
    Image.open(io.BytesIO(coloured_pictures[0])).save(whole, "JPEG", quality=95)
    (general / "photos" / "0.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) * 2 // 3])
    table = pq.read_table(general / "letters" / "train-0.parquet").to_pylist()
    table[3]["images"][0]["bytes"] = coloured_pictures[3][:-200]
    pq.write_table(pa.Table.from_pylist(table), general / "letters" / "train-0.parquet", row_group_size=4)
    config = FAST | {"domain_share": 0.3, "max_steps": 30, "batch_samples": 8}
    code, metrics = _run(argv, sft_world, tmp_path, general, config)
    assert code == 0, capsys.readouterr().err
    assert metrics["domain_answer_share"] == pytest.approx(0.3, abs=0.03)
    rejected = {row["id"]: row for row in Dataset.open(tmp_path / "rejected", "rejected").rows_iter()}
    # Two of every six conversations show the first picture; all of them were drawn.
    assert {row["reason"] for row in rejected.values()} == {"image_unreadable"}
    assert sorted(rejected) == [
        "letters/train-0.parquet, row 3",
        *(f"llava.json, record {n}" for n in (1, 12, 6, 7)),
    ]


def test_a_stage_that_is_run_again_plans_nothing_twice(sft_world, argv, general, tmp_path, monkeypatch):
    """Ended between planning and training: the second attempt reads every plan from the work directory."""
    config = FAST | {"domain_share": 0.5, "mixture": {"by": "tokens"}}
    with monkeypatch.context() as patch:
        patch.setattr(stage, "make_trainer", _fail)
        assert _run(argv, sft_world, tmp_path, general, config)[0] == 1
    with monkeypatch.context() as patch:
        patch.setattr(Planner, "_check", _fail)
        assert _run(argv, sft_world, tmp_path, general, config)[0] == 0


def _fail(*_: object) -> None:
    raise OSError("killed")


def test_weights_of_unknown_sets_are_refused(sft_world, argv, general, tmp_path, capsys):
    config = FAST | {"domain_share": 0.5, "mixture": {"weights": {"llava": 1}}}
    assert _run(argv, sft_world, tmp_path, general, config)[0] == 78
    assert "the general data has the sets letters, llava.json, text.jsonl" in capsys.readouterr().err


def test_no_sample_is_longer_than_the_model_s_context(sft_world, argv, general, tmp_path):
    """2,048 positions, whatever the settings allow."""
    turns = [{"role": "user", "content": "How many? " * 1000}, {"role": "assistant", "content": "3"}]
    (general / "long.jsonl").write_text(json.dumps({"messages": turns}))
    config = FAST | {"domain_share": 0, "max_length_tokens": 10**6}
    assert _run(argv, sft_world, tmp_path, general, config)[0] == 0
    (bad,) = Dataset.open(tmp_path / "rejected", "rejected").rows_iter()
    assert (bad["id"], bad["reason"]) == ("long.jsonl, line 1", "too_long")
    assert bad["detail"].endswith("the limit is 2048")
