"""The label_tree component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def label_tree(
    config: dict,
    label_tree: dsl.Output[dsl.Dataset],
    rejected: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    enough: str = "true",
):
    """Grow the experts' first-level topics to a tree of three levels with a model.

    Args:
        config: Settings of the stage.
        enough: Whether there are enough new pictures to go on; the task's condition reads it, the stage does not.
    """
    return dsl.ContainerSpec(
        image=image("label_tree"),
        command=["python3", "-m", "components.label_tree"],
        args=[
            "--config", config,
            "--label-tree", label_tree.path,
            "--rejected", rejected.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
