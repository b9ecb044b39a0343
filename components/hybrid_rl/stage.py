"""hybrid_rl: chooses the questions, trains the policy on them, writes the checkpoint and some rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.manifest import MANIFEST_NAME
from components.core.resume.shared_batches import SharedBatches
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.core.stage.log import ProgressBar
from components.core.training.launch import rank, world_size
from components.hybrid_rl.config import Config

if TYPE_CHECKING:
    from components.core.data.image_store import ImageStore
    from components.hybrid_rl.rollouts.prompts import Prompt
    from components.hybrid_rl.rollouts.record import RolloutRecorder
    from components.hybrid_rl.scoring import Scored, Scorer
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
    history, trained = train(
        chosen, model, start.path, processor, store, scorer, recorder, config, ctx, teacher
    )
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


def train(
    prompts: list[Prompt],
    model: Any,
    start: Path,
    processor: Any,
    store: ImageStore,
    scorer: Scorer,
    recorder: RolloutRecorder,
    config: Config,
    ctx: StageContext,
    teacher: Teacher | None = None,
) -> tuple[list[dict[str, float]], Path | None]:
    """Train the policy, from the newest committed checkpoint of the work directory if there is one.

    Args:
        model: the policy; None loads it from `start`, in shares.
        teacher: in place of rewards or beside them, as `objective` says.

    Returns:
        TRL's log, one entry a step; the committed checkpoint of the last step.

    Raises:
        StageError: a signal came; progress is saved and the same command goes on.
    """
    from transformers import PrinterCallback, TrainerState
    from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

    from components.core.training.callbacks import Progress, SeedEachStep, StopOnSignal
    from components.core.training.checkpoints import CommitCheckpoints, cpu_ranks_load, newest_committed
    from components.core.vlm.tokens import banned_token_ids
    from components.hybrid_rl.policy import adapter_config, load_policy
    from components.hybrid_rl.rewards.asked import Asked, asks
    from components.hybrid_rl.rollouts.pass_rates import RefreshPassRates, measure
    from components.hybrid_rl.rollouts.prompts import reserved
    from components.hybrid_rl.rollouts.sampler import PromptSampler
    from components.hybrid_rl.trainer import HybridAdvantage, HybridTrainer, end_tokens, training_set
    from components.hybrid_rl.trl_config import engine_of, grpo_config

    cpu_ranks_load()
    root = ctx.work.dir("checkpoints", sealed_by=MANIFEST_NAME)
    generations = -(-config.max_steps // config.updates_per_generation)
    ids, hardness = [p.prompt_id for p in prompts], [p.hardness for p in prompts]
    kept_for = reserved(prompts, config.prompts)
    rates = [p.pass_rate for p in prompts]
    sampler = PromptSampler(ids, hardness, config.prompts, generations, config.seed, rates, kept_for)
    if kept_for:
        ctx.log.info("parts of every draw", extra={"questions": [len(own) for _, own in kept_for]})
    saved = newest_committed(root, ctx.log)
    if saved is not None:
        state = TrainerState.load_from_json(str(saved / "trainer_state.json"))
        sampler.restore(saved)
        ctx.log.info("resuming", extra={"step": state.global_step})
        if state.global_step >= config.max_steps:
            return list(state.log_history), saved
    failures: list[str] = []

    def note_errors(scored: Scored, step: int) -> None:
        if scored.errors and len(failures) < 20:
            failures.append(scored.errors[0])
            shown = {"step": step, "count": len(scored.errors), "first": scored.errors[0]}
            ctx.log.warning("rollouts without weight", extra=shown)

    def settle(scored: Scored, step: int) -> None:
        sampler.observe(scored.success)

    def measured(step: int, asked: Sequence[Prompt]) -> Sequence[Prompt]:
        batches = SharedBatches(ctx.work, f"pass_rates_{step}")
        with trainer.sampling_policy() as policy:
            return measure(asked, policy, processor, store, config, batches)

    arguments = grpo_config(config, str(root), world_size(), banned_token_ids(processor))
    model = model if model is not None else load_policy(start, config)
    asked = Asked(config, ctx.work.journal, store.get, ctx.log) if asks(config) else None
    advantage = HybridAdvantage(
        scorer,
        end_tokens(model, processor),
        [settle, recorder, note_errors],
        sampler.explored,
        asked,
    )
    kind: type[HybridTrainer] = HybridTrainer
    taught: dict[str, Any] = {}
    if teacher is not None:
        from components.hybrid_rl.teacher.trainer import TeacherTrainer

        rewards, weight = config.objective == "both", config.teacher.weight
        kind, taught = TeacherTrainer, {"teacher": teacher, "rewards": rewards, "weight": weight}
    stop = StopOnSignal(ctx.log, config.updates_per_generation)
    refresh_every = config.prompts.refresh_every_steps
    with stop.installed():
        with engine_of(config, start, arguments.bf16):
            trainer = kind(
                opmd_tau=config.opmd_tau if config.loss == "opmd" else None,
                max_logprob_difference=config.vllm.max_logprob_difference,
                model=model,
                processing_class=processor,
                reward_funcs=[advantage],
                args=arguments,
                peft_config=adapter_config(model, config),
                train_dataset=training_set(prompts, store),
                callbacks=[
                    SeedEachStep(),
                    RefreshPassRates(sampler, prompts, refresh_every, measured, config.prompts_per_step),
                    CommitCheckpoints(ctx.provenance, {}, sampler.save, config.keep_checkpoints),
                    Progress("training", ctx.log),
                    stop,
                ],
                prompt_sampler=sampler,
                **taught,
            )
        if trainer.use_vllm:
            ctx.log.info("rollout engine", extra={"engine": trainer.vllm_generation.describe()})
        trainer.remove_callback(PrinterCallback)
        if trainer.not_shared:
            ctx.log.info("each rollout is trained with a prompt of its own: %s", trainer.not_shared)
        trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    if asked is not None:
        ctx.metrics |= asked.usage()
    stop.raise_if_early(trainer.state)
    trainer.accelerator.wait_for_everyone()  # the last checkpoint is sealed by then
    return list(trainer.state.log_history), root / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"


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
