"""Stage `evaluation`: a checkpoint's scores on domain, general and hallucination benchmarks."""
