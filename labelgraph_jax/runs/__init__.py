"""What makes a trained thing: fit, evaluate, restore, baselines."""
