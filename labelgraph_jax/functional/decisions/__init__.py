"""Probabilities to labels: thresholds and how they are fitted."""
