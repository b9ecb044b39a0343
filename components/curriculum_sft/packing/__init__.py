"""Packing: many samples in one row without padding; the plan, and the forward pass."""
