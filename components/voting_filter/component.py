"""What voting_filter reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Let several models answer each question, with and without the image; "
    "keep what they confirm by looking.",
    inputs=("images", "qa"),
    outputs=("qa_kept", "qa_rejected", "votes", "rejected"),
    compared=("kept", "kept_share", "mean_agreement", "rejected", "*_tokens"),
    joined={name: f"qa_kept/{name}" for name in ("qa_rejected", "votes", "rejected")},
)
