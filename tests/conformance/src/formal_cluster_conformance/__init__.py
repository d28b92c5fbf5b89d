"""Real counterparts and checks for formal-cluster's drivers."""
