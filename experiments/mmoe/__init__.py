"""What the experiments of the MMoE papers share."""
