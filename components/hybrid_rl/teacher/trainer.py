"""The trainer of objectives `distill` and `both`: the hybrid trainer with a teacher's word on every token."""

from __future__ import annotations

from typing import Any

import torch

from components.hybrid_rl.teacher.advantages import beside_rewards, counted, teacher_advantages
from components.hybrid_rl.teacher.base import Teacher
from components.hybrid_rl.trainer import HybridTrainer

TEACHER_KL = "teacher_kl"
"""Name in the log: mean over tokens of log pi_student - log pi_teacher, the reverse KL in nats a token."""
_PICTURES = (
    "pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes", "num_tiles",
    "image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids",
)  # fmt: skip


class TeacherTrainer(HybridTrainer):
    """`HybridTrainer` whose advantages are a teacher's, of shape (B, T), alone or beside those of rewards.

    The teacher scores a generation once, however many updates are made from it. The student's
    log-probabilities are those of the policy that sampled. TRL weighs each token by the ratio of the policy
    to that one, and under vLLM by the ratio to vLLM's own, too.
    """

    def __init__(self, *, teacher: Teacher, rewards: bool, weight: float, **kwargs: Any) -> None:
        """Build the trainer.

        Args:
            teacher: scores the rollouts.
            rewards: whether advantages from rewards count as well.
            weight: of the teacher's advantages beside those.
            kwargs: of `HybridTrainer`.
        """
        super().__init__(**kwargs)
        self._teacher, self._rewards, self._weight = teacher, rewards, weight
        self._awaiting: dict[str, Any] | None = None  # the batch whose first forward pass is to come
        teacher.join(self)

    def logps_under(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Log-probabilities, (B, T), that a model gives a generation's responses, on the policy's path."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        pictures = {name: batch[name] for name in _PICTURES if name in batch}
        logps, _, _ = self._get_per_token_logps_and_entropies(
            model,
            ids,
            mask,
            batch["completion_ids"].size(1),
            batch_size=self.args.per_device_train_batch_size,
            **pictures,
        )
        return logps

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        given = self._teacher.logps(self, self._rows, output)
        return {**output, "teacher_logps": given.float()}

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._awaiting = batch = dict(inputs)
        return super()._compute_loss(model, batch)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._awaiting is not None:
            # TRL reads the batch's advantages after this pass, which spares one of the student's own.
            batch, self._awaiting = self._awaiting, None
            batch["advantages"] = self._taught(batch, found[0].detach())
        return found

    def _taught(self, batch: dict[str, Any], logps: torch.Tensor) -> torch.Tensor:
        """The batch's advantages, (B, T); `logps` are the policy's, which sampled where it has not moved."""
        student, teacher = batch.get("old_per_token_logps"), batch["teacher_logps"]
        student = logps if student is None else student
        mask = batch["completion_mask"]
        taught = teacher_advantages(student, teacher, mask)
        sums = torch.stack([-taught.sum(), counted(teacher, mask).sum().float(), mask.sum().float()])
        apart, scored, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        figures = self._metrics["train" if self.model.training else "eval"]
        figures[TEACHER_KL].append(apart / max(scored, 1.0))
        figures["teacher_unscored"].append(1.0 - scored / max(tokens, 1.0))
        return beside_rewards(batch["advantages"], taught, self._weight) if self._rewards else taught
