"""A run's plan: requests, samples, memory, and what would make it fit."""

from __future__ import annotations

import pytest

from components.core.plan.gpus import parse_gpu
from components.core.plan.sizes import KNOWN, sizes_of
from components.core.plan.stages import Assumed, plan_run, vision_tokens
from components.core.stage.settings import parse_settings, stage_config

SIZES = sizes_of(KNOWN["Qwen3-VL-2B-Instruct"])
TEACHER = {"base_url": "http://teacher/v1", "model": "m"}


def settings(stage: str, **values):
    return parse_settings(stage_config(stage), values)


def one(section: str, stage: str, gpu: str = "", gpus: int = 1, assumed: Assumed | None = None, **values):
    kind = parse_gpu(gpu) if gpu else None
    sections = {section: settings(stage, **values)}
    plans = plan_run(sections, SIZES, kind, {section: gpus}, assumed or Assumed())
    return next(plan for plan in plans if plan.task == section)


def test_a_picture_s_tokens_by_hand():
    """Sides of 1280 and 960 pixels in steps of 2 x 16: 40 x 30."""
    assert vision_tokens(SIZES, 1280, 960) == 1200


def test_requests_by_hand():
    """Four questions a picture, eight a request: one request a voter. A draft and two requests a round."""
    assumed = Assumed(images=100)
    voters = [TEACHER | {"model": name} for name in "abc"]
    voted = one("voting_filter", "voting_filter", assumed=assumed, voters=voters)
    assert voted.requests == 300
    made = one("qa_synthesis", "qa_synthesis", assumed=assumed, endpoint=TEACHER, evolution_rounds=3)
    assert made.requests == 700
    scored = one("ids_scoring", "ids_scoring", assumed=assumed, endpoint=TEACHER)
    assert (scored.requests, scored.request_tokens) == (100, 100 * (1200 + 400 + 120))


def test_samples_and_steps_by_hand():
    """90 % of 1,000 pictures are trained on; 30 % domain share makes 3,000 samples; 16 x 2 a step."""
    plan = one("sft_2_restore", "curriculum_sft", assumed=Assumed(images=1000), domain_share=0.3,
               batch_samples=16, accumulation_steps=2)  # fmt: skip
    assert (plan.samples, plan.steps) == (3000, 94)


def test_without_a_gpu_nothing_is_claimed():
    plan = one("hybrid_rl", "hybrid_rl")
    assert plan.fits is None and plan.gpu_hours == 0 and not plan.advice


@pytest.mark.parametrize(("section", "stage"), [("sft_1_domain", "curriculum_sft"), ("hybrid_rl",) * 2])
def test_what_does_not_fit_says_what_would_help(section, stage):
    plan = one(section, stage, gpu="24GB")
    assert plan.fits is False and "gradient_checkpointing: true" in plan.advice
    assert one(section, stage, gpu="4000GB").advice == ()


def test_each_advice_that_is_a_setting_needs_less():
    whole = one("sft_1_domain", "curriculum_sft", gpu="24GB", batch_samples=4)
    for change in ({"gradient_checkpointing": True}, {"batch_samples": 1}, {"lora": {"rank": 64}},
                   {"max_length_tokens": 1024}):  # fmt: skip
        less = one("sft_1_domain", "curriculum_sft", gpu="24GB", **{"batch_samples": 4, **change})
        assert less.memory.total < whole.memory.total


def test_hours_follow_from_the_stated_mfu():
    half = one("sft_1_domain", "curriculum_sft", gpu="H100", assumed=Assumed(mfu=0.2))
    assert one("sft_1_domain", "curriculum_sft", gpu="H100", assumed=Assumed(mfu=0.4)).gpu_hours == (
        pytest.approx(half.gpu_hours / 2)
    )
