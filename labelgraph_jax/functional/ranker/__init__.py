"""Position bias and combined scores of a ranker."""
