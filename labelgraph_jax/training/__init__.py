"""Training: objective, optimizer, step, devices, checkpoints, evaluation, loop."""
