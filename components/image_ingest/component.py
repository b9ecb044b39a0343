"""What image_ingest reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Verify, orient, deduplicate, decontaminate and split a source of images; the rest is rejected.",
    params=("source", "benchmarks"),
    optional_params=("seen",),
    output_params=("enough",),
    outputs=("images", "rejected"),
    compared=("new", "kept", "rejected", "heldout", "replayed"),
    joined={"rejected": "images/rejected"},
    help={
        "config": "Settings of the stage.",
        "source": "Pinned reference of the image folder, from preflight.",
        "benchmarks": "Pinned references of the benchmarks whose images are kept out, from preflight.",
        "seen": "Pinned list of the pictures seen by the promoted model, from preflight; empty for none.",
    },
)
