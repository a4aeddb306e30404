"""The experiment as a chain of Luigi tasks; no TensorFlow is imported here."""
