"""Groups of settings of the hybrid_rl stage. Sources of defaults stand with the functions that use them."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from components.core.answers import AnswerType
from components.core.sources.address import ModelSource
from components.core.stage.settings import MODEL_PATH, Embedder, Endpoint, Settings, TeacherEndpoint
from components.core.vllm.settings import Colocated
from components.hybrid_rl.rewards import Weight

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
