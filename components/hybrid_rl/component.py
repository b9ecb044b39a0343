"""Inputs and outputs of hybrid_rl."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Train a checkpoint further by reinforcement learning with hybrid rewards "
    "on the kept training questions.",
    inputs=("init_checkpoint", "images", "qa_kept"),
    outputs=("checkpoint", "rollouts"),
    joined={"rollouts": "checkpoint/rollouts"},
    kinds={"init_checkpoint": "Model", "checkpoint": "Model"},
)
