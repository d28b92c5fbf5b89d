"""What else one could use, each at its best: as its own documentation would have it."""
