"""Settings of curriculum fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from components.core.stage.settings import Settings
from components.core.training.settings import Attention, Lora, Sharding, WeightType, check_weights
from components.core.vllm.settings import Colocated

Part = Literal["vision", "projector", "language"]


class Freeze(Settings):
    """Parts of the model that keep their weights."""

    vision: bool = False
    """The vision tower without its projectors."""
    projector: bool = False
    """The mergers that map vision features into the language model, DeepStack's included."""
    language: bool = False
    """The language model, its embeddings and head."""


class PartRates(Settings):
    """Peak learning rates of single parts of the model; 0 takes the common one."""

    vision: float = Field(default=0.0, ge=0)
    """The vision tower without its projectors."""
    projector: float = Field(default=0.0, ge=0)
    """The mergers that map vision features into the language model."""
    language: float = Field(default=0.0, ge=0)
    """The language model, its embeddings and head."""

    def of(self, part: Part, common: float) -> float:
        """The rate of a part."""
        return float(getattr(self, part)) or common


class BaseLora(Lora):
    """Low-rank adapters (arXiv 2106.09685) in place of full fine-tuning, merged into the saved weights."""

    four_bit: bool = False
    """Hold the frozen language model in 4 bits (QLoRA, arXiv 2305.14314). Needs an NVIDIA GPU and the
    package bitsandbytes; untested. Adapters are merged into the unquantised weights."""


class Mixture(Settings):
    """How samples of the domain and of the general sets are mixed."""

    by: Literal["answers", "samples", "tokens"] = "answers"
    """Measure of the shares: supervised answers, samples, or tokens (vision tokens included)."""
    weights: dict[str, float] = {}
    """Weights of the general sets among each other, by name: file or folder below `general_data`, or the
    column `source` of the table `samples`. Weight 0 leaves a set out. Without weights the sets are one."""
    text_image_ratio: float = Field(default=0.0, ge=0)
    """Wanted text tokens a vision token, e.g. 1.0 (Kimi-VL, arXiv 2504.07491), by thinning; 0 is off."""
    max_passes: float = Field(default=1.0, ge=1, le=100)
    """Most draws of a sample in one epoch. One draw thins the sources that are too large for their share.
    More draws repeat the sources that are too small."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Mixture:
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("weights must not be negative")
        if self.weights and not sum(self.weights.values()):
            raise ValueError("weights are all 0: leave them out, or give one set a weight")
        return self

    @property
    def needs_lengths(self) -> bool:
        """Whether samples are chosen by their tokens."""
        return self.by == "tokens" or self.text_image_ratio > 0


class Preferences(Settings):
    """Which preference pairs are built from the votes, and how DPO (arXiv 2305.18290) weighs them."""

    beta: float = Field(default=0.1, gt=0)
    """DPO's inverse temperature: a larger one holds the model closer to its start."""
    sft_weight: float = Field(default=0.2, ge=0)
    """Weight of the likelihood of the chosen answers, added to DPO's loss (RPO, arXiv 2404.19733)."""
    max_pairs: int = Field(default=2000, ge=1)
    """Most pairs to train on; pairs against hallucination come first."""
    verbose_share: float = Field(default=0.1, ge=0, le=1)
    """Share of pairs that prefer the short answer to the same answer with its reasoning written out."""
    format_share: float = Field(default=0.05, ge=0, le=1)
    """Share of pairs that prefer the asked-for form (a letter, a final "Answer:") to the bare content."""
    contrast: bool = True
    """Also build yes/no pairs from kept items, against the opposite answer."""
    own_samples: int = Field(default=0, ge=0)
    """Answers of the starting model to each of `own_questions` training questions; its right or the voted
    answer is preferred to its wrong one. These pairs come before those from voters. 0 asks nothing."""
    own_questions: int = Field(default=2000, ge=1)
    """Questions asked for that, drawn evenly over answer types."""
    own_max_tokens: int = Field(default=256, ge=1)
    """Longest such answer; longer ones are left out."""
    own_pairing: Literal["any", "length"] = "any"
    """Right and wrong answer of a pair: any, by seed, or the two nearest in length."""
    denial_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the yes/no pairs in which "no" is chosen. One half keeps DPO from learning to deny everything.
    A model that says yes too readily (teachers ask about visible things) needs more."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Preferences:
        if self.verbose_share + self.format_share > 1:
            raise ValueError("verbose_share and format_share together exceed 1")
        return self


