"""Stage `evaluation`: what a checkpoint can do, with intervals, on domain, general and hallucination benchmarks."""
