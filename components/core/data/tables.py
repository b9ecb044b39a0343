"""The columns of every table that stages exchange, checked by every writer and reader."""

from __future__ import annotations

import pyarrow as pa

_str, _f32, _i32, _i64 = pa.string(), pa.float32(), pa.int32(), pa.int64()
_strs = pa.list_(_str)

_QA = {
    "qa_id": _str,
    "image_id": _str,
    "topic_id": _str,
    "split": _str,
    "question": _str,
    "answer": _str,
    "answer_type": _str,
    "choices": _strs,
    "reasoning": _str,
    "objects": _strs,
    "skills": _strs,
    "round": _i32,  # evolution round this version comes from; 0 is the seed
    "parent_id": _str,
    "history": _str,  # JSON list of earlier versions and verdicts
    "generator": _str,
    "prompt_hash": _str,
}
_QA_KEPT = _QA | {"agreement": _f32, "difficulty": _f32}
_TABLES = {
    "images": {
        "image_id": _str,  # sha256 of the stored bytes
        "bytes": pa.binary(),
        "format": _str,
        "width": _i32,
        "height": _i32,
        "phash": _i64,  # 64-bit perceptual hash, as a signed integer
        "source_uri": _str,
        "split": _str,  # train | heldout
    },
    "ids": {
        "image_id": _str,
        "subject_diversity": _f32,
        "spatial_relationships": _f32,
        "ocr_text_richness": _f32,
        "world_knowledge": _f32,
        "ids": _f32,
        "rationale": _str,
        "caption": _str,
        "scorer": _str,
        "n_qa": _i32,
    },
    "label_tree": {
        "topic_id": _str,
        "path": _strs,
        "level": pa.int8(),
        "name": _str,
        "description": _str,
        "dimension": _str,  # domain | capability
        "parent_id": _str,
        "origin": _str,  # expert | model
        "embedding": pa.list_(_f32),
    },
    "matches": {"image_id": _str, "topic_id": _str, "coarse": _f32, "fine": _f32, "rank": _i32},
    "coverage": {
        "topic_id": _str,
        "path": _strs,
        "level": pa.int8(),
        "dimension": _str,
        "images": _i32,  # images matched to the topic or to anything below it
        "mean_fine": _f32,  # mean fine score of those matches; 0 without any
    },
    "qa": _QA,
    "votes": {
        "qa_id": _str,
        "voter": _str,
        "blind": pa.bool_(),
        "answer": _str,
        "agrees": pa.bool_(),
        "tokens": _i32,
    },
    "qa_kept": _QA_KEPT,
    "qa_rejected": _QA_KEPT | {"reason": _str, "voted_answer": _str},
    "rejected": {"id": _str, "reason": _str, "detail": _str},
    "samples": {
        "sample_id": _str,
        # JSON, ChatML roles; content parts {"type": "image"} or {"type": "text", "text": ...}
        "messages": _str,
        "image_ids": _strs,
        "source": _str,
        "weight": _f32,
    },
    "preferences": {
        "sample_id": _str,
        "image_id": _str,
        "prompt": _str,
        "chosen": _str,
        "rejected": _str,
        "why": _str,
    },
    "rl_prompts": {
        "prompt_id": _str,
        "image_id": _str,
        "prompt": _str,
        "reference": _str,
        "answer_type": _str,
        "choices": _strs,
        "difficulty": _f32,
        "pass_rate": _f32,
    },
    "predictions": {
        "benchmark": _str,
        "item_id": _str,
        "group": _str,  # the rotations of one circular item share it; item_id where there is none
        "image_group": _str,
        "category": _str,
        "model": _str,
        "sample_no": _i32,
        "response": _str,
        "extracted": _str,
        "stage": _str,  # how the answer was found: exact | rules | judge | none
        "score": _f32,
        "response_tokens": _i32,
    },
    "benchmark": {
        "item_id": _str,
        "image": pa.binary(),
        "image_group": _str,  # items of one image form one cluster
        "question": _str,
        "answer": _str,
        "answer_type": _str,
        "choices": _strs,
        "category": _str,
    },
}
SCHEMAS = {table: pa.schema(columns) for table, columns in _TABLES.items()}
"""By the table's name."""

# Image bytes are compressed already: compressing them again saves nothing and halves the speed.
UNCOMPRESSED_COLUMNS = frozenset({"bytes", "image"})
# Tables that carry image bytes.
IMAGE_TABLES = frozenset({"images", "benchmark"})
