"""`make bench`: this project beside named peers and the bare floor, in one run."""
