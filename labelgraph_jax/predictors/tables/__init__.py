"""The network, model and metrics of a run over the tasks of a table."""
