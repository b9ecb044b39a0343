"""Inputs and outputs of hybrid_rl."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Train a checkpoint further on the kept training questions, by reinforcement learning with hybrid "
    "rewards or by a teacher's word on its own answers.",
    optional_params=("teacher",),
    inputs=("init_checkpoint", "images", "qa_kept"),
    outputs=("checkpoint", "rollouts"),
    compared=(
        "prompts",
        "pass_*",
        "response_tokens_*",
        "entropy_last",
        "unscored_rollouts",
        "teacher_kl_*",
        "seconds_per_step",
    ),
    joined={"rollouts": "checkpoint/rollouts"},
    kinds={"init_checkpoint": "Model", "checkpoint": "Model"},
)
