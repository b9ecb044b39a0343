from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from components.core.stage.errors import ConfigError
from components.core.vlm import load_model, load_processor
from components.hybrid_rl.config import Config
from components.hybrid_rl.teacher.checkpoint import CheckpointTeacher, check_teacher
from tests.components.hybrid_rl.test_trainer import generation

GIVEN = {"objective": "distill", "teacher": {"checkpoint": "given to the trainer itself"}}


def taught(make_trainer, checkpoint: Path, **config):
    settings = {**GIVEN, **config}
    teacher = CheckpointTeacher(checkpoint, Config.model_validate(settings))
    return make_trainer(taught_by=teacher, **settings)


def advantages(trainer, batch: dict) -> torch.Tensor:
    """The advantages that the update uses."""
    batch = dict(batch)
    trainer.current_gradient_accumulation_steps = 1
    seen = {}
    real = trainer._taught

    def taught(inputs, logps):
        seen["advantages"] = real(inputs, logps)
        return seen["advantages"]

    trainer._taught = taught
    trainer._compute_loss(trainer.model, batch)
    trainer._taught = real
    return seen["advantages"]


@pytest.mark.parametrize("shared", [True, False], ids=["shared prompts", "TRL's own path"])
def test_a_teacher_equal_to_the_student_says_nothing(make_trainer, tiny_checkpoint, shared):
    trainer = taught(make_trainer, tiny_checkpoint, prompts_per_step=3)
    trainer._shares_prompts = trainer._samples_itself = shared
    found = advantages(trainer, generation(trainer))
    assert found.abs().max() < 1e-5
    assert abs(trainer._metrics["train"]["teacher_kl"][0]) < 1e-5


def test_advantages_are_the_difference_of_plain_log_probabilities(make_trainer, other_checkpoint):
    """Against transformers' own logits of both models, response by response, without padding."""
    trainer = taught(make_trainer, other_checkpoint, prompts_per_step=3, temperature=1.3)
    batch = generation(trainer)
    found = advantages(trainer, batch)
    models = [trainer.model, load_model(other_checkpoint, "float32")]
    patches = batch["pixel_values"].split(batch["image_grid_thw"].prod(-1).tolist())
    for place, row in enumerate(found):
        own = batch["prompt_mask"][place].bool()
        said = batch["completion_ids"][place][batch["completion_mask"][place].bool()]
        ids = torch.cat([batch["prompt_ids"][place][own], said])[None]
        types = (ids == trainer.model.config.image_token_id).int()
        logps = []
        for model in models:
            with torch.no_grad():
                logits = model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    pixel_values=patches[place],
                    image_grid_thw=batch["image_grid_thw"][place : place + 1],
                    mm_token_type_ids=types,
                ).logits[0, -len(said) - 1 : -1]
            logps.append((logits / 1.3).log_softmax(-1).gather(-1, said[:, None])[:, 0])
        torch.testing.assert_close(row[: len(said)], logps[1] - logps[0], atol=1e-4, rtol=1e-4)
        assert (row[len(said) :] == 0).all()


def first_token_kl(trainer, batch: dict) -> float:
    """KL of the policy to the teacher over the whole vocabulary, at the first token, mean over prompts."""
    logps = []
    for model in (trainer.model, trainer._teacher._model):
        fields = {name: batch[name] for name in ("pixel_values", "image_grid_thw")}
        types = batch["mm_token_type_ids"][:, : batch["prompt_ids"].shape[1]]
        with torch.no_grad():
            found = model(
                input_ids=batch["prompt_ids"],
                attention_mask=batch["prompt_mask"],
                mm_token_type_ids=types,
                **fields,
            )
        logps.append(found.logits[:, -1].log_softmax(-1))
    return float((logps[0].exp() * (logps[0] - logps[1])).sum(-1).mean())


