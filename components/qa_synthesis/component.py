"""What qa_synthesis reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Write question-answer items about each image and evolve them (MMEvol); "
    "malformed items go to `rejected`.",
    inputs=("images", "ids", "label_tree", "matches"),
    outputs=("qa", "rejected"),
    compared=("images_with_items", "items", "rejected", "paths_correct_share", "*_tokens"),
    joined={"rejected": "qa/rejected"},
)
