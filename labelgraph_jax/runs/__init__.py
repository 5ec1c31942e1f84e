"""Functions that make trained models: fit, evaluate, restore, baselines."""
