"""Multi-label text classification in which the labels form a graph."""

__version__ = "0.1.0"
