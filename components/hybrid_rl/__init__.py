"""Reinforcement learning with hybrid rewards: right, varied, brief, well-formed, from the picture."""
