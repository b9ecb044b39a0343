"""Replies of the simulated teachers: reading a prompt, choosing questions, reasoning steps, topics, errors."""
