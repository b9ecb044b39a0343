from __future__ import annotations

import pytest
import torch
from trl import GRPOTrainer

from components.core.stage.errors import ConfigError
from components.hybrid_rl.config import Config
from components.hybrid_rl.rollouts.sampler import GenerationSampler
from components.hybrid_rl.trl_config import grpo_config


def generation(trainer) -> dict:
    """One generation's worth of rollouts, as the update receives it, through TRL's own data path."""
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    return trainer._generate_and_score_completions(batch)


def gradients(trainer, batch: dict) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    trainer.model.zero_grad()
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    return loss.detach(), {
        n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("loss", ["dapo", "gspo"])
def test_shared_prompts_give_trls_loss_and_gradients(make_trainer, loss):
    trainer = make_trainer(loss=loss, prompts_per_step=3)
    batch = generation(trainer)
    order = torch.randperm(
        12, generator=torch.Generator().manual_seed(0)
    )  # TRL shuffles rows before the update
    from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

    batch = split_pixel_values_by_grid(batch)
    batch = {
        k: (
            v[order]
            if isinstance(v, torch.Tensor) and v.ndim
            else [v[i] for i in order]
            if isinstance(v, list)
            else v
        )
        for k, v in batch.items()
    }
    batch = unsplit_pixel_values_by_grid(batch)
    # An untrained policy's rollouts earn nothing; any advantages serve to compare gradients.
    batch["advantages"] = torch.randn(12, generator=torch.Generator().manual_seed(1))
    ours, our_grads = gradients(trainer, batch)
    trainer._shares_prompts = trainer._samples_itself = False
    theirs, their_grads = gradients(trainer, batch)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert our_grads.keys() == their_grads.keys()
    assert max(grad.abs().max() for grad in their_grads.values()) > 1e-3
    for name, grad in their_grads.items():
        torch.testing.assert_close(our_grads[name], grad, atol=1e-6, rtol=1e-3, msg=name)


def test_generation_is_what_trl_prepares_from_every_row(make_trainer):
    trainer = make_trainer(prompts_per_step=3)
    batch = generation(trainer)
    rows = trainer._rows
    trainer._shares_prompts = trainer._samples_itself = False
    prompts = [
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": r["images"][0]},
                    {"type": "text", "text": r["question"]},
                ],
            }
        ]
        for r in rows
    ]
    ids, _, fields = GRPOTrainer._tokenize_prompts(trainer, prompts)
    for row, expected in enumerate(ids):
        assert batch["prompt_ids"][row][batch["prompt_mask"][row] == 1].tolist() == list(expected)
    torch.testing.assert_close(batch["pixel_values"], torch.as_tensor(fields["pixel_values"]))
    image_token = trainer.model.config.image_token_id
    prompt = batch["prompt_ids"].shape[1]
    assert ((batch["mm_token_type_ids"][:, :prompt] == 1) == (batch["prompt_ids"] == image_token)).all()
    assert batch["image_grid_thw"].tolist() == torch.as_tensor(fields["image_grid_thw"]).tolist()
    assert batch["group"].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_advantages_reach_the_update_unchanged(make_trainer, my_rewards):
    seen = []
    extra = [{"name": "checksum", "function": f"{my_rewards}:checksum"}]
    trainer = make_trainer((lambda scored, step: seen.append(scored),), extra_rewards=extra)
    batch = generation(trainer)
    torch.testing.assert_close(
        batch["advantages"], torch.tensor(seen[0].advantages, dtype=torch.float32), atol=1e-6, rtol=0
    )
    assert batch["advantages"].abs().max() > 0


@pytest.mark.parametrize("masked", [True, False])
def test_truncated_responses_leave_the_loss_but_not_their_group(make_trainer, my_rewards, masked):
    seen = []
    extra = [{"name": "checksum", "function": f"{my_rewards}:checksum"}]
    trainer = make_trainer(
        (lambda scored, step: seen.append(scored),),
        mask_truncated=masked,
        max_completion_tokens=16,
        temperature=5.0,
        prompts_per_step=6,
        extra_rewards=extra,
    )
    batch = generation(trainer)
    truncated = torch.tensor([rollout.truncated for rollout in seen[0].rollouts])
    assert truncated.any() and not truncated.all()
    trained = batch["completion_mask"].any(dim=1)
    assert trained.tolist() == (~truncated).tolist() if masked else trained.all()
    # Their rewards count in the mean of the group all the same.
    assert batch["advantages"][truncated].abs().max() > 0


@pytest.mark.parametrize("shared", [True, False])
def test_no_response_contains_a_vision_token(make_trainer, shared):
    trainer = make_trainer(max_completion_tokens=48, temperature=5.0, prompts_per_step=6)
    trainer._shares_prompts = trainer._samples_itself = shared
    batch = generation(trainer)
    vocabulary = trainer.processing_class.tokenizer.get_vocab()
    banned = torch.tensor(
        [vocabulary[t] for t in ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")]
    )
    assert not torch.isin(batch["completion_ids"], banned).any()


def test_trls_own_path_trains_too(make_trainer):
    trainer = make_trainer(gradient_checkpointing=True, max_steps=1)
    assert not trainer._shares_prompts
    trainer.train()
    assert trainer.state.global_step == 1


def test_off_policy_updates_and_micro_batches(make_trainer):
    trainer = make_trainer(updates_per_generation=2, micro_batch_rollouts=2, max_steps=4, save_steps=4)
    trainer.train()
    draws = trainer.prompt_sampler
    assert trainer.state.global_step == 4 and draws.drawn - len(draws.pending()) == 2
    assert all(
        entry["clip_ratio/region_mean"] >= 0 for entry in trainer.state.log_history if "entropy" in entry
    )


@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo", "gspo", "opmd"])
def test_every_loss_trains(make_trainer, my_rewards, loss):
    extra = [{"name": "checksum", "function": f"{my_rewards}:checksum", "weight": 1.0}]
    trainer = make_trainer(
        loss=loss,
        updates_per_generation=2,
        max_steps=4,
        save_steps=4,
        extra_rewards=extra,
        learning_rate=1e-2,
    )
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.train()
    moved = [not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True)]
    assert any(moved) and all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_rollouts_belong_to_their_place_in_the_batch(make_trainer):
    """A process that holds the second half of the rows draws for them what a process with all rows does."""
    trainer = make_trainer()
    trainer._rows = [{}] * 8
    whole = trainer._draws(0, 8)
    assert (trainer._draws(2, 3) == whole[2:5]).all() and (trainer._draws(6, 2) == whole[6:]).all()
    assert len({row.tobytes() for row in whole}) == 8


def test_generation_sampler_repeats_each_question_for_its_group(make_trainer):
    trainer = make_trainer()
    sampler = GenerationSampler(trainer.prompt_sampler, draws=2, count=2, group_size=3, repeat=2)
    order = list(sampler)
    assert len(order) == len(sampler) == 24
    assert order[:6] == order[6:12] and order[0] == order[1] == order[2]
    assert len(trainer.prompt_sampler.pending()) == 2


def test_rollouts_that_cannot_be_shared_out_are_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="micro batches of 3"):
        grpo_config(Config(prompts_per_step=2, micro_batch_rollouts=3), str(tmp_path), 1, {})
    with pytest.raises(ConfigError, match="5 processes"):
        grpo_config(Config(prompts_per_step=2), str(tmp_path), 5, {})
