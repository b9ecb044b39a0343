"""Near duplicates by a vision encoder's embeddings: crops, recolourings and re-renderings that a hash misses.

The search is exact: every image is compared with every kept one, in matrix products of bounded size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from components.core.data.files import atomic_file
from components.core.data.mapping import in_batches
from components.core.pictures import decode
from components.core.sources.copies import local_copy
from components.core.stage.errors import ConfigError, NoInputError
from components.image_ingest.config import EmbeddingSettings
from components.image_ingest.duplicates.nearness import Growing, Nearness

_BLOCK = 8192  # members compared at once


class VectorIndex(Nearness):
    """Unit vectors compared by cosine, near from `min_cosine` on; two bytes for each number of a member."""

    def __init__(self, dimension: int, min_cosine: float) -> None:
        self._members = Growing(np.float16, (dimension,))
        self._min_cosine = min_cosine

    def add(self, rows: np.ndarray) -> None:
        """Append unit vectors, (n, dimension)."""
        self._members.append(rows)

    def first_within(self, queries: np.ndarray) -> np.ndarray:
        """Position of the earliest member that each query is near to, -1 where there is none; (n,) int64."""
        first = np.full(len(queries), -1, dtype=np.int64)
        left = np.asarray(queries, dtype=np.float32)
        for start in range(0, len(self._members), _BLOCK):
            block = self._members.view[start : start + _BLOCK].astype(np.float32)
            near = left @ block.T >= self._min_cosine
            new = near.any(axis=1) & (first < 0)
            first[new] = near[new].argmax(axis=1) + start
        return first

    def within(self, queries: np.ndarray) -> np.ndarray:
        """Which queries are near each other; (n, n) bool."""
        left = np.asarray(queries, dtype=np.float32)
        return np.asarray(left @ left.T >= self._min_cosine)

    def measure(self, query: np.ndarray, member: int) -> str:
        """The cosine."""
        cosine = np.dot(query.astype(np.float32), self._members.view[member].astype(np.float32))
        return f"cosine={float(cosine):.3f}"


@dataclass(frozen=True)
class Preprocess:
    """Whole pictures, squeezed to the encoder's size and normalised as its `preprocessor_config.json` says.

    transformers' own image processors need torchvision, and crop sides in which near duplicates may differ.
    """

    size: tuple[int, int]
    """Width and height, px."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> Preprocess:
        """From an encoder's directory; OSError, ValueError or KeyError if it has no such file."""
        settings = json.loads((path / "preprocessor_config.json").read_text(encoding="utf-8"))
        size = settings.get("crop_size") or settings["size"]
        if isinstance(size, int):
            size = {"height": size, "width": size}
        edge = size.get("shortest_edge")
        width, height = size.get("width", edge), size.get("height", edge)
        if not width or not height:
            raise ValueError(f"preprocessor_config.json names no size but {size}")
        return cls((width, height), tuple(settings["image_mean"]), tuple(settings["image_std"]))

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(n, 3, height, width) float32."""
        pixels = np.stack([np.asarray(image.resize(self.size, Image.Resampling.BICUBIC)) for image in images])
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (pixels.astype(np.float32) / 255.0 - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


class VisionEncoder:
    """A vision encoder from a directory, loaded at once.

    Takes any model that transformers' `AutoModel` loads. Its vector is `get_image_features` (CLIP, SigLIP),
    the pooled output, or the mean of the last hidden states.

    Raises:
        NoInputError: no such directory.
        ConfigError: torch or transformers is missing, or the directory holds no such model.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        path = local_copy(settings.encoder)
        if not path.is_dir():
            raise NoInputError(f"{path}: no such directory; check image_ingest.embedding.encoder")
        try:
            import torch
            from transformers import AutoModel
        except ImportError as error:
            raise ConfigError(
                f"image_ingest.embedding needs torch and transformers ({error}); install the `train` extra "
                "or leave encoder empty"
            ) from error
        try:
            self._preprocess = Preprocess.read(path)
            model = AutoModel.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            told = "no vision encoder with a preprocessor_config.json"
            raise ConfigError(f"{path}: {told}: {error}") from error
        available = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = available if settings.device == "auto" else settings.device
        self._model = model.to(self._device).eval()
        self._batch = settings.batch_images
        self.dimension = self._batch_of([Image.new("RGB", (64, 64))]).shape[1]

    def embed(self, images: Iterable[bytes]) -> np.ndarray:
        """Unit vectors of encoded pictures; (n, dimension) float16."""
        parts = [np.empty((0, self.dimension), dtype=np.float16)]
        for batch in in_batches(images, self._batch):
            parts.append(self._batch_of([decode(data) for data in batch]))
        return np.concatenate(parts)

    def _batch_of(self, images: list[Image.Image]) -> np.ndarray:
        import torch

        inputs = {"pixel_values": torch.from_numpy(self._preprocess(images)).to(self._device)}
        with torch.inference_mode():
            vectors = torch.nn.functional.normalize(_features(self._model, inputs).float(), dim=-1)
        return np.asarray(vectors.cpu().numpy().astype(np.float16))


def _features(model: Any, inputs: Any) -> Any:
    """(batch, dimension) tensor: the model's embeddings of whole pictures."""
    output = model.get_image_features(**inputs) if hasattr(model, "get_image_features") else model(**inputs)
    if not hasattr(output, "last_hidden_state"):
        return output
    pooled = getattr(output, "pooler_output", None)
    return (pooled if pooled is not None else output.last_hidden_state.mean(dim=1)).flatten(1)


def kept_vectors(path: Path, images: Iterable[bytes], encoder: VisionEncoder) -> np.ndarray:
    """Embeddings from a file, which is written if it is missing."""
    if not path.exists():
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            np.save(file, encoder.embed(images))
    return np.asarray(np.load(path))