class Distillation(Colocated):
    """On-policy distillation from the base model on the general data's questions. The settings of vLLM are
    read when `rollout` is `vllm`."""

    beta: float = Field(default=1.0, ge=0, le=1)
    """Divergence between model and teacher: 1 reverse KL, 0 forward KL, between them a generalised
    Jensen-Shannon divergence (GKD, arXiv 2306.13649)."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the sampled answers, and of both distributions in the divergence."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Longest sampled answer."""
    max_questions: int = Field(default=0, ge=0)
    """Most questions, drawn evenly over the general samples; 0 takes all."""
    supervised_samples: int = Field(default=0, ge=0)
    """Samples of the mixture that each forward pass trains on beside its questions; 0 distils alone."""
    supervised_weight: float = Field(default=1.0, gt=0)
    """Weight of their loss, in nats a token like the divergence."""
    rollout: Literal["generate", "vllm"] = "generate"
    """Sampler of the answers: `generate` (any machine), or vLLM in the training processes (GPUs)."""


class Phase(Settings):
    """A part of the training with a context and learning rates of its own; 0 takes the stage's setting."""

    max_length_tokens: int = Field(ge=16)
    """Longest sample of this phase; longer ones wait for a later one."""
    pack_tokens: int = Field(default=0, ge=0)
    """See the stage's."""
    batch_samples: int = Field(default=0, ge=0)
    """See the stage's."""
    learning_rate: float = Field(default=0.0, ge=0)
    """Peak of this phase."""
    muon_learning_rate: float = Field(default=0.0, ge=0)
    """Muon's peak of this phase."""
    final_rate_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the peak that the phase ends with."""
    epochs: float = Field(default=0.0, ge=0)
    """Passes over this phase's samples."""
    max_steps: int = Field(default=0, ge=0)
    """Optimizer steps of this phase."""


