"""What a training stage imports and is not of this project: loaded once, by the process that warm stages are forked from."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # as a stage sets it before it imports any of these

from trl import DistillationTrainer, DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401
