"""The demo world as the data benchmarks use it: its models in this process, its items with their truth."""