class Config(Settings):
    """Settings of one use of the stage `curriculum_sft`."""

    objective: Literal["sft", "dpo", "distill"] = "sft"
    """sft: likelihood of voted answers and general data; dpo: preferences from the votes; distill: on-policy
    distillation from the base model on general questions."""
    domain_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the supervised answers (or of the measure `mixture.by`) that comes from the domain, the rest
    from the general data. Take 1 to learn the domain, about 0.3 to restore general ability."""
    general_answers: Literal["data", "own"] = "data"
    """Answers of the general samples (sft objective): the data's, or the base model's own, sampled once at
    the settings of `distillation`. Own ones beside the domain (`domain_share` 0.7) keep general ability."""
    max_general_samples: int = Field(default=0, ge=0)
    """Most samples of general data, drawn by seed; 0 takes all."""
    mixture: Mixture = Mixture()
    """Shares of the general sets, and of text and vision tokens."""
    unusable_samples: Literal["reject", "stop"] = "reject"
    """Samples that fail a check: they are rejected, or the stage stops before training and names them."""
    verified_samples: int = Field(default=16, ge=0)
    """Samples, drawn by seed, that are encoded before training and compared with their plan."""
    questions_per_sample: int = Field(default=8, ge=1)
    """Most questions about one image in a sample, as turns of one conversation; the image is encoded once."""
    separate_questions: Literal["none", "domain", "all"] = "none"
    """Samples whose turns see the pictures and themselves, but not each other (sft objective, Qwen-VL).
    Questions about one image give each other's answers away. Dialogues need their turns: leave them whole."""
    reasoning_share: float = Field(default=0.3, ge=0, le=1)
    """Share of domain answers that are trained with their reasoning before the final answer."""
    max_length_tokens: int = Field(default=4096, ge=16)
    """Longest sample, vision tokens included, up to the model's context; longer ones are rejected."""
    preferences: Preferences = Preferences()
    """Pairs and loss of the dpo objective."""
    distillation: Distillation = Distillation()
    """Rollouts and loss of the distill objective; `batch_samples` counts its questions."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw: for every parameter; muon: Muon for weight matrices, AdamW for the rest (not with dpo)."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    muon_learning_rate: float = Field(default=0.0, ge=0)
    """Peak learning rate of Muon; 0 takes `learning_rate`."""
    router_aux_loss: float | None = Field(default=None, ge=0)
    """Weight of the loss that keeps a mixture's experts evenly used (sft and dpo objectives), logged as
    `aux_loss`; 0 is off, None takes the checkpoint's own. Dense models have none."""
    learning_rates: PartRates = PartRates()
    """Peak learning rates of single parts, for AdamW and Muon alike."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning rate over the run, after the warm-up."""
    final_rate_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the peak at which the cosine schedule ends."""
    phases: list[Phase] = []
    """Parts trained one after another (sft objective), each with its own optimizer state and schedule; none
    is one. Kimi-VL (arXiv 2504.07491, 2.4): 32K tokens with 2e-5 to 2e-6, then 128K with 1e-5 to 1e-6."""
    warmup_share: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    max_loss_ratio: float = Field(default=0.0, ge=0)
    """A loss above this multiple of the running median stops the stage and names its samples; 0 is off. A
    loss that is not finite always stops it."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the samples or pairs."""
    max_steps: int = Field(default=0, ge=0)
    """Optimizer steps; 0 lets `epochs` decide."""
    batch_samples: int = Field(default=16, ge=1)
    """Samples or pairs in one forward pass on one device; packs, where samples are packed."""
    pack_tokens: int = Field(default=0, ge=0)
    """Tokens of a pack, at least `max_length_tokens`: whole samples share a row without padding (sft
    objective). 0 pads samples of similar length instead."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Forward passes in one optimizer step."""
    processes: int = Field(default=0, ge=0)
    """Training processes, one a GPU; 0 takes all GPUs of the machine, or one process without any."""
    sharding: Sharding = "none"
    """DeepSpeed: zero2 shares out optimizer states and gradients, zero3 the weights too."""
    seed: int = 0
    """Seed of every draw: response styles, mixture, order."""

    freeze: Freeze = Freeze()
    """Parts that are not trained."""
    lora: BaseLora | None = None
    """Adapters in place of full fine-tuning; needs the package peft."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the passes. auto: bfloat16 on a GPU that has it, or with such weights."""
    weight_type: WeightType = "float32"
    """Number format of the weights in memory; bfloat16 needs adapters or sharding."""
    attention: Attention = "sdpa"
    """Attention implementation."""
    gradient_checkpointing: bool = False
    """Trade a fifth of the speed for the memory of the activations."""
    activation_offloading: bool = False
    """Keep activations in the machine's memory until the backward pass (TRL; needs a GPU, untested)."""
    loader_workers: int = Field(default=0, ge=0)
    """Processes that decode and tokenize ahead; 0 does it in the training process."""

    save_steps: int = Field(default=100, ge=1)
    """Optimizer steps between checkpoints that an interrupted run continues from."""
    keep_last: int = Field(default=2, ge=1)
    """Such checkpoints kept."""
    log_steps: int = Field(default=10, ge=1)
    """Optimizer steps between points of the loss curve."""
    trackers: list[Literal["tensorboard", "mlflow", "wandb"]] = []
    """Experiment trackers to report to as well."""
    report_samples: int = Field(default=6, ge=0)
    """Training samples shown with their images in the report."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Config:
        if self.router_aux_loss and self.objective == "distill":
            raise ValueError("router_aux_loss is for the sft and dpo objectives; leave it out with distill")
        if self.general_answers == "own" and (self.objective != "sft" or self.domain_share == 1):
            raise ValueError("general_answers: own is for the sft objective with domain_share below 1")
        if self.optimizer == "muon" and self.objective == "dpo":
            raise ValueError("optimizer: muon is for the sft and distill objectives; use adamw with dpo")
        if self.optimizer == "muon" and self.sharding != "none":
            raise ValueError(
                "optimizer: muon needs whole matrices, which ZeRO cuts up, and shards its states itself: "
                "leave sharding at none, or use adamw"
            )
        if self.lora is not None and self.lora.four_bit and self.sharding != "none":
            raise ValueError("lora.four_bit: ZeRO cannot cut up 4-bit weights; leave sharding at none")
        if self.activation_offloading and self.objective == "distill":
            raise ValueError("activation_offloading is for the sft and dpo objectives")
        check_weights(self.weight_type, self.lora, self.sharding, self.precision)
        if self.lora is None and all(self.freeze.model_dump().values()):
            raise ValueError("every part is frozen and there are no adapters: nothing would be trained")
        return self

    @model_validator(mode="after")
    def _packs_fit(self) -> Config:
        if not self.pack_tokens:
            return self
        if self.objective != "sft":
            raise ValueError("pack_tokens is for the sft objective; leave it 0 with dpo and distill")
        if self.pack_tokens < self.max_length_tokens:
            raise ValueError(
                f"pack_tokens ({self.pack_tokens}) must hold the longest sample: at least max_length_tokens "
                f"({self.max_length_tokens})"
            )
        if self.attention == "eager":
            raise ValueError(
                "pack_tokens needs attention sdpa or flash_attention_2: eager mixes packed samples"
            )
        return self

    @model_validator(mode="after")
    def _questions_fit(self) -> Config:
        if self.separate_questions == "none":
            return self
        if self.objective != "sft" or self.pack_tokens:
            raise ValueError("separate_questions is for the sft objective without packing")
        if self.attention != "sdpa":
            raise ValueError("separate_questions needs attention sdpa, which takes its mask")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Config:
        if self.final_rate_share and self.schedule != "cosine":
            raise ValueError("final_rate_share is for the cosine schedule")
        if self.phases and self.objective != "sft":
            raise ValueError("phases are for the sft objective")
        self.by_phase()  # each checks its settings
        return self

    def by_phase(self) -> list[Config]:
        """The settings of each phase, in order; without phases these alone."""
        if not self.phases:
            return [self]
        common = self.model_dump() | {"phases": []}
        own = [{name: value for name, value in phase.model_dump().items() if value} for phase in self.phases]
        return [Config.model_validate(common | changed) for changed in own]
