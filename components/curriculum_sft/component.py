"""The curriculum_sft component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def curriculum_sft(
    config: dict,
    base_model: str,
    general_data: str,
    images: dsl.Input[dsl.Dataset],
    qa_kept: dsl.Input[dsl.Dataset],
    qa_rejected: dsl.Input[dsl.Dataset],
    votes: dsl.Input[dsl.Dataset],
    checkpoint: dsl.Output[dsl.Model],
    rejected: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    init_checkpoint: dsl.Input[dsl.Model] = None,
):
    """Fine-tune a checkpoint (the base model when none is given) on voted answers or on preferences between answers."""
    return dsl.ContainerSpec(
        image=image("curriculum_sft"),
        command=["python3", "-m", "components.curriculum_sft"],
        args=[
            "--config", config,
            "--base-model", base_model,
            "--general-data", general_data,
            "--images", images.path,
            "--qa-kept", qa_kept.path,
            "--qa-rejected", qa_rejected.path,
            "--votes", votes.path,
            dsl.IfPresentPlaceholder(
                input_name="init_checkpoint", then=["--init-checkpoint", init_checkpoint.path]
            ),
            "--checkpoint", checkpoint.path,
            "--rejected", rejected.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
