"""The evaluation component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def evaluation(
    config: dict,
    base_model: str,
    benchmarks: str,
    label: str,
    images: dsl.Input[dsl.Dataset],
    qa_kept: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Dataset],
    scores: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    checkpoint: dsl.Input[dsl.Model] = None,
):
    """Measure a checkpoint (the base model when none is given) on every benchmark, with intervals."""
    return dsl.ContainerSpec(
        image=image("evaluation"),
        command=["python3", "-m", "components.evaluation"],
        args=[
            "--config", config,
            "--base-model", base_model,
            "--benchmarks", benchmarks,
            "--label", label,
            "--images", images.path,
            "--qa-kept", qa_kept.path,
            dsl.IfPresentPlaceholder(input_name="checkpoint", then=["--checkpoint", checkpoint.path]),
            "--predictions", predictions.path,
            "--scores", scores.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
