"""Pages that stay up: Luigi's scheduler and TensorBoard."""
