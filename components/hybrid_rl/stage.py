"""hybrid_rl: chooses the questions, trains the policy on them, writes the checkpoint and some rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.resume.shared_batches import SharedBatches
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.core.stage.log import ProgressBar
from components.core.training.launch import rank
from components.hybrid_rl.config import Config

if TYPE_CHECKING:
    from components.core.data.image_store import ImageStore
    from components.hybrid_rl.rollouts.prompts import Prompt
    from components.hybrid_rl.teacher.base import Teacher

ROLLOUT_DIFFERENCE = "rollout_logprob_difference"
"""Mean difference between vLLM's log-probabilities and the trainer's in the first step, in nats."""

# Modules that load torch are imported where they are used: wrong settings are reported at once.


def run(config: Config, ctx: StageContext) -> None:
    """Train one checkpoint with hybrid rewards."""
    start = open_checkpoint(ctx.inputs["init_checkpoint"])
    images = ctx.dataset("images", table="images")
    kept = ctx.dataset("qa_kept", table="qa_kept")

    from transformers import AutoConfig
    from transformers.utils import logging as transformers_logging

    from components.core.data.image_store import ImageStore
    from components.core.training.result import write_result
    from components.core.vlm import load_processor, set_threads
    from components.hybrid_rl.policy import load_policy
    from components.hybrid_rl.report import write_report
    from components.hybrid_rl.rollouts.image_limits import check_same_limits
    from components.hybrid_rl.rollouts.prompts import candidates
    from components.hybrid_rl.rollouts.record import RolloutRecorder, write_rollouts
    from components.hybrid_rl.scoring import Scorer
    from components.hybrid_rl.training import Training

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    config = by_family(config, start.path)
    scorer = Scorer(config)
    limit, answer_types = config.prompts.max_candidates, config.prompts.answer_types
    found = candidates(kept.rows_iter(), limit, config.seed, answer_types)
    if not found:
        raise DataError(
            "qa_kept has no training questions; check the voting filter's report and the images' split"
        )
    ctx.log.info("starting", extra={"candidates": len(found), "threads": set_threads()})
    store = ImageStore(images)
    processor = load_processor(start.path)
    measured = config.prompts.pass_rate_samples or config.weights["perception"] != 0.0
    model = load_policy(start.path, config) if measured or config.sharding != "zero3" else None
    check_same_limits(processor, start.path)
    teacher = teacher_of(config, processor, store, ctx)
    rated, chosen = choose_prompts(found, model, processor, store, config, ctx)
    recorder = RolloutRecorder(ctx.work.journal("rollouts"), config)
    if config.sharding == "zero3":
        del model  # it is loaded again, in shares
        model = None
    training = Training(config, ctx, start.path, processor, store, scorer, recorder, teacher)
    history, trained = training.run(chosen, model)
    scorer.close()

    if not rank():
        output = ctx.outputs["checkpoint"]
        # Stored as the start is, so that training does not double the size.
        dtype = AutoConfig.from_pretrained(start.path).dtype
        write_result(trained, start.path, processor, output, config.weight_type, dtype)
        extra = {"stage": "hybrid_rl", "steps": config.max_steps, "trained_from": start.digest}
        commit_checkpoint(output, provenance=ctx.provenance, extra=extra)
    steps = recorder.steps()
    with ctx.writer("rollouts", table="predictions") as writer:
        write_rollouts(steps, writer)
    _fill_metrics(ctx.metrics, rated, chosen, history)
    if teacher is not None:
        ctx.metrics |= teacher.metrics()
    write_report(ctx.report, config, rated, chosen, history, steps, store)


def by_family(config: Config, start: Path) -> Config:
    """The settings with the loss that the model's family takes where they leave it open."""
    from components.core.vlm.families import family_for, read_config

    family = family_for(read_config(start).get("model_type"))
    # Ratios of single tokens jump with the experts that a token is sent to (GSPO, arXiv 2507.18071).
    chosen = "gspo" if family.experts else "dapo"
    return config.model_copy(update={"loss": chosen}) if config.loss == "auto" else config


