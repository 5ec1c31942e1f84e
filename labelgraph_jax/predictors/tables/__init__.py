"""What a run over the tasks of a table leaves: network, model, metrics."""
