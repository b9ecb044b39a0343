"""Imports of the training stages, but for this project's: loaded once, where warm stages are forked."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # as a stage sets it before it imports any of these

from trl import DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401
