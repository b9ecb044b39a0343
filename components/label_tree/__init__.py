"""The label tree: experts' first level, grown to three levels by a model."""
