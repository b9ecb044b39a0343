"""Settings of the hybrid_rl stage. The sources of the defaults stand with the functions that use them."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from components.core.answers import AnswerType
from components.core.sources.address import ModelSource
from components.core.stage.settings import MODEL_PATH, Embedder, Endpoint, Settings, TeacherEndpoint, nearest
from components.core.training.settings import Attention, Lora, Sharding, WeightType, check_weights
from components.core.vllm.settings import Colocated
from components.hybrid_rl.rewards import Weight, built_in

RUBRIC = (
    "correct: what it says is in the picture, and answers the question; one false statement: at most 4.\n"
    "complete: it says what the question asks for, and leaves nothing of it out.\n"
    "clear: it says so in few plain words."
)


class ExtraReward(Settings):
    """A reward of the user's own: a Python function of one `components.hybrid_rl.rewards.Rollout`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name in logs and metrics."""
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    """`module:function`; called as `function(rollout)`; returns a float, or None where it does not apply."""
    weight: Weight = 0.1
    """Weight of the normalised component."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Limit for scoring one batch of rollouts; rollouts not scored by then carry no weight in the update."""


class Diversity(Settings):
    """When two responses mean the same."""

    similarity: str = "answer"
    """`answer`: extracted answers agree by answer type; `words`: word-bigram overlap of the whole response;
    `meaning`: cosine of the answers' embeddings;
    or `module:function` called as `function(a: Rollout, b: Rollout) -> float`."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Pairs more similar than this join one cluster; None is 0.5, and 0.8 for `meaning`."""
    embedder: Embedder | None = None
    """Served embeddings for `meaning`."""
    combine: Literal["add", "multiply"] = "add"
    """`add`: a component of its own, with its weight; `multiply`: correctness and the judge's quality times
    (1 + diversity) / 2."""

    @property
    def above(self) -> float:
        """The threshold in force."""
        default = 0.8 if self.similarity == "meaning" else 0.5
        return default if self.threshold is None else self.threshold

    @model_validator(mode="after")
    def _embedded(self) -> Diversity:
        if (self.similarity == "meaning") != (self.embedder is not None):
            raise ValueError("similarity 'meaning' and an embedder go together: give both or neither")
        return self


class Judge(Settings):
    """A served model that grades answers which rules cannot read."""

    endpoint: Endpoint
    """The model, which is shown the picture."""
    answer_types: list[AnswerType] = Field(default=["open"], min_length=1)
    """Types of answer that it grades, in place of the comparison with the voted answer."""
    rubric: str = Field(default=RUBRIC, min_length=1, max_length=4000)
    """What earns the grades `correct`, `complete` and `clear`."""
    right_from: float = Field(default=0.7, gt=0, le=1)
    """Quality from which a judged answer counts as right."""
    max_words: int = Field(default=60, ge=1)
    """A longer answer to a judged question has quality 0. Set it near the longest good answer."""


class Length(Settings):
    """Which groups are asked to be brief, and how much."""

    answer_types: list[AnswerType] = Field(default=list(get_args(AnswerType)), min_length=1)
    """Types of answer that are asked to be brief. Denying what is absent, for one, takes looking."""
    by_pass_rate: bool = False
    """Weigh the reward by the group's share of right responses (ALP, arXiv 2506.05256)."""
    full_difference: int = Field(default=1, ge=1)
    """Tokens between a group's shortest and longest response from which the reward counts in full; below,
    in proportion. 1: always in full."""
    until: float = Field(default=0.0, ge=0, lt=1)
    """Share of the starting policy's mean length at which a question is not pressed any more; on the way
    there the reward falls in proportion. 0 presses always, as do questions without a measured length."""


class Guards(Settings):
    """Limits beyond which a response counts as reward hacking: no correctness, no format reward."""

    max_ngram_repeats: int = Field(default=3, ge=1)
    """Most times that one n-gram may occur."""
    ngram_words: int = Field(default=4, ge=1)
    """Words in such an n-gram."""


