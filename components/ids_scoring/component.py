"""What ids_scoring reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Score each image's information density in four dimensions and allot questions; reject the rest.",
    inputs=("images",),
    outputs=("ids", "rejected"),
    compared=("scored", "rejected", "questions", "ids_mean", "ids_std", "*_tokens"),
    joined={"rejected": "ids/rejected"},
    condition="enough",
    help={
        "config": "Settings of the stage.",
        "images": "The ingested images.",
        "enough": "Whether there are enough new pictures to go on.",
    },
)
