"""Before TRL's generator: prompts as the engine reads them, log-probabilities of the first rollouts alone."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from components.core.stage.errors import ConfigError, EndpointError
from components.core.vllm.rollouts import FirstStep, Rollouts, first_step_of, served

IMAGE = 7


class Generator:
    """Notes what it is given; answers as TRL's `VLLMGeneration` does."""

    def __init__(self, mode: str, logprobs: int | None) -> None:
        self.mode, self.logprobs, self.calls = mode, logprobs, []
        self.llm = None

    def generate(self, prompts, images, num_generations):
        self.calls.append((prompts, images, self.logprobs))
        given = [[[-0.5]], [[-1.0], [None]]] if self.logprobs is not None else None
        return prompts, [[3], [4, 5]], given, None

    def describe(self):
        return {}


PROMPTS = [[1, IMAGE, IMAGE, 2], [3]]
IMAGES = [["picture"], []]


def test_a_colocated_engine_gets_one_token_a_picture_and_a_server_all():
    for mode, expected in (("colocate", [[1, IMAGE, 2], [3]]), ("server", PROMPTS)):
        inner = Generator(mode, 0)
        Rollouts(inner, IMAGE).generate(prompts=PROMPTS, images=IMAGES, num_generations=1)
        assert inner.calls[0][0] == expected


def test_a_row_without_pictures_has_none_rather_than_an_empty_list():
    inner = Generator("colocate", 0)
    rollouts = Rollouts(inner, IMAGE)
    rollouts.generate(prompts=PROMPTS, images=IMAGES, num_generations=1)
    rollouts.generate(prompts=[[1]], images=None, num_generations=1)
    assert [images for _, images, _ in inner.calls] == [[["picture"], None], None]


@pytest.mark.parametrize("logprobs", [None, 0])
def test_log_probabilities_are_asked_for_once_where_the_trainer_wants_none(logprobs):
    inner = Generator("colocate", logprobs)
    rollouts = Rollouts(inner, IMAGE)
    for _ in range(2):
        rollouts.generate(prompts=PROMPTS, images=IMAGES, num_generations=1)
    assert [call[2] for call in inner.calls] == [0, logprobs]
    assert rollouts.sampled == [[-0.5], [-1.0, None]]
    assert inner.logprobs == logprobs


def test_other_attributes_are_the_generator_s():
    assert Rollouts(Generator("server", 0), IMAGE).mode == "server"


def first_step(bound: float) -> tuple[FirstStep, torch.nn.Module]:
    rollouts = Rollouts(Generator("server", 0), IMAGE)
    first = FirstStep(rollouts, bound, "hybrid_rl.vllm.max_logprob_difference")
    assert not first.due
    rollouts.generate(prompts=PROMPTS, images=IMAGES, num_generations=1)
    assert first.due
    return first, torch.nn.Linear(1, 1)


def test_the_first_step_is_compared_once():
    first, model = first_step(0.1)
    sampled = first.padded(3)
    assert sampled.shape == (2, 3)
    assert math.isnan(sampled[1, 1])
    found = first.compare(sampled, torch.tensor([[-0.5, -9, -9], [-1.0625, -9, -9]]), model)
    assert (found.tokens, found.difference) == (2, 0.03125)
    assert not first.due


def test_a_difference_names_both_engines():
    first, model = first_step(0.1)
    with pytest.raises(ConfigError, match=r"vLLM \(server.*transformers \(.*float32, cpu\)"):
        first.compare(first.padded(2), torch.tensor([[-2.0, 0], [-3.0, 0]]), model)


def test_a_trainer_without_vllm_is_left_alone():
    trainer = SimpleNamespace(use_vllm=False)
    assert first_step_of(trainer, None, 0.1, "s") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("The vLLM server at http://x has no weight-transfer engine. Restart it"), ConfigError),
        (NotImplementedError("Weight synchronization runs on NCCL, which needs a CUDA device"), ConfigError),
        (ConnectionError("The vLLM server can't be reached at http://x after 240 seconds."), EndpointError),
        (RuntimeError("CUDA error: an illegal memory access"), RuntimeError),
    ],
)
def test_what_a_server_lacks_is_a_setting_and_a_lost_one_an_endpoint(error, kind):
    with pytest.raises(kind, match=str(error)[:20]), served("hybrid_rl.vllm.server_base_url"):
        raise error