def teacher_of(config: Config, processor: Any, store: ImageStore, ctx: StageContext) -> Teacher | None:
    """The teacher of the settings, checked and not loaded yet; None where rewards alone decide.

    Raises:
        ConfigError: it has another vocabulary than the student, or sees pictures otherwise.
    """
    if config.objective == "rl":
        return None
    if config.teacher.server:
        from components.hybrid_rl.teacher.server import ServedTeacher

        served = ServedTeacher(config.teacher.server, ctx.work.journal("teacher"), store.get, ctx.log)
        served.check(processor.tokenizer)
        return served
    from components.hybrid_rl.teacher.checkpoint import CheckpointTeacher, check_teacher, teacher_checkpoint

    path = teacher_checkpoint(ctx.params["teacher"] or config.teacher.checkpoint)
    check_teacher(path, processor)
    return CheckpointTeacher(path, config)


def choose_prompts(
    found: list[Prompt], model: Any, processor: Any, store: ImageStore, config: Config, ctx: StageContext
) -> tuple[list[Prompt], list[Prompt]]:
    """Measure the policy on the candidates, keep those that can teach it: (all with pass rates, the kept).

    Raises:
        DataError: fewer questions remain than one step needs, and the settings say not to fill up.
    """
    from components.hybrid_rl.rollouts.pass_rates import measure
    from components.hybrid_rl.rollouts.prompts import select, with_swaps

    rated = found = with_swaps(found) if config.weights["perception"] != 0.0 else found
    if config.prompts.pass_rate_samples or config.weights["perception"] != 0.0:
        batches = SharedBatches(ctx.work, "pass_rates")
        with ProgressBar(len(found), "pass rates", ctx.log) as bar:
            rated = measure(found, model, processor, store, config, batches, bar.update)
    chosen = select(rated, config.prompts, config.prompts_per_step)
    ctx.log.info("chose prompts", extra={"candidates": len(rated), "kept": len(chosen)})
    if not chosen or (len(chosen) < config.prompts_per_step and config.prompts.on_too_few == "fail"):
        raise DataError(
            f"only {len(chosen)} of {len(rated)} questions have a pass rate between prompts.min_pass_rate "
            "and prompts.max_pass_rate; widen them, raise prompts.max_candidates, or set prompts.on_too_few "
            "to 'fill'"
        )
    return rated, chosen


def _fill_metrics(
    metrics: dict[str, float], rated: list[Prompt], chosen: list[Prompt], history: list[dict[str, float]]
) -> None:
    steps = [entry for entry in history if "pass_at_1" in entry]
    tenth = max(1, len(steps) // 10)
    measured = [prompt.pass_rate for prompt in rated if prompt.pass_rate >= 0]
    metrics["candidates"] = len(rated)
    metrics["prompts"] = len(chosen)
    if measured:
        metrics["pass_rate_before"] = sum(measured) / len(measured)
    for name in ("pass_at_1", "pass_at_k", "response_tokens", "distinct_clusters", "entropy"):
        metrics[f"{name}_first"] = sum(entry[name] for entry in steps[:tenth]) / tenth
        metrics[f"{name}_last"] = sum(entry[name] for entry in steps[-tenth:]) / tenth
    if taught := [entry["teacher_kl"] for entry in steps if "teacher_kl" in entry]:
        metrics["teacher_kl_first"] = sum(taught[:tenth]) / tenth
        metrics["teacher_kl_last"] = sum(taught[-tenth:]) / tenth
        metrics["teacher_unscored"] = sum(entry["teacher_unscored"] for entry in steps) / len(steps)
    if apart := [entry[ROLLOUT_DIFFERENCE] for entry in steps if ROLLOUT_DIFFERENCE in entry]:
        metrics["rollout_logprob_difference"] = apart[0]
    metrics["unscored_rollouts"] = sum(entry["unscored"] for entry in steps)
    metrics["seconds_per_step"] = sum(entry["step_time"] for entry in steps) / max(len(steps), 1)
