"""Energy networks."""
