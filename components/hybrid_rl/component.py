"""The hybrid_rl component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def hybrid_rl(
    config: dict,
    init_checkpoint: dsl.Input[dsl.Model],
    images: dsl.Input[dsl.Dataset],
    qa_kept: dsl.Input[dsl.Dataset],
    checkpoint: dsl.Output[dsl.Model],
    rollouts: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
):
    """Train a checkpoint further by reinforcement learning with hybrid rewards on the kept training questions."""
    return dsl.ContainerSpec(
        image=image("hybrid_rl"),
        command=["python3", "-m", "components.hybrid_rl"],
        args=[
            "--config", config,
            "--init-checkpoint", init_checkpoint.path,
            "--images", images.path,
            "--qa-kept", qa_kept.path,
            "--checkpoint", checkpoint.path,
            "--rollouts", rollouts.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
