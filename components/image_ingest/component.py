"""What image_ingest reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Verify, orient, deduplicate, decontaminate and split a folder of images; what is refused goes to `rejected`.",
    params=("source", "benchmarks"),
    optional_params=("seen",),
    output_params=("enough",),
    outputs=("images", "rejected"),
    help={
        "config": "Settings of the stage.",
        "source": "Pinned reference of the image folder, from preflight.",
        "benchmarks": "Pinned references of the benchmarks whose images must not be trained on, from preflight.",
        "seen": "Pinned list of the pictures that the model to start from has seen, from preflight; empty for none.",
    },
)
