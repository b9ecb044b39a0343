"""The Kubeflow component: container, inputs, outputs."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def qa_synthesis(
    config: dict,
    images: dsl.Input[dsl.Dataset],
    ids: dsl.Input[dsl.Dataset],
    label_tree: dsl.Input[dsl.Dataset],
    matches: dsl.Input[dsl.Dataset],
    qa: dsl.Output[dsl.Dataset],
    rejected: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
):
    """Write question-answer items about each image and evolve them (MMEvol); malformed items go to `rejected`."""
    return dsl.ContainerSpec(
        image=image("qa_synthesis"),
        command=["python3", "-m", "components.qa_synthesis"],
        args=[
            "--config", config,
            "--images", images.path,
            "--ids", ids.path,
            "--label-tree", label_tree.path,
            "--matches", matches.path,
            "--qa", qa.path,
            "--rejected", rejected.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
