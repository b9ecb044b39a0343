"""Advantages: pass@k or pass@1 for correctness, each reward normalised in its group, a weighted sum."""
