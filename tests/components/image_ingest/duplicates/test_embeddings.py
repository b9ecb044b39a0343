"""Near duplicates by a real, though tiny and untrained, vision encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.core.stage.errors import ConfigError, NoInputError
from components.image_ingest.config import EmbeddingSettings
from components.image_ingest.duplicates.embeddings import VisionEncoder


def write_preprocessor(path: Path, sizes: dict) -> None:
    settings = {**sizes, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (path / "preprocessor_config.json").write_text(json.dumps(settings))


def write_clip(path: Path) -> None:
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": 16},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(path)
    write_preprocessor(path, {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}})


def write_vit(path: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ViTModel(ViTConfig(**tower, image_size=32, patch_size=8)).save_pretrained(path)
    write_preprocessor(path, {"size": {"height": 32, "width": 32}})


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    write_clip(path)
    return path


@pytest.mark.parametrize(("write", "dimension"), [(write_clip, 16), (write_vit, 32)])
def test_unit_vectors_whatever_the_batch(tmp_path, photographs, write, dimension) -> None:
    write(tmp_path / "encoder")
    images = [path.read_bytes() for path in sorted(photographs.iterdir())]
    vectors = [
        VisionEncoder(
            EmbeddingSettings(encoder=str(tmp_path / "encoder"), batch_images=size, device="cpu")
        ).embed(images)
        for size in (2, 32)
    ]
    assert vectors[0].shape == (len(images), dimension)
    assert np.abs(np.linalg.norm(vectors[0].astype(float), axis=1) - 1).max() < 1e-3
    assert np.abs(vectors[0].astype(float) - vectors[1].astype(float)).max() < 2e-3


def test_near_by_embedding_alone(ingest, photographs, encode, photograph, clip, tmp_path) -> None:
    """With the hash off, the encoder alone sees that a picture was compressed again."""
    (photographs / "zz_again.jpg").write_bytes(encode(photograph, "JPEG", quality=90))
    assert ingest(photographs, "off", near_duplicate_bits=None).reasons == {}
    settings = {"embedding": {"encoder": str(clip), "min_cosine": 0.999}, "chunk_files": 3}
    settings |= {"near_duplicate_bits": None}
    done = ingest(photographs, "embedding", **settings)
    assert done.reasons == {"zz_again.jpg": "near_duplicate"}
    assert "source=chelsea.png cosine=" in done.rejected["zz_again.jpg"]["detail"]
    for path in (tmp_path / "work").rglob("embeddings/*.npy"):
        assert np.load(path).dtype == np.float16
    assert ingest(photographs, "again", **settings).shards() == done.shards()
    (photographs / "chelsea.png").unlink()
    known = ingest(photographs, "known", catalogue=[str(done.out / "images")], **settings)
    assert known.reasons["zz_again.jpg"] == "known"


def test_what_is_no_encoder(tmp_path) -> None:
    with pytest.raises(NoInputError, match=r"embedding\.encoder"):
        VisionEncoder(EmbeddingSettings(encoder=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="no vision encoder"):
        VisionEncoder(EmbeddingSettings(encoder=str(tmp_path)))
