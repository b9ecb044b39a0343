"""Asking the starting model before preferences are built."""

from __future__ import annotations

from collections import Counter

from components.core.resume.shared_batches import SharedBatches
from components.core.resume.work_dir import WorkDir
from components.core.vlm import load_model, load_processor
from components.curriculum_sft.config import Preferences
from components.curriculum_sft.data.pairs import ask, questions_to_ask


class Pictures:
    def __init__(self, pictures: list[bytes]) -> None:
        self.pictures = pictures

    def get(self, image_id: str) -> bytes:
        return self.pictures[int(image_id)]


def test_questions_are_drawn_evenly_over_types_and_over_yes_and_no(row):
    kept = [row(f"y{i}", "0", "Is it?", "yes", "yes_no") for i in range(20)]
    kept += [row(f"n{i}", "0", "Is it?", "No.", "yes_no") for i in range(3)]
    kept += [row(f"s{i}", "0", "What?", "lamp") for i in range(20)]
    kept += [row(f"h{i}", "0", "What?", "lamp", split="heldout") for i in range(20)]
    asked = questions_to_ask(kept, 15, seed=0)
    assert Counter(r["qa_id"][0] for r in asked) == {"y": 6, "n": 3, "s": 6}
    assert questions_to_ask(kept[::-1], 15, seed=0) == asked != questions_to_ask(kept, 15, seed=1)


def test_interrupted_asking_goes_on_where_it_was(
    tiny_checkpoint, coloured_pictures, row, tmp_path, monkeypatch
):
    monkeypatch.setattr("components.curriculum_sft.data.pairs._BATCH", 2)
    model, processor = load_model(tiny_checkpoint, "float32"), load_processor(tiny_checkpoint)
    rows = [row(f"q{i}", str(i), "How many?", "7", "number") for i in range(5)]
    done: list[int] = []

    def answers(work: WorkDir, asked: list[dict]) -> dict[str, list[str]]:
        settings = Preferences(own_samples=3, own_max_tokens=8)
        return ask(asked, model, processor, Pictures(coloured_pictures), settings, seed=0,
                   divided=SharedBatches(work, "answers"), on_batch=done.append)  # fmt: skip

    whole = answers(WorkDir(tmp_path / "whole"), rows)
    assert sum(done) == 5 and set(whole) == {f"q{i}" for i in range(5)}
    answers(WorkDir(tmp_path / "part"), rows[:2])  # the first batch, then the process dies
    work = WorkDir(tmp_path / "part")
    assert len(work.journal("answers")) == 2 and answers(work, rows) == whole
