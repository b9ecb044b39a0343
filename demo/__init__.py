"""The embedded default: a small world with known truth, and a tiny base model that learns in it."""
