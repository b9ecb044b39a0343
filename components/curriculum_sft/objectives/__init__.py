"""The training objectives, one file each: supervised (SFT), preferences (DPO), distillation."""
