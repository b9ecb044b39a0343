"""What evaluation reads and writes."""

from components.core.stage.io import StageIO

IO = StageIO(
    does="Measure a checkpoint (the base model when none is given) on every benchmark, with intervals.",
    params=("base_model", "benchmarks", "label"),
    inputs=("images", "qa_kept"),
    optional_inputs=("checkpoint", "compare_with"),
    outputs=("predictions", "scores", "confusion", "summary"),
    compared=(
        "items",
        "domain_accuracy",
        "general_accuracy",
        "hallucination_rate",
        "probe_f1",
        "pass_at_*[0-9]",
        "mean_response_tokens",
    ),
    joined={name: f"predictions/{name}" for name in ("scores", "confusion", "summary")},
    kinds={"checkpoint": "Model"},
)
