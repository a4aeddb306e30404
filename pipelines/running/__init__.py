"""A run: from what was asked to what came of it, by way of Luigi."""
