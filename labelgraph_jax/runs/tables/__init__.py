"""Runs over the tasks of a table: the problem, what is said of it, baselines."""
