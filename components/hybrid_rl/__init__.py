"""Reinforcement learning with hybrid rewards: right, varied, brief, well formed, and looking at the picture."""
