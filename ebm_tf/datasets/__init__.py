"""Data sets: TFDS builders of our own, the registry, and the uint8 store that every later stage streams."""
