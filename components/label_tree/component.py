"""What label_tree reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Grow the experts' first-level topics to a tree of three levels with a model.",
    outputs=("label_tree", "rejected"),
    compared=("topics_level_*", "topics_merged", "*_tokens"),
    joined={"rejected": "label_tree/rejected"},
    condition="enough",
    help={"config": "Settings of the stage.", "enough": "Whether there are enough new pictures to go on."},
)
