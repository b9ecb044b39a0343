"""A run's plan: requests, samples, memory, and what would make it fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from components.core.plan.asking import questions_per_image
from components.core.plan.figures import Assumed, vision_tokens
from components.core.plan.gpus import parse_gpu
from components.core.plan.sizes import KNOWN, sizes_of
from components.core.plan.stages import plan_run
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


def test_a_picture_above_the_processor_s_limit_is_made_smaller():
    """1280 x 960 at 64 x 64 pixels: sides of 73.9 and 55.4, in steps of 32: 2 x 1."""
    assert vision_tokens(replace(SIZES, max_pixels=64 * 64), 1280, 960) == 2
    assert vision_tokens(replace(SIZES, max_pixels=1280 * 960), 1280, 960) == 1200


def test_requests_by_hand():
    """Four questions a picture, eight a request: one request a voter, and a blind one a question and voter.
    A draft and two requests a round."""
    assumed = Assumed(images=100)
    voters = [TEACHER | {"model": name} for name in "abc"]
    voted = one("voting_filter", "voting_filter", assumed=assumed, voters=voters)
    assert voted.requests == 300 + 100 * 4 * 3
    seeing, blind = 300 * (400 + 1200), 1200 * 400
    assert voted.request_tokens - voted.answer_tokens == seeing + blind
    few = one("voting_filter", "voting_filter", assumed=assumed, voters=voters, blind_voters=1)
    assert few.requests == 300 + 100 * 4
    made = one("qa_synthesis", "qa_synthesis", assumed=assumed, endpoint=TEACHER, evolution_rounds=3)
    assert made.requests == 700
    paths = one("qa_synthesis", "qa_synthesis", assumed=assumed, endpoint=TEACHER, evolution_rounds=3,
                reasoning_paths={"samples": 4})  # fmt: skip
    assert paths.requests == 700 + 100 * 4
    scored = one("ids_scoring", "ids_scoring", assumed=assumed, endpoint=TEACHER)
    assert (scored.requests, scored.request_tokens) == (100, 100 * (1200 + 400 + 120))
    assert scored.answer_tokens == 100 * 120


def test_a_total_of_questions_is_shared_out_between_its_bounds():
    budget = settings(
        "ids_scoring", scorer="proxy", budget={"mode": "total", "total": 300, "n_max": 6}
    ).budget
    assert questions_per_image(budget, 100) == 3
    assert questions_per_image(budget, 10) == 6 and questions_per_image(budget, 1000) == 1


def test_an_evaluation_is_that_of_every_model_of_the_run():
    """3,000 items and 300 with 8 samples: 5,400 answers, of the base model and of four trained ones."""
    here = one("evaluation", "evaluation", gpu="H100")
    assert here.samples == 5 * 5400 and not here.requests
    away = one("evaluation", "evaluation", engine="endpoint", endpoint=TEACHER)
    assert away.requests == 5 * 5400 and away.memory is None
    judged = one("evaluation", "evaluation", gpu="H100", judge=TEACHER)
    assert judged.requests == 5 * 5400 * Assumed().judged and judged.gpu_hours == here.gpu_hours


def test_an_evaluation_asks_no_more_items_than_its_setting_allows():
    """Two benchmarks of 50 items: 100, all of them sampled 8 times more; five models."""
    named = [{"name": name, "role": "general", "uri": "b"} for name in "ab"]
    around = {"images": "i", "general_data": "g", "base_model": "m", "benchmarks": named}
    sections = {"preflight": settings("preflight", **around),
                "evaluation": settings("evaluation", items_per_benchmark=50)}  # fmt: skip
    assert plan_run(sections, SIZES, None, {}, Assumed())[-1].samples == 5 * (100 + 100 * 8)


CHOICES = {
    "hybrid_rl": {
        "rollout": ["generate", "vllm"], "sharding": ["none", "zero3"],
        "lora": [None, {"rank": 8}], "judge": [None, {"endpoint": TEACHER}],
        "vllm": [{}, {"mode": "server", "server_base_url": "http://x"}, {"sleep": True}],
    },
    "curriculum_sft": {
        "objective": ["sft", "dpo", "distill"], "lora": [None, {"rank": 8}], "max_steps": [0, 5],
        "distillation": [{}, {"rollout": "vllm"}],
    },
    "evaluation": {"engine": ["transformers", "vllm", "endpoint"], "judge": [None, TEACHER],
                   "endpoint": [TEACHER]},
    "voting_filter": {"blind_voters": [0, 1, ["m"]], "voters": [[TEACHER, TEACHER | {"model": "n"}]]},
    "ids_scoring": {"scorer": ["proxy", "mllm"], "endpoint": [TEACHER],
                    "budget": [{}, {"mode": "total", "total": 10}]},
}  # fmt: skip


@pytest.mark.parametrize("stage", CHOICES)
@pytest.mark.parametrize("gpu", [None, "24GB", "8xH100-80GB"])
def test_every_choice_of_engines_and_objectives_has_a_plan(stage, gpu):
    section = "sft_1_domain" if stage == "curriculum_sft" else stage
    for values in product(*CHOICES[stage].values()):
        given = {name: value for name, value in zip(CHOICES[stage], values, strict=True) if value is not None}
        sections = {section: settings(stage, **given)}
        for plan in plan_run(sections, SIZES, parse_gpu(gpu) if gpu else None, {section: 2}, Assumed()):
            assert 0 <= plan.answer_tokens <= plan.request_tokens
            assert min(plan.requests, plan.tokens, plan.gpu_hours, plan.disk) >= 0
            assert plan.memory is None or plan.memory.total > 0


def test_hours_of_an_evaluation_by_hand():
    """Prompts are read at the MFU, and the tower sees four patches a token; answers are made at 5 %."""
    plan = one("evaluation", "evaluation", gpu="H100", max_new_tokens=64)
    answers, prompt = 27_000, 1200 + 400
    read = answers * (prompt * 2 * SIZES.active + 1200 * 4 * 2 * SIZES.vision)
    made = answers * 64 * 2 * SIZES.active
    assert plan.gpu_hours == pytest.approx((read / 0.3 + made / 0.05) / 989e12 / 3600)


def test_an_evaluation_that_does_not_fit_is_told_what_its_own_settings_can_do():
    half = one("evaluation", "evaluation", gpu="2GB")
    assert half.advice == ("a lower batch_size", "a larger GPU")
    whole = one("evaluation", "evaluation", gpu="2GB", dtype="float32", batch_size=1)
    assert whole.advice == ("dtype: bfloat16", "a larger GPU")
    served = one("evaluation", "evaluation", gpu="2GB", engine="vllm")
    assert served.advice == ("a larger GPU",) and served.memory.weights == SIZES.total * 2
    length = {"max_model_len_tokens": 4000}
    longer = one("evaluation", "evaluation", gpu="2GB", engine="vllm", vllm=length, max_new_tokens=400)
    assert (
        longer.memory.kv_cache
        == 2 * one("evaluation", "evaluation", engine="vllm", max_new_tokens=400).memory.kv_cache
    )


def test_what_makes_rollouts_is_named_where_its_memory_is_too_much():
    sampled = one("hybrid_rl", "hybrid_rl", gpu="24GB", prompts_per_step=256, micro_batch_rollouts=1)
    assert sampled.advice[0] == "a lower prompts_per_step, or rollout: vllm"
    engine = one("hybrid_rl", "hybrid_rl", gpu="24GB", rollout="vllm", vllm={"sleep": False})
    assert engine.advice[0] == "a lower vllm.gpu_memory_utilization"


def test_a_judge_of_rollouts_is_asked_about_its_share():
    """One of five answer types, drawn evenly: 200 steps of 256 rollouts."""
    judged = one("hybrid_rl", "hybrid_rl", judge={"endpoint": TEACHER})
    assert judged.requests == 200 * 256 / 5
    assert one("hybrid_rl", "hybrid_rl").requests == 0


def test_phases_are_counted_one_by_one():
    """A pass takes the tokens of the phase that needs most, with that phase's samples."""
    long = {"max_length_tokens": 8192, "batch_samples": 1}
    short = {"max_length_tokens": 1024, "batch_samples": 4}
    alone = one("sft_1_domain", "curriculum_sft", **long)
    both = one(
        "sft_1_domain", "curriculum_sft", batch_samples=4, max_length_tokens=8192, phases=[short, long]
    )
    assert both.memory.activations == pytest.approx(alone.memory.activations)
    packed = {"max_length_tokens": 1024, "pack_tokens": 2048}
    mixed = one(
        "sft_1_domain", "curriculum_sft", batch_samples=1, max_length_tokens=8192, phases=[packed, long]
    )
    assert mixed.memory.activations == pytest.approx(alone.memory.activations)


