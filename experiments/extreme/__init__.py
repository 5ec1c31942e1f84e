"""What `experiments.extreme_labels` measures, each point in a process of its own."""
