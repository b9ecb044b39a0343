"""A teacher in a plan: memory, hours and requests, and that only a teacher which is used counts."""

from __future__ import annotations

import pytest

from components.core.plan.figures import Assumed
from components.core.plan.gpus import parse_gpu
from components.core.plan.memory import FRAGMENTATION
from components.core.plan.sizes import KNOWN, sizes_of
from components.core.plan.stages import plan_run
from components.core.plan.teacher import checkpoint_of
from components.core.stage.settings import parse_settings, stage_config

STUDENT, TEACHER = sizes_of(KNOWN["Qwen3-VL-2B-Instruct"]), sizes_of(KNOWN["Qwen3-VL-8B-Instruct"])
SERVER = {"base_url": "http://teacher/v1", "model": "m"}
HERE = {"checkpoint": "models/teacher"}


def planned(gpu="H100-80GB", gpus=1, sizes=TEACHER, **values):
    values = {"micro_batch_rollouts": 1, "gradient_checkpointing": True, **values}
    sections = {"hybrid_rl": parse_settings(stage_config("hybrid_rl"), values)}
    return plan_run(sections, STUDENT, parse_gpu(gpu), {"hybrid_rl": gpus}, Assumed(), sizes)[-1]


@pytest.mark.parametrize(("dtype", "size"), [("auto", 2), ("bfloat16", 2), ("float16", 2), ("float32", 4)])
@pytest.mark.parametrize("objective", ["distill", "both"])
def test_a_checkpoint_s_weights_are_held_in_its_own_type(objective, dtype, size):
    taught = planned(objective=objective, teacher={**HERE, "dtype": dtype})
    assert taught.memory.teacher == TEACHER.total * size
    alone = planned()
    assert taught.memory.weights == alone.memory.weights and alone.memory.teacher == 0
    more = taught.memory.teacher + taught.memory.activations - alone.memory.activations
    assert taught.memory.total - alone.memory.total == pytest.approx((1 + FRAGMENTATION) * more, rel=1e-3)


def test_zero3_shares_the_weights_out_and_zero2_does_not():
    shared, whole = (
        planned(gpus=8, objective="distill", teacher=HERE, sharding=sharding).memory.teacher
        for sharding in ("zero3", "zero2")
    )
    assert shared == TEACHER.total * 2 / 8 and whole == TEACHER.total * 2


def test_hours_of_a_checkpoint_by_hand():
    """Every rollout is scored once: 200 steps of 256, 1,600 and 300 tokens, 2 FLOPs a parameter."""
    alone, taught = planned(), planned(objective="distill", teacher=HERE)
    rollouts = 200 * 256
    flops = rollouts * (1900 * 2 * TEACHER.active + 1200 * 4 * 2 * TEACHER.vision)
    assert taught.gpu_hours - alone.gpu_hours == pytest.approx(flops / (989e12 * 0.3) / 3600)
    reused = planned(objective="distill", teacher=HERE, updates_per_generation=2)
    base = planned(updates_per_generation=2)
    assert reused.gpu_hours - base.gpu_hours == pytest.approx(flops / 2 / (989e12 * 0.3) / 3600)
    assert taught.requests == 0


def test_a_large_teacher_s_pass_may_need_more_than_the_policy_s():
    alone, taught = planned(), planned(objective="distill", teacher={**HERE, "dtype": "float32"})
    assert taught.memory.activations >= alone.memory.activations


def test_a_server_costs_requests_and_tokens_and_no_memory():
    """The answer stands in the prompt; one token comes back."""
    alone, served = planned(), planned(objective="both", teacher={"server": SERVER})
    assert served.requests == 200 * 256
    assert served.request_tokens == 200 * 256 * (400 + 1200 + 300 + 1) and served.answer_tokens == 200 * 256
    assert served.memory == alone.memory and served.gpu_hours == alone.gpu_hours


@pytest.mark.parametrize("teacher", [HERE, {"server": SERVER}])
def test_a_teacher_that_rewards_alone_leave_unread_costs_nothing(teacher):
    alone, named = planned(), planned(objective="rl", teacher=teacher)
    assert named == alone


def test_what_does_not_fit_with_it_says_what_would_help():
    taught = planned(gpu="24GB", objective="distill", teacher={**HERE, "dtype": "float32"})
    assert taught.fits is False
    assert taught.advice[-2:] == ("teacher.dtype: bfloat16", "teacher.server in place of teacher.checkpoint")
    assert planned(gpu="400GB", objective="distill", teacher=HERE).fits


def test_sizes_have_to_be_given():
    with pytest.raises(ValueError, match="hybrid_rl follows a checkpoint"):
        planned(sizes=None, objective="distill", teacher=HERE)
    assert checkpoint_of(None) == ""
