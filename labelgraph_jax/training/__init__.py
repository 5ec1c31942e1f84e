"""Training: objective, optimizer, step, devices, checkpoints, evaluation and the loop."""
