"""The promotion component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def promotion(
    config: dict,
    checkpoint: dsl.Input[dsl.Model],
    scores_base: dsl.Input[dsl.Artifact],
    scores_sft_1_domain: dsl.Input[dsl.Artifact],
    scores_sft_2_restore: dsl.Input[dsl.Artifact],
    scores_sft_3_align: dsl.Input[dsl.Artifact],
    scores_hybrid_rl: dsl.Input[dsl.Artifact],
    verdict: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
):
    """Judge the final model against the criteria, register it, and make it current if it passes."""
    return dsl.ContainerSpec(
        image=image("promotion"),
        command=["python3", "-m", "components.promotion"],
        args=[
            "--config", config,
            "--checkpoint", checkpoint.path,
            "--scores-base", scores_base.path,
            "--scores-sft-1-domain", scores_sft_1_domain.path,
            "--scores-sft-2-restore", scores_sft_2_restore.path,
            "--scores-sft-3-align", scores_sft_3_align.path,
            "--scores-hybrid-rl", scores_hybrid_rl.path,
            "--verdict", verdict.path,
            "--summary", summary.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
