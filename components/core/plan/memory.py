"""Memory of one GPU in training and in generation, by part, in bytes.

States: a weight, its gradient and Adam's two moments (arXiv 1412.6980). ZeRO shares the last two (stage 2) or
all of them (stage 3) over the GPUs, with a master copy in float32 beside weights in bfloat16
(arXiv 1910.02054).

Activations are counted as in arXiv 2205.05198, section 4, for the decoder that is trained here: what autograd
keeps of a layer for each token. With recomputation only a layer's input is kept, and one layer at a time is
computed again. RMSNorm computes in float32. `benchmarks/training/memory.py` compares this with measurements.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from components.core.plan.sizes import ModelSizes

RESERVE = 1.5e9
"""Bytes of the GPU's context and libraries."""
FRAGMENTATION = 0.06
"""Share of what is allocated that the allocator cannot use."""
ZERO_BUFFERS = 2 * 2 * 5e8
"""Bytes of ZeRO's buckets: DeepSpeed's default of 5e8 elements in 16 bits, one to send and one to fetch."""
ADAPTED_PARTS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_FUSED = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}
_EXPERTS = {"gate_proj", "up_proj", "down_proj"}


@dataclass(frozen=True)
class Training:
    """How a model is trained, as far as memory depends on it."""

    tokens: int
    """Tokens of one forward pass on one GPU, padding and vision tokens included."""
    patches: int = 0
    """Patches that the vision tower sees with them."""
    scored_tokens: int = 0
    """Tokens whose logits are computed; 0 is all."""
    weight_bytes: int = 4
    """Of a weight in memory: 4 or 2."""
    activation_bytes: int = 4
    """Of an activation: 4 or 2."""
    gpus: int = 1
    sharding: str = "none"
    lora_rank: int = 0
    """0 trains all weights."""
    lora_parts: tuple[str, ...] = ADAPTED_PARTS
    recompute: bool = False
    """Gradient checkpointing."""
    vision_trained: bool = True
    moments: float = 2.0
    """States of the optimizer for a parameter: 2 for Adam, about 1 for Muon."""
    copies: int = 0
    """Frozen further models of this size beside it: reference, teacher."""
    four_bit: bool = False
    """Whether the frozen language model is held in 4 bits."""
    offloaded: bool = False
    """Whether kept activations wait in the machine's memory."""

    def changed(self, **values: Any) -> Training:
        """The same with other values."""
        return replace(self, **values)


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU, by part."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    kv_cache: float = 0.0
    engine: float = 0.0
    """Given to vLLM beside the training."""
    teacher: float = 0.0
    """Weights of a teacher beside the model."""
    overhead: float = 0.0
    """Context, buckets, what fragmentation wastes."""

    @property
    def total(self) -> float:
        """All parts together."""
        return float(sum(asdict(self).values()))

    def changed(self, **values: float) -> Memory:
        """The same with other values."""
        return replace(self, **values)

    @property
    def states(self) -> float:
        """What stays there between two passes."""
        return self.weights + self.gradients + self.optimizer


def adapter_parameters(sizes: ModelSizes, rank: int, parts: tuple[str, ...] = ADAPTED_PARTS) -> int:
    """Parameters of adapters of a rank on the language model's linear modules (arXiv 2106.09685).

    Every expert of a mixture has its own; gate and up are one matrix there, and adapted together.
    """
    hidden, mlp = sizes.hidden, sizes.intermediate
    widths = {"q_proj": hidden + sizes.query, "k_proj": hidden + sizes.key, "v_proj": hidden + sizes.key,
              "o_proj": sizes.query + hidden}  # fmt: skip
    if sizes.experts:
        widths |= {
            "gate_up_proj": sizes.experts * (hidden + 2 * mlp),
            "down_proj": sizes.experts * (mlp + hidden),
        }
        parts = tuple({_FUSED.get(part, part): None for part in parts})
    else:
        widths |= {"gate_proj": hidden + mlp, "up_proj": hidden + mlp, "down_proj": mlp + hidden}
    return sizes.layers * rank * sum(widths.get(part, 0) for part in parts)


