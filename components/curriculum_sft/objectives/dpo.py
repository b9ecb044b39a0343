"""Direct preference optimisation (DPO) of a vision-language model with TRL."""

from __future__ import annotations

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from components.core.vlm import load_model
from components.curriculum_sft.data.batches import PreferenceCollator
from components.curriculum_sft.training.trainer import (
    Setup,
    StageTrainerMixin,
    trainer_arguments,
    trainer_parts,
)


class StageDPOTrainer(StageTrainerMixin, DPOTrainer):
    """TRL's DPO trainer in the stage's order, with its stop at a bad loss."""


def dpo_trainer(setup: Setup) -> StageDPOTrainer:
    """A trainer for pairs; the reference is the model it starts from (with LoRA, without adapters).

    Loss (arXiv 2305.18290 eq. 7, plus the likelihood term of arXiv 2404.19733):

        -log sigmoid(beta * (log pi(y+)/ref(y+) - log pi(y-)/ref(y-))) + sft_weight * NLL(y+)
    """
    columns = [{"sample_id": pair["sample_id"], "prompt": pair["prompt"], "chosen": pair["chosen"],
                "rejected": pair["rejected"], "images": pair["image_ids"], "length": pair["length"]}
               for pair in setup.rows]  # fmt: skip
    config, settings = setup.config, setup.config.preferences
    weighted = {"sigmoid": 1.0} | ({"sft": settings.sft_weight} if settings.sft_weight else {})
    arguments = DPOConfig(
        **trainer_arguments(setup),
        max_length=None,
        router_aux_loss_coef=config.router_aux_loss,
        beta=settings.beta,
        loss_type=list(weighted),
        loss_weights=list(weighted.values()),
    )
    parts = trainer_parts(setup)
    return StageDPOTrainer(
        ref_model=None if config.lora else load_model(setup.start, config.weight_type, attn=config.attention),
        args=arguments,
        data_collator=PreferenceCollator(setup.processor, setup.pictures),
        train_dataset=Dataset.from_list(columns),
        **parts,
    )
