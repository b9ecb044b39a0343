from __future__ import annotations

import logging

import pytest
import torch

from components.core.resume.journal import Journal
from components.core.stage.errors import ConfigError, EndpointError
from components.core.stage.settings import FreeEndpoint
from components.core.vlm import load_processor
from components.hybrid_rl.config import Config
from components.hybrid_rl.teacher.checkpoint import CheckpointTeacher
from components.hybrid_rl.teacher.server import ServedTeacher
from tests.components.hybrid_rl.teacher.test_trainer import GIVEN
from tests.components.hybrid_rl.test_trainer import generation


@pytest.fixture
def served(vllm, tmp_path, coloured_pictures):
    """A function that makes a teacher of the server, with the same journal each time."""

    def make() -> ServedTeacher:
        endpoint = FreeEndpoint(base_url=vllm.url, model="teacher", max_retries=0)
        journal = Journal(tmp_path / "teacher.jsonl")
        log = logging.getLogger("tests")
        return ServedTeacher(endpoint, journal, lambda image_id: coloured_pictures[int(image_id)], log)

    return make


def test_a_server_says_what_the_checkpoint_says(make_trainer, vllm, served, other_checkpoint):
    """Answers that read back as other tokens than were sampled have numbers up to there, and none behind."""
    settings = {**GIVEN, "prompts_per_step": 3, "max_completion_tokens": 12}
    trainer = make_trainer(taught_by=served(), **settings)
    batch = generation(trainer)
    teacher = CheckpointTeacher(other_checkpoint, Config.model_validate(settings))
    teacher.join(trainer)
    expected = teacher.logps(trainer, trainer._rows, batch)
    found, mask = batch["teacher_logps"], batch["completion_mask"].bool()
    known = ~found.isnan()
    assert not (known & ~mask).any() and known.any()
    torch.testing.assert_close(found[known], expected[known], atol=1e-4, rtol=1e-4)
    assert ((~known).int().cumsum(1).bool() == ~known).all()  # nothing behind the first gap
    distinct = {tuple(row[own].tolist()) for row, own in zip(batch["completion_ids"], mask, strict=True)}
    assert len(vllm.asked) <= len(distinct) * 3


def test_what_was_asked_is_not_asked_again(make_trainer, vllm, served):
    trainer = make_trainer(taught_by=served(), **GIVEN)
    batch = generation(trainer)
    asked = len(vllm.asked)
    again = served()
    found = again.logps(trainer, trainer._rows, batch)
    assert len(vllm.asked) == asked > 0 and again.metrics()["teacher_replayed"] == asked
    torch.testing.assert_close(found, batch["teacher_logps"], rtol=0, atol=0, equal_nan=True)


def test_the_end_token_has_a_number_too(make_trainer, vllm, served, other_checkpoint):
    trainer = make_trainer(taught_by=served(), max_completion_tokens=16, temperature=1.0, **GIVEN)
    batch = generation(trainer)
    tokenizer = trainer.processing_class.tokenizer
    own = [*tokenizer.encode("Answer: red"), tokenizer.eos_token_id]
    batch["completion_ids"][:, : len(own)] = torch.tensor(own)
    batch["completion_mask"][:] = (torch.arange(16) < len(own)).int()
    found = trainer._teacher.logps(trainer, trainer._rows, batch)
    assert not found[:, : len(own)].isnan().any() and found[:, len(own) :].isnan().all()
    teacher = CheckpointTeacher(other_checkpoint, Config.model_validate(GIVEN))
    teacher.join(trainer)
    expected = teacher.logps(trainer, trainer._rows, batch)[:, : len(own)]
    torch.testing.assert_close(found[:, : len(own)], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda reply: reply.pop("prompt_logprobs"), EndpointError, "served by vLLM"),
        (lambda reply: reply["prompt_logprobs"].pop(3), ConfigError, "from token 3 of"),
        (lambda reply: reply["prompt_logprobs"].__delitem__(slice(9, None)), ConfigError, "from token 9 of"),
    ],
    ids=["no vLLM", "another prompt", "a prompt that is cut"],
)
def test_a_server_that_reads_otherwise_is_refused(make_trainer, vllm, served, change, error, message):
    vllm.change = change
    trainer = make_trainer(taught_by=served(), **GIVEN)
    with pytest.raises(error, match=message):
        generation(trainer)


def test_the_servers_vocabulary_is_compared(vllm, served, tiny_checkpoint):
    tokenizer = load_processor(tiny_checkpoint).tokenizer
    served().check(tokenizer)
    real = vllm.processor.tokenizer.decode
    vllm.processor.tokenizer.decode = lambda ids: real([*ids[:40], ids[41], ids[40], *ids[42:]])
    with pytest.raises(ConfigError, match="are not the student's"):
        served().check(tokenizer)


def test_a_server_that_does_not_tell_its_vocabulary_is_taken(vllm, served, tiny_checkpoint, caplog):
    vllm.reply = lambda path, request: {"detail": "Not Found"}
    served().check(load_processor(tiny_checkpoint).tokenizer)
    assert "each answer's tokens are compared instead" in caplog.text
