"""What topic_matching reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Match every image to topics of the label tree: captions narrow them down, "
    "a model that sees the image chooses.",
    inputs=("images", "ids", "label_tree"),
    outputs=("matches", "rejected", "coverage"),
    compared=("images_matched", "images_rejected", "matches", "topics_without_image", "*_tokens"),
    joined={name: f"matches/{name}" for name in ("rejected", "coverage")},
)
