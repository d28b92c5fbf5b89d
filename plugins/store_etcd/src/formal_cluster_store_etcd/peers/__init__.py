"""What this instance knows of the others, and does to the cluster with them."""
