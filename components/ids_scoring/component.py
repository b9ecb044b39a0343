"""The Kubeflow component: container, inputs, outputs."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def ids_scoring(
    config: dict,
    images: dsl.Input[dsl.Dataset],
    ids: dsl.Output[dsl.Dataset],
    rejected: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    enough: str = "true",
):
    """Score each image's information density in four dimensions and allot it questions; what cannot be scored goes to `rejected`.

    Args:
        config: Settings of the stage.
        images: The ingested images.
        enough: Whether there are enough new pictures to go on; the task's condition reads it, the stage does not.
    """
    return dsl.ContainerSpec(
        image=image("ids_scoring"),
        command=["python3", "-m", "components.ids_scoring"],
        args=[
            "--config", config,
            "--images", images.path,
            "--ids", ids.path,
            "--rejected", rejected.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
