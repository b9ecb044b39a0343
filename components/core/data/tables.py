"""Schemas of every table that stages exchange: the single source, checked by every writer and reader."""

from __future__ import annotations

import pyarrow as pa

_str, _f32, _i32, _i64 = pa.string(), pa.float32(), pa.int32(), pa.int64()
_strs = pa.list_(_str)

IMAGES = pa.schema(
    [
        ("image_id", _str),  # sha256 of the stored bytes
        ("bytes", pa.binary()),
        ("format", _str),
        ("width", _i32),
        ("height", _i32),
        ("phash", _i64),  # 64-bit perceptual hash, as a signed integer
        ("source_uri", _str),
        ("split", _str),  # train | heldout
    ]
)
IDS = pa.schema(
    [
        ("image_id", _str),
        ("subject_diversity", _f32),
        ("spatial_relationships", _f32),
        ("ocr_text_richness", _f32),
        ("world_knowledge", _f32),
        ("ids", _f32),
        ("rationale", _str),
        ("caption", _str),
        ("scorer", _str),
        ("n_qa", _i32),
    ]
)
LABEL_TREE = pa.schema(
    [
        ("topic_id", _str),
        ("path", _strs),
        ("level", pa.int8()),
        ("name", _str),
        ("description", _str),
        ("dimension", _str),  # domain | capability
        ("parent_id", _str),
        ("origin", _str),  # expert | model
        ("embedding", pa.list_(_f32)),
    ]
)
MATCHES = pa.schema(
    [
        ("image_id", _str),
        ("topic_id", _str),
        ("coarse", _f32),
        ("fine", _f32),
        ("rank", _i32),
    ]
)
COVERAGE = pa.schema(
    [
        ("topic_id", _str),
        ("path", _strs),
        ("level", pa.int8()),
        ("dimension", _str),
        ("images", _i32),  # images matched to the topic or to anything below it
        ("mean_fine", _f32),  # mean fine score of those matches; 0 without any
    ]
)
QA = pa.schema(
    [
        ("qa_id", _str),
        ("image_id", _str),
        ("topic_id", _str),
        ("split", _str),
        ("question", _str),
        ("answer", _str),
        ("answer_type", _str),
        ("choices", _strs),
        ("reasoning", _str),
        ("objects", _strs),
        ("skills", _strs),
        ("round", _i32),  # evolution round this version comes from; 0 is the seed
        ("parent_id", _str),
        ("history", _str),  # JSON list of earlier versions and verdicts
        ("generator", _str),
        ("prompt_hash", _str),
    ]
)
VOTES = pa.schema(
    [
        ("qa_id", _str),
        ("voter", _str),
        ("blind", pa.bool_()),
        ("answer", _str),
        ("agrees", pa.bool_()),
        ("tokens", _i32),
    ]
)
QA_KEPT = pa.schema([*QA, pa.field("agreement", _f32), pa.field("difficulty", _f32)])
QA_REJECTED = pa.schema([*QA_KEPT, pa.field("reason", _str), pa.field("voted_answer", _str)])
REJECTED = pa.schema([("id", _str), ("reason", _str), ("detail", _str)])
SAMPLES = pa.schema(
    [
        ("sample_id", _str),
        (
            "messages",
            _str,
        ),  # JSON, ChatML roles; content parts {"type": "image"} or {"type": "text", "text": ...}
        ("image_ids", _strs),
        ("source", _str),
        ("weight", _f32),
    ]
)
PREFERENCES = pa.schema(
    [
        ("sample_id", _str),
        ("image_id", _str),
        ("prompt", _str),
        ("chosen", _str),
        ("rejected", _str),
        ("why", _str),
    ]
)
RL_PROMPTS = pa.schema(
    [
        ("prompt_id", _str),
        ("image_id", _str),
        ("prompt", _str),
        ("reference", _str),
        ("answer_type", _str),
        ("choices", _strs),
        ("difficulty", _f32),
        ("pass_rate", _f32),
    ]
)
PREDICTIONS = pa.schema(
    [
        ("benchmark", _str),
        ("item_id", _str),
        ("group", _str),  # the rotations of one circular item share it; item_id where there is none
        ("image_group", _str),
        ("category", _str),
        ("model", _str),
        ("sample_no", _i32),
        ("response", _str),
        ("extracted", _str),
        ("stage", _str),  # how the answer was found: exact | rules | judge | none
        ("score", _f32),
        ("response_tokens", _i32),
    ]
)
BENCHMARK = pa.schema(
    [
        ("item_id", _str),
        ("image", pa.binary()),
        ("image_group", _str),  # items of one image form one cluster
        ("question", _str),
        ("answer", _str),
        ("answer_type", _str),
        ("choices", _strs),
        ("category", _str),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    "images": IMAGES,
    "ids": IDS,
    "label_tree": LABEL_TREE,
    "matches": MATCHES,
    "coverage": COVERAGE,
    "qa": QA,
    "votes": VOTES,
    "qa_kept": QA_KEPT,
    "qa_rejected": QA_REJECTED,
    "rejected": REJECTED,
    "samples": SAMPLES,
    "preferences": PREFERENCES,
    "rl_prompts": RL_PROMPTS,
    "predictions": PREDICTIONS,
    "benchmark": BENCHMARK,
}

# Image bytes are compressed already: compressing them again saves nothing and halves the speed.
UNCOMPRESSED_COLUMNS = frozenset({"bytes", "image"})
# Rows of a row group and of a shard, by table; tables with image bytes get small groups, so that one image can be read alone.
IMAGE_TABLES = frozenset({"images", "benchmark"})
