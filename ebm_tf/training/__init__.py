"""Training: the pure step, the loop around it, checkpoints and the guard against divergence."""
