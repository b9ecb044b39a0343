"""The promotion component."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def promotion(
    config: dict,
    general_data: str,
    section_preflight: dict,
    section_image_ingest: dict,
    section_ids_scoring: dict,
    section_label_tree: dict,
    section_topic_matching: dict,
    section_qa_synthesis: dict,
    section_voting_filter: dict,
    section_sft_1_domain: dict,
    section_sft_2_restore: dict,
    section_sft_3_align: dict,
    section_hybrid_rl: dict,
    section_evaluation: dict,
    checkpoint: dsl.Input[dsl.Model],
    scores_base: dsl.Input[dsl.Artifact],
    scores_sft_1_domain: dsl.Input[dsl.Artifact],
    scores_sft_2_restore: dsl.Input[dsl.Artifact],
    scores_sft_3_align: dsl.Input[dsl.Artifact],
    scores_hybrid_rl: dsl.Input[dsl.Artifact],
    predictions_base: dsl.Input[dsl.Dataset],
    predictions_hybrid_rl: dsl.Input[dsl.Dataset],
    qa_kept: dsl.Input[dsl.Dataset],
    verdict: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    images: dsl.Input[dsl.Dataset] = None,
):
    """Judge the final model against base and incumbent, register it, and make it current if it passes.

    Args:
        config: Settings of the stage: domain, registry, criteria.
        general_data: Pinned reference of the general data, for the lineage.
        section_preflight: Settings of preflight, kept with the version.
        section_image_ingest: Settings of image_ingest, kept with the version.
        section_ids_scoring: Settings of ids_scoring, kept with the version.
        section_label_tree: Settings of label_tree, kept with the version.
        section_topic_matching: Settings of topic_matching, kept with the version.
        section_qa_synthesis: Settings of qa_synthesis, kept with the version.
        section_voting_filter: Settings of voting_filter, kept with the version.
        section_sft_1_domain: Settings of sft_1_domain, kept with the version.
        section_sft_2_restore: Settings of sft_2_restore, kept with the version.
        section_sft_3_align: Settings of sft_3_align, kept with the version.
        section_hybrid_rl: Settings of hybrid_rl, kept with the version.
        section_evaluation: Settings of evaluation, kept with the version.
    """
    return dsl.ContainerSpec(
        image=image("promotion"),
        command=["python3", "-m", "components.promotion"],
        args=[
            "--config", config,
            "--general-data", general_data,
            "--section-preflight", section_preflight,
            "--section-image-ingest", section_image_ingest,
            "--section-ids-scoring", section_ids_scoring,
            "--section-label-tree", section_label_tree,
            "--section-topic-matching", section_topic_matching,
            "--section-qa-synthesis", section_qa_synthesis,
            "--section-voting-filter", section_voting_filter,
            "--section-sft-1-domain", section_sft_1_domain,
            "--section-sft-2-restore", section_sft_2_restore,
            "--section-sft-3-align", section_sft_3_align,
            "--section-hybrid-rl", section_hybrid_rl,
            "--section-evaluation", section_evaluation,
            "--checkpoint", checkpoint.path,
            "--scores-base", scores_base.path,
            "--scores-sft-1-domain", scores_sft_1_domain.path,
            "--scores-sft-2-restore", scores_sft_2_restore.path,
            "--scores-sft-3-align", scores_sft_3_align.path,
            "--scores-hybrid-rl", scores_hybrid_rl.path,
            "--predictions-base", predictions_base.path,
            "--predictions-hybrid-rl", predictions_hybrid_rl.path,
            "--qa-kept", qa_kept.path,
            dsl.IfPresentPlaceholder(input_name="images", then=["--images", images.path]),
            "--verdict", verdict.path,
            "--summary", summary.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
