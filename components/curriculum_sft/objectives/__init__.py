"""The training objectives, one file each: supervised fine-tuning, preferences (DPO), on-policy
distillation."""
