"""Simulated teachers: an OpenAI-compatible server that knows the world's truth and errs at stated rates."""