def test_a_pack_shows_a_picture_for_each_of_its_samples():
    """Packs of 18,000 tokens hold ten samples of 1,200 and 600: the tower sees ten pictures, not one."""
    pack = {"max_length_tokens": 18_000, "pack_tokens": 18_000, "batch_samples": 1}
    seen, frozen = (
        one("sft_1_domain", "curriculum_sft", **pack, freeze={"vision": vision}).memory.activations
        for vision in (False, True)
    )
    single = [
        one("sft_1_domain", "curriculum_sft", max_length_tokens=18_000, batch_samples=1,
            freeze={"vision": vision}).memory.activations
        for vision in (False, True)
    ]  # fmt: skip
    assert seen - frozen == pytest.approx(10 * (single[0] - single[1]), rel=0.05)


def test_a_second_model_s_passes_cost_hours():
    """The reference of DPO, or the teacher of distillation, reads what is trained on: 2 FLOPs more."""
    hours = {
        objective: one("sft_1_domain", "curriculum_sft", gpu="H100", objective=objective).gpu_hours
        for objective in ("sft", "dpo", "distill")
    }
    assert hours["dpo"] > 2 * hours["sft"] and hours["distill"] > hours["sft"]
    free, held = (one("hybrid_rl", "hybrid_rl", gpu="H100", kl_coefficient=k).gpu_hours for k in (0.0, 0.1))
    assert held > free


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
