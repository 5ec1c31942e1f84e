"""Structure over labels: what lies above what, what overlaps, what rules forbid."""
