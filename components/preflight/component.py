"""The Kubeflow component: container, inputs, outputs."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def preflight(
    config: dict,
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
    section_promotion: dict,
    images: dsl.OutputPath(str),
    general_data: dsl.OutputPath(str),
    base_model: dsl.OutputPath(str),
    benchmarks: dsl.OutputPath(str),
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    seen: dsl.OutputPath(str),
):
    """Check every setting, source and endpoint of the run before anything is paid for, and pin what comes from outside.

    Args:
        config: Settings of the stage: where images, general data, base model and benchmarks are.
        section_image_ingest: Settings of image_ingest, to be checked.
        section_ids_scoring: Settings of ids_scoring, to be checked.
        section_label_tree: Settings of label_tree, to be checked.
        section_topic_matching: Settings of topic_matching, to be checked.
        section_qa_synthesis: Settings of qa_synthesis, to be checked.
        section_voting_filter: Settings of voting_filter, to be checked.
        section_sft_1_domain: Settings of sft_1_domain, to be checked.
        section_sft_2_restore: Settings of sft_2_restore, to be checked.
        section_sft_3_align: Settings of sft_3_align, to be checked.
        section_hybrid_rl: Settings of hybrid_rl, to be checked.
        section_evaluation: Settings of evaluation, to be checked.
        section_promotion: Settings of promotion, to be checked.
    """
    return dsl.ContainerSpec(
        image=image("preflight"),
        command=["python3", "-m", "components.preflight"],
        args=[
            "--config", config,
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
            "--section-promotion", section_promotion,
            "--images", images,
            "--general-data", general_data,
            "--base-model", base_model,
            "--benchmarks", benchmarks,
            "--seen", seen,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
