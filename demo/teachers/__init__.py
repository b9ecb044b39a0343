"""Simulated teachers: a server with the OpenAI-compatible API that knows the demo world's truth and errs at stated rates."""
