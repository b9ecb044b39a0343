"""Settings of the hybrid_rl stage. The sources of the defaults stand with the functions that use them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from components.core.answers import AnswerType
from components.core.stage.settings import Settings, nearest
from components.core.training.settings import Attention, Lora, Sharding, WeightType, check_weights
from components.hybrid_rl.rewards import Weight, built_in
from components.hybrid_rl.settings import (
    VLLM,
    Diversity,
    ExtraReward,
    Guards,
    Judge,
    Length,
    Prompts,
    Teacher,
)


class Config(Settings):
    """Settings of the hybrid_rl stage."""

    objective: Literal["rl", "distill", "both"] = "rl"
    """Where advantages come from: rewards, a teacher's word on every token, or both."""
    teacher: Teacher = Teacher()
    """The teacher of `distill` and `both`."""
    processes: int = Field(default=0, ge=0)
    """Training processes, one a GPU; 0 takes all GPUs of the machine, and one process where there is none."""
    seed: int = 0
    """Seed of prompt selection, sampling order and rollouts."""
    max_steps: int = Field(default=200, ge=1)
    """Optimizer steps."""
    group_size: int = Field(default=8, ge=2)
    """Rollouts per question (N)."""
    prompts_per_step: int = Field(default=32, ge=1)
    """Questions per generation, over all processes."""
    micro_batch_rollouts: int = Field(default=0, ge=0)
    """Rollouts per process in one forward and backward pass; 0 takes all of the process's at once."""
    updates_per_generation: int = Field(default=1, ge=1)
    """Optimizer steps made from one generation; above 1 the later ones are off-policy and clipping acts."""
    max_completion_tokens: int = Field(default=512, ge=1)
    """Longest response."""
    overlong_cache_tokens: int = Field(default=0, ge=0)
    """Tokens before the limit over which the overlong penalty grows from 0 to -1; 0: at the limit only."""
    mask_truncated: bool = True
    """Leave responses that met the token limit out of the loss; they still count in their group."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature of rollouts."""

    advantage: Literal["pass_at_k", "pass_at_1", "blend", "pass_at_k_then_1", "adaptive"] = "pass_at_k_then_1"
    """How correctness becomes an advantage. `adaptive`: pass@k where answers vary least, else pass@1."""
    adaptive_share: float = Field(default=0.5, ge=0, le=1)
    """Share of a batch's groups, those of lowest entropy, that get the pass@k advantage under `adaptive`."""
    k: int = Field(default=4, ge=1)
    """k of pass@k."""
    guessable: list[AnswerType] = ["yes_no", "choice"]
    """Answer types whose groups take the pass@1 advantage under every `advantage`. Of k guesses one is right
    there, so pass@k would teach to guess."""
    switch_at: float = Field(default=0.5, ge=0, le=1)
    """Share of the steps, or of the exploring, after which `pass_at_k_then_1` changes to pass@1."""
    switch_by: Literal["steps", "explored"] = "steps"
    """What `switch_at` is a share of. `explored`: the hard questions (`prompts.hard_below`) that are none
    any more, by their running pass rates."""
    weights: dict[str, Weight] = Field(default={}, validate_default=True)
    """Weight of each built-in reward in the advantage, by its name: a number, or a ramp over training. A
    reward that is not named has the weight in its file (`components/hybrid_rl/rewards`)."""
    extra_rewards: list[ExtraReward] = []
    """Rewards of the user's own."""
    batch_normalise: bool = True
    """Scale the combined advantages of a batch to unit variance (GDPO, arXiv 2601.05242)."""
    diversity: Diversity = Diversity()
    """When two responses mean the same."""
    length: Length = Length()
    """How the length reward presses on a group."""
    judge: Judge | None = None
    """Grades of open answers by a served model; without one nothing is judged."""
    guards: Guards = Guards()
    """Reward hacking limits."""

    loss: Literal["auto", "dapo", "grpo", "dr_grpo", "gspo", "opmd"] = "auto"
    """The policy's loss (`components/hybrid_rl/losses`). `auto`: `gspo` for a mixture of experts, else
    `dapo`. `dapo`: mean over tokens; `grpo`: mean per response;
    `dr_grpo`: constant length; `gspo`: ratios of whole sequences; `opmd`: Kimi k1.5's mirror descent."""
    router_aux_loss: float | None = Field(default=None, ge=0)
    """Weight of the loss that keeps a mixture's experts evenly used, logged as `aux_loss`; 0 is off, None
    takes the checkpoint's own. Dense models have none."""
    opmd_tau: float = Field(default=0.1, ge=0)
    """How hard `opmd` holds the policy to the one that generated."""
    epsilon_low: float = Field(default=0.2, gt=0)
    """Lower clipping range of the importance ratio."""
    epsilon_high: float = Field(default=0.28, gt=0)
    """Upper clipping range (DAPO's clip-higher)."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence to the start; above 0 keeps a second copy of the model (not with lora)."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Peak learning rate of AdamW."""
    lr_schedule: Literal["constant_with_warmup", "linear", "cosine"] = "constant_with_warmup"
    """Learning rate over the steps."""
    lr_warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises to its peak."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradient clipping."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Training precision; `auto` is bfloat16 mixed precision on a GPU and float32 on a CPU."""
    weight_type: WeightType = "float32"
    """Number format of the weights in memory; bfloat16 needs adapters or sharding."""
    attention: Attention = "sdpa"
    """Attention implementation."""
    gradient_checkpointing: bool = False
    """Trade a second forward pass for activation memory. Rollouts of a group then run with a prompt each."""
    freeze_vision: bool = False
    """Leave the vision tower as it is."""
    lora: Lora | None = None
    """Adapters in place of full fine-tuning; needs the package peft. The reference is the model without."""
    sharding: Sharding = "none"
    """DeepSpeed: zero2 shares out optimizer states and gradients, zero3 the weights too."""

    prompts: Prompts = Prompts()
    """Selection and order of questions."""
    rollout: Literal["generate", "vllm"] = "generate"
    """Rollout engine: transformers' `generate` (any machine) or vLLM (GPUs)."""
    vllm: VLLM = VLLM()
    """Settings of vLLM, read when `rollout` is `vllm`."""
    save_steps: int = Field(default=50, ge=1)
    """Steps between committed checkpoints, from which a killed run goes on."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Committed checkpoints kept in the work directory."""
    rollouts_kept_per_step: int = Field(default=8, ge=0)
    """Rollouts of each kept step that go to the `rollouts` output."""
    rollouts_every_steps: int = Field(default=10, ge=1)
    """Steps between kept ones."""

    def unread(self) -> tuple[str, ...]:
        """The teacher, where rewards alone decide."""
        return ("teacher",) if self.objective == "rl" else ()

    def judges(self, answer_type: str) -> bool:
        """Whether answers of this type are graded by the judge."""
        return self.judge is not None and answer_type in self.judge.answer_types

    @field_validator("weights")
    @classmethod
    def _complete(cls, given: dict[str, Weight]) -> dict[str, Weight]:
        rewards = built_in()
        for name in given:
            if name not in rewards:
                raise ValueError(f"unknown reward '{name}'{nearest(name, list(rewards))}")
        return {name: reward.weight for name, reward in rewards.items()} | given

    @model_validator(mode="after")
    def _taught(self) -> Config:
        if self.objective == "rl":
            return self
        if bool(self.teacher.checkpoint) == (self.teacher.server is not None):
            raise ValueError(
                f"objective '{self.objective}' needs teacher.checkpoint or teacher.server, one of them"
            )
        if self.loss == "opmd":
            raise ValueError("loss opmd weighs whole responses, a teacher single tokens; take dapo")
        if self.teacher.server and self.temperature != 1.0:
            raise ValueError("teacher.server gives log-probabilities at temperature 1; set temperature to 1")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.k > self.group_size:
            raise ValueError(f"k ({self.k}) must not exceed group_size ({self.group_size})")
        if self.overlong_cache_tokens > self.max_completion_tokens:
            raise ValueError("overlong_cache_tokens must not exceed max_completion_tokens")
        if self.save_steps % self.updates_per_generation:
            raise ValueError("save_steps must be a multiple of updates_per_generation")
        if self.prompts.refresh_every_steps % self.updates_per_generation:
            raise ValueError("prompts.refresh_every_steps must be a multiple of updates_per_generation")
        rewarded = self.objective != "distill"
        if rewarded and self.length.until and not self.prompts.pass_rate_samples:
            raise ValueError("length.until needs prompts.pass_rate_samples, which measure the lengths")
        if self.prompts.refresh_every_steps and not self.prompts.pass_rate_samples:
            raise ValueError("prompts.refresh_every_steps needs prompts.pass_rate_samples")
        measured = self.prompts.hard_share or self.switch_by == "explored"
        if measured and not self.prompts.pass_rate_samples:
            raise ValueError("prompts.hard_share and switch_by 'explored' need prompts.pass_rate_samples")
        if self.switch_by == "explored" and self.advantage != "pass_at_k_then_1":
            raise ValueError("switch_by 'explored' is for advantage 'pass_at_k_then_1'")
        if self.diversity.combine == "multiply" and self.advantage != "pass_at_1":
            raise ValueError(
                "diversity.combine 'multiply' needs advantage 'pass_at_1': pass@k knows no halves"
            )
        if self.prompts.hard_share + self.prompts.probe_share > 1:
            raise ValueError("prompts.hard_share and prompts.probe_share together must not exceed 1")
        if self.prompts.hard_share and self.prompts.hard_below <= self.prompts.min_pass_rate:
            raise ValueError("prompts.hard_below must lie above prompts.min_pass_rate: no question is hard")
        if self.prompts.min_pass_rate >= self.prompts.max_pass_rate:
            raise ValueError("prompts.min_pass_rate must lie below prompts.max_pass_rate")
        check_weights(self.weight_type, self.lora, self.sharding, self.dtype)
        names = [extra.name for extra in self.extra_rewards]
        if len(set(names)) != len(names) or self.weights.keys() & set(names):
            taken = ", ".join(sorted(self.weights))
            raise ValueError(f"extra_rewards need names of their own, other than {taken}")
        return self
