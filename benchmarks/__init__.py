"""Measurements of speed and of laws, as programs; see README.md."""
