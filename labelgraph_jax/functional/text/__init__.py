"""Tokens to document vectors: pooling, recurrence, attention."""
