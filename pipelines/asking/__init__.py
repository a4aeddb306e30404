"""Looking without touching: what is there, what a run would do, and why."""
