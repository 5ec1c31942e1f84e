"""Losses, as sums and counts."""
