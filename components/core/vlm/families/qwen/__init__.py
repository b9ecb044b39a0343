"""Families of the Qwen team."""
