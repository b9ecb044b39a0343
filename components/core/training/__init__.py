"""What both training stages share: processes, checkpoints, signals, progress, optimizers."""
