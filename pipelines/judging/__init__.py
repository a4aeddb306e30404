"""Numbers of runs, and of images from anywhere, side by side."""
