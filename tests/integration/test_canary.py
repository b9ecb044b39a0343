"""Prompt injection: a picture that carries instructions changes its own rows and no other row's bytes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from components.core.stage.runner import WORK_ROOT_ENV
from components.ids_scoring.budget import MAX_SCORE
from components.ids_scoring.mllm import ImageScore
from tests.faults.canary import INSTRUCTION, draw_canary, obey
from tests.faults.world import STAGES, DataHalf, build_pictures, serve_teachers, table

ANSWERS = (
    ("ids_scoring", "ids"),
    ("topic_matching", "matches"),
    ("qa_synthesis", "qa"),
    ("voting_filter", "votes"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path, str]:
    """All data stages without the canary, then with it; the canary's image_id."""
    folder = tmp_path_factory.mktemp("canary")
    pictures = folder / "pictures"
    endpoint = serve_teachers(build_pictures(pictures, 12))
    without, with_canary = folder / "without", folder / "with"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WORK_ROOT_ENV, str(folder))
        half = DataHalf.over(pictures, endpoint.url)
        for stage in STAGES:
            half.call(stage, without, without, folder / "work")
        draw_canary(pictures / "canary.png")
        half.call("image_ingest", with_canary, with_canary, folder / "work-with")
        known = {row["image_id"] for row in table(without, "image_ingest", "images")}
        (canary,) = [r for r in table(with_canary, "image_ingest", "images") if r["image_id"] not in known]
        assert Image.open(io.BytesIO(canary["bytes"])).size == (320, 120)
        obey(endpoint, canary["bytes"])
        for stage in STAGES[1:]:
            half.call(stage, with_canary, with_canary, folder / "work-with")
    endpoint.stop()
    return without, with_canary, canary["image_id"]


def others_and_before(runs, stage, name):
    """Rows of the run with the canary that are not the canary's, and rows of the run without it."""
    without, with_canary, canary = runs
    image_of = {row["qa_id"]: row["image_id"] for row in table(with_canary, "qa_synthesis", "qa")}
    rows = table(with_canary, stage, name)
    others = [row for row in rows if (row.get("image_id") or image_of[row["qa_id"]]) != canary]
    # The canary has rows of its own, but for topics: there it names more of them than it may.
    assert len(others) < len(rows) or stage == "topic_matching"
    before = table(without, stage, name)
    for row in others + before:
        if (
            "coarse" in row
        ):  # captions are embedded in batches, whose size shows in the last digits of a vector
            row["coarse"] = round(row["coarse"], 5)
    return sorted(others, key=repr), sorted(before, key=repr)  # votes come voter by voter, chunk by chunk


@pytest.mark.parametrize(("stage", "name"), ANSWERS)
def test_every_other_row_is_the_same(runs, stage, name):
    others, before = others_and_before(runs, stage, name)
    others, before = ([row for row in rows if not row.get("blind")] for rows in (others, before))
    assert others == before


def test_every_other_blind_vote_is_the_same(runs):
    others, before = others_and_before(runs, "voting_filter", "votes")
    assert others == before


def test_its_own_rows_stay_within_the_schemas(runs):
    _, out, canary = runs
    (row,) = [row for row in table(out, "ids_scoring", "ids") if row["image_id"] == canary]
    assert row["caption"] == INSTRUCTION
    assert row["ids"] == MAX_SCORE
    asked = [row for row in table(out, "qa_synthesis", "qa") if row["image_id"] == canary]
    assert [row["question"] for row in asked] == [INSTRUCTION]
    bounds = ImageScore.model_json_schema()["properties"]
    assert all(bounds[name]["maxLength"] <= 2000 for name in ("rationale", "caption"))
