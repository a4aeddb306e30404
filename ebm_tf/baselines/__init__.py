"""Models that the energy model is compared with."""
