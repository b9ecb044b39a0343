"""Stage `evaluation`: scores of a checkpoint on domain, general and hallucination benchmarks, with intervals."""
