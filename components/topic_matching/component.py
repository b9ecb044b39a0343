"""The topic_matching component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def topic_matching(
    config: dict,
    images: dsl.Input[dsl.Dataset],
    ids: dsl.Input[dsl.Dataset],
    label_tree: dsl.Input[dsl.Dataset],
    matches: dsl.Output[dsl.Dataset],
    rejected: dsl.Output[dsl.Dataset],
    coverage: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
):
    """Match every image to topics of the label tree: captions narrow them down, a model that sees the image chooses."""
    return dsl.ContainerSpec(
        image=image("topic_matching"),
        command=["python3", "-m", "components.topic_matching"],
        args=[
            "--config", config,
            "--images", images.path,
            "--ids", ids.path,
            "--label-tree", label_tree.path,
            "--matches", matches.path,
            "--rejected", rejected.path,
            "--coverage", coverage.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
