"""Reading, choosing and checking rows, with a planner that knows lengths by heart."""

from __future__ import annotations

import pytest

from components.core.conversations.base import BadRecord
from components.core.stage.errors import DataError
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.checks import Planner
from components.curriculum_sft.data.prepare import all_samples, describe, mixed_samples, settle
from components.curriculum_sft.data.samples import sample

UNREAD = BadRecord("bad_messages", "turns must alternate", "x.jsonl, line 7")


@pytest.fixture
def planned():
    """Conversations that were planned."""
    return []


@pytest.fixture
def planner(planned):
    """A text's words are its tokens, and a picture takes four."""

    def tokenize(turns):
        planned.append(turns)
        words = [part.get("text", "image") for turn in turns for part in turn["content"]]
        return list(range(len(" ".join(words).split())))

    return Planner(
        tokenize=tokenize,
        vision_tokens=lambda height, width: 4,
        sizes={"img": (8, 8)},
        control_tokens=[],
        max_length_tokens=50,
    )


def _rows(source, count, words=3):
    rows = [sample(f"{source}{n}", [("why " * words, "so")], "img", source) for n in range(count)]
    return [row | {"set": "a"} for row in rows] if source == "general" else rows


def test_only_what_was_chosen_is_planned(planner, planned):
    config = Config(domain_share=0.5)
    rows, bad = mixed_samples(_rows("domain", 5), [*_rows("general", 40), UNREAD], config, planner, iter)
    assert len(rows) == len(planned) == 10
    assert bad == [{"id": "x.jsonl, line 7", "reason": "bad_messages", "detail": "turns must alternate"}]


def test_by_tokens_all_candidates_are_planned_and_unfit_ones_are_not_counted(planner, planned):
    """Five domain samples of 8 tokens against general ones of 18: 40 : 36 is nearest below one half."""
    general = [
        *_rows("general", 10, words=13),
        sample("long", [("why " * 60, "so")], "img", "general") | {"set": "a"},
    ]
    config = Config(domain_share=0.5, mixture={"by": "tokens"})
    rows, bad = mixed_samples(_rows("domain", 5), general, config, planner, iter)
    assert len(planned) == 16
    assert [row["reason"] for row in bad] == ["too_long"]
    assert sorted(row["source"] for row in rows) == ["domain"] * 5 + ["general"] * 2
    capped = config.model_copy(update={"max_general_samples": 1})
    rows, _ = mixed_samples(_rows("domain", 5), general[:10], capped, planner, iter)
    assert sorted(row["source"] for row in rows) == ["domain"] * 2 + ["general"]


def test_everything_is_there_unmixed_where_nothing_is_chosen(planner):
    rows, bad = all_samples(_rows("domain", 2), [*_rows("general", 9), UNREAD], Config(), planner, iter)
    assert [row["sample_id"] for row in rows] == [f"general{n}" for n in range(9)] + ["domain0", "domain1"]
    assert len(bad) == 1
    few, _ = all_samples([], _rows("general", 9), Config(max_general_samples=4), planner, iter)
    assert len({row["sample_id"] for row in few}) == 4


def test_the_stage_stops_with_the_samples_named():
    rows, bad = (
        _rows("domain", 1),
        [{"id": f"s{n}", "reason": "too_long", "detail": "60 tokens"} for n in range(7)],
    )
    settle(rows, bad, Config())
    settle(rows, [], Config(unusable_samples="stop"))
    with pytest.raises(
        DataError, match=r"7 samples cannot be trained on(.|\n)*s0: too_long: 60 tokens(.|\n)*and 2 more"
    ):
        settle(rows, bad, Config(unusable_samples="stop"))
    with pytest.raises(DataError, match=r"nothing to train on: {'too_long': 7}\n  s0"):
        settle([], bad, Config())
    with pytest.raises(DataError, match="no samples were built"):
        settle([], [], Config())
    assert describe(bad[:1]) == "s0: too_long: 60 tokens"


@pytest.mark.parametrize("by", ["answers", "tokens"])
@pytest.mark.parametrize(("long", "short"), [(40, 40), (70, 20), (30, 200)])
def test_the_share_holds_whatever_is_too_long(planner, by, long, short):
    """Samples of one answer and equal lengths, so that 0.3 of the answers are 0.3 of the tokens too."""
    unfit = _rows("general", long, words=60)
    fit = [row | {"sample_id": f"short{n}"} for n, row in enumerate(_rows("general", short))]
    config = Config(domain_share=0.3, mixture={"by": by})
    rows, bad = mixed_samples(_rows("domain", 60), [*unfit, *fit], config, planner, iter)
    share = sum(row["source"] == "domain" for row in rows) / len(rows)
    assert share == pytest.approx(0.3, abs=0.02)
    assert {row["reason"] for row in bad} == {"too_long"}
    assert len({row["id"] for row in bad}) == len(bad)
    assert all(row["length"] <= 50 for row in rows)


@pytest.mark.parametrize("by", ["answers", "tokens"])
def test_a_source_whose_samples_all_fail_ends_the_stage_with_the_reasons(planner, by):
    config = Config(domain_share=0.3, mixture={"by": by})
    with pytest.raises(DataError, match=r"no samples of general.*rejected: {'too_long': 7}\n  general"):
        mixed_samples(_rows("domain", 5), _rows("general", 7, words=60), config, planner, iter)


def test_a_damaged_picture_costs_its_sample_and_another_takes_its_place(planner, coloured_pictures):
    whole = coloured_pictures[0]
    pictures = {"img": whole, "cut": whole[: len(whole) // 2]}
    planner.unproved, planner.sizes = pictures, {"img": (8, 8), "cut": (8, 8)}
    general = _rows("general", 20)
    damaged = [row | {"image_ids": ["cut"], "sample_id": f"cut{n}"} for n, row in enumerate(general)]
    config = Config(domain_share=0.5)
    rows, bad = mixed_samples(_rows("domain", 10), [*general, *damaged], config, planner, iter)
    assert sorted(row["source"] for row in rows) == ["domain"] * 10 + ["general"] * 10
    assert {row["reason"] for row in bad} == {"image_unreadable"}
    assert all("cannot be read (" in row["detail"] for row in bad)
    everything, rejected = all_samples([], [*general, *damaged], Config(), planner, iter)
    assert (len(everything), len(rejected)) == (20, 20)
