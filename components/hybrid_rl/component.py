"""Inputs and outputs of hybrid_rl."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Train a checkpoint further by reinforcement learning with hybrid rewards "
    "on the kept training questions.",
    inputs=("init_checkpoint", "images", "qa_kept"),
    outputs=("checkpoint", "rollouts"),
    compared=(
        "prompts",
        "pass_*",
        "response_tokens_*",
        "entropy_last",
        "unscored_rollouts",
        "seconds_per_step",
    ),
    joined={"rollouts": "checkpoint/rollouts"},
    kinds={"init_checkpoint": "Model", "checkpoint": "Model"},
)
