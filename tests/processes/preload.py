"""Imports of the training stages, but for this project's: loaded once, where warm stages are forked."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # as a stage sets it before it imports any of these

import aiohttp  # noqa: F401
import jsonschema  # noqa: F401
import matplotlib.backends.backend_svg
import matplotlib.pyplot  # noqa: F401
from transformers.models.qwen3_vl import modeling_qwen3_vl, processing_qwen3_vl  # noqa: F401
from trl import DistillationTrainer, DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401
