"""Training of the policy: from questions and the start to a committed checkpoint, resumable at every save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.data.manifest import MANIFEST_NAME
from components.core.resume.shared_batches import SharedBatches
from components.core.stage.context import StageContext
from components.core.training.launch import world_size
from components.hybrid_rl.config import Config

if TYPE_CHECKING:
    from components.core.data.image_store import ImageStore
    from components.hybrid_rl.rollouts.prompts import Prompt
    from components.hybrid_rl.rollouts.record import RolloutRecorder
    from components.hybrid_rl.scoring import Scored, Scorer
    from components.hybrid_rl.teacher.base import Teacher

# Modules that load torch are imported where they are used: wrong settings are reported at once.


@dataclass(frozen=True)
class Training:
    """What the policy is trained with, beside its questions."""

    config: Config
    ctx: StageContext
    start: Path
    """Directory of the checkpoint that training starts from."""
    processor: Any
    store: ImageStore
    scorer: Scorer
    recorder: RolloutRecorder
    teacher: Teacher | None = None
    """In place of rewards or beside them, as `objective` says."""

    def run(self, prompts: list[Prompt], model: Any) -> tuple[list[dict[str, float]], Path]:
        """Train on `prompts`, from the newest committed checkpoint of the work directory if there is one.

        Args:
            model: the policy; None loads it from `start`, in shares.

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

        config, ctx, processor, store = self.config, self.ctx, self.processor, self.store
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
        model = model if model is not None else load_policy(self.start, config)
        asked = Asked(config, ctx.work.journal, store.get, ctx.log) if asks(config) else None
        advantage = HybridAdvantage(
            self.scorer,
            end_tokens(model, processor),
            [settle, self.recorder, note_errors],
            sampler.explored,
            asked,
        )
        kind: type[HybridTrainer] = HybridTrainer
        taught: dict[str, Any] = {}
        if self.teacher is not None:
            from components.hybrid_rl.teacher.trainer import TeacherTrainer

            rewards, weight = config.objective == "both", config.teacher.weight
            kind, taught = TeacherTrainer, {"teacher": self.teacher, "rewards": rewards, "weight": weight}
        stop = StopOnSignal(ctx.log, config.updates_per_generation)
        refresh_every = config.prompts.refresh_every_steps
        with stop.installed():
            with engine_of(config, self.start, arguments.bf16):
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