class Prompts(Settings):
    """Which questions are trained on, and in which order."""

    answer_types: list[AnswerType] = Field(default=list(get_args(AnswerType)), min_length=1)
    """Types trained on. Kimi k1.5 (section 2.1) drops choice and yes/no: a guess is rewarded too often."""
    max_candidates: int = Field(default=4096, ge=1)
    """Questions, drawn evenly over answer types, for which the policy's pass rate is measured."""
    pass_rate_samples: int = Field(default=8, ge=0)
    """Answers per candidate at that measurement; 0 skips the filter."""
    pass_rate_batch_size: int = Field(default=256, ge=1)
    """Answers generated at once at that measurement."""
    min_pass_rate: float = Field(default=0.0, ge=0, le=1)
    """Keep questions whose pass rate is above this."""
    max_pass_rate: float = Field(default=1.0, ge=0, le=1)
    """Keep questions whose pass rate is below this."""
    on_too_few: Literal["fill", "fail"] = "fill"
    """When fewer than one step's questions remain: add the ones nearest to the kept range, or fail."""
    curriculum_start: float = Field(default=0.5, gt=0, le=1)
    """Share of the questions, easiest first, that is open at the first step; 1 opens all."""
    curriculum_finish: float = Field(default=0.5, ge=0, le=1)
    """Share of the steps after which all questions are open."""
    refresh_every_steps: int = Field(default=0, ge=0)
    """Steps between new measurements of the pass rates, 0 for none. They order the curriculum and set the
    running success rates; questions outside the kept range are closed until a later measurement."""
    prioritised: bool = True
    """Draw questions in proportion to one minus their running success rate; otherwise evenly."""
    success_decay: float = Field(default=0.5, ge=0, lt=1)
    """Share of the old value in a question's running success rate when it is met again."""
    priority_floor: float = Field(default=0.05, gt=0, le=1)
    """Least weight of a question, so that solved ones are still met now and then."""
    hard_share: float = Field(default=0.0, ge=0, le=1)
    """Share of each draw kept for hard questions: measured pass rate above 0 and below `hard_below`."""
    hard_below: float = Field(default=0.3, gt=0, le=1)
    """Pass rate below which a question that is solved at times is hard, and worth exploring."""
    probe_share: float = Field(default=0.0, ge=0, le=1)
    """Share of each draw that asks whether a thing is there; half of these things are absent."""


class VLLM(Colocated):
    """vLLM as rollout engine, handed to TRL, which also moves the weights. In mode `server` the arguments of
    the engine are the server's own."""

    mode: Literal["colocate", "server"] = "colocate"
    """In the training processes, or a server of its own."""
    server_base_url: str | None = None
    """Address of the server (mode `server`)."""

    @model_validator(mode="after")
    def _addressed(self) -> VLLM:
        if self.mode == "server" and not self.server_base_url:
            raise ValueError("mode 'server' needs server_base_url")
        if self.mode == "server" and self.engine_args:
            raise ValueError("engine_args are for mode 'colocate'; give a server its own when it starts")
        return self


class Teacher(Settings):
    """The model that `objective: distill` follows: a checkpoint in the training processes, or a server."""

    checkpoint: ModelSource = Field(default="", json_schema_extra=MODEL_PATH)
    """Its directory, `s3://bucket/prefix`, or a model of the hub, `owner/name@revision`. It needs the
    student's vocabulary and picture processor."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of its weights; `auto` is bfloat16 on a GPU and float32 on a CPU."""
    server: TeacherEndpoint | None = None
    """A vLLM server of it in place of a checkpoint, which gives `prompt_logprobs`."""
    weight: float = Field(default=1.0, gt=0)
    """Weight of its advantages beside those of the rewards (objective `both`)."""


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
        if self.length.until and not self.prompts.pass_rate_samples:
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
