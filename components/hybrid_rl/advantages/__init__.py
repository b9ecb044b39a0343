"""Advantages: correctness by pass@k or pass@1, every component normalised in its group, all added with weights."""
