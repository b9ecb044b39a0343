"""vLLM in this process: its arguments, the prompts it reads, and a check of what it samples for training."""
