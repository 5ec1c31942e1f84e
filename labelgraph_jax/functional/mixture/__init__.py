"""Mixtures of experts with a gate per task."""
