"""Judging samples: features, moments, distances, neighbours."""
