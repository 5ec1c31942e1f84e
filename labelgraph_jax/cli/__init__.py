"""The command line: one function a verb, terminal tables, exit codes."""

from labelgraph_jax.cli.app import main, run

__all__ = ["main", "run"]
