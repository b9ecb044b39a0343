"""Settings of the preflight stage: the run's outside sources, and how they are checked."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field, field_validator

from components.core.benchmarks import Format, Kind
from components.core.sources.address import DataSource, ModelSource
from components.core.stage.settings import DATA_PATH, MODEL_PATH, Settings


class BenchmarkSource(Settings):
    """One evaluation set."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """Name in results."""
    role: Literal["domain", "general", "hallucination"]
    """It measures the domain, general ability, or whether the model affirms absent things."""
    uri: DataSource = Field(json_schema_extra=DATA_PATH)
    """A dataset directory of table `benchmark`, a TSV file of VLMEvalKit, or settings of a needle in a
    haystack. Or JSON lines of POPE, alone or in a directory with the pictures. A path, `s3://bucket/prefix`,
    or a dataset of the hub, `owner/name@revision`, with `/path` behind it for one file."""
    format: Format = "auto"
    """How it is stored; auto decides by the suffix, or by a directory's manifest."""
    kind: Kind = "auto"
    """How it is asked and scored; auto decides by the name (MMBench, DocVQA, POPE …), else by the content."""


class Config(Settings):
    """Sources of a run and how they are checked."""

    images: DataSource = Field(json_schema_extra=DATA_PATH)
    """Domain images: a folder, searched recursively; tar or WebDataset shards; Parquet with an image column;
    a list of URLs (.txt, .csv, .jsonl). A path, `s3://bucket/prefix`, or a dataset of the hub,
    `owner/name@revision`."""
    general_data: DataSource = Field(json_schema_extra=DATA_PATH)
    """General training data that keeps the model's general ability. A directory with the datasets `images/`
    and `samples/`, or with people's own sets and their pictures: ChatML, LLaVA, ShareGPT, Parquet or
    `save_to_disk` (README of curriculum_sft). A path, `s3://bucket/prefix`, or a dataset of the hub,
    `owner/name@revision`."""
    base_model: ModelSource = Field(json_schema_extra=MODEL_PATH)
    """Directory of the base model: configuration, safetensors weights, tokenizer, processor. A path,
    `s3://bucket/prefix`, or a model of the hub, `owner/name@revision`."""
    start_from: Literal["base_model", "promoted"] = "base_model"
    """The model that training starts from. `promoted`: the domain's current model in `promotion.registry`,
    if there is one. Pictures that it has seen come again only as a replay sample
    (`image_ingest.replay_share`)."""
    benchmarks: tuple[BenchmarkSource, ...] = ()
    """Evaluation sets. Their images are kept out of training. Without one of role `domain`, evaluation takes
    the held-out images' voted questions."""
    gpu: str = ""
    """GPUs of a training task, e.g. `8xH100-80GB`, or `24GB` for one; what cannot fit their memory is
    refused. Empty: whether it fits is not known."""
    probe_endpoints: bool = True
    """Ask every endpoint in any section for its list of models, and one question as the stage will ask it."""
    probe_timeout_s: float = Field(default=5.0, gt=0)
    """Limit for one endpoint's list of models, in seconds."""
    question_timeout_s: float = Field(default=60.0, gt=0)
    """Limit for the answer to the question, in seconds."""
    image_extensions: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
    """The image folder must hold at least one file with one of these endings; empty means any file. It is
    only a check against a wrong folder: image_ingest decides by content."""
    checked_samples: int = Field(default=200_000, ge=1)
    """General samples whose text is checked, from the first on."""
    checked_pictures: int = Field(default=500, ge=0)
    """Pictures of the general data, and of each benchmark, that are decoded to their end, spread evenly."""
    max_unusable_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the checked general samples that may be unusable: training rejects them and goes on. More of
    them suggest a wrong format and stop the run."""
    min_free_disk_gib: float = Field(default=2.0, ge=0)
    """Free space that the run's directories must have, in GiB."""

    @field_validator("benchmarks")
    @classmethod
    def _unique_names(cls, benchmarks: tuple[BenchmarkSource, ...]) -> tuple[BenchmarkSource, ...]:
        repeated = [name for name, count in Counter(b.name for b in benchmarks).items() if count > 1]
        if repeated:
            raise ValueError(f"benchmark names must be unique, repeated: {', '.join(repeated)}")
        return benchmarks
