"""What curriculum_sft reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Fine-tune a checkpoint (the base model when none is given) on voted answers or on preferences "
    "between answers.",
    params=("base_model", "general_data"),
    inputs=("images", "qa_kept", "qa_rejected", "votes"),
    optional_inputs=("init_checkpoint",),
    outputs=("checkpoint", "rejected"),
    compared=(
        "samples",
        "rejected",
        "steps",
        "loss_*",
        "token_accuracy",
        "pairs_ranked_right",
        "tokens_per_s",
    ),
    joined={
        "qa_rejected": "qa_kept/qa_rejected",
        "votes": "qa_kept/votes",
        "rejected": "checkpoint/rejected",
    },
    kinds={"init_checkpoint": "Model", "checkpoint": "Model"},
)
