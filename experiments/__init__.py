"""One script per table or figure of a paper, and benchmarks; wiring, no mathematics."""
