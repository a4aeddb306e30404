"""What was made: cleaned up, marked for a rebuild, given away."""
