"""A realistic sample store, made from a seed, for the demo and for benchmarks."""
