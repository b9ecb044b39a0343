"""The Kubeflow component: container, inputs, outputs."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def voting_filter(
    config: dict,
    images: dsl.Input[dsl.Dataset],
    qa: dsl.Input[dsl.Dataset],
    qa_kept: dsl.Output[dsl.Dataset],
    qa_rejected: dsl.Output[dsl.Dataset],
    votes: dsl.Output[dsl.Dataset],
    rejected: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
):
    """Let several models answer each question, with and without the image; keep what they confirm by looking."""
    return dsl.ContainerSpec(
        image=image("voting_filter"),
        command=["python3", "-m", "components.voting_filter"],
        args=[
            "--config", config,
            "--images", images.path,
            "--qa", qa.path,
            "--qa-kept", qa_kept.path,
            "--qa-rejected", qa_rejected.path,
            "--votes", votes.path,
            "--rejected", rejected.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
