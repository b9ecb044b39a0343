"""The Kubeflow component: container, inputs, outputs."""

from kfp import dsl

from components.core.images import image


@dsl.container_component
def image_ingest(
    config: dict,
    source: str,
    benchmarks: str,
    images: dsl.Output[dsl.Dataset],
    rejected: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    enough: dsl.OutputPath(str),
    seen: str = "",
):
    """Verify, orient, deduplicate, decontaminate and split a folder of images; what is refused goes to `rejected`.

    Args:
        config: Settings of the stage.
        source: Pinned reference of the image folder, from preflight.
        benchmarks: Pinned references of the benchmarks whose images must not be trained on, from preflight.
        seen: Pinned list of the pictures that the model to start from has seen, from preflight; empty for none.
    """
    return dsl.ContainerSpec(
        image=image("image_ingest"),
        command=["python3", "-m", "components.image_ingest"],
        args=[
            "--config", config,
            "--source", source,
            "--benchmarks", benchmarks,
            "--seen", seen,
            "--enough", enough,
            "--images", images.path,
            "--rejected", rejected.path,
            "--metrics", metrics.path,
            "--report", report.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ],
    )  # fmt: skip