def test_distillation_nears_the_teacher(make_trainer, other_checkpoint):
    trainer = taught(
        make_trainer, other_checkpoint, max_steps=8, save_steps=8, learning_rate=1e-2, group_size=32,
        max_completion_tokens=1,
    )  # fmt: skip
    batch = generation(trainer)
    before = first_token_kl(trainer, batch)
    trainer.train()
    after = first_token_kl(trainer, batch)
    assert before > 0.5 and after < 0.95 * before
    kl = [entry["teacher_kl"] for entry in trainer.state.log_history if "teacher_kl" in entry]
    assert kl[0] == pytest.approx(before, rel=0.5)  # of 64 samples


def test_a_teacher_is_asked_once_for_all_updates_of_a_generation(make_trainer, other_checkpoint):
    trainer = taught(make_trainer, other_checkpoint, updates_per_generation=2, max_steps=4, save_steps=4)
    asked = []
    real = trainer._teacher.logps
    trainer._teacher.logps = lambda *args: asked.append(1) or real(*args)
    trainer.train()
    assert trainer.state.global_step == 4 and len(asked) == 2


def test_with_rewards_both_add_up(make_trainer, my_rewards, other_checkpoint):
    extra = [{"name": "checksum", "function": f"{my_rewards}:checksum", "weight": 1.0}]
    teacher = {"checkpoint": "given", "weight": 0.5}
    trainer = taught(make_trainer, other_checkpoint, objective="both", teacher=teacher, extra_rewards=extra)
    batch = generation(trainer)
    mask = batch["completion_mask"]
    both = advantages(trainer, batch)
    trainer._rewards = False
    alone = advantages(trainer, batch)
    assert batch["advantages"].abs().max() > 0
    torch.testing.assert_close(both, batch["advantages"][:, None] + 0.5 * alone)
    assert (alone[mask == 0] == 0).all()


def test_masked_responses_are_not_taught(make_trainer, other_checkpoint):
    trainer = taught(
        make_trainer, other_checkpoint, mask_truncated=True, max_completion_tokens=16, temperature=5.0
    )
    batch = generation(trainer)
    masked = ~batch["completion_mask"].bool().any(dim=1)
    assert masked.any()
    assert (advantages(trainer, batch)[masked] == 0).all()


def changed(checkpoint: Path, out: Path, file: str, change) -> Path:
    shutil.copytree(checkpoint, out)
    path = out / file
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return out


def swap_tokens(content: dict) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["r"], vocabulary["g"] = vocabulary["g"], vocabulary["r"]


def larger_pictures(content: dict) -> None:
    content["image_processor"]["size"]["longest_edge"] = 128 * 128


def other_colours(content: dict) -> None:
    content["image_processor"]["image_mean"] = [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("tokenizer.json", swap_tokens, r"another vocabulary .*2 differ: 'g' is (\d+) and (\d+)"),
        (
            "tokenizer_config.json",
            lambda c: c.update(eos_token="<|endoftext|>"),
            "special tokens .*eos_token",
        ),
        ("processor_config.json", larger_pictures, "max_pixels is 4096 in training and 16384"),
        ("processor_config.json", other_colours, "its image_mean is"),
    ],
)
def test_a_teacher_that_reads_otherwise_is_refused(tiny_checkpoint, tmp_path, file, change, message):
    teacher = changed(tiny_checkpoint, tmp_path / "teacher", file, change)
    with pytest.raises(ConfigError, match=message):
        check_teacher(teacher, load_processor(tiny_checkpoint))


def test_the_students_own_kind_is_taken(tiny_checkpoint, other_checkpoint):
    check_teacher(other_checkpoint, load_processor(tiny_checkpoint))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"objective": "distill"}, "needs teacher.checkpoint or teacher.server"),
        ({**GIVEN, "loss": "opmd"}, "single tokens"),
        (
            {
                "objective": "both",
                "teacher": {"server": {"base_url": "http://x/v1", "model": "m"}},
                "temperature": 0.7,
            },
            "temperature 1",
        ),
    ],
)
def test_settings_that_do_not_go_together(config, message):
    with pytest.raises(ValueError, match=message):
        Config.model_validate(config)
