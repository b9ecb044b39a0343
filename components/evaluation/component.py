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
    confusion: dsl.Output[dsl.ClassificationMetrics],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    checkpoint: dsl.Input[dsl.Model] = None,
    compare_with: dsl.Input[dsl.Dataset] = None,
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
            dsl.IfPresentPlaceholder(
                input_name="compare_with", then=["--compare-with", compare_with.path]
            ),
            "--predictions", predictions.path,
            "--scores", scores.path,
            "--confusion", confusion.path,
            "--summary", summary.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
