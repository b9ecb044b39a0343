"""Models and data from outside the pipeline: what an address names, and copies of what lies far away."""