def layer_activations(sizes: ModelSizes, how: Training) -> float:
    """Bytes that autograd keeps of one decoder layer for one token."""
    a, full = how.activation_bytes, how.lora_rank == 0
    hidden, query, key = sizes.hidden, sizes.query, sizes.key
    # A norm keeps its float32 input, the normalised value for its weight, and its result for the next matrix.
    norm = 4 + a + (a if full else 0)
    kept = 2.0 * norm * hidden
    if sizes.qk_norm:
        kept += (4 + (a if full else 0)) * (query + key)
    kept += a * (2 * query + 2 * key) + 4 * sizes.heads  # attention: q, k, v, its result, its scale
    chosen = sizes.active_experts or 1
    kept += 4 * a * sizes.intermediate * chosen  # gate, up, their product, the activation
    if sizes.experts:
        kept += 2 * a * hidden * chosen + 8 * sizes.experts
    if not full:
        kept += a * how.lora_rank * len(how.lora_parts)
    return kept


def activations(sizes: ModelSizes, how: Training) -> float:
    """Bytes at the peak of one forward and backward pass."""
    a, tokens = how.activation_bytes, how.tokens
    layer = tokens * layer_activations(sizes, how)
    logits = (how.scored_tokens or tokens) * sizes.vocabulary * (12 if a == 4 else 16)
    tower = 0.0
    if how.vision_trained and how.patches:
        width = a * (8 * sizes.vision_hidden + 2 * sizes.vision_intermediate)
        tower = how.patches * (
            a * sizes.vision_hidden * sizes.vision_layers + width
            if how.recompute
            else width * sizes.vision_layers
        )
    # peft adds an adapter to a whole fused weight: the sum is kept, delta and gradient come once.
    if sizes.experts and set(how.lora_parts if how.lora_rank else ()) & _EXPERTS:
        fused = a * sizes.expert // sizes.layers
        tower += fused * (3 if how.recompute else sizes.layers + 2)
    back = 3 * a * tokens * sizes.intermediate * (sizes.active_experts or 1)
    if how.offloaded and how.recompute:
        return tower + 2 * tokens * a * sizes.hidden + max(logits, layer + back)
    if how.recompute:
        return tower + tokens * a * sizes.hidden * sizes.layers + max(logits, layer + back)
    return tower + sizes.layers * layer + max(logits, back)


def training_memory(sizes: ModelSizes, how: Training, *, overhead: bool = True) -> Memory:
    """Memory of one GPU at the peak of a training step.

    Args:
        sizes: the model.
        how: the training.
        overhead: count context, buckets and fragmentation too; without, what the allocator is asked for.
    """
    adapters = adapter_parameters(sizes, how.lora_rank, how.lora_parts) if how.lora_rank else 0
    trained = adapters or sizes.total - (0 if how.vision_trained else sizes.vision)
    master = how.sharding != "none" and how.weight_bytes == 2
    shared = how.gpus if how.sharding in ("zero2", "zero3") else 1
    base = sizes.total * float(how.weight_bytes)
    if how.four_bit:  # 4 bits and their scales; embeddings, head and vision tower stay as they are
        quantised = sizes.language - sizes.embedding
        base = (sizes.total - quantised) * 2 + quantised * 0.53
    weights = (base * (1 + how.copies) + adapters * 4) / (how.gpus if how.sharding == "zero3" else 1)
    gradients = trained * (4 if adapters or not master else 2) / shared
    optimizer = trained * 4 * (how.moments + (1 if master else 0)) / shared
    asked = Memory(weights, gradients, optimizer, activations(sizes, how))
    if how.weight_bytes == 4 and how.activation_bytes == 2:
        # autocast keeps trained weights in 16 bits for the pass, frozen ones for the layer under way
        held = sizes.total * 2.0 / (sizes.layers if adapters and how.recompute else 1)
        asked = asked.changed(activations=asked.activations + held)
    if not overhead:
        return asked
    extra = RESERVE + FRAGMENTATION * asked.total + (ZERO_BUFFERS if shared > 1 else 0)
    return Memory(weights, gradients, optimizer, asked.activations, overhead=extra)


def kv_bytes_per_token(sizes: ModelSizes, cache_bytes: int = 2) -> int:
    """Bytes that keys and values of one token take in all layers."""
    return 2 * sizes.layers * sizes.key * cache_bytes


def generation_memory(sizes: ModelSizes, sequences: int, tokens: int, weight_bytes: int = 2) -> Memory:
    """Memory of one GPU that generates: weights, and keys and values of all sequences at full length."""
    weights = float(sizes.total * weight_bytes)
    cache = float(sequences * tokens * kv_bytes_per_token(sizes, weight_bytes))
    logits = float(sequences * sizes.vocabulary * (4 + weight_bytes))
    extra = RESERVE + FRAGMENTATION * (weights + cache + logits)
    return Memory(weights, activations=logits, kv_cache=cache, overhead=extra)
