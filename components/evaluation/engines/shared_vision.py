"""Cache of vision features: many questions are about one picture, and the tower is most of the work."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import torch

DEFAULT_BUDGET_BYTES = 512 * 2**20


class SharedVision:
    """A cache in front of a Qwen3-VL vision tower: equal pictures are encoded once, with the same features.

    The language model reads the merged tokens and the DeepStack features of some layers (arXiv 2511.21631).
    The oldest pictures leave when the cache exceeds its budget.

    Args:
        model: a `Qwen3VLForConditionalGeneration` for inference; its `visual.forward` is replaced.
        budget_bytes: most memory for cached features, on the model's device.
    """

    def __init__(self, model: Any, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        self.encoded = 0
        self._visual = model.model.visual
        self._encode = self._visual.forward
        self._budget_bytes = budget_bytes
        self._cache: OrderedDict[bytes, list[torch.Tensor]] = OrderedDict()
        self._visual.forward = self._forward

    def clear(self) -> None:
        """Forget all pictures; what is encoded next does not depend on what was asked before."""
        self._cache.clear()

    def _forward(self, hidden_states: torch.Tensor, grid_thw: torch.Tensor, **kwargs: Any) -> Any:
        """As the tower's own forward: patches (all pictures' patches, features) and grids (pictures, 3)."""
        pieces = torch.split(hidden_states, grid_thw.prod(-1).tolist())
        keys = [_key(piece, grid) for piece, grid in zip(pieces, grid_thw, strict=True)]
        needed = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: index for index, key in enumerate(keys) if key not in needed}
        if missing:
            chosen = list(missing.values())
            output = self._encode(torch.cat([pieces[i] for i in chosen]), grid_thw=grid_thw[chosen], **kwargs)
            tokens = (grid_thw[chosen].prod(-1) // self._visual.spatial_merge_size**2).tolist()
            layers = [
                torch.split(layer, tokens) for layer in (output.pooler_output, *output.deepstack_features)
            ]
            needed |= {key: [layer[n] for layer in layers] for n, key in enumerate(missing)}
            self.encoded += len(missing)
            self._output_type = type(output)
        self._remember(needed)
        merged, *deepstack = (torch.cat(parts) for parts in zip(*(needed[key] for key in keys), strict=True))
        return self._output_type(pooler_output=merged, deepstack_features=deepstack)

    def _remember(self, features: dict[bytes, list[torch.Tensor]]) -> None:
        for key, layers in features.items():
            self._cache[key] = layers
            self._cache.move_to_end(key)
        size = sum(_bytes(layers) for layers in self._cache.values())
        while size > self._budget_bytes:
            size -= _bytes(self._cache.popitem(last=False)[1])


def _key(pixels: torch.Tensor, grid: torch.Tensor) -> bytes:
    digest = hashlib.blake2b(repr(grid.tolist()).encode(), digest_size=16)
    digest.update(pixels.contiguous().view(torch.uint8).cpu().numpy())
    return digest.digest()


def _bytes(layers: list[torch.Tensor]) -> int:
    return sum(layer.numel() * layer.element_size() for layer in layers)
