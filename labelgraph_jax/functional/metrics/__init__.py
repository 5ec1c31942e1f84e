"""Metrics of labels, rankings and tasks, and their intervals."""
